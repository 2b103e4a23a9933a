"""Pure codecs: bytes or blobs on one side, frozen dataclasses on the other.

Nothing here opens a path, starts a process, reads a clock or prints.
"""
