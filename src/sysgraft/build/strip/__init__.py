"""A root file system or an initrd without the firmware that comes by an extension."""
