"""Keys, signatures, and beside each the twin that verifies."""
