"""dm-verity hash devices: superblock, geometry, and the digests of blocks.

Kernel ``Documentation/admin-guide/device-mapper/verity.rst`` and cryptsetup's on-disk format
(https://gitlab.com/cryptsetup/cryptsetup/-/wikis/DMVerity). The hash device starts with a block
that holds the superblock, then come the levels of the tree, the root's block first, the digests of
the data blocks ("level 0") last. The superblock is authenticated by nothing; a changed one gives
another tree, save for its UUID. Data is not read here: who holds it hashes it block by block with
`hash_blocks`, in as many processes as there are. The levels above the data's digests are the matter
of `sysgraft.formats.verity_tree`. Forward error correction is not handled.
"""

from __future__ import annotations

import hashlib
import struct
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Final, NamedTuple
from uuid import UUID

from sysgraft.base.tree import printable
from sysgraft.errors import (
    FormatError,
    LimitError,
    UnsupportedError,
    UsageError,
)

if TYPE_CHECKING:
    from sysgraft.base.blob import Blob

BLOCK_SIZE: Final = 4096
"""What systemd and cryptsetup use unless told otherwise."""

SUPERBLOCK_SIZE: Final = 512

SALT_MAX: Final = 256
"""The superblock's room for the salt."""

DATA_MAX: Final = 2**63 - 1
"""Bytes of data a file offset can reach; the kernel refuses more."""

UNAUTHENTICATED: Final = ((16, 32),)
"""Byte ranges of the superblock in which a changed bit goes unnoticed: its UUID."""

_MAGIC: Final = b"verity\0\0"
_DIGEST_SIZES: Final = {"sha256": 32, "sha512": 64}
_BLOCK_SIZES: Final = tuple(1 << bits for bits in range(9, 17))

# 0 magic, 8 version, 12 hash type, 16 UUID, 32 algorithm, 64 data block size, 68 hash block size,
# 72 number of data blocks, 80 salt size, 82 zeros, 88 salt, 344 zeros.
_SUPERBLOCK: Final = struct.Struct("<8sII16s32sIIQH6s256s168s")


@dataclass(frozen=True, slots=True)
class Superblock:
    """How a hash device was made; raises `FormatError` for values that are not possible.

    Attributes:
        uuid: names the hash device.
        data_blocks: number of data blocks the tree covers.
        salt: hashed along with every block, up to 256 bytes.
        algorithm: ``sha256`` or ``sha512``.
        data_block_size: bytes, a power of two from 512 to 65536.
        hash_block_size: likewise.
        hash_type: 1 where the salt comes before the block, 0 (Chrome OS) where after.
    """

    uuid: UUID
    data_blocks: int
    salt: bytes = b""
    algorithm: str = "sha256"
    data_block_size: int = BLOCK_SIZE
    hash_block_size: int = BLOCK_SIZE
    hash_type: int = 1

    def __post_init__(self) -> None:
        _check(self)

    @property
    def digest_size(self) -> int:
        """Bytes of one digest."""
        return _DIGEST_SIZES[self.algorithm]

    @property
    def data_size(self) -> int:
        """Bytes of data the tree covers."""
        return self.data_blocks * self.data_block_size

    @property
    def levels(self) -> Levels:
        """Where the parts of the tree are."""
        return Levels.of(
            self.data_blocks,
            hash_block_size=self.hash_block_size,
            digest_size=self.digest_size,
        )

    def __bytes__(self) -> bytes:
        """The 512 bytes on disk."""
        return _SUPERBLOCK.pack(
            _MAGIC,
            1,
            self.hash_type,
            self.uuid.bytes,
            self.algorithm.encode(),
            self.data_block_size,
            self.hash_block_size,
            self.data_blocks,
            len(self.salt),
            b"",
            self.salt,
            b"",
        )


def parse_superblock(blob: Blob) -> Superblock:
    """Read the superblock at the start of a hash device.

    Raises:
        FormatError: it breaks a rule; also by its subclasses.
    """
    fields = _SUPERBLOCK.unpack(blob.read_at(0, SUPERBLOCK_SIZE))
    magic, version, hash_type, uuid, algorithm, data_block, hash_block = fields[:7]
    data_blocks, salt_size, zeros, salt, more_zeros = fields[7:]
    if magic != _MAGIC:
        raise FormatError("there is no dm-verity superblock")
    if version != 1:
        raise UnsupportedError(f"the dm-verity superblock has version {version}, not 1")
    if salt_size > SALT_MAX:
        raise FormatError(f"the salt has {salt_size} bytes, the superblock has room for {SALT_MAX}")
    if any(zeros) or any(more_zeros) or any(salt[salt_size:]):
        raise FormatError("unused bytes of the dm-verity superblock are not zero")
    return Superblock(
        uuid=UUID(bytes=uuid),
        data_blocks=data_blocks,
        salt=salt[:salt_size],
        algorithm=_algorithm(algorithm),
        data_block_size=data_block,
        hash_block_size=hash_block,
        hash_type=hash_type,
    )


def _algorithm(raw: bytes) -> str:
    name = raw.rstrip(b"\0")
    if b"\0" in name:
        raise FormatError("bytes follow the hash algorithm's name")
    text = printable(name)
    if text not in _DIGEST_SIZES:
        raise UnsupportedError(f"the hash algorithm {text!r} is not handled")
    return text


def _check(superblock: Superblock) -> None:
    if superblock.hash_type not in (0, 1):
        raise UnsupportedError(f"the hash type {superblock.hash_type} is not handled")
    if superblock.algorithm not in _DIGEST_SIZES:
        raise UnsupportedError(f"the hash algorithm {superblock.algorithm!r} is not handled")
    for size in (superblock.data_block_size, superblock.hash_block_size):
        if size not in _BLOCK_SIZES:
            raise FormatError(f"blocks of {size} bytes are not possible")
    if len(superblock.salt) > SALT_MAX:
        raise FormatError(f"the salt has {len(superblock.salt)} bytes, the limit is {SALT_MAX}")
    if superblock.data_blocks < 1:
        raise FormatError("the dm-verity tree covers no data")
    if superblock.data_size > DATA_MAX:
        raise LimitError(f"the dm-verity tree covers {superblock.data_blocks} blocks")


# --- Geometry ------------------------------------------------------------------------------------


class Level(NamedTuple):
    """One level of the tree.

    Attributes:
        offset: where it begins in the hash device, in bytes.
        blocks: number of hash blocks it takes.
        digests: number of digests in it: the blocks of the level below, or of the data.
    """

    offset: int
    blocks: int
    digests: int


class Levels(NamedTuple):
    """Where everything is in a hash device.

    Attributes:
        hash_block_size: bytes per hash block.
        digest_size: bytes from one digest to the next; kernel and cryptsetup use the next power
            of two, which sizes of SHA-2 already are.
        levels: level 0, with the data's digests, comes first, the root's last. Empty for
            a single data block, whose digest is the root hash itself.
        total_blocks: hash blocks of the whole device, the superblock's included.
    """

    hash_block_size: int
    digest_size: int
    levels: tuple[Level, ...]
    total_blocks: int

    @classmethod
    def of(
        cls, data_blocks: int, *, hash_block_size: int = BLOCK_SIZE, digest_size: int = 32
    ) -> Levels:
        """The geometry for so many data blocks."""
        per_block = hash_block_size // digest_size
        counts = [data_blocks]
        while counts[-1] > 1:
            counts.append(-(-counts[-1] // per_block))
        total = 1 + sum(counts[1:])
        levels, end = [], total
        for digests, blocks in pairwise(counts):
            end -= blocks
            levels.append(Level(end * hash_block_size, blocks, digests))
        return cls(hash_block_size, digest_size, tuple(levels), total)

    @property
    def size(self) -> int:
        """Bytes of the whole hash device."""
        return self.total_blocks * self.hash_block_size

    @property
    def level0(self) -> Level | None:
        """The level of the data's digests, None for a single data block."""
        return self.levels[0] if self.levels else None


# --- Hashing -------------------------------------------------------------------------------------


def hash_blocks(
    view: memoryview | bytes,
    *,
    salt: bytes,
    block_size: int = BLOCK_SIZE,
    algorithm: str = "sha256",
    hash_type: int = 1,
) -> bytes:
    """The digests of all blocks in `view`, one after the other.

    Raises:
        UsageError: `view` is not a whole number of blocks.
    """
    if len(view) % block_size:
        raise UsageError(f"{len(view)} bytes are not whole blocks of {block_size}")
    # A slice of a memoryview copies nothing; of bytes it would.
    view = memoryview(view)
    return (_salt_first if hash_type else _salt_last)(view, salt, block_size, algorithm)


def _salt_first(view: memoryview, salt: bytes, block_size: int, algorithm: str) -> bytes:
    # The one hot loop of building and verifying. Copying a salted state beats hashing salt and
    # block anew by a tenth, and comprehensions, map and prebuilt slices are not faster.
    copy = hashlib.new(algorithm, salt).copy
    digests: list[bytes] = []
    append = digests.append
    for start in range(0, len(view), block_size):
        state = copy()
        state.update(view[start : start + block_size])
        append(state.digest())
    return b"".join(digests)


def _salt_last(view: memoryview, salt: bytes, block_size: int, algorithm: str) -> bytes:
    digests: list[bytes] = []
    for start in range(0, len(view), block_size):
        state = hashlib.new(algorithm, view[start : start + block_size])
        state.update(salt)
        digests.append(state.digest())
    return b"".join(digests)
