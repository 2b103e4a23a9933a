"""Where an EROFS inode's data lies, as a blob over the image: flat, inline and chunk-based.

    FLAT_PLAIN    whole blocks from i_u on
    FLAT_INLINE   likewise, but what is left behind the last full block follows the inode
    CHUNK_BASED   a map follows the inode (aligned to its entries): per chunk, 4 bytes of block
                  number, or 8 bytes: reserved (2), device (2), block number (4)

    chunk format (in i_u)  bits 0 to 4  chunk size, as a power of two of blocks
                           bit 5        8-byte map entries

Compressed data has a size, but reading it raises `UnsupportedError`. A chunk-based file may be far
larger than the image (holes, chunks in common), so read it in parts.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NoReturn

from sysgraft.base.blob import BytesBlob, check_range
from sysgraft.errors import FormatError, UnsupportedError
from sysgraft.formats.erofs.ondisk import NULL_ADDRESS, Incompat, Layout, round_up

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sysgraft.base.blob import Blob
    from sysgraft.formats.erofs.volume import Found, Volume

_CHUNK_BITS: Final = 0x1F
_CHUNK_INDEXES: Final = 0x20
_BLOCK_ENTRY: Final = 4
_INDEX_ENTRY: Final = 8

MAX_FILE: Final = (1 << 63) - 1
"""Bytes of a file: as far as Linux's ``loff_t`` reaches."""


def open_data(volume: Volume, found: Found, *, name: str) -> Blob:
    """The data of an inode; nothing but a chunk map is read yet.

    Args:
        volume: the image.
        found: the inode.
        name: what to call it in messages about data that cannot be read.

    Raises:
        FormatError: the data is not inside the image.
    """
    disk = found.disk
    if disk.size > MAX_FILE:
        raise FormatError(f"a size of {disk.size} bytes")
    if disk.layout.is_compressed:
        return CompressedData(disk.size, name)
    if not disk.size:
        return BytesBlob(b"")
    if disk.layout is Layout.CHUNK_BASED:
        return ChunkedData(volume, found)
    return _open_flat(volume, found)


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


class JoinedData:
    """Two blobs, one behind the other."""

    __slots__ = ("_first", "_second", "size")

    def __init__(self, first: Blob, second: Blob) -> None:
        self._first = first
        self._second = second
        self.size = first.size + second.size

    def read_at(self, offset: int, length: int) -> bytes:
        """See `Blob.read_at`."""
        check_range(self, offset, length)
        data = bytearray(length)
        self.readinto_at(offset, memoryview(data))
        return bytes(data)

    def readinto_at(self, offset: int, view: memoryview) -> None:
        """See `Blob.readinto_at`."""
        check_range(self, offset, len(view))
        split = min(max(self._first.size - offset, 0), len(view))
        if split:
            self._first.readinto_at(offset, view[:split])
        if split < len(view):
            self._second.readinto_at(offset + split - self._first.size, view[split:])


class CompressedData:
    """Data whose size is known and whose bytes are not."""

    __slots__ = ("_name", "size")

    def __init__(self, size: int, name: str) -> None:
        self.size = size
        self._name = name

    def read_at(self, offset: int, length: int) -> bytes:
        """Raise `UnsupportedError`."""
        check_range(self, offset, length)
        self._refuse()

    def readinto_at(self, offset: int, view: memoryview) -> None:
        """Raise `UnsupportedError`."""
        check_range(self, offset, len(view))
        self._refuse()

    def _refuse(self) -> NoReturn:
        raise UnsupportedError(f"{self._name} is compressed, which this reader does not undo")


@dataclass(frozen=True, slots=True)
class _Chunk:
    """A piece of a file: where it starts in the image (None for a hole) and its bytes."""

    offset: int | None
    length: int


class ChunkedData:
    """The data of a chunk-based inode; looks chunks up as they are read."""

    __slots__ = ("_bits", "_entry_size", "_map", "_volume", "chunk_count", "size")

    def __init__(self, volume: Volume, found: Found) -> None:
        form = found.disk.union & 0xFFFF
        if form & ~(_CHUNK_BITS | _CHUNK_INDEXES):
            raise UnsupportedError(f"inode {found.nid}: unknown chunk format {form:#x}")
        self.size = found.disk.size
        self._volume = volume
        self._bits = volume.superblock.block_bits + (form & _CHUNK_BITS)
        self._entry_size = _INDEX_ENTRY if form & _CHUNK_INDEXES else _BLOCK_ENTRY
        # The map has to lie in the image: that bounds the number of chunks.
        self.chunk_count = -(-self.size >> self._bits)
        start = round_up(found.end, self._entry_size)
        self._map = volume.part(start, self.chunk_count * self._entry_size)

    def read_at(self, offset: int, length: int) -> bytes:
        """See `Blob.read_at`."""
        check_range(self, offset, length)
        data = bytearray(length)
        self.readinto_at(offset, memoryview(data))
        return bytes(data)

    def readinto_at(self, offset: int, view: memoryview) -> None:
        """See `Blob.readinto_at`."""
        check_range(self, offset, len(view))
        done = 0
        for chunk in self._chunks(offset, len(view)):
            part = view[done : done + chunk.length]
            if chunk.offset is None:
                part[:] = bytes(chunk.length)
            else:
                self._volume.blob.readinto_at(chunk.offset, part)
            done += chunk.length

    def ranges(self) -> Iterator[tuple[int, int]]:
        """Offsets and lengths in the image of all chunks but holes; raises like reading them."""
        for chunk in self._chunks(0, self.size):
            if chunk.offset is not None:
                yield chunk.offset, chunk.length

    def _chunks(self, offset: int, length: int) -> Iterator[_Chunk]:
        end = offset + length
        while offset < end:
            number, skip = offset >> self._bits, offset & ((1 << self._bits) - 1)
            size = min((1 << self._bits) - skip, end - offset)
            address = self._address(number)
            if address is not None:
                self._volume.check(address + skip, size)
            yield _Chunk(None if address is None else address + skip, size)
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
