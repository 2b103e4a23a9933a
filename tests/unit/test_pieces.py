"""Images of pieces: in order, none over another, zeros between them, read at any offset."""

from __future__ import annotations

import random

import pytest

from pieces_kit import blob, joined
from sysgraft.base.pieces import Piece, PiecedBlob, in_order, moved
from sysgraft.errors import TruncatedError


def test_pieces_come_in_order_and_empty_ones_not_at_all() -> None:
    pieces = [Piece(9, blob(b"c")), Piece(0, blob(b"a")), Piece(5, blob(b"")), Piece(5, blob(b"b"))]
    assert [(each.offset, each.end) for each in in_order(pieces, 10)] == [(0, 1), (5, 6), (9, 10)]
    assert [each.offset for each in moved(pieces, 100)] == [109, 100, 105, 105]


@pytest.mark.parametrize(
    "pieces", [[Piece(0, blob(b"ab")), Piece(1, blob(b"c"))], [Piece(9, blob(b"ab"))]]
)
def test_pieces_without_a_place_of_their_own_are_a_mistake(pieces: list[Piece]) -> None:
    with pytest.raises(ValueError, match="no place of its own"):
        in_order(pieces, 10)


def test_an_image_of_pieces_is_read_at_any_offset() -> None:
    chance = random.Random(3)
    for _ in range(50):
        pieces, position = [], 0
        while position < 900:
            position += chance.randrange(40)
            data = chance.randbytes(chance.randrange(60))
            pieces.append(Piece(position, blob(data)))
            position += len(data)
        size = position + chance.randrange(50)
        whole = joined(pieces, size)
        found = PiecedBlob(pieces, size)
        assert (found.size, found.read_at(0, size)) == (size, whole)
        for _ in range(50):
            start = chance.randrange(size + 1)
            length = chance.randrange(size + 1 - start)
            assert found.read_at(start, length) == whole[start : start + length]
        with pytest.raises(TruncatedError):
            found.read_at(size, 1)
    assert PiecedBlob([], 4).read_at(1, 3) == bytes(3)
