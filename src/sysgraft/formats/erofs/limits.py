"""How much of an EROFS image its reader takes in, whatever the image claims.

A small image can describe a huge tree: many directories may share one run of blocks, many inodes
one large attribute. A `Budget` counts what a walk takes and stops it.
"""

from __future__ import annotations

from typing import Final

from sysgraft.errors import LimitError

MAX_ENTRIES: Final = 500_000
"""Paths of a tree: more than a whole distribution has, some 250 MB of memory."""

MAX_DIRECTORY_BYTES: Final = 1 << 28
"""Bytes of all directories: twice what the paths need with names of full length."""

MAX_PATH_BYTES: Final = 1 << 28
"""Bytes of all paths: 536 for each."""

MAX_ATTRIBUTE_BYTES: Final = 1 << 27
"""Bytes of all attributes, `ATTRIBUTE_COST` each included: two security labels for each path."""

ATTRIBUTE_COST: Final = 64
"""What an attribute counts beside its value: about what it takes in memory."""

MAX_CHUNKS: Final = 2_000_000
"""Chunks of all files that are looked at one by one: 8 GB of files in chunks of 4 KiB."""


class Budget:
    """What a walk may still take; every method raises `LimitError` when there is none left."""

    __slots__ = (
        "_attribute_bytes",
        "_chunks",
        "_directory_bytes",
        "_entries",
        "_max_entries",
        "_path_bytes",
    )

    def __init__(self, max_entries: int = MAX_ENTRIES) -> None:
        self._max_entries = max_entries
        self._entries = max_entries
        self._directory_bytes = MAX_DIRECTORY_BYTES
        self._path_bytes = MAX_PATH_BYTES
        self._attribute_bytes = MAX_ATTRIBUTE_BYTES
        self._chunks = MAX_CHUNKS

    def spend_entry(self, path_length: int) -> None:
        """One more path of `path_length` bytes."""
        self._entries -= 1
        self._path_bytes -= path_length
        if self._entries < 0:
            raise LimitError(f"the image holds more than {self._max_entries} paths")
        if self._path_bytes < 0:
            raise LimitError(f"the image's paths exceed {MAX_PATH_BYTES} bytes")

    def spend_directory(self, size: int) -> None:
        """`size` more bytes of directories."""
        self._directory_bytes -= size
        if self._directory_bytes < 0:
            raise LimitError(f"the image's directories exceed {MAX_DIRECTORY_BYTES} bytes")

    def spend_attribute(self, size: int) -> None:
        """One more attribute of `size` bytes."""
        self._attribute_bytes -= size + ATTRIBUTE_COST
        if self._attribute_bytes < 0:
            raise LimitError(f"the image's attributes exceed {MAX_ATTRIBUTE_BYTES} bytes")

    def spend_chunks(self, count: int) -> None:
        """`count` more chunks, holes included."""
        self._chunks -= count
        if self._chunks < 0:
            raise LimitError(f"the image's files have more than {MAX_CHUNKS} chunks")
