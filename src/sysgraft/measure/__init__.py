"""What a boot does to the TPM, computed from files alone."""
