"""EROFS, the read-only file system inside an extension image: `writer.plan`, `reader.Reader`."""
