"""EROFS against erofs-utils 1.5 and 1.8 and against Linux: our images there, theirs here."""

from __future__ import annotations

import contextlib
import os
import random
import re
import stat
import subprocess
from dataclasses import replace
from typing import TYPE_CHECKING, Final
from uuid import UUID

import pytest

from erofs_kit import (
    ACL,
    ALL,
    BUILD_TIME,
    CAPABILITY,
    assert_equal,
    fill_ordinary,
    folder_snapshot,
    tree_snapshot,
)
from sysgraft.base.blob import BytesBlob
from sysgraft.base.tree import Inode
from sysgraft.formats.erofs.reader import Reader
from sysgraft.formats.erofs.writer import Image, plan

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from conftest import Debian13


ID = UUID("00112233-4455-6677-8899-aabbccddeeff")

# --- Our images ----------------------------------------------------------------------------------


def data(size: int) -> BytesBlob:
    return BytesBlob(random.Random(size).randbytes(size))


def file(size: int, **values: object) -> Inode:
    return Inode(stat.S_IFREG | 0o644, content=data(size), mtime=BUILD_TIME, **values)  # type: ignore[arg-type]


def directory(mode: int = 0o755) -> Inode:
    return Inode(stat.S_IFDIR | mode, mtime=BUILD_TIME)


def rich_tree() -> dict[bytes, Inode]:
    """Everything EROFS can hold, with owners, times and attributes of both inode forms."""
    shared = file(20_001, xattrs=((b"user.shared", b"yes"),))
    tree = {
        b"": directory(),
        b"usr": directory(),
        b"usr/hard": shared,
        b"usr/link": Inode(stat.S_IFLNK | 0o777, target=b"hard", mtime=BUILD_TIME),
        b"usr/long link": Inode(stat.S_IFLNK | 0o777, target=b"x/" * 2000 + b"y"),
        b"usr/longest link": Inode(stat.S_IFLNK | 0o777, target=b"x" * 4095),
        b"usr/equal": file(20_001),
        b"usr/whiteout": Inode(stat.S_IFCHR | 0o600),
        b"usr/device": Inode(stat.S_IFBLK | 0o640, gid=6, rdev=(300, 70_000)),
        b"usr/pipe": Inode(stat.S_IFIFO | 0o600),
        b"usr/socket": Inode(stat.S_IFSOCK | 0o755),
        b"usr/program": file(
            9000,
            xattrs=((b"security.capability", CAPABILITY), (b"user.empty", b"")),
        ),
        b"usr/acl": file(5, xattrs=((b"system.posix_acl_access", ACL), (b"trusted.t", b"1"))),
        b"usr/many": file(
            5000, xattrs=tuple((b"user.%03d" % n, bytes([n]) * 900) for n in range(20))
        ),
        b"usr/owner": Inode(
            stat.S_IFREG | 0o4711, uid=70_000, gid=(1 << 32) - 2, content=data(7), mtime=BUILD_TIME
        ),
        b"usr/old": Inode(stat.S_IFREG | 0o400, content=data(7), mtime=-1, mtime_nsec=5),
        b"usr/sticky": Inode(
            stat.S_IFDIR | 0o1777, mtime=1, xattrs=((b"system.posix_acl_default", ACL),)
        ),
        b"usr/sticky/hard": shared,
        b"usr/!before the dots": file(1),
        b"usr/\xff\xfe not UTF-8": file(2),
        b"usr/" + b"n" * 255: file(3),
        b"large": directory(),
    }
    tree |= {b"usr/size %d" % size: file(size) for size in (0, 1, 4064, 4065, 4096, 4097, 8192)}
    return tree | {b"large/entry number %d" % n: file(n % 90) for n in range(3000)}


def deep_tree() -> dict[bytes, Inode]:
    paths = [b"/".join([b"d"] * depth) for depth in range(1, 500)]
    return {b"": directory()} | {path: directory() for path in paths}


def store(image: Image, path: Path) -> Path:
    content = bytearray(image.block_count * 4096)
    image.fill(0, memoryview(content))
    path.write_bytes(content)
    return path


def run(*words: str | os.PathLike[str]) -> str:
    done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def rich_image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    image = plan(rich_tree(), uuid=ID, build_time=BUILD_TIME, volume_name="rich")
    return store(image, tmp_path_factory.mktemp("rich") / "rich.erofs")


@contextlib.contextmanager
def mounted(image: Path, folder: Path) -> Iterator[Path]:
    folder.mkdir()
    run("mount", "-t", "erofs", "-o", "loop,ro", image, folder)
    try:
        yield folder
    finally:
        run("umount", folder)


@pytest.mark.root
def test_linux_shows_the_whole_tree_as_it_was_given(rich_image: Path, tmp_path: Path) -> None:
    with mounted(rich_image, tmp_path / "mnt") as folder:
        assert_equal(folder_snapshot(folder), tree_snapshot(rich_tree()))


@pytest.mark.root
def test_linux_goes_down_a_deep_tree(tmp_path: Path) -> None:
    image = store(plan(deep_tree(), uuid=ID, build_time=BUILD_TIME), tmp_path / "image")
    with mounted(image, tmp_path / "mnt") as folder:
        assert_equal(folder_snapshot(folder), tree_snapshot(deep_tree()))


@pytest.mark.root
def test_linux_finds_every_name_of_a_large_directory(tmp_path: Path) -> None:
    names = [b"entry %d" % number for number in range(100_000)]
    empty = BytesBlob(b"")
    tree = {b"": directory()} | {
        name: Inode(stat.S_IFREG | number % 0o1000, content=empty)
        for number, name in enumerate(names)
    }
    image = store(plan(tree, uuid=ID, build_time=0), tmp_path / "image")
    with mounted(image, tmp_path / "mnt") as folder:
        assert sorted(os.listdir(os.fsencode(folder))) == sorted(names)
        for name in names[::7]:
            status = os.lstat(os.path.join(os.fsencode(folder), name))
            assert status.st_mode == tree[name].mode


class Sparse:
    """Zeros, but for a few marks."""

    def __init__(self, size: int, marks: dict[int, bytes]) -> None:
        self.size = size
        self.marks = marks

    def read_at(self, offset: int, length: int) -> bytes:
        content = bytearray(length)
        self.readinto_at(offset, memoryview(content))
        return bytes(content)

    def readinto_at(self, offset: int, view: memoryview) -> None:
        view[:] = bytes(len(view))
        for place, mark in self.marks.items():
            if offset <= place and place + len(mark) <= offset + len(view):
                view[place - offset : place - offset + len(mark)] = mark


@pytest.mark.root
def test_linux_reads_a_file_above_4_gib(tmp_path: Path) -> None:
    marks = {0: b"start", (4 << 30) - 4: b"line", 5 << 30: b"end"}
    big = Inode(stat.S_IFREG | 0o644, content=Sparse((5 << 30) + 3, marks))
    image = plan({b"": directory(), b"big": big, b"z": file(4096)}, uuid=ID, build_time=0)
    path = tmp_path / "image"
    with path.open("wb") as stream:
        stream.truncate(image.block_count * 4096)
        first_data = image.summary.metadata_bytes // 4096
        last = first_data + (1 << 20)
        for block in (*range(first_data + 1), last - 1, last, image.block_count - 1):
            part = bytearray(4096)
            image.fill(block, memoryview(part))
            stream.seek(block * 4096)
            stream.write(part)
    with mounted(path, tmp_path / "mnt") as folder, (folder / "big").open("rb") as stream:
        assert os.fstat(stream.fileno()).st_size == (5 << 30) + 3
        for place, mark in marks.items():
            assert os.pread(stream.fileno(), len(mark), place) == mark
        assert (folder / "z").read_bytes() == data(4096).read_at(0, 4096)


@pytest.mark.oracle("fsck.erofs")
def test_fsck_accepts_the_image(rich_image: Path) -> None:
    run("fsck.erofs", rich_image)


def extractable_tree() -> dict[bytes, Inode]:
    """Less what fsck.erofs cannot put on a disk.

    It sets the owner last, which costs files their set-uid bit and their capabilities; 1.8 stops
    at an attribute without a value; and ext4 has no room for 18 kB of attributes.
    """
    tree = rich_tree()
    tree[b"usr/owner"] = replace(tree[b"usr/owner"], mode=stat.S_IFREG | 0o711)
    tree[b"usr/program"] = replace(tree[b"usr/program"], xattrs=((b"user.note", b"text"),))
    del tree[b"usr/many"]
    return tree


@pytest.fixture(scope="module")
def extractable_image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    image = plan(extractable_tree(), uuid=ID, build_time=BUILD_TIME)
    return store(image, tmp_path_factory.mktemp("extractable") / "image")


# What fsck.erofs 1.5 restores: no attributes, no hard links.
EXTRACTED: Final = frozenset({"mode", "uid", "gid", "rdev", "target", "content"})


@pytest.mark.oracle("fsck.erofs")
@pytest.mark.root
def test_fsck_extracts_the_tree(extractable_image: Path, tmp_path: Path) -> None:
    run("fsck.erofs", f"--extract={tmp_path / 'out'}", extractable_image)
    found = folder_snapshot(tmp_path / "out")
    assert_equal(found, tree_snapshot(extractable_tree()), EXTRACTED)


@pytest.mark.oracle("debian-13")
def test_fsck_1_8_accepts_the_image(rich_image: Path, debian13: Debian13) -> None:
    words = ["fsck.erofs", f"/mnt/image/{rich_image.name}"]
    debian13.run(words, binds={rich_image.parent: "/mnt/image"})


@pytest.mark.oracle("debian-13")
def test_fsck_1_8_extracts_the_tree(
    extractable_image: Path, debian13: Debian13, tmp_path: Path
) -> None:
    binds = {extractable_image.parent: "/mnt/image", tmp_path: "/mnt/out"}
    debian13.run(
        ["fsck.erofs", "--extract=/mnt/out/tree", "--xattrs", "/mnt/image/image"], binds=binds
    )
    fields = EXTRACTED | {"xattrs", "nlink", "same"}
    found = folder_snapshot(tmp_path / "tree")
    assert_equal(found, tree_snapshot(extractable_tree()), fields)


@pytest.mark.oracle("dump.erofs")
def test_dump_reads_the_superblock_and_inodes(rich_image: Path) -> None:
    out = run("dump.erofs", "-s", rich_image)
    values = dict(re.findall(r"^Filesystem ([^:]+): +(.*?) *$", out, re.MULTILINE))
    assert values["UUID"] == str(ID)
    assert values["features"] == "sb_csum mtime"
    assert int(values["blocks"]) * 4096 == rich_image.stat().st_size
    tree = rich_tree()
    assert int(values["inode count"]) == len({id(inode) for inode in tree.values()})
    out = run("dump.erofs", "--path=/usr/program", rich_image)
    assert re.search(r"Size: 9000 +On-disk size: 9000 +regular file", out), out
    assert re.search(r"Access: 0644/rw-r--r--", out), out


# --- Their images --------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("source")
    fill_ordinary(folder)
    return folder


def read(image: Path) -> Reader:
    return Reader(BytesBlob(image.read_bytes()))


@pytest.mark.oracle("mkfs.erofs")
@pytest.mark.parametrize(
    "options",
    [
        [],
        ["-Eforce-inode-compact", "--ignore-mtime", "--all-root"],
        ["-Eforce-inode-extended"],
        ["-Elegacy-compress"],
        ["-Enosbcrc"],
        ["-Enoinline_data"],
        ["-x1"],
        ["-x100000"],
        ["--chunksize=4096"],
        ["--chunksize=65536"],
        ["--chunksize=4096", "-Eforce-chunk-indexes"],
        ["--chunksize=16384", "-Eforce-inode-extended", "-x1"],
    ],
)
def test_images_of_mkfs_read_as_the_folder_they_were_made_of(
    source: Path, tmp_path: Path, options: list[str]
) -> None:
    run("mkfs.erofs", "-d0", *options, tmp_path / "image", source)
    fields = ALL - ({"uid", "gid", "mtime"} if "--all-root" in options else set())
    assert_equal(
        tree_snapshot(read(tmp_path / "image").read_tree()), folder_snapshot(source), fields
    )


@pytest.mark.oracle("debian-13")
@pytest.mark.parametrize(
    "options",
    [
        [],
        ["-b512"],
        ["-b1024", "-x1"],
        ["-b2048", "--chunksize=4096"],
        ["-x1"],
        ["-Exattr-name-filter"],
        ["--xattr-prefix=user.org.example."],
        ["--xattr-prefix=user.org.example.", "--xattr-prefix=trusted.overlay.", "-x1"],
        ["--root-xattr-isize=300"],
        ["--chunksize=4096"],
        ["--chunksize=131072", "-Eforce-chunk-indexes"],
        ["--dsunit=16"],
    ],
)
def test_images_of_mkfs_1_8_read_as_the_folder_they_were_made_of(
    source: Path, tmp_path: Path, debian13: Debian13, options: list[str]
) -> None:
    binds = {source: "/mnt/source", tmp_path: "/mnt/out"}
    debian13.run(["mkfs.erofs", "-d0", *options, "/mnt/out/image", "/mnt/source"], binds=binds)
    assert_equal(tree_snapshot(read(tmp_path / "image").read_tree()), folder_snapshot(source))
