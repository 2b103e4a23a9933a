"""The EROFS reader: looking up, telling owners, other layouts, and images made to mislead it."""

from __future__ import annotations

import itertools
import stat
import struct
import time

import pytest

from erofs_made import (
    FILE,
    ID,
    LINK,
    ONE_DIR,
    ONE_FILE,
    ONE_LINK,
    Made,
    made_reader,
    make,
    names,
    nid,
    reseal,
)
from sysgraft.base.blob import BytesBlob
from sysgraft.base.tree import Inode
from sysgraft.errors import FormatError, LimitError, TruncatedError, UnsupportedError
from sysgraft.formats.erofs import limits
from sysgraft.formats.erofs import reader as reader_module
from sysgraft.formats.erofs.dirent import Entry, encode_directory
from sysgraft.formats.erofs.ondisk import Layout
from sysgraft.formats.erofs.reader import Reader
from sysgraft.formats.erofs.writer import plan


def directory() -> Inode:
    return Inode(stat.S_IFDIR | 0o755)


def file(data: bytes) -> Inode:
    return Inode(stat.S_IFREG | 0o644, content=BytesBlob(data))


def link(target: bytes) -> Inode:
    return Inode(stat.S_IFLNK | 0o777, target=target)


def built(tree: dict[bytes, Inode]) -> bytes:
    image = plan({b"": directory(), **tree}, uuid=ID, build_time=0)
    data = bytearray(image.block_count * 4096)
    image.fill(0, memoryview(data))
    return bytes(data)


def reader(tree: dict[bytes, Inode]) -> Reader:
    return Reader(BytesBlob(built(tree)))


def content(inode: Inode | None) -> bytes:
    assert inode is not None
    assert inode.content is not None
    return inode.content.read_at(0, inode.content.size)


# --- Looking up ----------------------------------------------------------------------------------

LINKS = {
    b"usr": directory(),
    b"usr/lib": directory(),
    b"usr/lib/release": file(b"ID=x\n"),
    b"lib": link(b"usr/lib"),
    b"absolute": link(b"/usr/lib"),
    b"usr/up": link(b"../../../usr/./lib/"),
    b"usr/lib/back": link(b"../../lib"),
    b"loop": link(b"loop"),
    b"dangling": link(b"nowhere/at/all"),
}


@pytest.mark.parametrize(
    "path",
    [
        b"usr/lib/release",
        b"/usr//lib/./release",
        b"lib/release",
        b"absolute/release",
        b"usr/up/release",
        b"lib/back/back/release",
        b"../../lib/../lib/release",
    ],
)
def test_a_path_is_found_through_links_inside_the_image(path: bytes) -> None:
    assert content(reader(LINKS).lookup(path)) == b"ID=x\n"


@pytest.mark.parametrize("path", [b"usr/lib/releas", b"usr/lib/release/x", b"dangling/x", b"\xff"])
def test_a_path_that_is_not_there_gives_none(path: bytes) -> None:
    assert reader(LINKS).lookup(path) is None


def test_a_link_at_the_end_is_itself() -> None:
    found = reader(LINKS).lookup(b"lib")
    assert found is not None
    assert found.target == b"usr/lib"


def test_links_in_circles_are_refused() -> None:
    with pytest.raises(FormatError, match="more than 40 symbolic links in loop/x"):
        reader(LINKS).lookup(b"loop/x")


def test_links_that_make_a_path_endless_are_refused() -> None:
    # 39 links, each long enough to pay for a path of its own.
    back = b"d/../" * 800
    tree = {b"d": directory()} | {b"l%d" % n: link(back + b"l%d" % (n + 1)) for n in range(39)}
    with pytest.raises(LimitError, match="more than 2048 names to look up for l0/x"):
        reader(tree).lookup(b"l0/x")


def test_listing_follows_links_and_leaves_out_the_dots() -> None:
    assert reader(LINKS).listdir(b"lib") == [b"back", b"release"]
    assert reader({}).listdir(b"") == []
    for path in (b"usr/lib/release", b"nowhere"):
        with pytest.raises(FormatError, match="no directory"):
            reader(LINKS).listdir(path)


def test_listing_is_paid_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reader_module, "Budget", lambda: limits.Budget(10))
    image = reader({b"f%02d" % number: file(b"") for number in range(11)})
    with pytest.raises(LimitError, match="more than 10 paths"):
        image.listdir(b"")
    with pytest.raises(LimitError, match="more than 10 paths"):
        image.select(b"", lambda _name: False, max_entries=1)


class Counting(BytesBlob):
    """Counts what is read of it."""

    reads = 0

    def read_at(self, offset: int, length: int) -> bytes:
        self.reads += 1
        return super().read_at(offset, length)


def test_selecting_reads_no_inode_that_is_not_wanted() -> None:
    tree = {b"d": directory(), b"d/x": file(b"X"), b"d/y": file(b"Y")}
    tree[b"d/z"] = tree[b"d/x"]
    tree |= {b"d/a%04d" % number: file(b"") for number in range(2000)}
    blob = Counting(built(tree))
    image = Reader(blob)
    blob.reads = 0
    found = image.select(b"d", lambda name: name[:1] in b"xyz", max_entries=3)
    assert {name: content(inode) for name, inode in found.items()} == {
        b"x": b"X",
        b"y": b"Y",
        b"z": b"X",
    }
    assert found[b"x"] is found[b"z"]
    assert blob.reads < 40
    with pytest.raises(LimitError, match="d: 3 files of this kind, at most 2"):
        image.select(b"d", lambda name: name[:1] in b"xyz", max_entries=2)
    assert image.select(b"nowhere", bool, max_entries=1) == {}
    assert image.select(b"d/x", bool, max_entries=1) == {}


def test_looking_up_reads_a_few_blocks_of_a_large_directory() -> None:
    names = [b"some longer file name %06d" % number for number in range(20_000)]
    blob = Counting(built({name: file(b"") for name in names}))
    image = Reader(blob)
    blob.reads = 0
    for number in (0, 1, 9_999, 19_998, 19_999):
        assert image.lookup(names[number]) is not None
    assert image.lookup(b"some longer file name 009999x") is None
    assert image.lookup(b"a") is None
    assert image.lookup(b"z") is None
    assert blob.reads < 8 * 20


# --- Owners --------------------------------------------------------------------------------------


def test_bytes_are_attributed_to_their_files() -> None:
    one, two = b"one" * 5000, b"two" * 5000
    data = built({b"usr": directory(), b"usr/one": file(one), b"usr/two": file(two)})
    image = Reader(BytesBlob(data))
    assert image.locate(data.index(one[:12288]) + 12287) == "usr/one"
    assert image.locate(data.index(one[12288:] + b"\0")) == "usr/one"
    assert image.locate(data.index(two[:12288])) == "usr/two"
    assert image.locate(1024) == "superblock"
    assert image.locate(1152) == "metadata of /"
    assert image.locate(data.index(b"usr")) == "directory /"
    assert image.locate(data.index(b"...")) in ("directory /", "directory usr")
    assert image.locate(0) is None
    assert image.locate(len(data)) is None
    assert set(image.owners(0, 4096)) == {
        "superblock",
        "metadata of /",
        "directory /",
        "metadata of usr",
        "directory usr",
        "metadata of usr/one",
        "usr/one",
    }


def test_all_files_that_share_a_block_are_named() -> None:
    data = built({b"a": file(b"s" * 8192), b"b": file(b"s" * 8192), b"c": file(b"c" * 4096)})
    image = Reader(BytesBlob(data))
    assert image.owners(4096, 8192) == ("a", "b")
    assert image.owners(8192, 8192) == ("a", "b", "c")


def test_a_damaged_directory_does_not_keep_other_files_from_being_named() -> None:
    tree = {b"bad": directory(), b"bad/lost": file(b"l" * 4096), b"good": file(b"g" * 4096)}
    data = bytearray(built(tree))
    position = data.index(b"...lost") - 3 * 12
    data[position + 8] = 0xFF
    reseal(data)
    image = Reader(BytesBlob(bytes(data)))
    with pytest.raises(FormatError, match=r"^bad: "):
        image.read_tree()
    assert image.locate(data.index(b"g" * 4096)) == "good"
    assert image.locate(data.index(b"l" * 4096)) is None
    assert image.locate(position) == "directory bad"


# --- Images made by hand -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("made", "words"),
    [
        pytest.param([Made(mode=FILE)], "root of the image", id="root-no-directory"),
        pytest.param([Made()], "/: a directory of 0 bytes", id="empty-directory"),
        pytest.param(
            [Made(data=names(0, 0, (b"d", nid(0), 2)))],
            "d: a directory that has another path",
            id="root-in-itself",
        ),
        pytest.param(
            [ONE_DIR, Made(data=names(1, 0, (b"e", nid(1), 2)))],
            "d/e: a directory that has another path",
            id="directory-in-itself",
        ),
        pytest.param(
            [ONE_DIR, Made(data=names(1, 0, (b"e", nid(0), 2)))],
            "d/e: a directory that has another path",
            id="loop-to-the-root",
        ),
        pytest.param(
            [Made(data=names(0, 0, (b"d", nid(1), 2), (b"e", nid(1), 2))), Made(data=names(1, 0))],
            "e: a directory that has another path",
            id="directory-with-two-parents",
        ),
        pytest.param([Made(data=names(1, 0))], r"/: its entry \. leads", id="wrong-dot"),
        pytest.param([Made(data=names(0, 1))], r"/: its entry \.\. leads", id="wrong-dotdot"),
        pytest.param(
            [ONE_DIR, Made(data=names(1, 1))], r"d: its entry \.\. leads", id="wrong-parent"
        ),
        pytest.param(
            [Made(data=encode_directory([Entry(b".", nid(0), 2), Entry(b"abc", nid(0), 2)]))],
            r"/: it has no entry \.\.",
            id="no-dotdot",
        ),
        pytest.param(
            [Made(data=names(0, 0, (b"f", 1 << 63, 1)))], "f: inode .* image", id="nid-too-large"
        ),
        pytest.param(
            [Made(data=names(0, 0, (b"f", nid(1), 2))), Made(mode=FILE)],
            "f: inode .* entry type 2",
            id="type-differs",
        ),
        pytest.param(
            [ONE_FILE, Made(mode=FILE, layout=Layout.FLAT_PLAIN, size=8192, union=2)],
            "f: it points at bytes",
            id="data-beyond-the-image",
        ),
        pytest.param(
            [ONE_FILE, Made(mode=FILE, layout=Layout.FLAT_PLAIN, size=1, union=0xFFFFFFFF)],
            "f: it points at bytes",
            id="data-at-no-block",
        ),
        pytest.param(
            [ONE_FILE, Made(mode=FILE, layout=Layout.FLAT_PLAIN, size=(1 << 63) - 1, union=0)],
            "f: it points at bytes",
            id="size-larger-than-the-image",
        ),
        pytest.param(
            [ONE_FILE, Made(mode=FILE, size=(1 << 64) - 1)], "f: a size of", id="size-of-64-bits"
        ),
        pytest.param(
            [ONE_FILE, Made(mode=FILE, size=4033)], "crosses into another block", id="long-tail"
        ),
        pytest.param(
            [ONE_FILE, Made(mode=FILE, layout=Layout.CHUNK_BASED, size=1 << 40, union=0)],
            "f: it points at bytes",
            id="chunk-map-beyond-the-image",
        ),
        pytest.param(
            [ONE_FILE, Made(mode=FILE, layout=Layout.CHUNK_BASED, size=1, union=0x40)],
            "f: inode .* chunk format",
            id="chunk-format",
        ),
        pytest.param([ONE_LINK, Made(mode=LINK)], "l: .* has 0 bytes", id="empty-target"),
        pytest.param(
            [ONE_LINK, Made(mode=LINK, layout=Layout.FLAT_PLAIN, size=4096, union=0)],
            "l: .* has 4096 bytes",
            id="long-target",
        ),
        pytest.param([ONE_LINK, Made(mode=LINK, data=b"a\0b")], "l: .* NUL", id="nul-in-target"),
        pytest.param(
            [ONE_FILE, Made(mode=FILE, attributes=bytes(4) + b"\xff" + bytes(11))],
            "f: 255 shared attributes in 16 bytes",
            id="too-many-shared-attributes",
        ),
        pytest.param(
            [ONE_FILE, Made(mode=FILE, attributes=bytes(12) + b"\xff\1\xff\xff")],
            "f: an attribute reaches beyond",
            id="long-attribute",
        ),
        pytest.param(
            [ONE_FILE, Made(mode=FILE, attributes=bytes(12) + 2 * b"\1\1\0\0a\0\0\0")],
            r"f: the attribute user\.a is there twice",
            id="attribute-twice",
        ),
        pytest.param(
            [ONE_FILE, Made(mode=FILE, attributes=bytes(12) + b"\1\5\0\0a\0\0\0")],
            "f: unknown attribute namespace 5",
            id="attribute-namespace",
        ),
        pytest.param(
            [ONE_FILE, Made(mode=FILE, attributes=bytes(12) + b"\1\x80\0\0a\0\0\0")],
            "f: an attribute uses prefix 0 of 0",
            id="attribute-prefix",
        ),
        pytest.param(
            [ONE_FILE, Made(mode=FILE, attributes=bytes(4) + b"\1" + bytes(7) + b"\xff" * 4)],
            "f: it points at bytes",
            id="shared-attribute-beyond-the-image",
        ),
    ],
)
def test_an_image_that_makes_no_sense_is_refused(made: list[Made], words: str) -> None:
    with pytest.raises(FormatError, match=words):
        made_reader(*made).read_tree()


def test_a_chain_of_directories_ends_at_the_longest_path() -> None:
    made = [Made(data=names(n, max(n - 1, 0), (b"d" * 200, nid(n + 1), 2))) for n in range(40)]
    with pytest.raises(LimitError, match="a path of 4220 bytes; 4095"):
        made_reader(*made).read_tree()


def test_a_name_out_of_order_is_found_across_blocks() -> None:
    dots = [Entry(b".", nid(0), 2), Entry(b"..", nid(0), 2)]
    block = [*dots, *(Entry(b"%0200d" % n, nid(1), 1) for n in range(1, 30))]
    block[25], block[28] = block[28], block[25]
    data = encode_directory(block)
    root = Made(layout=Layout.FLAT_PLAIN, size=len(data), union=3)
    with pytest.raises(FormatError, match="not in order"):
        made_reader(root, Made(mode=FILE), extra=data.ljust(8192, b"\0")).read_tree()


def test_too_many_paths_are_refused() -> None:
    image = reader({b"%d" % n: file(b"") for n in range(9)})
    assert len(image.read_tree(max_entries=10)) == 10
    with pytest.raises(LimitError, match="more than 9 paths"):
        image.read_tree(max_entries=9)


def test_an_endless_directory_is_refused_before_it_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "MAX_DIRECTORY_BYTES", 100_000)
    root = Made(layout=Layout.FLAT_PLAIN, size=110_000, union=2)
    with pytest.raises(LimitError, match="directories exceed 100000"):
        made_reader(root, extra=bytes(122_880)).read_tree()


def shared_run(count: int, blocks: int) -> Reader:
    """`count` directories that have `blocks` blocks in common, each with one name; to one file."""
    start = count + 3
    listing = names(0, 0, *((b"d%03d" % n, nid(n + 1), 2) for n in range(count)))
    inner = (Made(data=names(n + 1, 0), size=blocks * 4096 + 27, union=start) for n in range(count))
    run = (Entry(b"!%05d" % n, nid(count + 1), 1) for n in range(blocks))
    extra = b"".join(encode_directory([entry]).ljust(4096, b"\0") for entry in run)
    return made_reader(Made(data=listing), *inner, Made(mode=FILE), extra=extra)


def test_directories_may_have_blocks_in_common() -> None:
    tree = shared_run(3, 5).read_tree()
    assert len(tree) == 1 + 3 + 3 * 5
    assert tree[b"d000/!00000"] is tree[b"d002/!00004"]


def test_each_directory_pays_for_blocks_in_common(monkeypatch: pytest.MonkeyPatch) -> None:
    image = shared_run(100, 200)
    started = time.monotonic()
    with pytest.raises(LimitError, match="more than 1000 paths"):
        image.read_tree(max_entries=1000)
    assert time.monotonic() - started < 2
    monkeypatch.setattr(limits, "MAX_DIRECTORY_BYTES", 3_000_000)
    with pytest.raises(LimitError, match="directories exceed"):
        image.read_tree()


def test_each_path_pays_for_its_length(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "MAX_PATH_BYTES", 100)
    with pytest.raises(LimitError, match="paths exceed 100 bytes"):
        reader({b"n" * 90: file(b""), b"m" * 90: file(b"")}).read_tree()


# --- Attributes in common and long prefixes ------------------------------------------------------


def shared(*numbers: int) -> bytes:
    """The attributes of an inode that has only shared ones."""
    return bytes(4) + bytes([len(numbers)]) + bytes(7) + struct.pack(f"<{len(numbers)}I", *numbers)


def test_shared_attributes_are_found_from_their_block() -> None:
    # In make(), shared numbers count from block 1; the extra block is block 3 here.
    body = shared(2048, 2050) + b"\1\4\1\0tX\0\0"
    extra = (b"\1\1\2\0aAB\0" + b"\0\2\1\0C").ljust(4096, b"\0")
    made = (ONE_FILE, Made(mode=FILE, attributes=body))
    assert made_reader(*made, extra=extra).read_tree()[b"f"].xattrs == (
        (b"system.posix_acl_access", b"C"),
        (b"trusted.t", b"X"),
        (b"user.a", b"AB"),
    )


def test_each_inode_pays_for_attributes_in_common(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "MAX_ATTRIBUTE_BYTES", 10_000)
    listing = names(0, 0, *((b"%02d" % n, nid(n + 1), 1) for n in range(20)))
    inodes = [Made(mode=FILE, attributes=shared(21 * 1024))] * 20
    extra = (b"\1\1\xe8\3a" + bytes(1000)).ljust(4096, b"\0")
    with pytest.raises(LimitError, match="attributes exceed 10000"):
        made_reader(Made(data=listing), *inodes, extra=extra).read_tree()


def test_padding_among_the_attributes_is_passed_over() -> None:
    body = bytes(12) + b"\0\0\6\0padpad\0\0" + b"\1\1\0\0a\0\0\0"
    found = made_reader(ONE_FILE, Made(mode=FILE, attributes=body)).lookup(b"f")
    assert found is not None
    assert found.xattrs == ((b"user.a", b""),)


@pytest.mark.parametrize("packed", [False, True])
def test_long_prefixes_are_read_from_the_image_or_the_packed_file(packed: bool) -> None:
    prefixes = b"\6\0\4long." + b"\5\0\6evm."
    body = bytes(12) + b"\1\x80\1\0aX\0\0" + b"\1\x81\1\0bY\0\0"
    made = (ONE_FILE, Made(mode=FILE, attributes=body), Made(mode=FILE, data=prefixes))
    image = make(*made, incompat=0x40)
    image[1024 + 91] = 2
    start = 0 if packed else (nid(2) * 32 + 64) // 4
    image[1024 + 92 : 1024 + 96] = start.to_bytes(4, "little")
    image[1024 + 96 : 1024 + 104] = (nid(2) if packed else 0).to_bytes(8, "little")
    reseal(image)
    assert Reader(BytesBlob(bytes(image))).read_tree()[b"f"].xattrs == (
        (b"security.evm.b", b"Y"),
        (b"trusted.long.a", b"X"),
    )


def test_holes_are_paid_for_when_owners_are_sought(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "MAX_CHUNKS", 100)
    listing = names(0, 0, *((b"f%d" % n, nid(n + 1), 1) for n in range(3)))
    chunks = struct.pack("<60I", *[0xFFFFFFFF] * 60)
    made = Made(mode=FILE, layout=Layout.CHUNK_BASED, data=chunks, size=60 * 4096, union=0)
    image = made_reader(Made(data=listing), made, made, made)
    assert image.locate(nid(1) * 32) == "metadata of f0"
    assert image.locate(nid(3) * 32) is None


def test_links_to_one_inode_are_paid_for_once_when_owners_are_sought(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(limits, "MAX_CHUNKS", 100)
    links = [(b"l%02d" % n, nid(1), 1) for n in range(18)]
    listing = names(0, 0, *links, (b"z", nid(2), 1))
    chunks = struct.pack("<60I", *[0xFFFFFFFF] * 60)
    made = Made(mode=FILE, layout=Layout.CHUNK_BASED, data=chunks, size=60 * 4096, union=0)
    image = made_reader(Made(data=listing), made, Made(mode=FILE, data=b"z"))
    assert image.owners(nid(1) * 32, 1) == ("metadata of l00",)
    assert image.locate(nid(2) * 32) == "metadata of z"


def test_a_large_chunk_map_is_looked_through_in_few_reads() -> None:
    count = 50_000
    chunks = struct.pack(f"<{count}I", *[5] * count)
    made = Made(mode=FILE, layout=Layout.CHUNK_BASED, data=chunks, size=count * 4096, union=0)
    blob = Counting(bytes(make(ONE_FILE, made, extra=bytes(60 * 4096))))
    image = Reader(blob)
    blob.reads = 0
    assert image.owners(5 * 4096, 4096) == ("f",)
    assert blob.reads < 20


def test_chunks_that_cannot_be_read_do_not_hide_those_that_can() -> None:
    chunks = struct.pack("<4I", 0x7FFFFFFF, 0xFFFFFFFF, 3, 5)
    made = Made(mode=FILE, layout=Layout.CHUNK_BASED, data=chunks, size=3 * 8192 + 1, union=1)
    image = made_reader(ONE_FILE, made, extra=bytes(4 * 4096))
    owned = [block for block in range(7) if "f" in image.owners(block * 4096, 4096)]
    assert owned == [3, 4, 5], "of the last chunk only the block with its one byte"


# --- Other layouts -------------------------------------------------------------------------------


def chunk_map(*blocks: int, indexes: bool) -> bytes:
    if indexes:
        return b"".join(struct.pack("<HHI", 0, 0, block) for block in blocks)
    return struct.pack(f"<{len(blocks)}I", *blocks)


@pytest.mark.parametrize("indexes", [False, True])
def test_chunks_are_joined_and_holes_are_zeros(indexes: bool) -> None:
    hole = 0xFFFFFFFF
    form = 1 | (0x20 if indexes else 0)  # chunks of two blocks
    data = chunk_map(5, hole, 3, 5, indexes=indexes)
    made = Made(mode=FILE, layout=Layout.CHUNK_BASED, data=data, size=3 * 8192 + 5, union=form)
    extra = b"".join(bytes([letter]) * 4096 for letter in b"abcd")
    expected = b"c" * 4096 + b"d" * 4096 + bytes(8192) + b"a" * 4096 + b"b" * 4096 + b"ccccc"
    image = made_reader(ONE_FILE, made, extra=extra)
    blob = image.read_tree()[b"f"].content
    assert blob is not None
    assert blob.read_at(0, blob.size) == expected
    for start, end in itertools.combinations((0, 1, 4097, 8191, 8192, 16383, 16390, 24580), 2):
        assert blob.read_at(start, end - start) == expected[start:end]
    with pytest.raises(TruncatedError):
        blob.read_at(1, blob.size)
    assert image.locate(3 * 4096) == image.locate(6 * 4096 + 4095) == "f"


def test_data_on_another_device_is_refused_when_it_is_read() -> None:
    data = struct.pack("<HHI", 0, 1, 0)
    made = Made(mode=FILE, layout=Layout.CHUNK_BASED, data=data, size=5, union=0x20)
    tree = made_reader(ONE_FILE, made, incompat=0xC).read_tree()
    with pytest.raises(UnsupportedError, match="another device"):
        content(tree[b"f"])


def test_a_chunk_beyond_the_image_is_refused_when_it_is_read() -> None:
    made = Made(
        mode=FILE, layout=Layout.CHUNK_BASED, data=chunk_map(3, indexes=False), size=1, union=0
    )
    tree = made_reader(ONE_FILE, made).read_tree()
    with pytest.raises(FormatError, match="points at"):
        content(tree[b"f"])


def test_an_inline_file_may_have_its_last_whole_block_inline() -> None:
    # Not what Linux makes of it with 4096-byte blocks, but an inode at a block's end may do it.
    made = Made(mode=FILE, data=b"tail", size=4096 + 4, union=3)
    assert (
        content(made_reader(ONE_FILE, made, extra=b"b" * 4096).lookup(b"f"))
        == b"b" * 4096 + b"tail"
    )


def test_an_image_cut_short_is_refused() -> None:
    data = built({b"f": file(b"x" * 9000)})
    for size in (len(data) - 1, 4096, 1152, 1024, 0):
        with pytest.raises(TruncatedError):
            Reader(BytesBlob(data[:size]))


def test_what_follows_the_image_is_ignored() -> None:
    data = built({b"f": file(b"x" * 9000)})
    assert content(Reader(BytesBlob(data + b"more")).lookup(b"f")) == b"x" * 9000
