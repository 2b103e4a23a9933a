"""Blobs that are put together of others hold the bytes that the parts have, joined."""

from __future__ import annotations

from contextlib import suppress

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


@given(blobs(), st.integers(-2, 90), st.integers(-2, 90))
def test_every_range_is_that_of_the_bytes(
    pair: tuple[Blob, bytes], offset: int, length: int
) -> None:
    blob, data = pair
    assert blob.size == len(data)
    assert blob.read_at(0, blob.size) == data
    inside = offset >= 0 and length >= 0 and offset + length <= len(data)
    expected = data[offset : offset + length] if inside else None
    found = None
    with suppress(TruncatedError):
        found = blob.read_at(offset, length)
    assert found == expected
    view = memoryview(bytearray(b"\xff" * max(length, 0)))
    if inside or length < 0:
        blob.readinto_at(offset if inside else 0, view)
        assert bytes(view) == (expected or b"")
