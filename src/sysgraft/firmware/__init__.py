"""Firmware by hardware: what a machine has, which files it loads, and whether they came."""
