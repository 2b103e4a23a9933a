"""An image as the pieces it is made of: what codecs of whole disks give to be written.

Between the pieces there are zeros, which nobody has to write. A piece's bytes are made or read
when they are asked for.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from typing import TYPE_CHECKING, NamedTuple

from sysgraft.base.blob import check_range, collect

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from sysgraft.base.blob import Blob


class Piece(NamedTuple):
    """Bytes at a place of an image."""

    offset: int
    content: Blob

    @property
    def end(self) -> int:
        """The byte behind it."""
        return self.offset + self.content.size


def moved(pieces: Iterable[Piece], distance: int) -> Iterator[Piece]:
    """The same pieces, each `distance` bytes further on."""
    for piece in pieces:
        yield Piece(piece.offset + distance, piece.content)


def in_order(pieces: Iterable[Piece], size: int) -> list[Piece]:
    """The pieces as they follow one another in an image.

    Raises:
        ValueError: two lie over one another, or one leaves the image: a mistake of the caller.
    """
    ordered = sorted((piece for piece in pieces if piece.content.size), key=_offset)
    position = 0
    for piece in ordered:
        if piece.offset < position or piece.end > size:
            raise ValueError(f"a piece at {piece.offset} to {piece.end} has no place of its own")
        position = piece.end
    return ordered


def _offset(piece: Piece) -> int:
    return piece.offset


class PiecedBlob:
    """An image of pieces as a blob, with its zeros.

    Args:
        pieces: see `in_order`.
        size: of the image.
    """

    __slots__ = ("_pieces", "_size", "_starts")

    def __init__(self, pieces: Iterable[Piece], size: int) -> None:
        self._pieces = in_order(pieces, size)
        self._starts = [piece.offset for piece in self._pieces]
        self._size = size

    @property
    def size(self) -> int:
        """Length in bytes."""
        return self._size

    def read_at(self, offset: int, length: int) -> bytes:
        """See `Blob.read_at`."""
        return collect(self, offset, length)

    def readinto_at(self, offset: int, view: memoryview) -> None:
        """See `Blob.readinto_at`."""
        check_range(self, offset, len(view))
        view[:] = bytes(len(view))
        end = offset + len(view)
        number = max(0, bisect_right(self._starts, offset) - 1)
        for piece in self._pieces[number : bisect_left(self._starts, end)]:
            start, stop = max(offset, piece.offset), min(end, piece.end)
            if start < stop:
                part = view[start - offset : stop - offset]
                piece.content.readinto_at(start - piece.offset, part)
