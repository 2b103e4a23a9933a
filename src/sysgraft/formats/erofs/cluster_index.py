"""Writes the index of a compressed inode: which pcluster each block of its content is in.

The form is the compact one of `lclusters`, with packs of 2 and 16 and with big pclusters. As every
extent begins at a block (`clusters`), heads have no offset. What else has to be minded:

- An extent that is compressed takes at least two lclusters, and the second tells the blocks of its
  pcluster. One that is stored as it is takes a PLAIN lcluster for each block.
- Where heads' data is, Linux finds out by adding, from the block number of their pack on, what the
  lclusters before them in the pack tell. What one tells whose head is in an earlier pack would be
  added too, but packs and extents both begin at even lclusters.
- If the content ends inside the last lcluster of a compressed extent, that one is PLAIN and its
  offset says where, as mkfs.erofs writes it; what would follow is never read. Otherwise the extent
  would be longer than what its data decompresses to.
"""

from __future__ import annotations

from array import array
from typing import TYPE_CHECKING, Final

from sysgraft.formats.erofs.clusters import EXTENT_BLOCKS, blocks_of, extent_length
from sysgraft.formats.erofs.lclusters import BLOCK_COUNT, HEAD1, NONHEAD, compact_runs
from sysgraft.formats.erofs.map_header import MAP_HEADER_SIZE, Advise, encode_map_header
from sysgraft.formats.erofs.ondisk import BLOCK_SIZE, round_up

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from sysgraft.formats.erofs.clusters import Clusters
    from sysgraft.formats.erofs.lclusters import Run
    from sysgraft.formats.erofs.ondisk import Algorithm

# Of a compact index the second kind of head, which is not used, must be big too.
_ADVISE: Final = Advise.COMPACTED_2B | Advise.BIG_PCLUSTER_1 | Advise.BIG_PCLUSTER_2

# An lcluster as it is packed: 12 bits of offset or distance, 2 bits of kind.
_HEAD: Final = HEAD1 << 12
_NONHEAD: Final = NONHEAD << 12
_KIND: Final = 3 << 12
_BLOCK_NUMBER: Final = 4

# The lclusters of a whole compressed extent; the second is replaced.
_EXTENT: Final = array("H", [_HEAD, *(_NONHEAD | back for back in range(1, EXTENT_BLOCKS))])


def index_size(size: int, head_size: int) -> int:
    """Bytes from the end of the inode's attributes to the end of its index.

    Args:
        size: bytes of the content.
        head_size: bytes of the inode with its attributes.
    """
    return _runs(size, head_size)[-1].end - head_size


def _runs(size: int, head_size: int) -> list[Run]:
    # Inodes begin at multiples of 32, so where in them the packs begin says how they are aligned.
    start = round_up(head_size, MAP_HEADER_SIZE) + MAP_HEADER_SIZE
    return compact_runs(start, blocks_of(size), has_2b=True)


def encode_index(
    clusters: Clusters, algorithm: Algorithm, *, head_size: int, start_block: int
) -> bytes:
    """The bytes that follow an inode with its attributes.

    Args:
        clusters: the compressed content.
        algorithm: what it is compressed with.
        head_size: bytes of the inode with its attributes.
        start_block: the first block of its pclusters.
    """
    lclusters = _lclusters(clusters)
    padding = bytes(-head_size % MAP_HEADER_SIZE)
    parts = [padding, encode_map_header(_ADVISE, algorithm)]
    for run in _runs(clusters.size, head_size):
        for first in range(run.first, run.first + run.length, run.per_pack):
            end = min(first + run.per_pack, run.first + run.length)
            parts.append(_pack(lclusters, first, end, run, start_block))
            start_block += sum(_blocks_begun(lclusters, first, end))
    return b"".join(parts)


def _lclusters(clusters: Clusters) -> array[int]:
    """The lclusters before they are packed; every NONHEAD tells how far back its head is."""
    found: array[int] = array("H")
    for number, blocks in enumerate(clusters.blocks):
        count = blocks_of(extent_length(clusters.size, number))
        if not blocks:
            found.extend(bytes(count))
            continue
        found.extend(_EXTENT[:count])
        found[1 - count] = _NONHEAD | BLOCK_COUNT | blocks
    tail = clusters.size % BLOCK_SIZE
    if tail and clusters.blocks[-1]:
        found[-1] = tail
    return found


def _is_head(lcluster: int) -> bool:
    return lcluster & _KIND != _NONHEAD


def _told_blocks(lcluster: int) -> int:
    """The blocks of a pcluster, if it is these that an lcluster tells."""
    is_count = not _is_head(lcluster) and lcluster & BLOCK_COUNT
    return lcluster & ~_KIND & ~BLOCK_COUNT if is_count else 0


def _blocks_begun(lclusters: Sequence[int], first: int, end: int) -> Iterator[int]:
    """The blocks of each pcluster that begins with one of the lclusters ``[first, end)``."""
    for number in range(first, end):
        if _is_head(lclusters[number]):
            following = lclusters[number + 1] if number + 1 < len(lclusters) else 0
            yield _told_blocks(following) or 1


def _distance(lclusters: Sequence[int], number: int) -> int:
    """How many lclusters behind `number` the next head is, or the end."""
    following = number + 1
    while following < len(lclusters) and not _is_head(lclusters[following]):
        following += 1
    return following - number


def _pack(lclusters: array[int], first: int, end: int, run: Run, next_block: int) -> bytes:
    """The lclusters ``[first, end)`` as a pack; the first head's data is at `next_block`."""
    own = lclusters[first:end]
    if len(own) == run.per_pack and not _is_head(own[-1]) and not _told_blocks(own[-1]):
        own[-1] = _NONHEAD | _distance(lclusters, end - 1)
    size = run.pack_size - _BLOCK_NUMBER
    bits = size * 8 // run.per_pack
    packed = 0
    for lcluster in reversed(own):
        packed = packed << bits | lcluster
    return packed.to_bytes(size, "little") + next_block.to_bytes(_BLOCK_NUMBER, "little")
