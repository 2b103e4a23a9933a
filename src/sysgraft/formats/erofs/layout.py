"""Where everything goes in an image: inodes and tails first, then directories, then files.

Block 0 holds the superblock and, behind it, the first inodes; more blocks of inodes follow. What
is left of a file behind its last full block (its tail) is put right behind the inode, if both fit
in one block together: an inline tail must not cross into another block, nor, for Linux before 5.9,
an inode. The best-fitting block is chosen among all that have room: a list per number of free slots
makes that one step, whatever the size of the image. Then come the directories' full blocks, then
the files' in the order of their paths; equal files point to the same blocks. Behind the inode of a
compressed file comes its index instead of a tail; it may be as long as it likes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from sysgraft.errors import LimitError
from sysgraft.formats.erofs.cluster_index import index_size
from sysgraft.formats.erofs.clusters import blocks_of
from sysgraft.formats.erofs.ondisk import (
    BLOCK_SIZE,
    NULL_ADDRESS,
    SLOT_SIZE,
    SUPER_OFFSET,
    SUPER_SIZE,
    round_up,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sysgraft.formats.erofs.clusters import Clusters
    from sysgraft.formats.erofs.nodes import Node
    from sysgraft.formats.erofs.packing import Packed

_SLOTS: Final = BLOCK_SIZE // SLOT_SIZE


@dataclass(frozen=True, slots=True)
class Extent:
    """Consecutive blocks with the start of a node's data."""

    start: int
    count: int
    node: int


@dataclass(frozen=True, slots=True)
class Layout:
    """Where the nodes are, by their number.

    Attributes:
        nids: the inode numbers.
        inline: whether the data's tail follows the inode.
        starts: the first data block, `NULL_ADDRESS` without any.
        extents: all data blocks, ascending, without gaps.
        meta_count: blocks before the first extent.
        block_count: all blocks.
        shared_bytes: bytes of blocks that need not be stored again.
    """

    nids: Sequence[int]
    inline: Sequence[bool]
    starts: Sequence[int]
    extents: Sequence[Extent]
    meta_count: int
    block_count: int
    shared_bytes: int


def check_size(nodes: Sequence[Node]) -> None:
    """Raise `LimitError` if the data alone, shared by no files, exceed what 32 bits address."""
    _check_block_count(sum(node.size // BLOCK_SIZE for node in nodes))


def _check_block_count(count: int) -> None:
    if count >= NULL_ADDRESS:
        raise LimitError(f"an image of {count} blocks; EROFS addresses {NULL_ADDRESS - 1}")


def lay_out(nodes: Sequence[Node], originals: Mapping[int, int], packed: Packed) -> Layout:
    """Place `nodes`.

    Args:
        nodes: what to place; the root is first, so that its number fits 16 bits.
        originals: for files that repeat another one, the number of that one.
        packed: the contents that are compressed; of equal files all or none.

    Raises:
        LimitError: more blocks than 32-bit addresses reach.
    """
    places = [_Stored.of(node, packed.clusters.get(number)) for number, node in enumerate(nodes)]
    packer = _Packer(SUPER_SIZE + len(packed.settings))
    nids = [packer.place(place.meta_size) for place in places]
    # A copy may need one block more than its original, whose inode has room for the tail.
    stored = {number: place.blocks for number, place in enumerate(places)}
    for copy, original in originals.items():
        stored[original] = max(stored[original], stored.pop(copy))
    extents = _chain(nodes, stored, packer.block_count)
    starts = {extent.node: extent.start for extent in extents}
    end = packer.block_count + sum(stored.values())
    _check_block_count(end)
    return Layout(
        nids=nids,
        inline=[place.inline for place in places],
        starts=[starts.get(originals.get(n, n), NULL_ADDRESS) for n in range(len(nodes))],
        extents=extents,
        meta_count=packer.block_count,
        block_count=end,
        shared_bytes=(sum(place.blocks for place in places) - sum(stored.values())) * BLOCK_SIZE,
    )


@dataclass(frozen=True, slots=True)
class _Stored:
    """What a node takes: bytes of metadata and blocks of data."""

    meta_size: int
    blocks: int
    inline: bool

    @classmethod
    def of(cls, node: Node, clusters: Clusters | None) -> _Stored:
        head = node.head_size
        if clusters is not None:
            return cls(head + index_size(node.size, head), clusters.block_count, inline=False)
        tail = node.size % BLOCK_SIZE
        if 0 < tail <= BLOCK_SIZE - head:
            return cls(head + tail, node.size // BLOCK_SIZE, inline=True)
        return cls(head, blocks_of(node.size), inline=False)


def _chain(nodes: Sequence[Node], stored: Mapping[int, int], start: int) -> list[Extent]:
    """Extents one behind the other, directories first."""
    ordered = sorted(stored, key=lambda number: (not nodes[number].inode.is_dir, number))
    extents = []
    for number in ordered:
        if stored[number]:
            extents.append(Extent(start, stored[number], number))
            start += stored[number]
    return extents


class _Packer:
    """Hands out room in blocks of inodes: best fit, in slots of 32 bytes."""

    __slots__ = ("_mask", "_rooms", "block_count")

    def __init__(self, super_size: int) -> None:
        # _rooms[n] lists the blocks whose last n slots are free; bit n of _mask says it has any.
        self._rooms: list[list[int]] = [[] for _ in range(_SLOTS + 1)]
        self._mask = 0
        self.block_count = 1
        self._give_back(0, (BLOCK_SIZE - SUPER_OFFSET - super_size) // SLOT_SIZE)

    def place(self, size: int) -> int:
        """Take `size` bytes and tell the slot they start at; at most a block never crosses one."""
        slots = round_up(size, SLOT_SIZE) // SLOT_SIZE
        block, free = self._take(slots) if slots <= _SLOTS else self._append(slots)
        # A long run starts at its first block's start, and has its room in its last one.
        start = (block + 1) * _SLOTS - free if slots <= _SLOTS else block * _SLOTS
        last, used = divmod(start + slots - 1, _SLOTS)
        self._give_back(last, _SLOTS - 1 - used)
        return start

    def _take(self, slots: int) -> tuple[int, int]:
        """The block with the least sufficient room, and that room."""
        fitting = self._mask >> slots << slots
        if not fitting:
            return self._append(slots)
        free = (fitting & -fitting).bit_length() - 1
        block = self._rooms[free].pop()
        if not self._rooms[free]:
            self._mask &= ~(1 << free)
        return block, free

    def _append(self, slots: int) -> tuple[int, int]:
        block = self.block_count
        self.block_count += -(-slots // _SLOTS)
        return block, _SLOTS

    def _give_back(self, block: int, free: int) -> None:
        if free:
            self._rooms[free].append(block)
            self._mask |= 1 << free
