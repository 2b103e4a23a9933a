"""The hash tree of a dm-verity device: its upper levels made from level 0, and checked against it.

Kernel ``Documentation/admin-guide/device-mapper/verity.rst``, "Hash Tree": each block of a level
holds the digests of the blocks below, the root hash is the digest of the topmost block. Level 0,
the digests of the data, comes from whoever reads the data; this module reads no data. Superblock
and geometry are in `sysgraft.formats.verity`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from sysgraft.base.blob import BytesBlob, SubBlob
from sysgraft.errors import FormatError, TruncatedError, UsageError
from sysgraft.formats.verity import hash_blocks

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sysgraft.base.blob import Blob
    from sysgraft.formats.verity import Level, Superblock

_READ_SIZE: Final = 1 << 20


def upper_levels(superblock: Superblock, level0: Blob) -> tuple[bytes, bytes]:
    """What stands between superblock block and level 0, and the root hash.

    The upper levels are held in memory: 1/127 of level 0, that is 8 MB for 128 GB of data.

    Args:
        superblock: parameters of the tree.
        level0: the digests of all data blocks with zeros after the last to fill its hash block,
            as stored in the hash device; for a single data block its bare digest.

    Raises:
        UsageError: `level0` has another size.
    """
    levels = superblock.levels
    bottom = levels.level0
    wanted = bottom.blocks * levels.hash_block_size if bottom else levels.digest_size
    if level0.size != wanted:
        raise UsageError(f"level 0 has {level0.size} bytes instead of {wanted}")
    if bottom is None:
        return b"", level0.read_at(0, wanted)
    digests = _hash_all(level0, superblock)
    upper: list[bytes] = []
    for level in levels.levels[1:]:
        upper.append(digests.ljust(level.blocks * levels.hash_block_size, b"\0"))
        digests = _hash(upper[-1], superblock)
    return b"".join(reversed(upper)), digests


def _hash(view: memoryview | bytes, superblock: Superblock) -> bytes:
    return hash_blocks(
        view,
        salt=superblock.salt,
        block_size=superblock.hash_block_size,
        algorithm=superblock.algorithm,
        hash_type=superblock.hash_type,
    )


def _hash_all(blob: Blob, superblock: Superblock) -> bytes:
    return b"".join([_hash(part, superblock) for _, part in _parts(blob)])


def _parts(blob: Blob) -> Iterator[tuple[int, memoryview]]:
    """Offset and bytes of one piece of `blob` after the other, all in the same buffer."""
    buffer = memoryview(bytearray(min(_READ_SIZE, blob.size)))
    for offset in range(0, blob.size, _READ_SIZE):
        part = buffer[: min(_READ_SIZE, blob.size - offset)]
        blob.readinto_at(offset, part)
        yield offset, part


class BadBlock(NamedTuple):
    """A hash block that is not what the root hash stands for.

    Attributes:
        level: its level, 0 for digests of data.
        block: its number in the level.
        offset: where it begins in the hash device, in bytes.
        reason: what is wrong, as a clause.
    """

    level: int
    block: int
    offset: int
    reason: str


def check_upper_levels(
    hash_device: Blob, superblock: Superblock, root_hash: bytes
) -> BadBlock | None:
    """Compare the whole stored tree with the root hash, from the root down to level 0.

    With None, every digest in level 0 is genuine, and the data is if its digests equal them. A tree
    over a single data block is empty: its digest is to be compared with the root hash.

    Raises:
        FormatError: the root hash has another length than the tree's digests.
        TruncatedError: the hash device is too short for its tree.
    """
    levels = superblock.levels
    if len(root_hash) != superblock.digest_size:
        raise FormatError(
            f"the root hash has {len(root_hash)} bytes, one of {superblock.algorithm} "
            f"has {superblock.digest_size}"
        )
    if hash_device.size < levels.size:
        raise TruncatedError(
            f"the dm-verity tree needs {levels.size} bytes, there are {hash_device.size}"
        )
    above: Blob = BytesBlob(root_hash)
    for number in reversed(range(len(levels.levels))):
        place = levels.levels[number]
        stored = SubBlob(hash_device, place.offset, place.blocks * levels.hash_block_size)
        bad = _wrong_block(stored, above, superblock)
        if bad is not None:
            reason = "the root hash" if place is levels.levels[-1] else "its digest one level up"
            return _bad(number, bad, place, superblock, f"does not match {reason}")
        used = place.digests * levels.digest_size
        # Digests past the last would let a superblock that claims fewer data blocks pass.
        if any(stored.read_at(used, stored.size - used)):
            return _bad(number, place.blocks - 1, place, superblock, "has surplus digests")
        above = stored
    return None


def _wrong_block(stored: Blob, digests: Blob, superblock: Superblock) -> int | None:
    """The first block of a level whose digest is not the one in the level above."""
    for offset, part in _parts(stored):
        found = _hash(part, superblock)
        first = offset // superblock.hash_block_size
        wanted = digests.read_at(first * superblock.digest_size, len(found))
        different = first_difference(found, wanted, superblock.digest_size)
        if different is not None:
            return first + different
    return None


def _bad(level: int, block: int, place: Level, superblock: Superblock, reason: str) -> BadBlock:
    return BadBlock(level, block, place.offset + block * superblock.hash_block_size, reason)


def first_difference(computed: bytes, stored: bytes, digest_size: int = 32) -> int | None:
    """The index of the first digest that differs, None if all are equal."""
    if computed == stored:
        return None
    for index, start in enumerate(range(0, len(computed), digest_size)):
        end = start + digest_size
        if computed[start:end] != stored[start:end]:
            return index
    return len(computed) // digest_size
