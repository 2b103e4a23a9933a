"""Unified kernel images, addons and profiles: from their parts to one signed file."""
