"""Fakes and fixtures that ship with the package, for tests of code built on it."""
