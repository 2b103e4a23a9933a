"""Random trees through the EROFS writer and back, and damaged images through the reader."""

from __future__ import annotations

import random
import stat
import time
from dataclasses import replace
from typing import TYPE_CHECKING, TypeAlias
from uuid import UUID

from hypothesis import given, settings
from hypothesis import strategies as st

from sysgraft.base.blob import BytesBlob
from sysgraft.base.tree import Inode, printable
from sysgraft.errors import SysgraftError
from sysgraft.formats.erofs.reader import Reader
from sysgraft.formats.erofs.superblock import seal_block
from sysgraft.formats.erofs.writer import Image, plan

if TYPE_CHECKING:
    from sysgraft.base.tree import Tree

Plain: TypeAlias = tuple[object, ...]

ID = UUID("00112233-4455-6677-8899-aabbccddeeff")
BUILD_TIME = 1_000_000

# --- Trees ---------------------------------------------------------------------------------------

# Few distinct contents, so that some repeat; sizes around one and two blocks, and around what
# still fits behind an inode.
SIZES = [0, 1, 100, 4000, 4032, 4064, 4065, 4095, 4096, 4097, 8100, 8192, 12_289]
contents = st.builds(
    lambda size, seed: random.Random(seed).randbytes(size),
    st.sampled_from(SIZES),
    st.integers(0, 1),
)
names = st.binary(min_size=1, max_size=6).map(
    lambda name: name.replace(b"/", b"-").replace(b"\0", b"+")
)
long_names = st.integers(200, 255).map(lambda length: b"n" * length)
part = st.one_of(names, names, long_names).filter(lambda name: name not in (b".", b".."))

attribute_names = st.sampled_from(
    [
        b"user.a",
        b"user.longer name",
        b"trusted.overlay.opaque",
        b"security.capability",
        b"security.selinux",
        b"system.posix_acl_access",
        b"system.posix_acl_default",
    ]
)
attribute_values = st.one_of(st.binary(max_size=9), st.sampled_from([2000, 5000]).map(bytes))
attributes = st.dictionaries(attribute_names, attribute_values, max_size=3).map(
    lambda items: tuple(sorted(items.items()))
)
owners = st.sampled_from([0, 1000, 65_535, 65_536, (1 << 32) - 1])
times = st.sampled_from([(BUILD_TIME, 0), (BUILD_TIME, 0), (-1, 5), (1 << 40, 999_999_999)])

COMMON = {"uid": owners, "gid": owners, "xattrs": attributes}


def with_time(inode: Inode, moment: tuple[int, int]) -> Inode:
    return replace(inode, mtime=moment[0], mtime_nsec=moment[1])


def timed(inodes: st.SearchStrategy[Inode]) -> st.SearchStrategy[Inode]:
    return st.builds(with_time, inodes, times)


def modes(kind: int) -> st.SearchStrategy[int]:
    return st.integers(0, 0o7777).map(lambda bits: kind | bits)


directories = timed(st.builds(Inode, modes(stat.S_IFDIR), **COMMON))
files = timed(
    st.builds(Inode, modes(stat.S_IFREG), content=st.builds(BytesBlob, contents), **COMMON)
)
targets = st.one_of(st.just(b"../x"), st.just(b"t" * 4000), st.just(b"t" * 4095))
links = timed(st.builds(Inode, modes(stat.S_IFLNK), target=targets, **COMMON))
numbers = st.tuples(st.integers(0, 4095), st.integers(0, (1 << 20) - 1))
devices = timed(
    st.builds(Inode, st.sampled_from([stat.S_IFCHR, stat.S_IFBLK]), rdev=numbers, **COMMON)
)
pipes = timed(st.builds(Inode, st.sampled_from([stat.S_IFIFO, stat.S_IFSOCK]), **COMMON))
leaves = st.one_of(files, files, files, links, devices, pipes)


@st.composite
def trees(draw: st.DrawFn, most: int = 12) -> dict[bytes, Inode]:
    """A tree: each new path goes into a directory already there; some are further hard links."""
    tree = {b"": draw(directories)}
    for _ in range(draw(st.integers(0, most))):
        above = draw(st.sampled_from(sorted(path for path in tree if tree[path].is_dir)))
        path = above + b"/" + draw(part) if above else draw(part)
        others = [tree[path] for path in sorted(tree) if not tree[path].is_dir]
        if path in tree:
            continue
        choices = [directories, leaves, leaves]
        choices += [st.sampled_from(others)] if others else []
        tree[path] = draw(st.one_of(choices))
    return tree


def content_of(inode: Inode) -> bytes | None:
    return None if inode.content is None else inode.content.read_at(0, inode.content.size)


def plain(tree: Tree) -> dict[bytes, Plain]:
    """A tree as values to compare; inodes are numbered in the order of their paths."""
    numbers: dict[int, int] = {}
    return {
        path: (
            numbers.setdefault(id(inode), len(numbers)),
            inode.mode,
            inode.uid,
            inode.gid,
            inode.mtime,
            inode.mtime_nsec,
            inode.xattrs,
            inode.target,
            inode.rdev,
            content_of(inode),
        )
        for path, inode in sorted(tree.items())
    }


def make(tree: Tree) -> Image:
    return plan(tree, uuid=ID, build_time=BUILD_TIME)


def bytes_of(image: Image) -> bytes:
    data = bytearray(b"\xaa" * (image.block_count * 4096))
    image.fill(0, memoryview(data))
    return bytes(data)


# --- Round trips ---------------------------------------------------------------------------------


@settings(max_examples=150)
@given(trees())
def test_what_is_written_reads_back_equal(tree: dict[bytes, Inode]) -> None:
    image = Reader(BytesBlob(bytes_of(make(tree))))
    assert plain(image.read_tree()) == plain(tree)
    for path, inode in tree.items():
        found = image.lookup(path)
        assert found is not None
        assert plain({b"": found}) == plain({b"": inode})
        if inode.is_dir:
            inside = [other.rpartition(b"/") for other in tree if other]
            expected = sorted(name for above, _, name in inside if above == path)
            assert image.listdir(path) == expected


@settings(max_examples=50)
@given(trees(), st.randoms(use_true_random=False))
def test_the_order_of_the_mapping_makes_no_difference(
    tree: dict[bytes, Inode], order: random.Random
) -> None:
    items = list(tree.items())
    order.shuffle(items)
    assert bytes_of(make(dict(items))) == bytes_of(make(tree))


@settings(max_examples=50)
@given(trees(), st.data())
def test_any_run_of_blocks_equals_that_part_of_the_whole(
    tree: dict[bytes, Inode], data: st.DataObject
) -> None:
    image = make(tree)
    whole = bytes_of(image)
    for _ in range(10):
        first = data.draw(st.integers(0, image.block_count))
        count = data.draw(st.integers(0, image.block_count - first))
        part = bytearray(b"\x55" * (count * 4096))
        image.fill(first, memoryview(part))
        assert part == whole[first * 4096 : (first + count) * 4096]


@settings(max_examples=50)
@given(trees())
def test_the_summary_counts_what_is_there(tree: dict[bytes, Inode]) -> None:
    image = make(tree)
    inodes = {id(inode): inode for inode in tree.values()}.values()
    summary = image.summary
    assert summary.directories == sum(inode.is_dir for inode in inodes)
    assert summary.files == sum(inode.is_file for inode in inodes)
    assert summary.symlinks == sum(inode.is_symlink for inode in inodes)
    assert summary.hard_links == len(tree) - len(inodes)
    assert summary.content_bytes == sum(len(content_of(inode) or b"") for inode in inodes)
    assert summary.stored_bytes == image.block_count * 4096
    assert summary.shared_bytes % 4096 == 0


@settings(max_examples=40)
@given(trees())
def test_a_block_is_attributed_to_files_that_hold_it(
    tree: dict[bytes, Inode],
) -> None:
    data = bytes_of(make(tree))
    image = Reader(BytesBlob(data))
    starts = {path: (content_of(inode) or b"")[:4096] for path, inode in tree.items()}
    for start in {start for start in starts.values() if len(start) == 4096}:
        named = image.owners(data.index(start), 4096)
        assert named
        assert set(named) <= {printable(path) for path in tree if starts[path] == start}


# --- Damage --------------------------------------------------------------------------------------


def explore(data: bytes) -> None:
    """Use everything the reader offers, and at most 64 KiB of each content."""
    image = Reader(BytesBlob(data))
    image.owners(0, len(data))
    for path in (b"", b"a", b"a/b"):
        image.lookup(path)
    for inode in image.read_tree(max_entries=2000).values():
        if inode.content is not None:
            try:
                inode.content.read_at(0, min(inode.content.size, 1 << 16))
            except SysgraftError:
                continue


def survives(data: bytes) -> None:
    started = time.monotonic()
    try:
        explore(data)
    except SysgraftError as error:
        message = str(error)
    else:
        message = "a result"
    assert len(message.splitlines()) == 1
    assert time.monotonic() - started < 5


def seasoned_image() -> bytes:
    """A small image with something of everything."""
    attributes = ((b"security.capability", bytes(20)), (b"user.note", b"x" * 40))
    shared = Inode(stat.S_IFREG | 0o644, content=BytesBlob(b"shared" * 1000), xattrs=attributes)
    tree = {
        b"": Inode(stat.S_IFDIR | 0o755),
        b"a": Inode(stat.S_IFDIR | 0o755, xattrs=attributes, mtime=BUILD_TIME),
        b"a/b": shared,
        b"a/c": shared,
        b"a/d": Inode(stat.S_IFDIR | 0o700),
        b"a/d/e": Inode(stat.S_IFLNK | 0o777, target=b"../b"),
        b"a/d/null": Inode(stat.S_IFCHR, rdev=(1, 3), mtime=BUILD_TIME),
        b"large": Inode(stat.S_IFDIR | 0o755),
    }
    tree |= {
        b"large/%0100d" % n: Inode(stat.S_IFREG, content=BytesBlob(bytes(n))) for n in range(60)
    }
    return bytes_of(make(tree))


SEASONED = seasoned_image()

# Bytes that matter more often than others: ends of ranges, single bits, small numbers.
values = st.one_of(st.sampled_from([0, 1, 2, 4, 8, 0x7F, 0x80, 0xFF]), st.integers(0, 255))


@settings(max_examples=400)
@given(
    st.lists(st.tuples(st.integers(1024, len(SEASONED) - 1), values), min_size=1, max_size=6),
)
def test_a_damaged_image_gives_a_result_or_one_clear_error(
    damage: list[tuple[int, int]],
) -> None:
    data = bytearray(SEASONED)
    for position, value in damage:
        data[position] = value
    survives(bytes(data))
    # Once more with a fitting checksum, as somebody would who means harm.
    seal_block(memoryview(data)[:4096])
    survives(bytes(data))


@settings(max_examples=300)
@given(st.integers(0, 127), st.integers(0, 200), st.binary(min_size=1, max_size=8))
def test_damaged_structures_give_a_result_or_one_clear_error(
    field: int, slot: int, value: bytes
) -> None:
    data = bytearray(SEASONED)
    position = 1024 + slot * 32 + field
    data[position : position + len(value)] = value
    seal_block(memoryview(data)[:4096])
    survives(bytes(data))


@settings(max_examples=100)
@given(st.integers(0, len(SEASONED)))
def test_an_image_cut_anywhere_gives_one_clear_error(size: int) -> None:
    survives(SEASONED[:size])


@settings(max_examples=150)
@given(st.binary(max_size=3000))
def test_noise_behind_a_superblock_gives_a_result_or_one_clear_error(noise: bytes) -> None:
    data = bytearray(SEASONED[:8192])
    data[1024 + 36 : 1024 + 40] = (2).to_bytes(4, "little")
    data[1152 : 1152 + len(noise)] = noise
    seal_block(memoryview(data)[:4096])
    survives(bytes(data))
