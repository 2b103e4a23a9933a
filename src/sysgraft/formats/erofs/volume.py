"""An EROFS image opened for reading: its bytes, its superblock, and inodes by number.

Every access is held to the size the superblock states. What an inode's data or attributes mean is
left to `data` and `attributes`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from sysgraft.base.blob import SubBlob
from sysgraft.errors import FormatError, TruncatedError
from sysgraft.formats.erofs.compression import Compression, read_compression
from sysgraft.formats.erofs.inode import DiskInode, decode_inode, is_extended
from sysgraft.formats.erofs.ondisk import COMPACT_SIZE, EXTENDED_SIZE, SLOT_SIZE
from sysgraft.formats.erofs.pclusters import Pclusters
from sysgraft.formats.erofs.superblock import Superblock, read_superblock

if TYPE_CHECKING:
    from sysgraft.base.blob import Blob


class Found(NamedTuple):
    """An inode with its number and its place in the image, in bytes."""

    nid: int
    offset: int
    disk: DiskInode

    @property
    def end(self) -> int:
        """Where the fixed part and the attributes end, and inline data or a chunk map starts."""
        return self.offset + self.disk.head_size


class Volume:
    """Random access to an image, by byte and by inode number.

    Attributes:
        superblock: what the image says about itself.
        blob: the image, cut to the size it states.
        compression: how its compressed data is to be read.
        pclusters: what that data decompresses to.
        packed: the file that holds parts of others, once it has been opened.
    """

    __slots__ = ("blob", "compression", "packed", "pclusters", "superblock")

    def __init__(self, blob: Blob) -> None:
        self.superblock: Superblock = read_superblock(blob)
        self.blob: Blob = SubBlob(blob, 0, self.superblock.image_size)
        self.compression: Compression = read_compression(self.blob, self.superblock)
        self.pclusters = Pclusters(self.blob, padded=self.compression.padded)
        self.packed: Blob | None = None

    def read(self, offset: int, length: int) -> bytes:
        """Bytes of the image.

        Raises:
            FormatError: the range is not inside the image.
        """
        self.check(offset, length)
        return self.blob.read_at(offset, length)

    def part(self, offset: int, length: int) -> Blob:
        """A range of the image as a blob; raises like `read`."""
        self.check(offset, length)
        return SubBlob(self.blob, offset, length)

    def check(self, offset: int, length: int) -> None:
        """Raise `FormatError` unless a range lies inside the image."""
        if offset + length > self.blob.size:
            raise FormatError(
                f"it points at bytes {offset}..{offset + length} of an image of {self.blob.size}",
            )

    def address(self, block: int) -> int:
        """Byte offset of a block."""
        return block << self.superblock.block_bits

    def inode(self, nid: int) -> Found:
        """The inode `nid`.

        Raises:
            FormatError: it is not inside the image, or makes no sense.
        """
        offset = self.address(self.superblock.meta_block) + nid * SLOT_SIZE
        try:
            return self._inode_at(nid, offset)
        except TruncatedError:
            raise
        except FormatError as error:
            raise type(error)(f"inode {nid}: {error.message}") from error

    def _inode_at(self, nid: int, offset: int) -> Found:
        data = self.read(offset, COMPACT_SIZE)
        if is_extended(data):
            data += self.read(offset + COMPACT_SIZE, EXTENDED_SIZE - COMPACT_SIZE)
        times = self.superblock
        disk = decode_inode(data, base_time=times.build_time, base_nsec=times.build_time_nsec)
        self.check(offset, disk.head_size)
        return Found(nid, offset, disk)
