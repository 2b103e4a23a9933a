"""Where an EROFS inode's data lies, as a blob: flat, inline, chunk-based or compressed.

    FLAT_PLAIN    whole blocks from i_u on
    FLAT_INLINE   likewise, but what is left behind the last full block follows the inode
    CHUNK_BASED   a map follows the inode (aligned to its entries): per chunk, 4 bytes of block
                  number, or 8 bytes: reserved (2), device (2), block number (4)

    chunk format (in i_u)  bits 0 to 4  chunk size, as a power of two of blocks
                           bit 5        8-byte map entries

Compressed data is `compressed`'s. A file may be far larger than the image (holes, chunks in common,
bytes that compress well), so read it in parts.
"""

from __future__ import annotations

import struct
from functools import partial
from typing import TYPE_CHECKING, Final

from sysgraft.base.blob import BytesBlob
from sysgraft.errors import FormatError, UnsupportedError
from sysgraft.formats.erofs.compressed import PACKED, CompressedData, packed_inode
from sysgraft.formats.erofs.ondisk import NULL_ADDRESS, Incompat, Layout, round_up
from sysgraft.formats.erofs.pieces import Piece, Pieced

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sysgraft.base.blob import Blob
    from sysgraft.formats.erofs.volume import Found, Volume

_CHUNK_BITS: Final = 0x1F
_CHUNK_INDEXES: Final = 0x20
_BLOCK_ENTRY: Final = 4
_INDEX_ENTRY: Final = 8
_MAP_STEP: Final = 1 << 14  # Entries of a map looked at together: at most 128 KiB of it.

MAX_FILE: Final = (1 << 63) - 1
"""Bytes of a file: as far as Linux's ``loff_t`` reaches."""


def open_data(volume: Volume, found: Found, *, name: str) -> Blob:
    """The data of an inode; nothing of it is read yet.

    Args:
        volume: the image.
        found: the inode.
        name: what to call it in messages about compressed data.

    Raises:
        FormatError: the data is not inside the image.
    """
    disk = found.disk
    if disk.size > MAX_FILE:
        raise FormatError(f"a size of {disk.size} bytes")
    if not disk.size:
        return BytesBlob(b"")
    if disk.layout.is_compressed:
        is_packed = found.nid == volume.superblock.packed_nid
        packed = None if is_packed else partial(_packed_file, volume)
        return CompressedData(volume, found, packed, name=name)
    if disk.layout is Layout.CHUNK_BASED:
        return ChunkedData(volume, found)
    return _open_flat(volume, found)


def _packed_file(volume: Volume) -> Blob | None:
    """The file that holds the tails of others, None where the image has none."""
    if volume.packed is None:
        found = packed_inode(volume)
        if found is not None:
            volume.packed = open_data(volume, found, name=PACKED)
    return volume.packed


def _open_flat(volume: Volume, found: Found) -> Blob:
    parts = [volume.part(offset, length) for offset, length in flat_ranges(volume, found)]
    return parts[0] if len(parts) == 1 else JoinedData(parts[0], parts[1])


def flat_ranges(volume: Volume, found: Found) -> list[tuple[int, int]]:
    """Offsets and lengths in the image of a flat inode's blocks and its inline tail.

    Raises:
        FormatError: the tail crosses into another block.
    """
    disk, block_size = found.disk, volume.superblock.block_size
    tail = 0
    if disk.layout is Layout.FLAT_INLINE:
        # A size of whole blocks still has its last block inline.
        tail = (disk.size - 1) % block_size + 1
    if tail and found.end % block_size + tail > block_size:
        raise FormatError(f"inode {found.nid}: its inline data crosses into another block")
    ranges = [(volume.address(disk.union), disk.size - tail), (found.end, tail)]
    return [(offset, length) for offset, length in ranges if length]


class JoinedData(Pieced):
    """Two blobs, one behind the other."""

    __slots__ = ("_first", "_second")

    def __init__(self, first: Blob, second: Blob) -> None:
        super().__init__(first.size + second.size)
        self._first = first
        self._second = second

    def _pieces(self, offset: int, length: int) -> Iterable[Piece]:
        split = min(max(self._first.size - offset, 0), length)
        if split:
            yield Piece(self._first, offset, split)
        if split < length:
            yield Piece(self._second, offset + split - self._first.size, length - split)


class ChunkedData(Pieced):
    """The data of a chunk-based inode; looks chunks up as they are read."""

    __slots__ = ("_bits", "_entry_size", "_map", "_volume", "chunk_count")

    def __init__(self, volume: Volume, found: Found) -> None:
        form = found.disk.union & 0xFFFF
        if form & ~(_CHUNK_BITS | _CHUNK_INDEXES):
            raise UnsupportedError(f"inode {found.nid}: unknown chunk format {form:#x}")
        super().__init__(found.disk.size)
        self._volume = volume
        self._bits = volume.superblock.block_bits + (form & _CHUNK_BITS)
        self._entry_size = _INDEX_ENTRY if form & _CHUNK_INDEXES else _BLOCK_ENTRY
        # The map has to lie in the image: that bounds the number of chunks.
        self.chunk_count = -(-self.size >> self._bits)
        start = round_up(found.end, self._entry_size)
        self._map = volume.part(start, self.chunk_count * self._entry_size)

    def first_block_in(self, first: int, last: int) -> int | None:
        """The lowest chunk, by its block in the image, with one of the blocks `first` to `last`.

        None where no chunk has any. Chunks that cannot be read are not in the image.
        """
        block_bits = self._volume.superblock.block_bits
        per_chunk = 1 << (self._bits - block_bits)
        # Of the last chunk, only the blocks that the size reaches belong to the file.
        in_last = -(-(self.size - ((self.chunk_count - 1) << self._bits)) >> block_bits)
        lowest: int | None = None
        for number in range(0, self.chunk_count, _MAP_STEP):
            starts = self._starts(number, min(_MAP_STEP, self.chunk_count - number))
            if number + len(starts) == self.chunk_count and starts[-1] + in_last <= first:
                starts = starts[:-1]
            found = [start for start in starts if first - per_chunk < start <= last]
            lowest = min(found if lowest is None else [lowest, *found], default=None)
        return lowest

    def _starts(self, number: int, count: int) -> tuple[int, ...]:
        """The first blocks of `count` chunks, holes and those on other devices included."""
        entries = self._map.read_at(number * self._entry_size, count * self._entry_size)
        words = struct.unpack(f"<{len(entries) // 4}I", entries)
        return words if self._entry_size == _BLOCK_ENTRY else words[1::2]

    def _pieces(self, offset: int, length: int) -> Iterable[Piece]:
        end = offset + length
        while offset < end:
            number, skip = offset >> self._bits, offset & ((1 << self._bits) - 1)
            size = min((1 << self._bits) - skip, end - offset)
            address = self._address(number)
            if address is None:
                yield Piece(None, 0, size)
            else:
                self._volume.check(address + skip, size)
                yield Piece(self._volume.blob, address + skip, size)
            offset += size

    def _address(self, number: int) -> int | None:
        """Where a chunk starts in the image; None for a hole."""
        entry = self._map.read_at(number * self._entry_size, self._entry_size)
        block = int.from_bytes(entry[-4:], "little")
        if block == NULL_ADDRESS:
            return None
        has_devices = self._volume.superblock.feature_incompat & Incompat.DEVICE_TABLE
        if len(entry) == _INDEX_ENTRY and has_devices and any(entry[2:4]):
            raise UnsupportedError("the data is on another device")
        return self._volume.address(block)
