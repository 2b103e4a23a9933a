"""The EROFS superblock (``struct erofs_super_block``), 128 bytes at offset 1024.

    offset size field                offset size field
         0    4 magic                    48   16 uuid
         4    4 checksum                 64   16 volume_name
         8    4 feature_compat           80    4 feature_incompat
        12    1 blkszbits                84    2 available_compr_algs
        13    1 sb_extslots              86    2 extra_devices
        14    2 root_nid                 88    2 devt_slotoff
        16    8 inos                     90    1 dirblkbits
        24    8 build_time               91    1 xattr_prefix_count
        32    4 build_time_nsec          92    4 xattr_prefix_start
        36    4 blocks                   96    8 packed_nid
        40    4 meta_blkaddr            104   24 reserved
        44    4 xattr_blkaddr

The checksum is CRC-32C from the superblock to the end of its block, so it covers whatever shares
that block. Variants that are newer than Linux 6.14 (48-bit addresses, compressed metadata) are
refused. What follows the superblock when files are compressed is `compression`'s.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final
from uuid import UUID

from sysgraft.errors import FormatError, TruncatedError, UnsupportedError
from sysgraft.formats.crc32c import crc32c
from sysgraft.formats.erofs.ondisk import MAGIC, SUPER_OFFSET, SUPER_SIZE, Compat, Incompat

if TYPE_CHECKING:
    from sysgraft.base.blob import Blob

_STRUCT: Final = struct.Struct("<IIIBBHQqIIII16s16sIHHHBBIQ24x")
_CHECKSUM: Final = slice(SUPER_OFFSET + 4, SUPER_OFFSET + 8)

MIN_BLOCK_BITS: Final = 9
"""512-byte blocks, the least the format allows."""

MAX_BLOCK_BITS: Final = 16
"""64 KiB blocks, the largest page size of a Linux that mounts EROFS."""

MAX_LABEL: Final = 15
"""Bytes of a volume name; the sixteenth stays NUL."""

_HANDLED: Final = sum(Incompat)
# EROFS_FEATURE_INCOMPAT_48BIT and _METABOX
_NEWER: Final = {0x80: "48-bit block addresses", 0x100: "compressed metadata"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Superblock:
    """What an image says about itself.

    Attributes:
        uuid: the volume's identifier.
        block_count: blocks of the file system.
        build_time: seconds since the epoch; also the mtime base of compact inodes.
        root_nid: inode number of the root directory.
        inode_count: inodes in use.
        volume_name: the label, at most 15 bytes of UTF-8.
        block_bits: base-2 logarithm of the block size.
        build_time_nsec: nanoseconds of `build_time`.
        meta_block: block from which inode numbers count.
        xattr_block: block from which shared attribute numbers count.
        feature_compat: features that may be ignored, see `Compat`.
        feature_incompat: features that may not, see `Incompat`.
        algorithms: the compressors in use, a bit for each `Algorithm`; without
            `Incompat.COMPRESSION_CONFIGS` the largest distance of an LZ4 match, 0 for its maximum.
        checksum: CRC-32C as stored, 0 without that feature.
        extra_devices: further devices the data is spread over.
        xattr_prefix_count: long attribute-name prefixes in use.
        xattr_prefix_start: where they start, in units of 4 bytes.
        packed_nid: the inode of the packed file, 0 without one.
        extension_slots: by how many times 16 bytes the superblock is longer than `SUPER_SIZE`.
    """

    uuid: UUID
    block_count: int
    build_time: int
    root_nid: int
    inode_count: int
    volume_name: str = ""
    block_bits: int = 12
    build_time_nsec: int = 0
    meta_block: int = 0
    xattr_block: int = 0
    feature_compat: int = Compat.CHECKSUM | Compat.MTIME
    feature_incompat: int = 0
    algorithms: int = 0
    checksum: int = 0
    extra_devices: int = 0
    xattr_prefix_count: int = 0
    xattr_prefix_start: int = 0
    packed_nid: int = 0
    extension_slots: int = 0

    @property
    def block_size(self) -> int:
        """Bytes of a block."""
        return 1 << self.block_bits

    @property
    def image_size(self) -> int:
        """Bytes of the whole file system."""
        return self.block_count << self.block_bits


def encode_superblock(superblock: Superblock) -> bytes:
    """The 128 bytes of `superblock` (no device table)."""
    return _STRUCT.pack(
        MAGIC,
        superblock.checksum,
        superblock.feature_compat,
        superblock.block_bits,
        superblock.extension_slots,
        superblock.root_nid,
        superblock.inode_count,
        superblock.build_time,
        superblock.build_time_nsec,
        superblock.block_count,
        superblock.meta_block,
        superblock.xattr_block,
        superblock.uuid.bytes,
        superblock.volume_name.encode(),
        superblock.feature_incompat,
        superblock.algorithms,
        superblock.extra_devices,
        0,
        0,
        superblock.xattr_prefix_count,
        superblock.xattr_prefix_start,
        superblock.packed_nid,
    )


def seal_block(block: memoryview) -> None:
    """Store the checksum in `block`, which is the whole first block, finished but for it."""
    block[_CHECKSUM] = bytes(4)
    block[_CHECKSUM] = crc32c(block[SUPER_OFFSET:]).to_bytes(4, "little")


def read_superblock(blob: Blob) -> Superblock:
    """Parse and check the superblock of the image in `blob`.

    Raises:
        TruncatedError: the image ends before its superblock says it does.
        UnsupportedError: it needs a feature this reader does not have.
        FormatError: it is no EROFS image, or its checksum is wrong.
    """
    if blob.size < SUPER_OFFSET + SUPER_SIZE:
        raise TruncatedError(f"too short for an EROFS image: {blob.size} bytes")
    superblock = _parse(blob.read_at(SUPER_OFFSET, SUPER_SIZE))
    if superblock.image_size > blob.size:
        raise TruncatedError(
            f"the EROFS image has {blob.size} bytes, its superblock says {superblock.image_size}",
        )
    _check_sum(blob, superblock)
    return superblock


def _parse(data: bytes) -> Superblock:
    fields = _STRUCT.unpack(data)
    if fields[0] != MAGIC:
        raise FormatError("not an EROFS image: the magic number is missing")
    _check_features(block_bits=fields[3], incompat=fields[14], directory_bits=fields[18])
    return Superblock(
        checksum=fields[1],
        feature_compat=fields[2],
        block_bits=fields[3],
        root_nid=fields[5],
        inode_count=fields[6],
        build_time=fields[7],
        build_time_nsec=fields[8],
        block_count=fields[9],
        meta_block=fields[10],
        xattr_block=fields[11],
        uuid=UUID(bytes=fields[12]),
        volume_name=fields[13].partition(b"\0")[0].decode("utf-8", "backslashreplace"),
        feature_incompat=fields[14],
        algorithms=fields[15],
        extra_devices=fields[16],
        xattr_prefix_count=fields[19],
        xattr_prefix_start=fields[20],
        packed_nid=fields[21],
        extension_slots=fields[4],
    )


def _check_features(*, block_bits: int, incompat: int, directory_bits: int) -> None:
    if not MIN_BLOCK_BITS <= block_bits <= MAX_BLOCK_BITS:
        raise FormatError(f"the EROFS block size is 2 to the power of {block_bits}")
    for bit, name in _NEWER.items():
        if incompat & bit:
            raise UnsupportedError(f"EROFS with {name}, which is newer than Linux 6.14")
    if incompat & ~_HANDLED:
        raise UnsupportedError(f"unknown EROFS features: {incompat & ~_HANDLED:#x}")
    if directory_bits:
        raise UnsupportedError("EROFS directory blocks of another size than the other blocks")


def _check_sum(blob: Blob, superblock: Superblock) -> None:
    if not superblock.feature_compat & Compat.CHECKSUM:
        return
    # Blocks of up to 1024 bytes do not hold the superblock's offset: Linux then sums a whole one.
    length = superblock.block_size
    length -= SUPER_OFFSET if length > SUPER_OFFSET else 0
    data = blob.read_at(SUPER_OFFSET, length)
    if crc32c(data[:4] + bytes(4) + data[8:]) != superblock.checksum:
        raise FormatError("the EROFS superblock does not match its checksum")
