"""Blobs that are put together of others hold the bytes that the parts have, joined."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sysgraft.base.blob import Blob, BytesBlob, JoinedBlob, PaddedBlob, SubBlob
from sysgraft.errors import TruncatedError


@st.composite
def blobs(draw: st.DrawFn, depth: int = 3) -> tuple[Blob, bytes]:
    """A blob of blobs, and what it should hold."""
    kind = draw(st.sampled_from(["bytes", "joined", "padded", "part"])) if depth else "bytes"
    if kind == "bytes":
        data = draw(st.binary(max_size=20))
        return BytesBlob(data), data
    if kind == "joined":
        parts = draw(st.lists(blobs(depth - 1), max_size=4))
        return JoinedBlob([blob for blob, _ in parts]), b"".join(data for _, data in parts)
    blob, data = draw(blobs(depth - 1))
    if kind == "padded":
        size = len(data) + draw(st.integers(0, 20))
        return PaddedBlob(blob, size), data.ljust(size, b"\0")
    start = draw(st.integers(0, len(data)))
    length = draw(st.integers(0, len(data) - start))
    return SubBlob(blob, start, length), data[start : start + length]


@given(blobs(), st.data())
def test_every_range_is_that_of_the_bytes(pair: tuple[Blob, bytes], data: st.DataObject) -> None:
    blob, content = pair
    assert blob.size == len(content)
    assert blob.read_at(0, blob.size) == content
    for _ in range(5):
        offset = data.draw(st.integers(0, len(content)))
        length = data.draw(st.integers(0, len(content) - offset))
        assert blob.read_at(offset, length) == content[offset : offset + length]
        view = memoryview(bytearray(b"\xff" * length))
        blob.readinto_at(offset, view)
        assert bytes(view) == content[offset : offset + length]


@given(blobs(), st.integers(-2, 200), st.integers(-2, 200))
def test_ranges_outside_are_refused(pair: tuple[Blob, bytes], offset: int, length: int) -> None:
    blob, content = pair
    if offset >= 0 and length >= 0 and offset + length <= len(content):
        length = len(content) - offset + 1
    with pytest.raises(TruncatedError):
        blob.read_at(offset, length)
    if length >= 0:
        with pytest.raises(TruncatedError):
            blob.readinto_at(offset, memoryview(bytearray(length)))
