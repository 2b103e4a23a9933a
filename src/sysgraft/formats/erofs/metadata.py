"""What the metadata blocks of an image hold: superblock, inodes, and what follows each inode.

Behind an inode come its attributes, then the end of its data if `layout` put it there, or the index
of its compressed data. Where each inode goes has been decided by `layout`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from sysgraft.formats.erofs.cluster_index import encode_index
from sysgraft.formats.erofs.inode import DiskInode, encode_inode
from sysgraft.formats.erofs.ondisk import BLOCK_SIZE, SLOT_SIZE, SUPER_OFFSET
from sysgraft.formats.erofs.ondisk import Layout as DataLayout

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sysgraft.base.blob import Blob
    from sysgraft.formats.erofs.layout import Layout
    from sysgraft.formats.erofs.nodes import Node
    from sysgraft.formats.erofs.packing import Packed


class Piece(NamedTuple):
    """A part of a metadata block: some bytes, and behind them the end of a content."""

    offset: int
    head: bytes
    content: Blob | None = None
    content_offset: int = 0


def metadata_blocks(
    superblock: bytes,
    nodes: Sequence[Node],
    layout: Layout,
    *,
    contents: Sequence[Blob],
    packed: Packed,
) -> list[list[Piece]]:
    """What each metadata block holds.

    Args:
        superblock: its bytes, and what else belongs right behind it.
        nodes: the inodes.
        layout: where they are.
        contents: their data, by their number.
        packed: which of them are compressed.
    """
    blocks: list[list[Piece]] = [[] for _ in range(layout.meta_count)]
    blocks[0].append(Piece(SUPER_OFFSET, superblock))
    for number, node in enumerate(nodes):
        head = _head(number, node, layout, packed)
        block, offset = divmod(layout.nids[number] * SLOT_SIZE, BLOCK_SIZE)
        if layout.inline[number]:
            tail = node.size - node.size % BLOCK_SIZE
            blocks[block].append(Piece(offset, head, contents[number], tail))
            continue
        while head:
            blocks[block].append(Piece(offset, head[: BLOCK_SIZE - offset]))
            head = head[BLOCK_SIZE - offset :]
            block, offset = block + 1, 0
    return blocks


def _head(number: int, node: Node, layout: Layout, packed: Packed) -> bytes:
    """An inode with its attributes and, if it is compressed, its index."""
    clusters = packed.clusters.get(number)
    if clusters is None or packed.codec is None:
        form = DataLayout.FLAT_INLINE if layout.inline[number] else DataLayout.FLAT_PLAIN
        union = layout.starts[number] if node.has_data else node.device
        return encode_inode(_disk_inode(number, node, form, union)) + node.xattrs
    inode = _disk_inode(number, node, DataLayout.COMPRESSED_COMPACT, clusters.block_count)
    index = encode_index(
        clusters,
        packed.codec.algorithm,
        head_size=node.head_size,
        start_block=layout.starts[number],
    )
    return encode_inode(inode) + node.xattrs + index


def _disk_inode(number: int, node: Node, form: DataLayout, union: int) -> DiskInode:
    inode = node.inode
    return DiskInode(
        extended=node.extended,
        layout=form,
        mode=inode.mode,
        nlink=node.nlink,
        size=node.size,
        union=union,
        number=number + 1,
        uid=inode.uid,
        gid=inode.gid,
        mtime=inode.mtime,
        mtime_nsec=inode.mtime_nsec,
        xattr_size=len(node.xattrs),
    )
