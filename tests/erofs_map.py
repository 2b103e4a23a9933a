"""An EROFS index read the way Linux reads it: lookup by lookup, as ``fs/erofs/zmap.c`` describes.

It is slow and knows only what a writer has to get right: the compact form with 4096-byte clusters
and big pclusters. Nothing of `sysgraft.formats.erofs` is used.
"""

from __future__ import annotations

import struct
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import lz4.block  # type: ignore[import-untyped]

if TYPE_CHECKING or sys.version_info < (3, 14):
    from backports import zstd
else:
    from compression import zstd

BLOCK: Final = 4096
PLAIN, HEAD, NONHEAD = 0, 1, 2
COUNT: Final = 2048
LZ4: Final = 0


class CorruptedError(Exception):
    """Linux would give up."""


@dataclass(frozen=True)
class Extent:
    """Where a part of the content comes from."""

    start: int
    end: int
    block: int
    blocks: int
    compressed: bool


class Index:
    """The index of one inode.

    Args:
        image: the whole file system.
        offset: where the inode's attributes end.
        size: bytes of the content.
    """

    def __init__(self, image: bytes, offset: int, size: int) -> None:
        header = -(-offset // 8) * 8
        self.image = image
        self.size = size
        self.total = -(-size // BLOCK)
        self.base = header + 8
        self.advise, self.algorithm, self.bits = struct.unpack_from("<4xHBB", image, header)
        if any(image[header : header + 4]) or self.advise != 7 or self.bits:
            raise CorruptedError("header")
        self.initial = -self.base % 32 // 4
        left = self.total - self.initial
        self.large = left // 16 * 16 if left > 0 else 0

    def _pack(self, number: int) -> tuple[int, int, int]:
        """Offset of the pack that entry `number` is in, its entries, and which one it is."""
        if number < self.initial:
            return self.base + number // 2 * 8, 2, number % 2
        number -= self.initial
        place = self.base + self.initial * 4
        if number < self.large:
            return place + number // 16 * 32, 16, number % 16
        number -= self.large
        return place + self.large * 2 + number // 2 * 8, 2, number % 2

    def _entry(self, offset: int, count: int, which: int) -> tuple[int, int]:
        bits = (count * (4 if count == 2 else 2) - 4) * 8 // count
        word = int.from_bytes(self.image[offset : offset + count * bits // 8], "little")
        value = word >> bits * which
        return value >> 12 & 3, value & 0xFFF

    def _load(self, number: int) -> tuple[int, int, int, int]:
        """Type; offset in the cluster or the way back; blocks told; block number."""
        offset, count, which = self._pack(number)
        kind, low = self._entry(offset, count, which)
        if kind == NONHEAD:
            if low & COUNT:
                return kind, 1, low & ~COUNT, 0
            if which + 1 != count:
                return kind, low, 0, 0
            before, low = self._entry(offset, count, which - 1)
            if before != NONHEAD:
                return kind, 1, 0, 0
            return kind, (1 if low & COUNT else low) + 1, 0, 0
        blocks, i = 0, which
        while i > 0:
            i -= 1
            before, value = self._entry(offset, count, i)
            if before != NONHEAD:
                blocks += 1
            elif value & COUNT:
                i -= 1
                blocks += value & ~COUNT
            elif value <= 1:
                raise CorruptedError("a big pcluster with a distance of 1")
            else:
                i -= value - 2
        end = offset + (8 if count == 2 else 32)
        return kind, low, 0, int.from_bytes(self.image[end - 4 : end], "little") + blocks

    def find(self, offset: int) -> Extent:
        """The extent that the byte at `offset` is in."""
        number = offset // BLOCK
        kind, low, _, block = self._load(number)
        back = 0
        if kind == NONHEAD:
            if (number + 1) * BLOCK > self.size:
                # The extent would reach to the end of the block, beyond what it decompresses to.
                raise CorruptedError("nothing tells where the content ends")
            back = low
        elif offset % BLOCK < low:
            back = 1
        while back:
            if back > number:
                raise CorruptedError("a way back to before the content")
            number -= back
            kind, low, _, block = self._load(number)
            back = low if kind == NONHEAD else 0
        start, end = number * BLOCK + low, self._end(number)
        if kind == PLAIN and end - start > BLOCK:
            raise CorruptedError("a plain cluster of more than a block")
        return Extent(start, end, block, self._blocks(number, kind), kind == HEAD)

    def _blocks(self, number: int, kind: int) -> int:
        """The blocks of the pcluster that begins with entry `number`."""
        if kind == PLAIN:
            return 1
        following, distance, told, _ = self._load(number + 1)
        if following == NONHEAD and (distance != 1 or not told):
            raise CorruptedError("nothing tells the blocks of a pcluster")
        return told if following == NONHEAD else 1

    def _end(self, number: int) -> int:
        """Where the extent that begins with entry `number` ends."""
        number += 1
        while number < self.total:
            kind, low, *_ = self._load(number)
            if kind != NONHEAD:
                return number * BLOCK + low
            number += self._forward(number)
        return self.size

    def _forward(self, number: int) -> int:
        """How far it is from a NONHEAD entry to where Linux looks next."""
        offset, count, which = self._pack(number)
        low = steps = 0
        for i in range(which, count):
            kind, low = self._entry(offset, count, i)
            if kind != NONHEAD:
                return steps
            steps += 1
        return steps if low & COUNT else steps + low - 1

    def extents(self) -> list[Extent]:
        """All of them, looked up for the first and the last byte of each block."""
        found: list[Extent] = []
        for start in range(0, self.size, BLOCK):
            for offset in (start, min(start + BLOCK, self.size) - 1):
                extent = self.find(offset)
                if not extent.start <= offset < extent.end:
                    raise CorruptedError(f"{extent} has no byte {offset}")
                if extent not in found[-1:]:
                    found.append(extent)
        return found

    def read(self) -> bytes:
        """The content."""
        content = bytearray()
        for extent in self.extents():
            if extent.start != len(content):
                raise CorruptedError(f"an extent from {extent.start} at {len(content)}")
            place, wanted = extent.block * BLOCK, extent.end - extent.start
            stored = self.image[place : place + extent.blocks * BLOCK]
            content += self._decompress(stored, wanted) if extent.compressed else stored[:wanted]
        return bytes(content)

    def _decompress(self, stored: bytes, wanted: int) -> bytes:
        packed = stored.lstrip(b"\0")
        if len(stored) - len(packed) >= BLOCK:
            raise CorruptedError("more padding than a block")
        if self.algorithm == LZ4:
            content: bytes = lz4.block.decompress(packed, uncompressed_size=wanted)
        else:
            frame = zstd.get_frame_info(packed)
            if frame.decompressed_size != wanted:
                raise CorruptedError("a frame of another length")
            content = zstd.decompress(packed)
        if len(content) != wanted:
            raise CorruptedError(f"{len(content)} bytes instead of {wanted}")
        return content
