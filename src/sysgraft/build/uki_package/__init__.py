"""Packages of distributions with a UKI in them, for rpm and for dpkg."""
