"""Devices asked again for their driver, once the firmware they missed is there."""
