"""sysgraft for a node without Python: a bundle with its own interpreter, libraries and loader."""
