"""Cpio archives: every tree comes back, damaged archives are refused in one way."""

from __future__ import annotations

import stat
from contextlib import suppress
from typing import TYPE_CHECKING

from hypothesis import given, settings
from hypothesis import strategies as st

from sysgraft.base.blob import BytesBlob
from sysgraft.base.tree import Inode
from sysgraft.errors import FormatError
from sysgraft.formats import cpio, cpio_reader

if TYPE_CHECKING:
    import random

names = st.binary(min_size=1, max_size=6).map(
    lambda name: name.replace(b"/", b"-").replace(b"\0", b"+").replace(b".", b",")
)
owners = st.sampled_from([0, 1000, 2**32 - 1])
bits = st.integers(0, 0o7777)
times = st.integers(0, 2**32 - 1)
kinds = st.sampled_from([stat.S_IFIFO, stat.S_IFSOCK])
devices = st.sampled_from([stat.S_IFCHR, stat.S_IFBLK])
numbers = st.tuples(st.integers(0, 4095), st.integers(0, 0xFFFFF))


def inode(kind: int, mode: int, owner: int, mtime: int, **more: object) -> Inode:
    return Inode(kind | mode, uid=owner, gid=owner, mtime=mtime, **more)  # type: ignore[arg-type]


common = (bits, owners, times)
folders = st.builds(inode, st.just(stat.S_IFDIR), *common)
files = st.builds(
    inode, st.just(stat.S_IFREG), *common, content=st.binary(max_size=9).map(BytesBlob)
)
leaves = st.one_of(
    files,
    files,
    st.builds(inode, st.just(stat.S_IFLNK), *common, target=names),
    st.builds(inode, kinds, *common),
    st.builds(inode, devices, *common, rdev=numbers),
)


@st.composite
def trees(draw: st.DrawFn) -> dict[bytes, Inode]:
    tree = {b"": draw(folders)}
    inside = [b""]
    for name in draw(st.lists(names, max_size=10, unique=True)):
        above = draw(st.sampled_from(inside))
        path = above + b"/" + name if above else name
        others = [each for each in tree.values() if not each.is_dir]
        kind = draw(st.sampled_from(["folder", "leaf", "link"]))
        if kind == "folder":
            tree[path] = draw(folders)
            inside.append(path)
        elif kind == "link" and others:
            tree[path] = draw(st.sampled_from(others))
        else:
            tree[path] = draw(leaves)
    return tree


def facts(entry: cpio_reader.Entry) -> tuple[object, ...]:
    return (entry.mode, entry.uid, entry.gid, entry.mtime, entry.device, entry.links)


@given(trees(), st.randoms())
@settings(max_examples=300)
def test_a_tree_comes_back_and_its_order_does_not_matter(
    tree: dict[bytes, Inode], chance: random.Random
) -> None:
    archive = cpio.plan(tree)
    data = b"".join(archive.chunks())
    assert len(data) == archive.size
    shuffled = list(tree.items())
    chance.shuffle(shuffled)
    assert b"".join(cpio.plan(dict(shuffled)).chunks()) == data

    found = {e.name: e for e in cpio_reader.entries(BytesBlob(data))}
    assert list(found) == [path or b"." for path in sorted(tree)]
    groups: dict[int, list[bytes]] = {}
    for path, one in tree.items():
        entry = found[path or b"."]
        links = sum(other is one for other in tree.values())
        assert facts(entry) == (one.mode, one.uid, one.gid, one.mtime, one.rdev, links)
        groups.setdefault(entry.number, []).append(path)
    assert sorted(groups) == list(range(1, len(groups) + 1))
    for paths in groups.values():
        one = tree[paths[0]]
        assert all(tree[path] is one for path in paths)
        held = [found[path or b"."].data for path in sorted(paths)]
        held_bytes = [each.read_at(0, each.size) for each in held]
        if one.is_symlink:
            assert held_bytes == [one.target] * len(paths)
        else:
            content = one.content.read_at(0, one.content.size) if one.content else b""
            assert held_bytes == [*[b""] * (len(paths) - 1), content]


VALID = b"".join(
    cpio.plan(
        {
            b"": Inode(stat.S_IFDIR | 0o755),
            b"f": Inode(stat.S_IFREG | 0o644, content=BytesBlob(b"hello")),
            b"l": Inode(stat.S_IFLNK | 0o777, target=b"f"),
        }
    ).chunks()
)
TWO = VALID + bytes(12) + VALID


@given(
    st.lists(
        st.tuples(st.integers(0, len(TWO) - 1), st.sampled_from([*b"0123456789abcdefF/.\0\xff"])),
        max_size=6,
    ),
    st.integers(0, len(TWO)),
)
@settings(max_examples=500)
def test_damaged_archives_raise_only_our_errors(flips: list[tuple[int, int]], end: int) -> None:
    data = bytearray(TWO)
    for place, value in flips:
        data[place] = value
    blob = BytesBlob(bytes(data[:end]))
    with suppress(FormatError):
        for entry in cpio_reader.entries(blob):
            assert len(entry.data.read_at(0, entry.data.size)) == entry.data.size
            assert entry.name
            assert b"\0" not in entry.name
    with suppress(FormatError):
        assert 0 <= cpio_reader.plain_size(blob) <= blob.size


@given(st.binary(max_size=300))
def test_any_bytes_are_refused_or_read(data: bytes) -> None:
    with suppress(FormatError):
        assert not list(cpio_reader.entries(BytesBlob(data)))
