"""Tests that boot virtual machines; a package, so that its conftest has a name of its own."""
