"""btrfs, as far as it tells which subvolume is mounted by default."""
