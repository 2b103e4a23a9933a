"""How a content is cut, and what its parts take when they are compressed.

A content is cut every 256 KiB, without looking at it. Each part (an extent) is compressed alone,
and what that makes (its pcluster) begins at a block, or the extent is stored as it is where that
saves no block. So extents can be compressed in any order and by anybody, and each begins at a
block of the content too, which keeps the index simple. Linux knows larger ones; the longer an
extent, the better it compresses and the more has to be decompressed to read one byte.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from sysgraft.errors import LimitError
from sysgraft.formats.erofs.ondisk import BLOCK_SIZE, round_up

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from sysgraft.base.blob import Blob

EXTENT_SIZE: Final = 1 << 18
"""Ours: bytes compressed together. Linux takes pclusters of up to 1 MiB
(``Z_EROFS_PCLUSTER_MAX_SIZE``), and each processor keeps a buffer as large as the largest."""

EXTENT_BLOCKS: Final = EXTENT_SIZE // BLOCK_SIZE
"""The same in blocks."""

MAX_PACKED: Final = 64 << 30
"""Ours: bytes of all contents that are compressed; their index then takes 32 MiB of memory."""


@dataclass(frozen=True, slots=True, eq=False)
class Clusters:
    """A content that is stored compressed.

    Attributes:
        size: bytes of the content.
        blocks: for each extent the blocks of its pcluster, 0 where it is stored as it is.
        data: all pclusters, one behind the other; only the last may end inside a block.
        block_count: the blocks they take.
    """

    size: int
    blocks: Sequence[int]
    data: Blob
    block_count: int


def extent_count(size: int) -> int:
    """How many extents `size` bytes have."""
    return -(-size // EXTENT_SIZE)


def extent_length(size: int, number: int) -> int:
    """Bytes of one of the extents of `size` bytes."""
    return min(EXTENT_SIZE, size - number * EXTENT_SIZE)


def blocks_of(length: int) -> int:
    """The blocks that `length` bytes take."""
    return -(-length // BLOCK_SIZE)


def stored_blocks(size: int, blocks: Sequence[int]) -> int:
    """The blocks that all extents take, those stored as they are included."""
    lengths = (extent_length(size, number) for number in range(len(blocks)))
    return sum(count or blocks_of(length) for count, length in zip(blocks, lengths, strict=True))


def pad(packed: bytes) -> bytes:
    """A pcluster of whole blocks: Linux finds the compressed bytes at its end, behind zeros."""
    return packed.rjust(round_up(len(packed), BLOCK_SIZE), b"\0")


def is_worth_it(size: int, block_count: int) -> bool:
    """Whether blocks and index of a compressed content are smaller than the content.

    It goes by the content alone, so that equal files stay equal whatever their attributes are.
    """
    # Two bytes for a block of content, and what aligning them and a header take at most.
    return block_count * BLOCK_SIZE + 2 * blocks_of(size) + 64 < size


def may_pack(size: int) -> bool:
    """Whether a content of `size` bytes can become smaller: what fits a block cannot."""
    return size > BLOCK_SIZE


def check_packable(sizes: Iterable[int]) -> None:
    """Raise `LimitError` if contents of these sizes are more than is compressed."""
    total = sum(filter(may_pack, sizes))
    if total > MAX_PACKED:
        raise LimitError(
            f"files of {total} bytes to compress, the limit is {MAX_PACKED}",
            hint="leave the large ones out, or do not compress",
        )
