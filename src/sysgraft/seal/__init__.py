"""Files on a disk, what they do to the TPM, and signatures that open what is sealed to it."""
