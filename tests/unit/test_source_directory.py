"""A folder as a source: what is taken from it, what is not, and files that change."""

from __future__ import annotations

import errno
import os
import socket
import stat
from typing import TYPE_CHECKING

import pytest

from sysgraft.build.collect import Options, open_tree
from sysgraft.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from sysgraft.base.tree import Inode

HAS_XATTRS = pytest.mark.skipif(not hasattr(os, "setxattr"), reason="no extended attributes here")


def content(inode: Inode) -> bytes:
    assert inode.content is not None
    return inode.content.read_at(0, inode.content.size)


def test_files_links_and_times(sample_tree: Path) -> None:
    with open_tree([str(sample_tree)], Options(source_date_epoch=1000)) as collected:
        tree = collected.tree
        demo = b"usr/lib/firmware/demo/"
        assert content(tree[demo + b"large.bin"]) == bytes(range(251)) * 1000
        assert content(tree[demo + b"empty.bin"]) == b""
        assert tree[demo + b"alias.bin"].target == b"small.bin"
        assert tree[demo + b"same.bin"] is tree[demo + b"small.bin"]
        assert tree[demo + b"block.bin"] is not tree[demo + b"small.bin"]
        assert stat.S_IMODE(tree[b"usr/bin/demo"].mode) == 0o755
        assert {inode.mtime for inode in tree.values()} == {1000}
        assert {(inode.uid, inode.gid) for inode in tree.values()} == {(0, 0)}
        assert list(tree) == sorted(tree)
        assert collected.architecture is None
        assert collected.sources == (f"folder {sample_tree}",)


def test_times_are_zero_without_an_epoch(sample_tree: Path) -> None:
    with open_tree([str(sample_tree)], Options()) as collected:
        assert {(inode.mtime, inode.mtime_nsec) for inode in collected.tree.values()} == {(0, 0)}


@pytest.mark.root
def test_owners_are_kept_if_asked_for(sample_tree: Path) -> None:
    os.chown(sample_tree / "usr/bin/demo", 12, 34)
    with open_tree([str(sample_tree)], Options(owner="keep")) as collected:
        inode = collected.tree[b"usr/bin/demo"]
        assert (inode.uid, inode.gid) == (12, 34)


@HAS_XATTRS
def test_attributes_of_the_file_are_kept_and_marks_of_the_machine_are_not(
    sample_tree: Path,
) -> None:
    path = sample_tree / "usr/bin/demo"
    os.setxattr(path, "user.note", b"kept")
    if os.geteuid() == 0:
        os.setxattr(path, "trusted.overlay.origin", b"left")
    with open_tree([str(sample_tree)], Options()) as collected:
        assert collected.tree[b"usr/bin/demo"].xattrs == ((b"user.note", b"kept"),)
        left = "extended attributes trusted.overlay.origin are not carried over"
        assert collected.notes == ((left,) if os.geteuid() == 0 else ())


@HAS_XATTRS
def test_where_a_download_came_from_stays_out_of_the_image(sample_tree: Path) -> None:
    os.setxattr(sample_tree / "usr/bin/demo", "user.xdg.origin.url", b"https://host/?token=x")
    with open_tree([str(sample_tree)], Options()) as collected:
        assert collected.tree[b"usr/bin/demo"].xattrs == ()
        assert collected.notes == ("extended attributes user.xdg.origin.url are not carried over",)


def test_links_are_never_followed(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "secret").write_text("secret")
    root = tmp_path / "root"
    (root / "usr").mkdir(parents=True)
    (root / "usr/dir").symlink_to(outside)
    (root / "usr/loop").symlink_to(".")
    with open_tree([str(root)], Options()) as collected:
        assert list(collected.tree) == [b"", b"usr", b"usr/dir", b"usr/loop"]
        assert collected.tree[b"usr/dir"].is_symlink


def test_names_that_are_no_text(tmp_path: Path) -> None:
    name = os.path.join(os.fsencode(tmp_path), b"usr\xff\n")
    os.mkdir(os.path.join(os.fsencode(tmp_path), b"usr"))
    os.rename(os.path.join(os.fsencode(tmp_path), b"usr"), name)
    with open(name + b"/x\xfe", "wb") as file:
        file.write(b"data")
    os.mkdir(os.path.join(os.fsencode(tmp_path), b"usr"))
    os.rename(name + b"/x\xfe", os.path.join(os.fsencode(tmp_path), b"usr", b"x\xfe"))
    with open_tree([str(tmp_path)], Options()) as collected:
        assert content(collected.tree[b"usr/x\xfe"]) == b"data"


@pytest.mark.parametrize("change", ["size", "time", "gone"])
def test_files_that_change_are_refused(sample_tree: Path, change: str) -> None:
    path = sample_tree / "usr/lib/firmware/demo/block.bin"
    with open_tree([str(sample_tree)], Options()) as collected:
        if change == "size":
            path.write_text("larger than before\n")
        elif change == "time":
            os.utime(path, ns=(1, 1))
        else:
            path.unlink()
        with pytest.raises(InputError) as caught:
            content(collected.tree[b"usr/lib/firmware/demo/block.bin"])
    assert caught.value.file == str(path)


SWAPS = ["link", "hard link", "same size and time", "folder above"]


@pytest.mark.parametrize("swap", SWAPS)
def test_nothing_put_in_a_files_place_is_packed(tmp_path: Path, swap: str) -> None:
    """The owner of the folder wants the builder, who may read more, to pack a secret."""
    outside, root = tmp_path / "outside", tmp_path / "root"
    folder = root / "usr/lib"
    folder.mkdir(parents=True)
    outside.mkdir()
    for path, data in ((outside / "f", b"a secret"), (folder / "f", b"harmless")):
        path.write_bytes(data)
        os.utime(path, ns=(7, 7))
    with open_tree([str(root)], Options()) as collected:
        if swap == "folder above":
            folder.rename(tmp_path / "away")
            folder.symlink_to(outside)
        else:
            (folder / "f").unlink()
        if swap == "link":
            (folder / "f").symlink_to(outside / "f")
        elif swap == "hard link":
            (folder / "f").hardlink_to(outside / "f")
        elif swap == "same size and time":
            (outside / "f").rename(folder / "f")
        with pytest.raises(InputError, match="changed while") as caught:
            content(collected.tree[b"usr/lib/f"])
    assert caught.value.file == str(folder / "f")


def test_sockets_and_pipes_are_refused_where_they_are_kept(sample_tree: Path) -> None:
    os.mkfifo(sample_tree / "pipe")
    with open_tree([str(sample_tree)], Options()) as collected:
        assert b"pipe" not in collected.tree
    os.mkfifo(sample_tree / "usr/pipe")
    with (
        pytest.raises(InputError, match="a FIFO cannot be"),
        open_tree([str(sample_tree)], Options()),
    ):
        pass
    (sample_tree / "usr/pipe").unlink()
    here = os.getcwd()
    os.chdir(sample_tree / "usr")
    try:
        with socket.socket(socket.AF_UNIX) as server:
            server.bind("socket")
    finally:
        os.chdir(here)
    with pytest.raises(InputError, match="a socket"), open_tree([str(sample_tree)], Options()):
        pass


def test_folders_that_cannot_be_read(tmp_path: Path) -> None:
    with (
        pytest.raises(InputError, match="no such file"),
        open_tree([f"dir:{tmp_path}/none"], Options()),
    ):
        pass


@pytest.fixture
def closed(monkeypatch: pytest.MonkeyPatch) -> Callable[[Path], None]:
    """Make the system refuse to open a file or folder, which it does not do to root."""
    real = os.open

    def close(closed: Path) -> None:
        def refusing(path: str | bytes, flags: int, mode: int = 0o777) -> int:
            if os.fsencode(path) == os.fsencode(closed):
                raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
            return real(path, flags, mode)

        monkeypatch.setattr(os, "open", refusing)

    return close


@pytest.mark.parametrize(
    ("path", "options"),
    [
        ("var/lib/private", Options()),
        ("usr/share/secret", Options(excludes=("/usr/share/secret",))),
        ("usr/share/secret", Options(excludes=("usr/share",))),
        ("lib/secret", Options(excludes=("/usr/lib/secret",))),
    ],
)
def test_what_is_left_out_anyway_need_not_be_readable(
    sample_tree: Path, closed: Callable[[Path], None], path: str, options: Options
) -> None:
    (sample_tree / path).mkdir(parents=True)
    (sample_tree / path / "below").write_text("secret")
    with open_tree([str(sample_tree)], options) as collected:
        whole = collected.tree
    closed(sample_tree / path)
    with open_tree([str(sample_tree)], options) as collected:
        assert list(collected.tree) == list(whole)
        assert collected.notes == (f"cannot be read, and left out anyway: {path}",)
        assert sum(left.directories for left in collected.left_out) > 0


@pytest.mark.parametrize("path", ["usr/share/secret", "lib/secret", "opt/kept", "opt"])
def test_what_would_be_kept_has_to_be_readable(
    sample_tree: Path, closed: Callable[[Path], None], path: str
) -> None:
    (sample_tree / path).mkdir(parents=True, exist_ok=True)
    closed(sample_tree / path)
    options = Options(include_paths=("/opt/kept",), excludes=("/usr/share/other",))
    with (
        pytest.raises(InputError, match="cannot be read: Permission denied") as caught,
        open_tree([str(sample_tree)], options),
    ):
        pass
    assert caught.value.file == str(sample_tree / path)


@HAS_XATTRS
def test_attributes_that_cannot_be_read_matter_where_the_file_is_kept(
    sample_tree: Path, closed: Callable[[Path], None]
) -> None:
    (sample_tree / "var").mkdir()
    outside = sample_tree / "var/file"
    outside.write_text("data")
    os.setxattr(outside, "user.note", b"x")
    closed(outside)
    with open_tree([str(sample_tree)], Options()) as collected:
        assert collected.notes == ("cannot be read, and left out anyway: var/file",)
    closed(sample_tree / "usr/bin/demo")
    os.setxattr(sample_tree / "usr/bin/demo", "user.note", b"x")
    with (
        pytest.raises(InputError, match="cannot be read"),
        open_tree([str(sample_tree)], Options()),
    ):
        pass


@HAS_XATTRS
def test_a_file_that_is_kept_under_one_of_its_names_keeps_its_attributes(
    sample_tree: Path, closed: Callable[[Path], None]
) -> None:
    # One of the other names is met before the one that is kept, one after it.
    for name in ("aaa", "var"):
        (sample_tree / name).mkdir()
        (sample_tree / name / "file").hardlink_to(sample_tree / "usr/bin/demo")
    os.setxattr(sample_tree / "usr/bin/demo", "user.note", b"x")
    for name in ("aaa", "var"):
        closed(sample_tree / name / "file")
        with open_tree([str(sample_tree)], Options()) as collected:
            assert collected.tree[b"usr/bin/demo"].xattrs == ((b"user.note", b"x"),)


def test_later_folders_lie_over_earlier_ones(tmp_path: Path) -> None:
    for name, data in (("one", "1"), ("two", "2")):
        folder = tmp_path / name / "usr"
        folder.mkdir(parents=True)
        (folder / "x").write_text(data)
        (folder / name).write_text(data)
    arguments = [str(tmp_path / "one"), str(tmp_path / "two")]
    with open_tree(arguments, Options()) as collected:
        assert list(collected.tree) == [b"", b"usr", b"usr/one", b"usr/two", b"usr/x"]
        assert content(collected.tree[b"usr/x"]) == b"2"
    with open_tree(arguments[::-1], Options()) as collected:
        assert content(collected.tree[b"usr/x"]) == b"1"
