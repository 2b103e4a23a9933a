"""Images of mksquashfs, read through the child process, against the folder and unsquashfs."""

from __future__ import annotations

import os
import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest

from sysgraft.build.extension import BuildOptions, build_extension
from sysgraft.build.sources.model import Options as SourceOptions
from sysgraft.errors import UnsupportedError
from sysgraft.host.files import OpenFile
from sysgraft.image.extraction import extract_image
from sysgraft.image.squashfs import SquashfsReader

if TYPE_CHECKING:
    from pathlib import Path

    from sysgraft.base.tree import Inode

pytestmark = [pytest.mark.oracle("mksquashfs"), pytest.mark.oracle("unsquashfs")]

COMPRESSIONS = [
    ["-comp", "gzip"],
    ["-comp", "gzip", "-Xcompression-level", "1", "-Xstrategy", "huffman_only"],
    ["-comp", "xz"],
    ["-comp", "xz", "-Xbcj", "x86", "-Xdict-size", "32K", "-b", "64K"],
    ["-comp", "lz4"],
    ["-comp", "lz4", "-Xhc"],
    ["-comp", "zstd"],
    ["-comp", "zstd", "-Xcompression-level", "22", "-b", "1M"],
]
LAYOUTS = [
    ["-b", "4K"],
    ["-b", "1M", "-no-fragments"],
    ["-always-use-fragments"],
    ["-noI", "-noD", "-noF", "-noX"],
    ["-no-exports", "-no-duplicates", "-no-sparse"],
    ["-nopad", "-all-root", "-no-xattrs"],
]


@pytest.fixture
def folder(sample_tree: Path) -> Path:
    """Blocks, fragments, holes, a directory of several blocks, and names no text has."""
    lib = sample_tree / "usr/lib"
    (lib / "lines").write_text("".join(f"line {number}\n" for number in range(60_000)))
    (lib / "noise").write_bytes(os.urandom(300_000))
    with (lib / "holes").open("wb") as file:
        file.write(b"begin")
        file.seek(3_000_000)
        file.write(b"end")
    with (lib / "hole").open("wb") as file:
        file.truncate(262_144 + 17)
    many = lib / "many"
    many.mkdir()
    for number in range(700):
        (many / f"a rather long name of file {number:04}").write_text(str(number))
    (many / "deep/er").mkdir(parents=True)
    os.symlink("x" * 300, os.fsencode(lib) + b"/\xff odd\n")
    os.utime(lib / "lines", (1, 1_234_567_890))
    (lib / "noise").chmod(0o4711)
    return sample_tree


def make(folder: Path, target: Path, *options: str) -> Path:
    argv = [shutil.which("mksquashfs") or "mksquashfs", str(folder), str(target)]
    subprocess.run([*argv, "-noappend", "-quiet", "-no-progress", *options], check=True)
    return target


def read(image: Path) -> dict[bytes, tuple[Inode, bytes | None]]:
    with OpenFile(image) as blob:
        tree = SquashfsReader(blob).read_tree()
        return {
            path: (inode, inode.content.read_at(0, inode.content.size) if inode.content else None)
            for path, inode in tree.items()
        }


def names_in(folder: Path) -> set[bytes]:
    root = os.fsencode(folder)
    return {b""} | {
        os.path.relpath(os.path.join(above, name), root)
        for above, folders, files in os.walk(root)
        for name in (*folders, *files)
    }


def assert_is(found: dict[bytes, tuple[Inode, bytes | None]], folder: Path) -> None:
    assert found.keys() == names_in(folder)
    numbers: dict[int, int] = {}
    for path, (inode, content) in found.items():
        real = os.path.join(os.fsencode(folder), path)
        status = os.lstat(real)
        assert (inode.mode, inode.mtime) == (status.st_mode, int(status.st_mtime)), path
        if content is not None:
            with open(real, "rb") as file:
                assert content == file.read(), path
            assert numbers.setdefault(status.st_ino, id(inode)) == id(inode)
        if inode.is_symlink:
            assert inode.target == os.readlink(real)


@pytest.mark.parametrize("options", COMPRESSIONS, ids=" ".join)
def test_every_compression(folder: Path, tmp_path: Path, options: list[str]) -> None:
    image = make(folder, tmp_path / "image", *options)
    unpacked = tmp_path / "unpacked"
    subprocess.run(["unsquashfs", "-quiet", "-no-progress", "-d", unpacked, image], check=True)
    found = read(image)
    assert_is(found, folder)
    assert_is(found, unpacked)


@pytest.mark.parametrize("options", LAYOUTS, ids=" ".join)
def test_every_layout(folder: Path, tmp_path: Path, options: list[str]) -> None:
    assert_is(read(make(folder, tmp_path / "image", *options)), folder)


@pytest.mark.parametrize("names", [[], ["a"], ["a", "b", "b/c"]], ids=" ".join)
def test_empty_directories(tmp_path: Path, names: list[str]) -> None:
    folder = tmp_path / "folder"
    for name in ("", *names):
        (folder / name).mkdir()
    assert_is(read(make(folder, tmp_path / "image")), folder)


def test_parts_of_files(folder: Path, tmp_path: Path) -> None:
    image = make(folder, tmp_path / "image")
    with OpenFile(image) as blob:
        reader = SquashfsReader(blob)
        for name in ("lines", "holes", "noise"):
            whole = (folder / "usr/lib" / name).read_bytes()
            inode = reader.lookup(b"usr/lib/" + name.encode())
            assert inode is not None
            assert inode.content is not None
            for offset in (0, 1, 131_071, 131_072, 262_000, len(whole) - 5):
                assert inode.content.read_at(offset, 5) == whole[offset : offset + 5]


def test_directories_and_links_are_followed(folder: Path, tmp_path: Path) -> None:
    os.symlink("/usr/lib", folder / "lib")
    os.symlink("circle", folder / "circle")
    with OpenFile(make(folder, tmp_path / "image")) as blob:
        reader = SquashfsReader(blob)
        assert reader.lookup(b"lib/noise") is not None
        assert reader.lookup(b"lib/many/../many/nothing") is None
        assert reader.lookup(b"lib/noise/below") is None
        assert reader.listdir(b"lib/many/deep") == [b"er"]
        assert len(reader.listdir(b"usr/lib/many")) == 701
        found = reader.select(b"lib/many", lambda name: b"0699" in name, max_entries=1)
        assert [inode.content and inode.content.size for inode in found.values()] == [3]
        assert reader.select(b"nothing", lambda _: True, max_entries=1) == {}


@pytest.mark.root
def test_owners_devices_and_attributes(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    os.mknod(folder / "null", 0o20666, os.makedev(259, 70_000))
    os.mkfifo(folder / "fifo")
    for number in range(600):  # more than one block of the table of attributes
        (folder / f"file{number}").write_bytes(b"x")
        os.setxattr(folder / f"file{number}", "user.number", str(number).encode())
    os.setxattr(
        folder / "file1", "security.capability", bytes.fromhex("0100000200200000" + "00" * 12)
    )
    for name in ("file2", "file3"):
        os.setxattr(folder / name, "user.shared", b"long" * 500)
    os.chown(folder / "file4", 70_000, 42)
    found = read(make(folder, tmp_path / "image"))
    assert_is(found, folder)
    assert found[b"null"][0].rdev == (259, 70_000)
    assert (found[b"file4"][0].uid, found[b"file4"][0].gid) == (70_000, 42)
    for path, (inode, _) in found.items():
        real = folder / path.decode()
        theirs = {name.encode(): os.getxattr(real, name) for name in os.listxattr(real)}
        assert dict(inode.xattrs) == theirs, path


def test_lzo_says_what_it_takes(folder: Path, tmp_path: Path) -> None:
    image = make(folder, tmp_path / "image", "-comp", "lzo")
    with pytest.raises(UnsupportedError, match="takes the Python module python-lzo"):
        read(image)


@pytest.mark.oracle("tar")
def test_an_extension_is_built_of_one(folder: Path, tmp_path: Path) -> None:
    """Workers read the contents, each through a child of its own."""
    (folder / "usr/lib/large").write_bytes(os.urandom(1 << 20) * 40)
    image = make(folder, tmp_path / "image.raw", "-all-root")
    archive = tmp_path / "folder.tar"
    owners = ["--owner=0", "--group=0", "--format=pax"]
    subprocess.run(["tar", "-C", folder, *owners, "-cf", archive, "."], check=True)
    hashes = {
        build_extension("demo", [str(source)], output=tmp_path / "out", options=options).root_hash
        for source in (image, archive)
        for options in (BuildOptions(SourceOptions(source_date_epoch=0), replace=True),)
    }
    assert len(hashes) == 1


def test_it_is_extracted(folder: Path, tmp_path: Path) -> None:
    extract_image(make(folder, tmp_path / "image"), tmp_path / "extracted")
    assert_is(read(tmp_path / "image"), tmp_path / "extracted")
