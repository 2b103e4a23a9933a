"""Puts the pieces of an image together, for tests."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sysgraft.base.blob import BytesBlob, chunks
from sysgraft.base.pieces import in_order

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sysgraft.base.pieces import Piece


def joined(pieces: Iterable[Piece], size: int, *, step: int = 1 << 20) -> bytes:
    """The image; each piece is read `step` bytes at a time."""
    image = bytearray(size)
    for piece in in_order(pieces, size):
        at = piece.offset
        for chunk in chunks(piece.content, step):
            image[at : at + len(chunk)] = chunk
            at += len(chunk)
        assert at == piece.end
    return bytes(image)


def blob(data: bytes) -> BytesBlob:
    return BytesBlob(data)
