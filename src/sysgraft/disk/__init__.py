"""Disks that describe themselves: what systemd will find by partition types, and setting those."""
