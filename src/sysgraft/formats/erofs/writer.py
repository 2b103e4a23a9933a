"""Writes a file tree as an EROFS image, any part of it at any time.

`plan` decides where every byte goes, knowing only names, sizes and attributes; `Image.fill` then
produces any run of blocks, in any order and from any number of forked processes, reading contents
straight into the caller's memory. The same tree makes the same bytes, whatever the order of its
mapping. Without compression no incompatible feature bit is used: every Linux with EROFS (5.4 on)
reads the image.

Contents that are to be compressed are handed over while the image is planned, because where things
go depends on how small they get. Such images need Linux 5.13 (LZ4) or 6.10 (zstd), and 6.8 where
pages are larger than 4 KiB.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NamedTuple

from sysgraft.base.blob import BytesBlob
from sysgraft.errors import LimitError, UsageError
from sysgraft.formats.erofs import ondisk
from sysgraft.formats.erofs.dedupe import find_originals
from sysgraft.formats.erofs.dirent import Entry, encode_directory
from sysgraft.formats.erofs.layout import check_size, lay_out
from sysgraft.formats.erofs.metadata import metadata_blocks
from sysgraft.formats.erofs.nodes import make_nodes
from sysgraft.formats.erofs.ondisk import BLOCK_SIZE
from sysgraft.formats.erofs.packing import check as check_packing
from sysgraft.formats.erofs.packing import pack
from sysgraft.formats.erofs.superblock import (
    MAX_LABEL,
    Superblock,
    encode_superblock,
    seal_block,
)

if TYPE_CHECKING:
    from collections.abc import Sequence
    from uuid import UUID

    from sysgraft.base.blob import Blob
    from sysgraft.base.tree import Tree
    from sysgraft.formats.erofs.layout import Layout
    from sysgraft.formats.erofs.metadata import Piece
    from sysgraft.formats.erofs.nodes import Node
    from sysgraft.formats.erofs.packing import Packed, Packing

_ZEROS: Final = bytes(BLOCK_SIZE)


@dataclass(frozen=True, slots=True)
class Summary:
    """What an image holds.

    Attributes:
        directories: directories, the root included.
        files: regular files, hard links counted once.
        symlinks: symbolic links.
        others: devices (whiteouts too), sockets and FIFOs.
        hard_links: further names of regular and other files.
        content_bytes: sizes of the regular files added up.
        metadata_bytes: the blocks of inodes, attributes and tails.
        shared_files: files that share the data blocks of an equal one.
        shared_bytes: what that saves.
        packed_files: files that are stored compressed.
        unpacked_bytes: their sizes added up, equal ones once.
        packed_bytes: the blocks that take them.
        stored_bytes: the whole image.
    """

    directories: int
    files: int
    symlinks: int
    others: int
    hard_links: int
    content_bytes: int
    metadata_bytes: int
    shared_files: int
    shared_bytes: int
    packed_files: int
    unpacked_bytes: int
    packed_bytes: int
    stored_bytes: int


class _Run(NamedTuple):
    """Consecutive data blocks and the content whose start they hold."""

    start: int
    end: int
    content: Blob


class Image:
    """A planned image; never changes, so forked processes may fill parts of it at once.

    Attributes:
        block_count: blocks of 4096 bytes.
        summary: what the image holds.
    """

    __slots__ = ("_ends", "_pieces", "_runs", "_starts", "block_count", "summary")

    def __init__(
        self,
        *,
        pieces: Sequence[Sequence[Piece]],
        runs: Sequence[_Run],
        block_count: int,
        summary: Summary,
    ) -> None:
        self._pieces = pieces
        self._runs = runs
        self._starts = [run.start for run in runs]
        self._ends = [run.end for run in runs]
        self.block_count = block_count
        self.summary = summary

    def fill(self, first_block: int, view: memoryview) -> None:
        """Write the blocks from `first_block` on into `view`, every byte of it.

        Args:
            first_block: number of the first block wanted.
            view: writable bytes, a multiple of 4096 of them.

        Raises:
            UsageError: the range is not made of whole blocks of this image.
            TruncatedError: a content ends before its size.
        """
        end = first_block + len(view) // BLOCK_SIZE
        if len(view) % BLOCK_SIZE or not 0 <= first_block <= end <= self.block_count:
            raise UsageError(f"blocks {first_block}..{end} of {self.block_count} in {len(view)} B")
        for block in range(first_block, min(end, len(self._pieces))):
            at = (block - first_block) * BLOCK_SIZE
            self._fill_metadata(block, view[at : at + BLOCK_SIZE])
        first = bisect_right(self._ends, first_block)
        for index in range(first, bisect_left(self._starts, end, first)):
            _fill_run(self._runs[index], first_block, end, view)

    def _fill_metadata(self, block: int, view: memoryview) -> None:
        view[:] = _ZEROS
        for piece in self._pieces[block]:
            end = piece.offset + len(piece.head)
            view[piece.offset : end] = piece.head
            if piece.content is not None:
                size = piece.content.size - piece.content_offset
                piece.content.readinto_at(piece.content_offset, view[end : end + size])
        if block == 0:
            seal_block(view)


def _fill_run(run: _Run, first: int, end: int, view: memoryview) -> None:
    """Copy what `run` has between the blocks `first` and `end`, and zero what it lacks."""
    start = max(run.start, first)
    offset = (start - run.start) * BLOCK_SIZE
    room = (min(run.end, end) - start) * BLOCK_SIZE
    size = min(room, run.content.size - offset)
    at = (start - first) * BLOCK_SIZE
    run.content.readinto_at(offset, view[at : at + size])
    view[at + size : at + room] = _ZEROS[: room - size]


def plan(
    tree: Tree,
    *,
    uuid: UUID,
    build_time: int,
    volume_name: str = "",
    packing: Packing | None = None,
) -> Image:
    """Decide what the image of `tree` is; reads contents to compare equal sizes, and to compress.

    Args:
        tree: what to store; contents must stay readable and the same until the last `fill`.
        uuid: identifier of the volume.
        build_time: seconds since the epoch; inodes of this mtime take less room.
        volume_name: label of at most 15 bytes.
        packing: compresses contents; None stores them as they are.

    Raises:
        FormatError: the tree holds what EROFS cannot; names the path.
        LimitError: something is too large for the format, or to be compressed.
        TruncatedError: a content ends before its size.
    """
    if len(volume_name.encode()) > MAX_LABEL:
        raise LimitError(f"a volume name of more than {MAX_LABEL} bytes: {volume_name}")
    if not 0 <= build_time < 1 << 63:
        raise LimitError(f"no such build time: {build_time}")
    nodes = make_nodes(tree, build_time=build_time)
    # Before contents are read: a file of holes costs nothing and has terabytes to hash.
    check_size(nodes)
    contents = _file_contents(nodes)
    check_packing(packing, contents)
    originals = find_originals(contents)
    packed = pack(packing, contents, originals)
    layout = lay_out(nodes, originals, packed)
    superblock = Superblock(
        uuid=uuid,
        block_count=layout.block_count,
        build_time=build_time,
        root_nid=layout.nids[0],
        inode_count=len(nodes),
        volume_name=volume_name,
        feature_incompat=packed.features,
        algorithms=packed.algorithms,
    )
    head = encode_superblock(superblock) + packed.settings
    stored = [_content(number, nodes, layout, packed) for number in range(len(nodes))]
    return Image(
        pieces=metadata_blocks(head, nodes, layout, contents=stored, packed=packed),
        runs=[_Run(e.start, e.start + e.count, stored[e.node]) for e in layout.extents],
        block_count=layout.block_count,
        summary=_summarise(tree, nodes, layout, packed=packed, shared_files=len(originals)),
    )


def _file_contents(nodes: Sequence[Node]) -> dict[int, Blob]:
    pairs = ((number, node.content) for number, node in enumerate(nodes) if node.inode.is_file)
    return {number: content for number, content in pairs if content is not None}


def _content(number: int, nodes: Sequence[Node], layout: Layout, packed: Packed) -> Blob:
    """The data of a node of any type, as it is stored."""
    node = nodes[number]
    if number in packed.clusters:
        return packed.clusters[number].data
    if not node.inode.is_dir:
        return node.content or BytesBlob(b"")
    return BytesBlob(
        encode_directory(
            [
                Entry(name, layout.nids[number], ondisk.file_type(nodes[number].inode.mode))
                for name, number in node.entries
            ]
        )
    )


def _summarise(
    tree: Tree,
    nodes: Sequence[Node],
    layout: Layout,
    *,
    packed: Packed,
    shared_files: int,
) -> Summary:
    inodes = [node.inode for node in nodes]
    directories = sum(inode.is_dir for inode in inodes)
    files = sum(inode.is_file for inode in inodes)
    symlinks = sum(inode.is_symlink for inode in inodes)
    once = {id(clusters): clusters for clusters in packed.clusters.values()}.values()
    return Summary(
        directories=directories,
        files=files,
        symlinks=symlinks,
        others=len(nodes) - directories - files - symlinks,
        hard_links=len(tree) - len(nodes),
        content_bytes=sum(node.size for node in nodes if node.inode.is_file),
        metadata_bytes=layout.meta_count * BLOCK_SIZE,
        shared_files=shared_files,
        shared_bytes=layout.shared_bytes,
        packed_files=len(packed.clusters),
        unpacked_bytes=sum(clusters.size for clusters in once),
        packed_bytes=sum(clusters.block_count for clusters in once) * BLOCK_SIZE,
        stored_bytes=layout.block_count * BLOCK_SIZE,
    )
