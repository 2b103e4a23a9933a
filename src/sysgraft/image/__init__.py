"""What an extension image is, and whether it is good."""
