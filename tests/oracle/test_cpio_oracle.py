"""Cpio archives against GNU cpio and BusyBox: they unpack ours, we read theirs."""

from __future__ import annotations

import os
import stat
import subprocess
from collections import defaultdict
from typing import TYPE_CHECKING, cast

import pytest

from sysgraft.base.blob import BytesBlob
from sysgraft.base.tree import Inode
from sysgraft.formats import cpio, cpio_reader

if TYPE_CHECKING:
    from pathlib import Path

    from sysgraft.base.tree import Tree

UNPACK = {
    "cpio": ["cpio", "--extract", "--preserve-modification-time", "--quiet", "-H", "newc"],
    "busybox": ["busybox", "cpio", "-i", "-m"],
}
READERS = [pytest.param(name, marks=pytest.mark.oracle(name)) for name in UNPACK]


def file(data: bytes, mode: int = 0o644, mtime: int = 0) -> Inode:
    return Inode(stat.S_IFREG | mode, content=BytesBlob(data), mtime=mtime)


def folder(mode: int = 0o755, mtime: int = 0) -> Inode:
    return Inode(stat.S_IFDIR | mode, mtime=mtime)


def sample() -> dict[bytes, Inode]:
    shared, empty = file(b"shared\n", 0o600, 7), file(b"", 0o640, 8)
    return {
        b"": folder(0o751, 1_000_000_000),
        b"bin": folder(0o755, 5),
        b"bin/set-id": file(b"#!" + bytes(range(256)) * 5000, 0o6755, 2**31 + 5),
        b"bin/link": Inode(stat.S_IFLNK | 0o777, target=b"../deep/x", mtime=9),
        b"bin/a": shared,
        b"deep": folder(0o1777, 6),
        b"deep/" + b"n" * 255: file(b"1", mtime=11),
        b"deep/\xff odd\n": file(b"12", mtime=12),
        b"deep/-": folder(0o700, 13),
        b"deep/-/b": shared,
        b"deep/-/c": shared,
        b"deep/three": file(b"123", 0o400, 14),
        b"deep/four": file(b"1234", mtime=15),
        b"empty": empty,
        b"empty2": empty,
        b"fifo": Inode(stat.S_IFIFO | 0o622, mtime=16),
        b"late": file(b"end", mtime=2**32 - 1),
    }


def devices() -> dict[bytes, Inode]:
    owned = Inode(stat.S_IFREG | 0o644, uid=12345, gid=54321, content=BytesBlob(b"owned"))
    return {
        b"dev": folder(),
        b"dev/console": Inode(stat.S_IFCHR | 0o600, rdev=(5, 1)),
        b"dev/far": Inode(stat.S_IFBLK | 0o660, gid=6, rdev=(259, 70_000)),
        b"owned": owned,
    }


def write(path: Path, tree: Tree) -> bytes:
    archive = cpio.plan(tree)
    data = b"".join(archive.chunks())
    assert len(data) == archive.size
    path.write_bytes(data)
    return data


def unpack(reader: str, archive: Path, into: Path) -> Path:
    into.mkdir()
    with archive.open("rb") as stream:
        subprocess.run(UNPACK[reader], stdin=stream, cwd=into, check=True, timeout=60)
    return into


def facts(root: Path) -> dict[bytes, tuple[object, ...]]:
    """Everything an archive can say about what is in a folder."""
    names = defaultdict(list)
    found: dict[bytes, tuple[object, ...]] = {}
    places = [os.fsencode(root), *(os.path.join(above, each) for above, one, two in
              os.walk(os.fsencode(root)) for each in one + two)]  # fmt: skip
    for place in places:
        path = b"" if place == places[0] else os.path.relpath(place, places[0])
        status = os.lstat(place)
        names[status.st_ino].append(path)
        data = b""
        if stat.S_ISREG(status.st_mode):
            with open(place, "rb") as stream:
                data = stream.read()
        elif stat.S_ISLNK(status.st_mode):
            data = os.readlink(place)
        owner = (status.st_uid, status.st_gid)
        device = (os.major(status.st_rdev), os.minor(status.st_rdev))
        paths = names[status.st_ino]
        found[path] = (status.st_mode, owner, device, data, int(status.st_mtime), paths)
    for paths in names.values():
        paths.sort()
    return found


def expected(tree: Tree, owner: tuple[int, int] | None) -> dict[bytes, tuple[object, ...]]:
    found: dict[bytes, tuple[object, ...]] = {}
    for path, one in tree.items():
        data = one.content.read_at(0, one.content.size) if one.content else one.target
        paths = sorted(other for other, each in tree.items() if each is one)
        found[path] = (one.mode, owner or (one.uid, one.gid), one.rdev, data, one.mtime, paths)
    return found


def comparable(found: dict[bytes, tuple[object, ...]]) -> dict[bytes, tuple[object, ...]]:
    """Without what those readers do not restore.

    Both leave the folder alone that they unpack into, date folders before they fill them, and
    do not date links. The kernel does all of it.
    """
    return {
        path: fact if stat.S_ISREG(cast("int", fact[0])) else fact[:4] + fact[5:]
        for path, fact in found.items()
        if path
    }


@pytest.mark.parametrize("reader", READERS)
def test_a_tree_is_unpacked_as_it_was(reader: str, tmp_path: Path) -> None:
    tree = sample()
    write(tmp_path / "cpio", tree)
    found = facts(unpack(reader, tmp_path / "cpio", tmp_path / "out"))
    me = (os.getuid(), os.getgid())
    want = expected(tree, None if me == (0, 0) else me)
    assert comparable(found) == comparable(want)


@pytest.mark.root
@pytest.mark.parametrize("reader", READERS)
def test_devices_and_owners_are_unpacked(reader: str, tmp_path: Path) -> None:
    tree = {b"": folder(), **devices()}
    write(tmp_path / "cpio", tree)
    found = facts(unpack(reader, tmp_path / "cpio", tmp_path / "out"))
    assert comparable(found) == comparable(expected(tree, None))


@pytest.mark.oracle("cpio")
def test_cpio_lists_every_entry(tmp_path: Path) -> None:
    tree = {**sample(), **devices()}
    del tree[b"deep/\xff odd\n"]
    write(tmp_path / "cpio", tree)
    with (tmp_path / "cpio").open("rb") as stream:
        done = subprocess.run(
            ["cpio", "-itv", "--quiet", "--numeric-uid-gid", "-H", "newc"],
            stdin=stream, capture_output=True, check=True, timeout=60,
        )  # fmt: skip
    assert done.stderr == b""
    want = [
        [
            stat.filemode(one.mode),
            str(sum(each is one for each in tree.values())),
            str(one.uid),
            str(one.gid),
            (path or b".").decode(),
        ]
        for path, one in sorted(tree.items())
    ]
    lines = [line.partition(" -> ")[0].split() for line in done.stdout.decode().splitlines()]
    assert [[*line[:4], line[-1]] for line in lines] == want


@pytest.mark.oracle("cpio")
@pytest.mark.parametrize("form", ["newc", "crc"])
def test_what_cpio_writes_is_read(form: str, tmp_path: Path) -> None:
    tree = sample()
    write(tmp_path / "cpio", tree)
    out = unpack("cpio", tmp_path / "cpio", tmp_path / "out")
    names = b"\0".join(path or b"." for path in tree)
    packed = [
        subprocess.run(
            ["cpio", "-o", "--quiet", "--null", "-H", form],
            input=names, cwd=out, capture_output=True, check=True, timeout=60,
        ).stdout
        for _ in range(2)
    ]  # fmt: skip
    found = list(cpio_reader.entries(BytesBlob(b"".join(packed))))
    assert {e.archive for e in found} == {0, 1}
    for number in (0, 1):
        mine = {e.name: e for e in found if e.archive == number}
        assert set(mine) == {path or b"." for path in tree}
        for path, one in tree.items():
            entry = mine[path or b"."]
            if one.is_file:
                assert (entry.mode, entry.mtime) == (one.mode, one.mtime)
            if one.is_symlink:
                assert entry.data.read_at(0, entry.data.size) == one.target
            if one.content is None:
                continue
            linked = [e.data for e in mine.values() if e.number == entry.number]
            assert b"".join(d.read_at(0, d.size) for d in linked) == one.content.read_at(
                0, one.content.size
            )
