"""Kernels on the boot partition: installed, listed, made the default, removed."""
