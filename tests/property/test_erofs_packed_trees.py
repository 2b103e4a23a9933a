"""Random trees through the compressing EROFS writer, and back by two readers."""

from __future__ import annotations

import random
import stat
from typing import TYPE_CHECKING
from uuid import UUID

from hypothesis import given, settings
from hypothesis import strategies as st

from erofs_map import Index
from sysgraft.base.blob import BytesBlob
from sysgraft.base.progress import NoProgress
from sysgraft.base.tree import Inode
from sysgraft.build.compressing import Packer
from sysgraft.formats.erofs.cluster_index import encode_index, index_size
from sysgraft.formats.erofs.clusters import Clusters, blocks_of, extent_length, stored_blocks
from sysgraft.formats.erofs.compressor import parse_codec
from sysgraft.formats.erofs.ondisk import Algorithm
from sysgraft.formats.erofs.packing import Packing
from sysgraft.formats.erofs.reader import Reader
from sysgraft.formats.erofs.walk import resolve
from sysgraft.formats.erofs.writer import plan
from sysgraft.host.spool import Spool

if TYPE_CHECKING:
    from sysgraft.formats.erofs.writer import Image

ID = UUID("00112233-4455-6677-8899-aabbccddeeff")
EXTENT = 1 << 18

# --- Contents ------------------------------------------------------------------------------------

near = st.sampled_from([0, 4096, 8192, 20_000, EXTENT - 4096, EXTENT, EXTENT + 4096, 2 * EXTENT])
sizes = st.builds(lambda base, by: max(0, base + by), near, st.integers(-2, 2))


def noise(size: int, seed: int) -> bytes:
    return random.Random(seed).randbytes(size)


def repeated(size: int, seed: int) -> bytes:
    """A piece of noise again and again: short ones get much smaller, long ones a little."""
    piece = random.Random(seed).randbytes(3 ** (seed + 2))
    return (piece * (size // len(piece) + 1))[:size]


parts = st.builds(
    lambda make, size, seed: make(size, seed),
    st.sampled_from([noise, repeated]),
    sizes,
    st.integers(0, 8),
)
contents = st.lists(parts, max_size=3).map(b"".join)
attributes = st.integers(0, 40).map(lambda size: ((b"user.n", b"v" * size),) if size else ())
files = st.builds(
    Inode,
    st.just(stat.S_IFREG | 0o644),
    uid=st.sampled_from([0, 70_000]),
    xattrs=attributes,
    content=st.builds(BytesBlob, contents),
)
trees = st.lists(files, max_size=6).map(
    lambda found: (
        {b"": Inode(stat.S_IFDIR | 0o755)}
        | {b"%d" % number: inode for number, inode in enumerate(found)}
    )
)


def bytes_of(image: Image) -> bytes:
    data = bytearray(b"\xaa" * (image.block_count * 4096))
    image.fill(0, memoryview(data))
    return bytes(data)


@settings(max_examples=60)
@given(trees, st.sampled_from(["lz4", "lz4hc:3", "zstd:1", "zstd:5"]))
def test_what_is_compressed_comes_back(tree: dict[bytes, Inode], compress: str) -> None:
    codec = parse_codec(compress)
    assert codec is not None
    with Spool() as spool:
        packing = Packing(codec, Packer(codec, spool, NoProgress()))
        image = plan(tree, uuid=ID, build_time=0, packing=packing)
        data = bytes_of(image)
    plain = plan(tree, uuid=ID, build_time=0)
    assert image.block_count <= plain.block_count + 1
    found = Reader(BytesBlob(data)).read_tree()
    assert list(found) == sorted(tree)
    for path, inode in tree.items():
        if inode.content is None:
            continue
        content = inode.content.read_at(0, inode.content.size)
        assert (found[path].uid, found[path].xattrs) == (inode.uid, inode.xattrs)
        stored = found[path].content
        assert stored is not None
        assert stored.read_at(0, stored.size) == content
        node = resolve(Reader(BytesBlob(data))._volume, path, follow_last=False)
        assert node is not None
        if node.disk.layout.is_compressed:
            assert Index(data, node.end, len(content)).read() == content


@st.composite
def indexes(draw: st.DrawFn) -> tuple[int, bytes]:
    """A size, and for each of its extents a number of blocks that saves one, or 0."""
    size = draw(st.integers(4097, 4 * EXTENT)) if draw(st.booleans()) else draw(sizes) + 4097
    blocks = [
        draw(st.integers(0, blocks_of(extent_length(size, number)) - 1))
        for number in range(-(-size // EXTENT))
    ]
    return size, bytes(blocks)


@given(indexes(), st.integers(8, 30).map(lambda words: words * 4))
def test_every_byte_is_found(index: tuple[int, bytes], head_size: int) -> None:
    size, blocks = index
    count = stored_blocks(size, blocks)
    clusters = Clusters(size, blocks, BytesBlob(b""), count)
    encoded = encode_index(clusters, Algorithm.ZSTD, head_size=head_size, start_block=5)
    assert len(encoded) == index_size(size, head_size)
    found = Index(bytes(head_size) + encoded, head_size, size).extents()
    # Without gaps in the content and in the image, and of the sizes they were made of.
    ends = [(extent.end, extent.block + extent.blocks) for extent in found]
    starts = [(extent.start, extent.block) for extent in found]
    assert starts == [(0, 5), *ends[:-1]]
    assert ends[-1] == (size, 5 + count)
    assert [each.blocks for each in found if each.compressed] == [each for each in blocks if each]
