"""Bytes that arrive in order: what readers of archives and compressed data consume.

A `ByteSource` is read once from its beginning. It knows no offsets to go back to, no paths and
no file objects; `BlobSource` makes one of a `Blob`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable

    from sysgraft.base.blob import Blob

CHUNK: Final = 1 << 18
"""Bytes handled at once: large enough that Python's cost per call vanishes, small in memory."""


class ByteSource(Protocol):
    """Bytes in order."""

    def read(self, length: int) -> bytes:
        """The next `length` bytes; fewer only where the source ends."""

    def skip(self, length: int) -> int:
        """Pass over the next `length` bytes; the number that were there."""


class BlobSource:
    """A blob, read from its beginning.

    Args:
        blob: what is read.
        advance: told the number of bytes after each step.
    """

    __slots__ = ("_advance", "_blob", "_position")

    def __init__(self, blob: Blob, advance: Callable[[int], None] | None = None) -> None:
        self._blob = blob
        self._advance = advance
        self._position = 0

    def read(self, length: int) -> bytes:
        """See `ByteSource.read`."""
        data = self._blob.read_at(self._position, self._within(length))
        self._moved(len(data))
        return data

    def skip(self, length: int) -> int:
        """See `ByteSource.skip`; nothing is read."""
        count = self._within(length)
        self._moved(count)
        return count

    def _within(self, length: int) -> int:
        return min(length, self._blob.size - self._position)

    def _moved(self, count: int) -> None:
        self._position += count
        if self._advance is not None:
            self._advance(count)


def skip_by_reading(source: ByteSource, length: int) -> int:
    """`ByteSource.skip` for sources that must see every byte."""
    left = length
    while left and (data := source.read(min(left, CHUNK))):
        left -= len(data)
    return length - left
