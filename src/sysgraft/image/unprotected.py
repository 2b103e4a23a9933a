"""The bytes of an image that nothing vouches for.

Everything systemd reads from a signed image is under the signature, or bound to it by a check.
What is left are gaps, bytes that nobody should read. They have to be empty: a superblock put there
makes another tool see another disk, and systemd asks such a tool. Beside the gaps, these are not
signed: the partition table (only checked for damage; its data and hash UUIDs are bound to the root
hash), other partitions, the UUID in the dm-verity superblock, and the form of the signature's JSON
(spacing, unknown fields). docs/security/threat-model.md has the same list with what follows.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sysgraft.formats import gpt_check, verity
from sysgraft.formats.gpt_check import Region

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sysgraft.base.blob import Blob
    from sysgraft.formats.verity import Superblock
    from sysgraft.image.dissect import Dissection

# Gaps of a sane image are a few KiB, of systemd-repart's up to 1 MiB; nobody waits for gigabytes.
READ_MAX: Final = 64 << 20
_STEP: Final = 1 << 20


def gaps(found: Dissection, size: int, superblock: Superblock | None) -> Iterator[Region]:
    """The parts of an image of `size` bytes that nobody reads, each with a name."""
    if found.table is None:
        return
    for region in gpt_check.regions(found.table, size):
        if region.name in gpt_check.UNAUTHENTICATED:
            yield region
    if superblock is not None and found.data and found.verity:
        data, hashes = found.data.partition, found.verity.partition
        used = data.offset + superblock.data_size
        yield Region(used, data.offset + data.size, "data partition behind the file system")
        start = hashes.offset + verity.SUPERBLOCK_SIZE
        end = hashes.offset + superblock.hash_block_size
        yield Region(start, end, "block of the dm-verity superblock")
        used = hashes.offset + superblock.levels.size
        yield Region(used, hashes.offset + hashes.size, "hash partition behind the tree")


def filled_gaps(blob: Blob, found: Dissection, superblock: Superblock | None) -> Iterator[str]:
    """A sentence for every gap that is not all zeros, or too large to tell."""
    for region in gaps(found, blob.size, superblock):
        if not _is_empty(blob, region):
            yield f"bytes {region.start} to {region.end} ({region.name}) have to be empty"


def _is_empty(blob: Blob, region: Region) -> bool:
    if region.end - region.start > READ_MAX:
        return False
    for offset in range(region.start, region.end, _STEP):
        piece = blob.read_at(offset, min(_STEP, region.end - offset))
        if piece.count(0) != len(piece):
            return False
    return True
