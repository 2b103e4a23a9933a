"""A blob that is put together from pieces of others as it is read."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from sysgraft.base.blob import check_range, collect

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sysgraft.base.blob import Blob


class Piece(NamedTuple):
    """Consecutive bytes of a blob; zeros where it is None."""

    blob: Blob | None
    offset: int
    length: int


class Pieced:
    """Data that lie in several places; subclasses tell where."""

    __slots__ = ("size",)

    def __init__(self, size: int) -> None:
        self.size = size

    def read_at(self, offset: int, length: int) -> bytes:
        """See `Blob.read_at`."""
        return collect(self, offset, length)

    def readinto_at(self, offset: int, view: memoryview) -> None:
        """See `Blob.readinto_at`."""
        check_range(self, offset, len(view))
        done = 0
        for piece in self._pieces(offset, len(view)):
            part = view[done : done + piece.length]
            if piece.blob is None:
                part[:] = bytes(piece.length)
            else:
                piece.blob.readinto_at(piece.offset, part)
            done += piece.length

    def _pieces(self, offset: int, length: int) -> Iterable[Piece]:
        """What the bytes ``[offset, offset + length)`` are made of, in order."""
        raise NotImplementedError
