"""The superblock of a btrfs, and the checksum that it and every node have.

btrfs on-disk format (btrfs.readthedocs.io/en/latest/dev/On-disk-format.html): 4096 bytes at
64 KiB. The copies further on are not read: whoever mounts reads the first. Of the four kinds of
checksum three are computed, xxhash is not.
"""

from __future__ import annotations

import hashlib
import struct
from typing import TYPE_CHECKING, Final, NamedTuple

from sysgraft.errors import FormatError, UnsupportedError
from sysgraft.formats.crc32c import crc32c

if TYPE_CHECKING:
    from sysgraft.base.blob import Blob

OFFSET: Final = 0x10000
SIZE: Final = 4096
MAGIC: Final = b"_BHRfS_M"
CHECKSUM_SIZE: Final = 32
"""Bytes in front of a superblock or node that its checksum has room in."""

_METADATA_UUID: Final = 1 << 10
"""Incompatible feature: nodes carry another UUID than the file system shows."""

# 0x20 file system UUID, 0x30 its place, 0x38 flags, 0x40 magic, 0x48 generation, 0x50 root tree,
# 0x58 chunk tree, 0x60 to 0x78 log tree and its transaction, size, bytes used, 0x80 root directory,
# 0x88 number of devices, 0x90 sector, node, leaf, stripe size, 0xa0 size of the chunk array,
# 0xa4 generation of the chunk tree, 0xac compatible, read-only compatible and incompatible
# features, 0xc4 kind of checksum, 0xc6 levels of root, chunk and log tree.
_FIELDS: Final = struct.Struct("<16s2Q8s9Q5I4QH3B")
_DEVICE_ID: Final = 0xC9
_METADATA_UUID_AT: Final = 0x23B
_ARRAY_AT: Final = 0x32B
_ARRAY_SIZE: Final = 2048
_CHECKSUMS: Final = ("crc32c", "xxhash64", "sha256", "blake2b")
_LEVELS: Final = 8
"""Levels of a tree, BTRFS_MAX_LEVEL."""


class Superblock(NamedTuple):
    """What is needed to find a node.

    Attributes:
        uuid: the one that nodes carry.
        generation: of the root tree.
        root: where the root tree begins, a logical address.
        root_level: how many levels of it are below its first node.
        chunk_root: where the chunk tree begins, likewise.
        chunk_root_level: as `root_level`.
        chunk_generation: of the chunk tree.
        node_size: bytes of a node.
        device: number of this device.
        devices: how many there are.
        checksum: kind of checksum, 0 to 3.
        chunks: chunks that hold the chunk tree, as the array in the superblock has them.
    """

    uuid: bytes
    generation: int
    root: int
    root_level: int
    chunk_root: int
    chunk_root_level: int
    chunk_generation: int
    node_size: int
    device: int
    devices: int
    checksum: int
    chunks: bytes


def read_superblock(blob: Blob) -> Superblock:
    """The superblock of the file system that `blob` begins with.

    Raises:
        FormatError: there is none, or it is damaged.
        UnsupportedError: its kind of checksum is not computed here.
    """
    data = blob.read_at(OFFSET, SIZE)
    fields = _FIELDS.unpack_from(data, CHECKSUM_SIZE)
    uuid, place, _, magic, generation, root, chunk_root = fields[:7]
    devices = fields[12]
    _, node_size, _, _, array_size, chunk_generation = fields[13:19]
    incompat, checksum, root_level, chunk_level = fields[21:25]
    if magic != MAGIC:
        raise FormatError("no btrfs: its superblock lacks the magic number")
    check(data, checksum, "the superblock")
    if place != OFFSET:
        raise FormatError(f"the btrfs superblock says it is at {place}")
    if not 4096 <= node_size <= 65536 or node_size & (node_size - 1):
        raise FormatError(f"a btrfs with nodes of {node_size} bytes")
    if array_size > _ARRAY_SIZE or root_level >= _LEVELS or chunk_level >= _LEVELS:
        raise FormatError("the btrfs superblock has impossible values")
    if incompat & _METADATA_UUID:
        uuid = data[_METADATA_UUID_AT : _METADATA_UUID_AT + 16]
    return Superblock(
        uuid=uuid,
        generation=generation,
        root=root,
        root_level=root_level,
        chunk_root=chunk_root,
        chunk_root_level=chunk_level,
        chunk_generation=chunk_generation,
        node_size=node_size,
        device=int.from_bytes(data[_DEVICE_ID : _DEVICE_ID + 8], "little"),
        devices=devices,
        checksum=checksum,
        chunks=data[_ARRAY_AT : _ARRAY_AT + array_size],
    )


def check(data: bytes, kind: int, what: str) -> None:
    """Whether a superblock or node has the checksum that it begins with.

    Raises:
        FormatError: it has not.
        UnsupportedError: that kind of checksum is not computed here.
    """
    if kind >= len(_CHECKSUMS):
        raise UnsupportedError(f"a btrfs with checksums of the unknown kind {kind}")
    wanted = _digest(data[CHECKSUM_SIZE:], _CHECKSUMS[kind])
    if data[: len(wanted)] != wanted:
        raise FormatError(f"btrfs: the checksum of {what} does not match")


def _digest(data: bytes, kind: str) -> bytes:
    if kind == "crc32c":
        return (crc32c(data) ^ 0xFFFFFFFF).to_bytes(4, "little")
    if kind == "sha256":
        return hashlib.sha256(data).digest()
    if kind == "blake2b":
        return hashlib.blake2b(data, digest_size=32).digest()
    raise UnsupportedError(
        f"a btrfs with checksums of the kind {kind}",
        hint="ask the kernel once it is mounted: btrfs subvolume get-default PATH",
    )
