"""Small shared vocabulary: random-access bytes, file trees, names of architectures, versions."""
