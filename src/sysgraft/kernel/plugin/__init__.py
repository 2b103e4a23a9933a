"""The plugin for kernel-install, and the unit that ends a trial."""
