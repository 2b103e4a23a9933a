"""Trees and folders as values to compare, and folders that try what EROFS images can hold."""

from __future__ import annotations

import os
import random
import stat
from typing import TYPE_CHECKING, Final, TypeAlias

if TYPE_CHECKING:
    from pathlib import Path

    from conftest import Debian13
    from sysgraft.base.tree import Tree

BUILD_TIME: Final = 1_700_000_000
Snapshot: TypeAlias = dict[bytes, dict[str, object]]

ALL: Final = frozenset(
    {"mode", "uid", "gid", "mtime", "rdev", "target", "content", "xattrs", "nlink", "same"}
)

# Version 2; owner rw-, user 1000 r--, group r--, mask r--, others r--.
ACL: Final = bytes.fromhex(
    "02000000 01000600ffffffff 02000400e8030000 04000400ffffffff 10000400ffffffff 20000400ffffffff"
)
CAPABILITY: Final = bytes.fromhex("0100000200040000000000000000000000000000")  # cap_net_bind…

# --- Values to compare ---------------------------------------------------------------------------


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


# --- Folders -------------------------------------------------------------------------------------


def fill_ordinary(folder: Path) -> None:
    """What an ordinary file system can hold."""
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


def set_times(folder: Path) -> None:
    """Old times, each its own: mkfs.erofs may drop the nanoseconds of the second it runs in."""
    paths = [folder, *sorted(folder.rglob("*"))]
    for number, path in enumerate(paths):
        moment = (BUILD_TIME + number) * 10**9 + number
        os.utime(path, ns=(moment, moment), follow_symlinks=False)


def fill_compressible(folder: Path) -> None:
    """Beside what is ordinary, contents of every shape a compressor meets."""
    fill_ordinary(folder)
    shapes = folder / "shapes"
    (shapes / "many").mkdir(parents=True)
    for size in (1, 100, 4095, 4096, 4097, 8192, 16_384, 65_535, 65_536, 65_537, 200_000):
        (shapes / f"text {size}").write_bytes(text(size, size))
        (shapes / f"zeros {size}").write_bytes(bytes(size))
    (shapes / "large").write_bytes(text(1_500_000, 5))
    (shapes / "mixed").write_bytes(mixed())
    (shapes / "all zeros").write_bytes(bytes(14 << 20))
    (shapes / "twice").write_bytes(text(65_536, 65_536) * 2 + text(3000, 9))
    (shapes / "part of large").write_bytes(text(1_500_000, 5)[100_000:900_000])
    for number in range(120):
        (shapes / f"many/{number}").write_bytes(text(number * 11, number))
    set_times(folder)


def text(size: int, seed: int) -> bytes:
    """Text that compresses to about a third."""
    chosen = random.Random(seed)
    words = [bytes(chosen.choices(b"abcdefghijklmnop", k=chosen.randint(2, 9))) for _ in range(500)]
    return b" ".join(chosen.choices(words, k=size // 3 + 1))[:size]


def mixed() -> bytes:
    """Stretches that compress and stretches that do not."""
    noise = random.Random(7)
    return b"".join(text(9000, n) if n % 2 else noise.randbytes(n * 700) for n in range(40))


# --- Compressed images ---------------------------------------------------------------------------

# Options of mkfs.erofs 1.8: every algorithm, both kinds of index, and what may become of tails,
# duplicates and small files. The second is how Flatcar makes its extensions.
OF_1_8: Final = [
    "-zlz4",
    "-zlz4hc,12 -C65536 -Efragments,ztailpacking",
    "-zlz4hc -C1048576",
    "-zlz4 -Elegacy-compress",
    "-zlz4 -Elegacy-compress,dedupe",
    "-zlz4 -Elegacy-compress,ztailpacking",
    "-zlz4 -Elegacy-compress,fragments -C32768",
    "-zlz4 -Ededupe",
    "-zlz4 -C16384 -Ededupe,fragments",
    "-zlz4 -Eall-fragments",
    "-zlz4hc -C65536 -Eall-fragments,dedupe",
    "-zlz4 -Efragments,^fragdedupe",
    "-zlz4 -Efragments,ztailpacking",
    "-zlz4 -E^inline_data",
    "-zlz4hc -Eforce-inode-compact,fragments --all-root -T1700000000",
    "-zlz4 -Eforce-inode-extended -x1",
    "-zlz4 -Efragments --xattr-prefix=user.org.example.",
    "-zlz4 -Exattr-name-filter,ztailpacking --dsunit=16",
    "-zlz4 --max-extent-bytes=65536",
    "-zlz4hc -C65536 -Eztailpacking --max-extent-bytes=4096",
    "-zlz4 -b512",
    "-zlz4 -b512 -Elegacy-compress",
    "-zlz4hc -b1024 -C65536 -Efragments",
    "-zzstd -b2048 -C8192 -Eztailpacking",
    "-zlzma",
    "-zlzma,level=3 -C1048576 -Eztailpacking",
    "-zlzma,dictsize=65536 -C65536 -Efragments",
    "-zdeflate,9 -Eztailpacking",
    "-zdeflate -C32768 -Efragments,dedupe",
    "-zlibdeflate,6 -C131072 -Eztailpacking",
    "-zzstd",
    "-zzstd,level=7 -C262144 -Eall-fragments,dedupe",
    "-zzstd -C65536 -Eztailpacking,dedupe",
    "-zlz4hc:lzma:zstd -C65536 --compress-hints=/mnt/out/hints",
    "-zdeflate:lz4 -C65536 -Eztailpacking,legacy-compress --compress-hints=/mnt/out/hints",
]

# Per file: how much goes together, and which of the algorithms does it.
HINTS: Final = """\
65536 0 shapes/text.*
4096 1 shapes/many/.*
16384 1 usr/size.*
65536 1 shapes/large
"""


def make_compressed(debian13: Debian13, source: Path, folder: Path, options: str) -> Path:
    """An image of `source` in `folder`, made with these options."""
    (folder / "hints").write_text(HINTS)
    debian13.run(
        ["mkfs.erofs", "-d0", *options.split(), "/mnt/out/image", "/mnt/source"],
        binds={source: "/mnt/source", folder: "/mnt/out"},
    )
    return folder / "image"
