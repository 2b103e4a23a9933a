"""The boot lab: boots what one is about to ship, with real firmware, a TPM and a real kernel."""
