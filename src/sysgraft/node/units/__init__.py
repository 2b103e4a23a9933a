"""Units that have a node activate its extensions at boot."""
