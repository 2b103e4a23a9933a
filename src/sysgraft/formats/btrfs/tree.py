"""The trees of a btrfs, read node by node.

btrfs on-disk format, "Tree nodes": a header, then either pointers to further nodes or items with
keys in ascending order. Every node is held to its checksum, its place, its generation and its
level, and the keys of a walk to their order, so that a walk ends; of two copies the second is read
where the first is damaged.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Final, NamedTuple

from sysgraft.errors import FormatError, LimitError
from sysgraft.formats.btrfs.superblock import check

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sysgraft.base.blob import Blob
    from sysgraft.formats.btrfs.chunks import ChunkMap
    from sysgraft.formats.btrfs.superblock import Superblock

MAX_NODES: Final = 8192
"""Ours: nodes read of one file system, 128 MiB of the usual size."""

_KEPT: Final = 64
"""Nodes that are kept: a walk for one item takes the same ways again and again."""

MAX_KEY: Final = (1 << 64) - 1, 0xFF, (1 << 64) - 1
"""The last key of all."""

# Behind the checksum: 0x20 UUID, 0x30 place, 0x38 flags, 0x40 UUID of the chunk tree,
# 0x50 generation, 0x58 owner, 0x60 items, 0x64 level.
_HEADER: Final = struct.Struct("<32x16sQQ16sQQIB")
_POINTER: Final = struct.Struct("<QBQQQ")
_ITEM: Final = struct.Struct("<QBQII")

Key = tuple[int, int, int]


class Root(NamedTuple):
    """Where a tree begins.

    Attributes:
        address: of its first node.
        level: levels below that one.
        generation: of that node.
    """

    address: int
    level: int
    generation: int


class Item(NamedTuple):
    """An item of a tree: its key and its data."""

    key: Key
    data: bytes


class Forest:
    """The trees of one file system.

    Args:
        blob: its device.
        superblock: of it.
        chunks: where its addresses are; may be filled while trees are read.
    """

    __slots__ = ("_blob", "_chunks", "_kept", "_read", "_superblock")

    def __init__(self, blob: Blob, superblock: Superblock, chunks: ChunkMap) -> None:
        self._blob = blob
        self._superblock = superblock
        self._chunks = chunks
        self._kept: dict[Root, bytes] = {}
        self._read = 0

    def items(self, root: Root, first: Key, last: Key) -> Iterator[Item]:
        """The items of a tree from one key to another, both included, in order.

        Raises:
            FormatError: a node is damaged, or the keys are not in order.
            LimitError: more than `MAX_NODES` were read of this file system.
        """
        before: Key = (-1, 0, 0)
        for item in self._walk(root, first, last):
            if item.key <= before:
                raise FormatError("the keys of a btrfs tree are not in order")
            before = item.key
            if first <= item.key <= last:
                yield item

    def _walk(self, root: Root, first: Key, last: Key) -> Iterator[Item]:
        node = self._node(root)
        (count,) = struct.unpack_from("<I", node, 0x60)
        if root.level == 0:
            yield from _leaf(node, count)
            return
        pointers = _pointers(node, count)
        for number, (key, address, generation) in enumerate(pointers):
            after = pointers[number + 1][0] if number + 1 < count else MAX_KEY
            if key <= last and first <= after:
                yield from self._walk(Root(address, root.level - 1, generation), first, last)

    def _node(self, root: Root) -> bytes:
        node = self._kept.pop(root, None) or self._read_node(root)
        self._kept[root] = node  # the last one used is the last to go
        if len(self._kept) > _KEPT:
            del self._kept[next(iter(self._kept))]
        return node

    def _read_node(self, root: Root) -> bytes:
        self._read += 1
        if self._read > MAX_NODES:
            raise LimitError(f"more than {MAX_NODES} nodes of a btrfs would have to be read")
        size = self._superblock.node_size
        error = None
        for place in self._chunks.places(root.address, size):
            try:
                return self._checked(self._blob.read_at(place, size), root)
            except FormatError as found:
                error = error or found
        raise error or FormatError(f"the btrfs node {root.address} is nowhere")

    def _checked(self, node: bytes, root: Root) -> bytes:
        check(node, self._superblock.checksum, f"node {root.address}")
        uuid, place, _, _, generation, _, _, level = _HEADER.unpack_from(node)
        found = (uuid, place, generation, level)
        if found != (self._superblock.uuid, root.address, root.generation, root.level):
            raise FormatError(
                f"btrfs: another node than {root.address} is in its place",
                hint="of a file system in use: sync, and try again",
            )
        return node


def _pointers(node: bytes, count: int) -> list[tuple[Key, int, int]]:
    if not count or _HEADER.size + count * _POINTER.size > len(node):
        raise FormatError(f"a btrfs node with {count} pointers")
    fields = (_POINTER.unpack_from(node, _HEADER.size + at * _POINTER.size) for at in range(count))
    return [((raw[0], raw[1], raw[2]), raw[3], raw[4]) for raw in fields]


def _leaf(node: bytes, count: int) -> Iterator[Item]:
    end = _HEADER.size + count * _ITEM.size
    if end > len(node):
        raise FormatError(f"a btrfs node with {count} items")
    for number in range(count):
        *key, start, size = _ITEM.unpack_from(node, _HEADER.size + number * _ITEM.size)
        start += _HEADER.size
        if start < end or start + size > len(node):
            raise FormatError("an item of a btrfs node lies outside of it")
        yield Item((key[0], key[1], key[2]), node[start : start + size])
