"""What goes into an initrd so that signatures beside the booted image are found there."""
