"""The EROFS writer: placement, sharing, what it refuses, and that order does not matter."""

from __future__ import annotations

import mmap
import os
import stat
from typing import TYPE_CHECKING
from uuid import UUID

import pytest

from sysgraft.base.blob import BytesBlob
from sysgraft.base.tree import Inode
from sysgraft.errors import FormatError, LimitError, SysgraftError, TruncatedError, UsageError
from sysgraft.formats.erofs.reader import Reader
from sysgraft.formats.erofs.walk import resolve
from sysgraft.formats.erofs.writer import Image, plan

if TYPE_CHECKING:
    from sysgraft.base.tree import Tree

ID = UUID("00112233-4455-6677-8899-aabbccddeeff")
DIR = Inode(stat.S_IFDIR | 0o755)


def directory() -> Inode:
    return Inode(stat.S_IFDIR | 0o755)


def file(
    data: bytes, *, uid: int = 0, mtime: int = 0, xattrs: tuple[tuple[bytes, bytes], ...] = ()
) -> Inode:
    return Inode(stat.S_IFREG | 0o644, uid=uid, mtime=mtime, xattrs=xattrs, content=BytesBlob(data))


def link(target: bytes) -> Inode:
    return Inode(stat.S_IFLNK | 0o777, target=target)


def bytes_of(image: Image) -> bytes:
    data = bytearray(b"\xaa" * (image.block_count * 4096))
    image.fill(0, memoryview(data))
    return bytes(data)


def built(tree: Tree) -> bytes:
    return bytes_of(plan(tree, uuid=ID, build_time=0))


class Numbers:
    """A large content that is computed: each 8 bytes hold their own offset."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.reads: list[tuple[int, int]] = []

    def read_at(self, offset: int, length: int) -> bytes:
        data = bytearray(length)
        self.readinto_at(offset, memoryview(data))
        return bytes(data)

    def readinto_at(self, offset: int, view: memoryview) -> None:
        assert 0 <= offset <= offset + len(view) <= self.size
        self.reads.append((offset, len(view)))
        start = offset - offset % 8
        words = b"".join(n.to_bytes(8, "little") for n in range(start, offset + len(view), 8))
        view[:] = words[offset - start : offset - start + len(view)]


def disk(data: bytes, path: bytes) -> tuple[int, int, int]:
    """Slot number, first two bytes and first data block of an inode, read by hand."""
    found = resolve(Reader(BytesBlob(data))._volume, path, follow_last=False)
    assert found is not None
    form = int.from_bytes(data[found.nid * 32 : found.nid * 32 + 2], "little")
    return found.nid, form, found.disk.union


def test_the_smallest_image_is_one_block_with_the_root_behind_the_superblock() -> None:
    data = built({b"": DIR})
    assert len(data) == 4096
    assert data[:1024] == bytes(1024)
    assert data[1024:1028] == bytes.fromhex("e2e1f5e0")
    assert data[1024 + 14 : 1024 + 16] == bytes([36, 0])
    # Compact, inline (form 4); no attributes; 040755; 2 links; 27 bytes; no block; number 1.
    assert data[1152:1184] == bytes.fromhex(
        "0400 0000 ed41 0200 1b000000 00000000 ffffffff 01000000 0000 0000 00000000"
    )
    assert data[1184 + 24 : 1184 + 27] == b"..."
    assert data[1184 + 27 :] == bytes(4096 - 1184 - 27)


def test_the_label_the_time_and_the_identifier_are_stored() -> None:
    image = plan({b"": DIR}, uuid=ID, build_time=1_700_000_000, volume_name="fifteen letters")
    superblock = Reader(BytesBlob(bytes_of(image))).superblock
    assert superblock.uuid == ID
    assert superblock.build_time == 1_700_000_000
    assert superblock.volume_name == "fifteen letters"
    assert superblock.inode_count == 1
    assert superblock.feature_incompat == 0


@pytest.mark.parametrize(
    ("inode", "extended"),
    [
        (file(b"x"), False),
        (file(b"x", uid=65535), False),
        (file(b"x", uid=65536), True),
        (file(b"x", mtime=1), True),
        (Inode(stat.S_IFREG, mtime_nsec=1, content=BytesBlob(b"")), True),
        (Inode(stat.S_IFREG, content=Numbers((1 << 32) - 1)), False),
        (Inode(stat.S_IFREG, content=Numbers(1 << 32)), True),
    ],
)
def test_the_short_inode_is_used_where_it_suffices(inode: Inode, extended: bool) -> None:
    image = plan({b"": DIR, b"f": inode}, uuid=ID, build_time=0)
    head = bytearray(4096)
    image.fill(0, memoryview(head))
    # The root's entry of f tells where its inode is.
    nid = int.from_bytes(head[1184 + 24 : 1184 + 32], "little")
    assert head[nid * 32] & 1 == extended


@pytest.mark.parametrize(
    ("size", "form", "blocks"),
    [
        (0, 0, 0),
        (1, 4, 0),
        (4064, 4, 0),
        (4065, 0, 1),
        (4096, 0, 1),
        (4097, 4, 1),
        (8160, 4, 1),
        (8161, 0, 2),
        (8192, 0, 2),
    ],
)
def test_a_tail_goes_behind_its_inode_if_both_fit_in_a_block(
    size: int, form: int, blocks: int
) -> None:
    content = bytes(range(1, 252)) * 40
    image = plan({b"": DIR, b"f": file(content[:size])}, uuid=ID, build_time=0)
    data = bytes_of(image)
    assert disk(data, b"f")[1] == form
    assert image.block_count * 4096 - image.summary.metadata_bytes == blocks * 4096
    found = Reader(BytesBlob(data)).lookup(b"f")
    assert found is not None
    assert found.content is not None
    assert found.content.read_at(0, size) == content[:size]


def test_no_inode_with_its_tail_crosses_a_block() -> None:
    sizes = [1 + 397 * n % 4096 for n in range(300)]
    tree = {b"": DIR} | {b"f%03d" % n: file(bytes(size)) for n, size in enumerate(sizes)}
    data = built(tree)
    for number, size in enumerate(sizes):
        nid, form, _ = disk(data, b"f%03d" % number)
        assert (form == 4) == (size <= 4064)
        assert nid % 128 * 32 + 32 + (size if form == 4 else 0) <= 4096


def test_tails_are_packed_tightly() -> None:
    sizes = [1 + 397 * n % 4064 for n in range(1000)]
    tree = {b"": DIR} | {b"f%04d" % n: file(bytes(size)) for n, size in enumerate(sizes)}
    summary = plan(tree, uuid=ID, build_time=0).summary
    needed = sum(-(-(size + 32) // 32) * 32 for size in sizes)
    assert summary.metadata_bytes < needed * 1.06


def test_equal_files_share_their_blocks() -> None:
    content = bytes(range(256)) * 40
    tree = {
        b"": DIR,
        b"a": file(content),
        b"b": file(content, uid=5),
        b"c": file(content[:-1] + b"!"),
        b"d": file(content),
        b"small": file(b"same"),
        b"small2": file(b"same"),
    }
    image = plan(tree, uuid=ID, build_time=0)
    data = bytes_of(image)
    blocks = {path: disk(data, path)[2] for path in (b"a", b"b", b"c", b"d")}
    assert blocks[b"a"] == blocks[b"b"] == blocks[b"d"] != blocks[b"c"]
    assert (image.summary.shared_files, image.summary.shared_bytes) == (2, 2 * 8192)
    assert image.summary.content_bytes == 4 * 10240 + 8


def test_an_equal_file_without_room_for_its_tail_shares_one_block_more() -> None:
    content = b"t" * 8190
    tree = {
        b"": DIR,
        b"a": file(content[:4200]),
        b"b": file(content[:4200], xattrs=((b"user.big", bytes(4000)),)),
        b"c": file(b"other"),
    }
    image = plan(tree, uuid=ID, build_time=0)
    data = bytes_of(image)
    assert disk(data, b"a")[1:] == (4, disk(data, b"b")[2])
    assert disk(data, b"b")[1] == 0
    assert image.block_count * 4096 - image.summary.metadata_bytes == 2 * 4096
    for path in (b"a", b"b"):
        found = Reader(BytesBlob(data)).lookup(path)
        assert found is not None
        assert found.content is not None
        assert found.content.read_at(0, 4200) == content[:4200]


def test_contents_are_read_for_comparison_only_where_sizes_agree() -> None:
    alone, first, second = Numbers(50_000), Numbers(60_000), Numbers(60_000)
    tree = {
        b"": DIR,
        b"alone": Inode(stat.S_IFREG, content=alone),
        b"first": Inode(stat.S_IFREG, content=first),
        b"second": Inode(stat.S_IFREG, content=second),
        b"third": file(b"x" * 60_000),
        b"blob": Inode(stat.S_IFREG, content=alone),
    }
    image = plan(tree, uuid=ID, build_time=0)
    assert alone.reads == []
    assert first.reads == second.reads == [(0, 4096), (0, 60_000)]
    assert image.summary.shared_files == 2


def test_hard_links_are_one_inode() -> None:
    shared = file(b"x" * 5000)
    tree = {b"": DIR, b"d": directory(), b"d/a": shared, b"b": shared, b"c": shared}
    image = plan(tree, uuid=ID, build_time=0)
    data = bytes_of(image)
    assert disk(data, b"d/a") == disk(data, b"b") == disk(data, b"c")
    nid = disk(data, b"b")[0]
    assert int.from_bytes(data[nid * 32 + 6 : nid * 32 + 8], "little") == 3
    assert (image.summary.files, image.summary.hard_links) == (1, 2)


def test_a_directory_counts_itself_its_parents_entry_and_its_directories() -> None:
    tree = {
        b"": DIR,
        b"a": directory(),
        b"a/b": directory(),
        b"a/c": directory(),
        b"a/f": file(b""),
    }
    data = built(tree)
    links = {}
    for path in (b"", b"a", b"a/b"):
        nid = disk(data, path)[0]
        links[path] = int.from_bytes(data[nid * 32 + 6 : nid * 32 + 8], "little")
    assert links == {b"": 3, b"a": 4, b"a/b": 2}


def test_more_directories_than_16_bits_count_use_the_long_inode() -> None:
    tree = {b"": DIR} | {b"%d" % n: directory() for n in range(65_534)}
    image = plan(tree, uuid=ID, build_time=0)
    data = bytes_of(image)
    nid, form, _ = disk(data, b"")
    assert form & 1
    assert int.from_bytes(data[nid * 32 + 44 : nid * 32 + 48], "little") == 65_536


def test_dots_stand_among_the_names_in_byte_order() -> None:
    tree = {b"": DIR} | {name: file(b"") for name in (b"!", b"-", b".", b"a") if name != b"."}
    data = built(tree)
    assert b"!-...a" in data[1152:]


def test_attributes_may_fill_many_blocks() -> None:
    attributes = tuple((b"user.%02d" % n, bytes([n]) * 60_000) for n in range(4))
    tree = {b"": Inode(stat.S_IFDIR, xattrs=attributes), b"f": file(b"tail", xattrs=attributes)}
    read = Reader(BytesBlob(built(tree))).read_tree()
    assert read[b""].xattrs == attributes
    assert read[b"f"].xattrs == attributes
    content = read[b"f"].content
    assert content is not None
    assert content.read_at(0, 4) == b"tail"


def test_a_file_above_4_gib_is_read_only_where_it_is_asked_for() -> None:
    size = (5 << 30) + 100
    content = Numbers(size)
    image = plan({b"": DIR, b"f": Inode(stat.S_IFREG, content=content)}, uuid=ID, build_time=0)
    assert content.reads == []
    assert image.block_count == 1 + (5 << 18)
    part = bytearray(4096 * 3)
    image.fill(image.block_count - 3, memoryview(part))
    assert content.reads == [((5 << 30) - 4096 * 3, 4096 * 3)]
    assert part == content.read_at((5 << 30) - 4096 * 3, 4096 * 3)
    content.reads.clear()
    image.fill(0, memoryview(part)[:4096])
    assert content.reads == [(5 << 30, 100)]


def test_long_runs_are_read_straight_into_the_given_memory() -> None:
    content = Numbers(10 * 4096 - 32 + 1)
    tree = {b"": DIR, b"f": Inode(stat.S_IFREG, content=content), b"g": file(b"g" * 4096)}
    image = plan(tree, uuid=ID, build_time=0)
    data = bytearray(b"\xaa" * image.block_count * 4096)
    image.fill(0, memoryview(data))
    assert content.reads == [(0, 10 * 4096 - 31)]
    assert data[4096 + 10 * 4096 - 31 : 4096 + 10 * 4096] == bytes(31)


def test_forked_processes_fill_parts_of_one_mapping() -> None:
    contents = [bytes([letter]) * (4096 * 7 + letter) for letter in b"abcdefgh"]
    tree = {b"": DIR} | {b"%d" % n: file(data) for n, data in enumerate(contents)}
    image = plan(tree, uuid=ID, build_time=0)
    with mmap.mmap(-1, image.block_count * 4096) as shared:
        children = []
        for first in range(0, image.block_count, 10):
            child = os.fork()
            if child == 0:
                last = min(first + 10, image.block_count)
                image.fill(first, memoryview(shared)[first * 4096 : last * 4096])
                os._exit(0)
            children.append(child)
        assert [os.waitpid(child, 0)[1] for child in children] == [0] * len(children)
        assert shared[:] == bytes_of(image)


@pytest.mark.parametrize(("first", "size"), [(0, 4095), (-1, 4096), (1, 4096), (0, 8192), (2, 0)])
def test_a_range_outside_the_image_is_refused(first: int, size: int) -> None:
    image = plan({b"": DIR}, uuid=ID, build_time=0)
    with pytest.raises(UsageError, match="blocks"):
        image.fill(first, memoryview(bytearray(size)))


def test_a_content_that_shrank_is_reported() -> None:
    class Shrinking(Numbers):
        def readinto_at(self, offset: int, view: memoryview) -> None:
            raise TruncatedError(f"{len(view)} bytes at {offset} are gone")

    tree = {b"": DIR, b"f": Inode(stat.S_IFREG, content=Shrinking(9))}
    with pytest.raises(TruncatedError, match="9 bytes at 0 are gone"):
        bytes_of(plan(tree, uuid=ID, build_time=0))


LONG = b"/".join([b"d" * 200] * 30)


@pytest.mark.parametrize(
    ("tree", "words"),
    [
        ({}, "no root"),
        ({b"": file(b"")}, "no root"),
        ({b"": DIR, b"a/b": file(b"")}, "not inside a directory"),
        ({b"": DIR, b"..": file(b"")}, "not a clean"),
        ({b"": DIR, b"n" * 256: file(b"")}, "256 bytes"),
        (
            {b"": DIR} | {LONG[: 201 * n - 1]: directory() for n in range(1, 31)},
            "a path of 4220",
        ),
        ({b"": DIR, b"a": DIR}, "two paths: a"),
        ({b"": DIR, b"a": Inode(0o644)}, "^a: no such file type"),
        ({b"": DIR, b"a": Inode(stat.S_IFREG)}, "^a: .*without content"),
        ({b"": DIR, b"a": Inode(stat.S_IFREG | 1 << 16)}, "^a: "),
        ({b"": DIR, b"a": link(b"")}, "^a: .*1 to 4095"),
        ({b"": DIR, b"a": link(b"x" * 4096)}, "^a: .*4096"),
        ({b"": DIR, b"a": link(b"x\0y")}, "^a: .*NUL"),
        ({b"": DIR, b"a": file(b"", uid=1 << 32)}, "^a: no such owner"),
        ({b"": DIR, b"a": file(b"", uid=-1)}, "^a: no such owner"),
        ({b"": DIR, b"a": file(b"", mtime=1 << 63)}, "^a: no such time"),
        ({b"": DIR, b"a": file(b"", xattrs=((b"x.y", b""),))}, r"^a: .*attribute x\.y"),
        ({b"": Inode(stat.S_IFDIR, xattrs=((b"x.y", b""),))}, "^/: "),
        ({b"": DIR, b"a": Inode(stat.S_IFCHR, rdev=(4096, 0))}, "^a: no such device"),
    ],
)
def test_what_erofs_cannot_hold_is_refused_by_name(tree: Tree, words: str) -> None:
    with pytest.raises(FormatError, match=words):
        plan(tree, uuid=ID, build_time=0)


@pytest.mark.parametrize(("label", "time"), [("x" * 16, 0), ("ü" * 8, 0), ("", -1), ("", 1 << 63)])
def test_a_label_or_time_too_long_is_refused(label: str, time: int) -> None:
    with pytest.raises(LimitError):
        plan({b"": DIR}, uuid=ID, build_time=time, volume_name=label)


def test_an_image_beyond_32_bit_addresses_is_refused() -> None:
    tree = {b"": DIR} | {
        b"%d" % n: Inode(stat.S_IFREG, content=Numbers((1 << 43) + n)) for n in range(3)
    }
    with pytest.raises(SysgraftError, match="blocks"):
        plan(tree, uuid=ID, build_time=0)


def test_sizes_beyond_any_image_are_refused_before_contents_are_read() -> None:
    contents = [Numbers(15 << 40), Numbers(15 << 40)]
    tree = {b"": DIR, **{b"%d" % n: Inode(stat.S_IFREG, content=contents[n]) for n in range(2)}}
    with pytest.raises(LimitError, match="blocks; EROFS addresses"):
        plan(tree, uuid=ID, build_time=0)
    assert [content.reads for content in contents] == [[], []]
