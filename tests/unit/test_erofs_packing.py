"""Compressed EROFS: the codecs, the cut, the index entry by entry, and what is left as it is."""

from __future__ import annotations

import random
import stat
import struct
from dataclasses import replace
from typing import TYPE_CHECKING
from uuid import UUID

import pytest

from erofs_map import Extent, Index
from sysgraft.base.blob import BytesBlob
from sysgraft.base.progress import NoProgress
from sysgraft.base.tree import Inode
from sysgraft.build.compressing import Packer
from sysgraft.errors import LimitError, UsageError
from sysgraft.formats.erofs.cluster_index import encode_index, index_size
from sysgraft.formats.erofs.clusters import Clusters, stored_blocks
from sysgraft.formats.erofs.compressor import Codec, parse_codec
from sysgraft.formats.erofs.ondisk import Algorithm
from sysgraft.formats.erofs.packing import Packing
from sysgraft.formats.erofs.reader import Reader
from sysgraft.formats.erofs.walk import resolve
from sysgraft.formats.erofs.writer import Image, plan
from sysgraft.host.spool import Spool

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sysgraft.base.tree import Tree

ID = UUID("00112233-4455-6677-8899-aabbccddeeff")
DIR = Inode(stat.S_IFDIR | 0o755)
EXTENT = 1 << 18
CODECS = ["lz4", "lz4hc", "zstd"]


def codec(text: str) -> Codec:
    found = parse_codec(text)
    assert found is not None
    return found


def noise(size: int, seed: int = 0) -> bytes:
    return random.Random(seed).randbytes(size)


def text(size: int, seed: int = 0) -> bytes:
    """What lz4 compresses to about a quarter."""
    words = [b"%016x" % random.Random(n).getrandbits(64) for n in range(100)]
    return b"".join(random.Random(seed).choices(words, k=size // 16 + 1))[:size]


def file(data: bytes, **values: object) -> Inode:
    return Inode(stat.S_IFREG | 0o644, content=BytesBlob(data), **values)  # type: ignore[arg-type]


@pytest.fixture
def spool() -> Iterator[Spool]:
    with Spool() as spool:
        yield spool


def planned(tree: Tree, spool: Spool, compress: str = "lz4") -> Image:
    kind = codec(compress)
    packing = Packing(kind, Packer(kind, spool, NoProgress()))
    return plan({b"": DIR, **tree}, uuid=ID, build_time=0, packing=packing)


def bytes_of(image: Image) -> bytes:
    data = bytearray(b"\xaa" * (image.block_count * 4096))
    image.fill(0, memoryview(data))
    return bytes(data)


def index_of(data: bytes, path: bytes) -> Index:
    found = resolve(Reader(BytesBlob(data))._volume, path, follow_last=False)
    assert found is not None
    assert found.disk.layout.is_compressed
    return Index(data, found.end, found.disk.size)


# --- Codecs --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "name", "level"),
    [
        ("lz4", "lz4", 0),
        ("lz4hc", "lz4hc", 9),
        ("lz4hc:3", "lz4hc", 3),
        ("lz4hc:12", "lz4hc", 12),
        ("zstd", "zstd", 9),
        ("zstd:1", "zstd", 1),
        ("zstd:22", "zstd", 22),
    ],
)
def test_a_codec_has_a_name_and_a_level(text: str, name: str, level: int) -> None:
    assert parse_codec(text) == Codec(name, level)


def test_none_is_no_codec() -> None:
    assert parse_codec("none") is None


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "no compression is called ''"),
        ("gzip", "no compression is called 'gzip'"),
        ("none:1", "no compression is called 'none:1'"),
        ("LZ4", "no compression is called 'LZ4'"),
        ("lz4:1", "lz4 has no levels, not '1'"),
        ("lz4hc:2", "lz4hc takes a level from 3 to 12, not '2'"),
        ("lz4hc:13", "lz4hc takes a level from 3 to 12, not '13'"),
        ("lz4hc:", "lz4hc takes a level from 3 to 12, not ''"),
        ("zstd:0", "zstd takes a level from 1 to 22, not '0'"),
        ("zstd:-3", "zstd takes a level from 1 to 22, not '-3'"),
        ("zstd:23", "zstd takes a level from 1 to 22, not '23'"),
        ("zstd:\u0663", "zstd takes a level from 1 to 22, not '\u0663'"),
        ("zstd:9:1", "zstd takes a level from 1 to 22, not '9:1'"),
    ],
)
def test_other_codecs_are_refused(text: str, message: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_codec(text)
    assert caught.value.message == message


def test_a_codec_names_its_library() -> None:
    assert codec("lz4").library.startswith("liblz4 1.")
    assert codec("zstd").library.startswith("libzstd 1.")


def test_the_settings_behind_the_superblock() -> None:
    # Length 14; matches reach 65535 back; 63 blocks. Length 6; format 0; a window of 2^(8 + 10).
    assert codec("lz4hc").settings == bytes.fromhex("0e00 ffff 3f00") + bytes(10)
    assert codec("zstd").settings == bytes.fromhex("0600 00 08") + bytes(4)


def test_a_zstd_frame_has_one_segment_of_known_length() -> None:
    """Its window is then its length, which Linux has memory for."""
    for level in (1, 9, 22):
        frame = codec(f"zstd:{level}").compressor()(memoryview(text(EXTENT)))
        assert frame[:4] == bytes.fromhex("28b52ffd")
        assert frame[4] & 0b1110_0100 == 0b1010_0000  # length in 4 bytes, one segment, no checksum
        assert int.from_bytes(frame[5:9], "little") == EXTENT


def test_what_has_been_compressed_is_not_searched() -> None:
    for name in CODECS:
        assert len(codec(name).compressor()(memoryview(noise(10_000)))) >= 10_000


# --- The index -----------------------------------------------------------------------------------


def made(size: int, blocks: list[int], head_size: int = 32) -> bytes:
    """An index by itself, at the start of block 1."""
    clusters = Clusters(size, blocks, BytesBlob(b""), stored_blocks(size, blocks))
    index = encode_index(clusters, Algorithm.LZ4, head_size=head_size, start_block=100)
    assert len(index) == index_size(size, head_size)
    return bytes(head_size) + index


def test_an_index_byte_by_byte() -> None:
    # Three blocks in one, and 904 bytes: two packs of two. HEAD and 1 block at 100; two back; end.
    found = made(3 * 4096 + 904, [1])
    assert found[32:] == (
        struct.pack("<4xHBB", 7, 0, 0)
        + struct.pack("<HHI", 1 << 12, 2 << 12 | 2048 | 1, 100)
        + struct.pack("<HHI", 2 << 12 | 2, 904, 101)
    )


def test_what_is_stored_as_it_is_has_a_cluster_for_each_block() -> None:
    index = Index(made(2 * EXTENT, [0, 60]), 32, 2 * EXTENT)
    expected = [Extent(n * 4096, (n + 1) * 4096, 100 + n, 1, False) for n in range(64)]
    assert index.extents() == [*expected, Extent(EXTENT, 2 * EXTENT, 164, 60, True)]


# Bytes that inode and attributes take: all ways in which what follows can be aligned.
HEADS = [32, 36, 40, 44, 48, 52, 56, 60, 64, 68]


@pytest.mark.parametrize("head_size", HEADS)
@pytest.mark.parametrize("tail", [0, 1, 4095])
def test_every_byte_is_found_whatever_the_length(head_size: int, tail: int) -> None:
    for blocks in [*range(1, 40), 63, 64, 65, 66, 80, 127, 128, 129, 200]:
        size = blocks * 4096 + tail
        lengths = [min(EXTENT, size - at) for at in range(0, size, EXTENT)]
        chooser = random.Random(size + head_size)
        # Any number of blocks that saves one, or none to store it as it is.
        pclusters = [chooser.randrange(-(-length // 4096)) for length in lengths]
        index = Index(made(size, pclusters, head_size), head_size, size)
        expected, block, at = [], 100, 0
        for length, count in zip(lengths, pclusters, strict=True):
            if count:
                expected.append(Extent(at, at + length, block, count, True))
                block += count
            else:
                for start in range(at, at + length, 4096):
                    end = min(start + 4096, size)
                    expected.append(Extent(start, end, block, 1, False))
                    block += 1
            at += length
        assert index.extents() == expected


# --- Images --------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", CODECS)
def test_contents_come_back(spool: Spool, name: str) -> None:
    contents = {
        b"two blocks": text(8192),
        b"a little more": text(8193),
        b"one extent": text(EXTENT),
        b"and a byte": text(EXTENT + 1),
        b"several": text(5 * EXTENT + 5000),
        b"mixed": text(EXTENT) + noise(EXTENT) + text(100_000) + noise(EXTENT),
        b"noise at the end": text(2 * EXTENT) + noise(5000),
        b"zeros": bytes(3_000_000),
    }
    tree = {
        path: file(data, xattrs=((b"user.a", b"x" * (number * 4)),), uid=number * 60_000)
        for number, (path, data) in enumerate(contents.items())
    }
    data = bytes_of(planned(tree, spool, name))
    for path, content in contents.items():
        assert index_of(data, path).read() == content, path


def test_the_superblock_says_how_it_is_compressed(spool: Spool) -> None:
    tree = {b"f": file(text(10_000))}
    for name, algorithms in (("lz4hc", 1), ("zstd", 8)):
        image = planned(tree, spool, name)
        data = bytes_of(image)
        superblock = Reader(BytesBlob(data)).superblock
        assert superblock.feature_incompat == 3
        assert superblock.algorithms == algorithms
        settings = codec(name).settings
        assert data[1152 : 1152 + len(settings)] == settings
        # The root's inode follows, in the next slot of 32 bytes.
        assert superblock.root_nid == 37


def test_without_gain_the_image_is_that_without_compression(spool: Spool) -> None:
    tree = {
        b"empty": file(b""),
        b"small": file(b"a" * 4000),
        b"one block": file(b"a" * 4096),
        b"noise": file(noise(300_000)),
        b"link": Inode(stat.S_IFLNK | 0o777, target=b"x" * 4095),
        b"folder": replace(DIR),
    } | {b"folder/%0200d" % number: file(b"") for number in range(100)}
    plain = plan({b"": DIR, **tree}, uuid=ID, build_time=0)
    image = planned(tree, spool, "zstd")
    assert bytes_of(image) == bytes_of(plain)
    assert image.summary == plain.summary


def test_a_block_saved_that_the_index_costs_again_is_none(spool: Spool) -> None:
    # One block of an extent is saved; an index of 1000 blocks takes half of one.
    data = noise(999 * 4096) + bytes(8192)
    assert planned({b"f": file(data)}, spool).summary.packed_files == 1
    data = noise(3999 * 4096) + bytes(8192)
    assert planned({b"f": file(data)}, spool).summary.packed_files == 0


def test_equal_files_are_compressed_once_whatever_their_attributes(spool: Spool) -> None:
    content = text(500_000)
    tree = {
        b"a": file(content),
        b"b": file(content, xattrs=((b"user.a", b"12345"),), mtime=5),
        b"c": file(content, uid=70_000),
    }
    image = planned(tree, spool)
    assert image.summary.packed_files == 3
    assert image.summary.unpacked_bytes == 500_000
    assert image.summary.packed_bytes < 400_000
    assert image.summary.shared_files == 2
    assert image.summary.shared_bytes == 2 * image.summary.packed_bytes
    assert image.summary.stored_bytes < image.summary.packed_bytes + 3 * 4096
    data = bytes_of(image)
    indexes = [index_of(data, path) for path in tree]
    assert [index.read() for index in indexes] == [content] * 3
    assert len({index.find(0).block for index in indexes}) == 1


def test_hard_links_are_one_file(spool: Spool) -> None:
    one = file(text(100_000))
    summary = planned({b"a": one, b"b": one}, spool).summary
    assert (summary.files, summary.hard_links, summary.packed_files) == (1, 1, 1)


def test_any_part_of_the_image_can_be_filled_alone(spool: Spool) -> None:
    tree = {b"a": file(text(900_000)), b"b": file(noise(EXTENT) + text(EXTENT) + b"end")}
    image = planned(tree, spool, "zstd")
    whole = bytes_of(image)
    for count in (1, 3, 7):
        for first in range(image.block_count - count + 1):
            part = bytearray(b"\x55" * count * 4096)
            image.fill(first, memoryview(part))
            assert part == whole[first * 4096 : (first + count) * 4096]


def test_a_large_index_goes_over_several_blocks(spool: Spool) -> None:
    data = bytes_of(planned({b"f": file(bytes(40 << 20) + b"end")}, spool))
    found = index_of(data, b"f")
    assert found.total * 2 > 4 * 4096
    assert found.read() == bytes(40 << 20) + b"end"


class Zeros:
    """A content of holes that must not be read."""

    def __init__(self, size: int) -> None:
        self.size = size

    def read_at(self, offset: int, length: int) -> bytes:
        raise AssertionError(f"{length} bytes at {offset} were read")

    def readinto_at(self, offset: int, view: memoryview) -> None:
        raise AssertionError(f"{len(view)} bytes at {offset} were read")


def test_a_terabyte_of_holes_is_refused_before_it_is_read(spool: Spool) -> None:
    tree = {b"f": Inode(stat.S_IFREG, content=Zeros(1 << 40)), b"g": file(text(10_000))}
    with pytest.raises(LimitError, match=f"files of {(1 << 40) + 10_000} bytes to compress"):
        planned(tree, spool)
