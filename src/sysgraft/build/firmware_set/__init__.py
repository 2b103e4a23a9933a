"""From a firmware plan to the files of an extension and of an early initrd."""
