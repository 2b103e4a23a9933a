"""Where the logical addresses of a btrfs are on its device: chunks.

btrfs on-disk format, "Chunk tree": a chunk maps a range of logical addresses to one or more
stripes. Only what has each byte whole on this one device is read: chunks of a single copy, of two
on one device (DUP), and mirrors (RAID1) as far as a copy is here. Striped data is refused.
"""

from __future__ import annotations

import struct
from bisect import bisect_right, insort
from typing import Final, NamedTuple

from sysgraft.errors import FormatError, LimitError, UnsupportedError

MAX_CHUNKS: Final = 1 << 16
"""Ours: with chunks of 1 GiB a device of 64 TiB."""

CHUNK_KEY: Final = 228
"""BTRFS_CHUNK_ITEM_KEY."""

# 0 length, 8 owner, 16 stripe length, 24 type, 32 alignment, width, sector size, 44 stripes and
# sub-stripes; then for each stripe its device, its place there and the device's UUID.
_CHUNK: Final = struct.Struct("<4Q3I2H")
_STRIPE: Final = struct.Struct("<2Q16s")
# A key in the superblock's array: object, type, offset.
_KEY: Final = struct.Struct("<QBQ")
_STRIPED: Final = {1 << 3: "RAID0", 1 << 6: "RAID10", 1 << 7: "RAID5", 1 << 8: "RAID6"}


class Chunk(NamedTuple):
    """A range of logical addresses.

    Attributes:
        start: the first of them.
        length: how many there are.
        places: where it begins on this device, for each copy.
        kind: how it is spread over devices, empty if it is not.
    """

    start: int
    length: int
    places: tuple[int, ...]
    kind: str


def parse_chunk(start: int, data: bytes, device: int) -> tuple[Chunk, int]:
    """The chunk at logical address `start`, and the bytes of `data` that it took.

    Raises:
        FormatError: it is none.
    """
    if len(data) < _CHUNK.size:
        raise FormatError("a btrfs chunk is cut off")
    length, _, _, flags, _, _, _, count, _ = _CHUNK.unpack_from(data)
    size = _CHUNK.size + count * _STRIPE.size
    if not count or not length or len(data) < size:
        raise FormatError("a btrfs chunk has impossible values")
    stripes = [_STRIPE.unpack_from(data, _CHUNK.size + at * _STRIPE.size) for at in range(count)]
    places = tuple(place for number, place, _ in stripes if number == device)
    kind = next((name for bit, name in _STRIPED.items() if flags & bit), "")
    return Chunk(start, length, places, kind), size


class ChunkMap:
    """The chunks known so far."""

    __slots__ = ("_chunks",)

    def __init__(self) -> None:
        self._chunks: list[Chunk] = []

    def add(self, chunk: Chunk) -> None:
        """Learn of a chunk.

        Raises:
            LimitError: there are more than `MAX_CHUNKS`.
        """
        if len(self._chunks) >= MAX_CHUNKS:
            raise LimitError(f"a btrfs with more than {MAX_CHUNKS} chunks")
        if chunk not in self._around(chunk.start):
            insort(self._chunks, chunk)

    def add_array(self, data: bytes, device: int) -> None:
        """Learn of the chunks in the superblock's array.

        Raises:
            FormatError: it holds something else.
        """
        at = 0
        while at < len(data):
            if len(data) - at < _KEY.size:
                raise FormatError("the chunk array of the btrfs superblock is cut off")
            _, kind, start = _KEY.unpack_from(data, at)
            if kind != CHUNK_KEY:
                raise FormatError("the chunk array of the btrfs superblock has other keys")
            chunk, size = parse_chunk(start, data[at + _KEY.size :], device)
            self.add(chunk)
            at += _KEY.size + size

    def places(self, address: int, length: int) -> tuple[int, ...]:
        """Where on this device the bytes at a logical address are, for each copy.

        Raises:
            FormatError: no chunk has them.
            UnsupportedError: they are spread over devices, or on another one.
        """
        for chunk in self._around(address):
            within = address - chunk.start
            if within >= 0 and within + length <= chunk.length:
                if chunk.kind:
                    raise UnsupportedError(f"a btrfs with metadata in {chunk.kind}")
                if not chunk.places:
                    raise UnsupportedError("a btrfs with metadata on another device")
                return tuple(place + within for place in chunk.places)
        raise FormatError(f"no btrfs chunk has the address {address}")

    def _around(self, address: int) -> list[Chunk]:
        at = bisect_right(self._chunks, address, key=lambda chunk: chunk.start)
        return self._chunks[max(0, at - 1) : at]
