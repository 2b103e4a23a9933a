"""Blobs that are put together of others: what they refuse."""

from __future__ import annotations

import tracemalloc

import pytest

from sysgraft.base.blob import BytesBlob, JoinedBlob, PaddedBlob, chunks
from sysgraft.errors import TruncatedError

OUTSIDE = [(0, 7), (6, 1), (7, 0), (-1, 1), (0, -1), (3, 1 << 60), (1 << 60, 1)]


@pytest.mark.parametrize(
    "blob", [PaddedBlob(BytesBlob(b"abc"), 6), JoinedBlob([BytesBlob(b"abcdef")])]
)
@pytest.mark.parametrize(("offset", "length"), OUTSIDE)
def test_nothing_outside_is_read(blob: PaddedBlob | JoinedBlob, offset: int, length: int) -> None:
    with pytest.raises(TruncatedError):
        blob.read_at(offset, length)


def test_no_memory_is_taken_for_what_is_not_there() -> None:
    blob = PaddedBlob(BytesBlob(b"abc"), 1 << 40)
    tracemalloc.start()
    try:
        assert blob.read_at((1 << 40) - 2, 2) == b"\0\0"
        with pytest.raises(TruncatedError):
            JoinedBlob([blob]).read_at(1, 1 << 40)
        assert tracemalloc.get_traced_memory()[1] < 1 << 20
    finally:
        tracemalloc.stop()


def test_padding_never_cuts() -> None:
    assert PaddedBlob(BytesBlob(b"abc"), 3).read_at(0, 3) == b"abc"
    with pytest.raises(ValueError, match="cannot be padded to 2"):
        PaddedBlob(BytesBlob(b"abc"), 2)


def test_nothing_joined_is_empty() -> None:
    assert JoinedBlob([]).size == 0
    assert JoinedBlob([BytesBlob(b"")]).read_at(0, 0) == b""
    with pytest.raises(TruncatedError):
        JoinedBlob([]).read_at(0, 1)


@pytest.mark.parametrize("size", [0, 1, (1 << 20) - 1, 1 << 20, (1 << 20) + 1, 3 << 20])
def test_chunks_are_the_blob(size: int) -> None:
    data = bytes(range(256)) * (size // 256) + b"x" * (size % 256)
    found = list(chunks(BytesBlob(data)))
    assert b"".join(found) == data
    assert all(0 < len(chunk) <= 1 << 20 for chunk in found)
