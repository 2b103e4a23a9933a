"""The verifying half of `sysgraft.sign`: it needs no private key and never asks for one."""
