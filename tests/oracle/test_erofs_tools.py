"""EROFS against erofs-utils 1.5 and 1.8 and against Linux: our images there, theirs here."""

from __future__ import annotations

import contextlib
import os
import random
import re
import stat
import subprocess
from dataclasses import replace
from typing import TYPE_CHECKING, Final, Protocol, TypeAlias
from uuid import UUID

import pytest

from sysgraft.base.blob import BytesBlob
from sysgraft.base.tree import Inode
from sysgraft.errors import UnsupportedError
from sysgraft.formats.erofs.reader import Reader
from sysgraft.formats.erofs.writer import Image, plan

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from sysgraft.base.tree import Tree

    class Debian13(Protocol):
        """What the fixture `debian13` offers."""

        def run(
            self,
            argv: Sequence[str | os.PathLike[str]],
            *,
            binds: Mapping[Path, str | Path] | None = None,
            check: bool = True,
        ) -> subprocess.CompletedProcess[str]: ...


ID = UUID("00112233-4455-6677-8899-aabbccddeeff")
BUILD_TIME: Final = 1_700_000_000
Snapshot: TypeAlias = dict[bytes, dict[str, object]]

ALL: Final = frozenset(
    {"mode", "uid", "gid", "mtime", "rdev", "target", "content", "xattrs", "nlink", "same"}
)

# --- Trees and folders as values to compare ------------------------------------------------------


def tree_snapshot(tree: Tree) -> Snapshot:
    """Every property of every path; hard links are the group of paths they make."""
    groups: dict[int, list[bytes]] = {}
    for path, inode in sorted(tree.items()):
        groups.setdefault(id(inode), []).append(path)
    directories = [path.rpartition(b"/")[0] for path in tree if path and tree[path].is_dir]
    return {
        path: {
            "mode": inode.mode,
            "uid": inode.uid,
            "gid": inode.gid,
            "mtime": inode.mtime * 10**9 + inode.mtime_nsec,
            "rdev": inode.rdev,
            "target": inode.target,
            "content": inode.content and inode.content.read_at(0, inode.content.size),
            "xattrs": dict(inode.xattrs),
            "nlink": 2 + directories.count(path) if inode.is_dir else len(groups[id(inode)]),
            "same": groups[id(inode)],
        }
        for path, inode in tree.items()
    }


def folder_snapshot(folder: Path) -> Snapshot:
    """The same of a folder on disk, as the system shows it."""
    root = os.fsencode(folder)
    paths = [b""]
    for path in paths:
        status = os.lstat(os.path.join(root, path))
        if stat.S_ISDIR(status.st_mode):
            paths += [os.path.join(path, name) for name in os.listdir(os.path.join(root, path))]
    groups: dict[int, list[bytes]] = {}
    for path in sorted(paths):
        groups.setdefault(os.lstat(os.path.join(root, path)).st_ino, []).append(path)
    return {path: disk_values(os.path.join(root, path), groups) for path in paths}


def disk_values(path: bytes, groups: dict[int, list[bytes]]) -> dict[str, object]:
    status = os.lstat(path)
    is_device = stat.S_ISCHR(status.st_mode) or stat.S_ISBLK(status.st_mode)
    device = (os.major(status.st_rdev), os.minor(status.st_rdev)) if is_device else (0, 0)
    content = None
    if stat.S_ISREG(status.st_mode):
        with open(path, "rb") as file:
            content = file.read()
    names = os.listxattr(path, follow_symlinks=False)
    return {
        "mode": status.st_mode,
        "uid": status.st_uid,
        "gid": status.st_gid,
        "mtime": status.st_mtime_ns,
        "rdev": device,
        "target": os.readlink(path) if stat.S_ISLNK(status.st_mode) else b"",
        "content": content,
        "xattrs": {os.fsencode(n): os.getxattr(path, n, follow_symlinks=False) for n in names},
        "nlink": status.st_nlink,
        "same": groups[status.st_ino],
    }


def only(snapshot: Snapshot, fields: frozenset[str]) -> Snapshot:
    return {
        path: {field: value for field, value in values.items() if field in fields}
        for path, values in snapshot.items()
    }


def assert_equal(left: Snapshot, right: Snapshot, fields: frozenset[str] = ALL) -> None:
    assert sorted(left) == sorted(right)
    expected = only(right, fields)
    for path, values in only(left, fields).items():
        assert values == expected[path], path


# --- Our images ----------------------------------------------------------------------------------

# Version 2; owner rw-, user 1000 r--, group r--, mask r--, others r--.
ACL: Final = bytes.fromhex(
    "02000000 01000600ffffffff 02000400e8030000 04000400ffffffff 10000400ffffffff 20000400ffffffff"
)
CAPABILITY: Final = bytes.fromhex("0100000200040000000000000000000000000000")  # cap_net_bind…


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
    """A folder with what an ordinary file system can hold."""
    folder = tmp_path_factory.mktemp("source")
    (folder / "usr/lib").mkdir(parents=True)
    for size in (0, 1, 600, 4000, 4064, 4065, 4096, 4097, 8192, 12_500, 70_000):
        path = folder / f"usr/size {size}"
        path.write_bytes(random.Random(size).randbytes(size))
        os.setxattr(path, "user.label", b"the same everywhere")
        os.setxattr(path, "user.org.example.size", b"%d" % size)
    sparse = folder / "usr/sparse"
    with sparse.open("wb") as stream:
        stream.write(b"start")
        stream.seek(200_000)
        stream.write(b"end")
    (folder / "usr/repeated").write_bytes(random.Random(1).randbytes(65_536) * 3)
    (folder / "usr/text").write_text("compressible\n" * 10_000)
    os.link(folder / "usr/size 4097", folder / "usr/lib/hard")
    os.symlink("../size 1", folder / "usr/lib/link")
    os.symlink("y/" * 2000, folder / "usr/lib/long link")
    os.mkfifo(folder / "usr/lib/pipe")
    for number in range(500):
        (folder / f"usr/lib/entry number {number}").write_bytes(b"%d" % number)
    if os.geteuid() == 0:
        os.mknod(folder / "usr/lib/null", stat.S_IFCHR | 0o666, os.makedev(1, 3))
        os.setxattr(folder / "usr/text", "security.capability", CAPABILITY)
        os.setxattr(folder / "usr/lib", "trusted.overlay.opaque", b"y")
        os.setxattr(folder / "usr/lib", "system.posix_acl_default", ACL)
        os.chown(folder / "usr/size 600", 100_000, 7)
    set_times(folder)
    return folder


def set_times(folder: Path) -> None:
    """Old times, each its own: mkfs.erofs may drop the nanoseconds of the second it runs in."""
    paths = [folder, *sorted(folder.rglob("*"))]
    for number, path in enumerate(paths):
        moment = (BUILD_TIME + number) * 10**9 + number
        os.utime(path, ns=(moment, moment), follow_symlinks=False)


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


@pytest.mark.oracle("debian-13")
@pytest.mark.parametrize(
    "options",
    [
        ["-zlz4"],
        ["-zlz4hc,12", "-C65536", "-Efragments,ztailpacking"],
        ["-zzstd", "-Eall-fragments,dedupe"],
    ],
)
def test_compressed_images_are_listed_whole_and_their_data_refused_by_name(
    source: Path, tmp_path: Path, debian13: Debian13, options: list[str]
) -> None:
    binds = {source: "/mnt/source", tmp_path: "/mnt/out"}
    debian13.run(["mkfs.erofs", "-d0", *options, "/mnt/out/image", "/mnt/source"], binds=binds)
    expected = folder_snapshot(source)
    image = read(tmp_path / "image")
    tree = image.read_tree()
    contents = {path: inode.content for path, inode in tree.items()}
    sizes = {path: content.size for path, content in contents.items() if content is not None}
    assert sizes == {
        path: len(values["content"])
        for path, values in expected.items()
        if isinstance(values["content"], bytes)
    }
    without = {path: replace(inode, content=None) for path, inode in tree.items()}
    assert_equal(tree_snapshot(without), expected, ALL - {"content", "nlink", "same"})
    text = image.lookup(b"usr/text")
    assert text is not None
    assert text.content is not None
    with pytest.raises(UnsupportedError, match="usr/text is compressed"):
        text.content.read_at(0, 1)
