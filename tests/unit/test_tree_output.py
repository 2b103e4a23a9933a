"""Trees put into folders: what is kept, what cannot be, and trees that want out of the folder."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import stat
import subprocess
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from erofs_kit import ACL, ALL, CAPABILITY, assert_equal, folder_snapshot, tree_snapshot
from sysgraft.base.blob import BytesBlob
from sysgraft.base.progress import NoProgress
from sysgraft.base.tree import Inode
from sysgraft.errors import FormatError, OutputError
from sysgraft.host.filled_folder import fill_new
from sysgraft.host.tree_output import TreeOutput

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sysgraft.base.tree import Tree
    from sysgraft.host.inode_output import NotKept

NOBODY = 65_534
UID, GID = os.geteuid(), os.getegid()


def file(data: bytes = b"data", mode: int = 0o644, **values: object) -> Inode:
    content = BytesBlob(data)
    made = Inode(stat.S_IFREG | mode, content=content, uid=UID, gid=GID, mtime=5)
    return replace(made, **values)  # type: ignore[arg-type]


def directory(mode: int = 0o755, **values: object) -> Inode:
    return replace(Inode(stat.S_IFDIR | mode, uid=UID, gid=GID, mtime=7), **values)  # type: ignore[arg-type]


def link(target: bytes) -> Inode:
    return Inode(stat.S_IFLNK | 0o777, target=target, uid=UID, gid=GID, mtime=9, mtime_nsec=1)


def special(kind: int, rdev: tuple[int, int] = (0, 0)) -> Inode:
    return Inode(kind | 0o600, rdev=rdev, uid=UID, gid=GID, mtime=3)


def put(tree: Tree, folder: Path) -> tuple[NotKept, ...]:
    output = TreeOutput(tree, NoProgress())
    fill_new(str(folder), output.fill, output.finish)
    return output.keeper.not_kept


def missed(found: tuple[NotKept, ...]) -> dict[str, int]:
    return {each.what: each.number for each in found}


def kept_tree() -> dict[bytes, Inode]:
    """What anybody may make."""
    both = file(b"two names", 0o400)
    gone = link(b"../../nowhere")
    return {
        b"": directory(0o750),
        b"a": directory(0o500),
        b"a/deep": directory(0o111),
        b"a/deep/er": directory(0o700),
        b"a/deep/er/file": file(b"x" * 5_000_000, 0o640, mtime_nsec=123_456_789),
        b"a/hard": both,
        b"b": directory(0o1777),
        b"b/hard": both,
        b"b/link": gone,
        b"b/pipe": special(stat.S_IFIFO),
        b"b/socket": special(stat.S_IFSOCK),
        b"b/\xff\n": file(b"a name"),
        b"b/" + b"n" * 255: file(b""),
        b"b/attribute": file(xattrs=((b"user.note", b"\0value"),)),
    }


def test_everything_is_as_it_is_in_the_tree(tmp_path: Path) -> None:
    tree = kept_tree() | {b"b/second link": kept_tree()[b"b/link"]}
    assert put(tree, tmp_path / "out") == ()
    assert_equal(folder_snapshot(tmp_path / "out"), tree_snapshot(tree), ALL)
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


@pytest.mark.root
def test_root_gives_files_away_and_makes_devices(tmp_path: Path) -> None:
    tree = {
        b"": directory(uid=5, gid=6),
        b"program": file(
            mode=0o6755, uid=1000, gid=100_000, xattrs=((b"security.capability", CAPABILITY),)
        ),
        b"null": Inode(stat.S_IFCHR | 0o666, rdev=(1, 3), gid=9, mtime=1),
        b"block": Inode(stat.S_IFBLK | 0o660, rdev=(300, 70_000), mtime=-4),
        b"whiteout": Inode(stat.S_IFCHR | 0o600),
        b"link": Inode(
            stat.S_IFLNK | 0o777, target=b"x", uid=3, xattrs=((b"trusted.overlay.x", b"y"),)
        ),
        b"group": directory(0o2775, gid=70_000),
    }
    assert put(tree, tmp_path / "out") == ()
    assert_equal(folder_snapshot(tmp_path / "out"), tree_snapshot(tree), ALL)


def test_long_stretches_of_zeros_take_no_room(tmp_path: Path) -> None:
    holes = bytes(3 << 20) + b"middle" + bytes(300_000) + b"end" + bytes(70_000)
    dense = bytes(range(256)) * 2048
    tree = {b"": directory(), b"holes": file(holes), b"zeros": file(bytes(1 << 21))}
    put(tree | {b"dense": file(dense)}, tmp_path / "out")
    assert (tmp_path / "out/holes").read_bytes() == holes
    assert (tmp_path / "out/zeros").read_bytes() == bytes(1 << 21)
    assert (tmp_path / "out/dense").read_bytes() == dense
    assert (tmp_path / "out/holes").stat().st_blocks * 512 < 400_000
    assert (tmp_path / "out/zeros").stat().st_blocks == 0


# --- What not everybody may, and not every file system can ---------------------------------------


@contextlib.contextmanager
def as_nobody() -> Iterator[Path]:
    """A folder that everybody may write to, and a user who is not root; any other stays."""
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o777)
    is_root = os.geteuid() == 0
    if is_root:
        os.setegid(NOBODY)
        os.seteuid(NOBODY)
    try:
        yield folder
    finally:
        if is_root:
            os.seteuid(0)
            os.setegid(0)
        shutil.rmtree(folder)


def test_what_only_root_may_do_is_counted_for_others() -> None:
    tree = {
        b"": directory(uid=0, gid=0),
        b"mine": file(uid=0, gid=0, xattrs=((b"user.note", b"kept"),)),
        b"su": file(mode=0o4755, uid=0, gid=0),
        b"group": file(mode=0o2755, uid=0, gid=0, xattrs=((b"security.capability", CAPABILITY),)),
        b"null": Inode(stat.S_IFCHR | 0o666, rdev=(1, 3)),
        b"null2": Inode(stat.S_IFBLK | 0o666, rdev=(1, 3)),
        b"link": Inode(stat.S_IFLNK | 0o777, target=b"mine", mtime=8),
    }
    with as_nobody() as folder:
        found = {each.what: each for each in put(tree, folder / "out")}
        assert missed(tuple(found.values())) == {
            "owners": 5,
            "set-ID bits": 2,
            "special files": 2,
            "attributes": 1,
        }
        assert found["special files"].first == b"null"
        assert found["special files"].reason == os.strerror(errno.EPERM)
        assert found["attributes"].reason.startswith("security.capability: ")
        snapshot = folder_snapshot(folder / "out")
        fields = ALL - {"uid", "gid", "mode", "xattrs", "nlink"}
        without = {path: inode for path, inode in tree.items() if b"null" not in path}
        assert_equal(snapshot, tree_snapshot(without), fields)
        assert [snapshot[path]["mode"] for path in (b"su", b"group")] == [0o100755, 0o100755]
        assert snapshot[b"mine"]["xattrs"] == {b"user.note": b"kept"}
        assert {values["uid"] for values in snapshot.values()} == {os.geteuid()}


def test_a_tree_that_cannot_be_entered_is_made_and_removed_by_anybody(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with as_nobody() as folder:
        assert missed(put(kept_tree(), folder / "out")).keys() <= {"owners"}
        assert stat.S_IMODE((folder / "out/a").stat().st_mode) == 0o500
        monkeypatch.setattr(os, "rename", _refuse)
        with pytest.raises(OutputError, match="no renaming"):
            put(kept_tree(), folder / "again")
        assert [path.name for path in folder.iterdir()] == ["out"]


def _refuse(*_: object, **__: object) -> None:
    raise OSError(errno.EIO, "no renaming")


def test_where_there_are_no_links_files_are_copied_and_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def impossible(*_: object, **__: object) -> None:
        raise OSError(errno.EPERM, "no links here")

    monkeypatch.setattr(os, "link", impossible)
    monkeypatch.setattr(os, "symlink", impossible)
    found = put(kept_tree(), tmp_path / "out")
    assert missed(found) == {"hard links": 1, "symbolic links": 1}
    assert (tmp_path / "out/b/hard").read_bytes() == b"two names"
    assert not os.path.lexists(tmp_path / "out/b/link")


def test_a_system_without_special_files_or_attributes_is_told_of(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unavailable(*_: object, **__: object) -> None:
        raise NotImplementedError("dir_fd unavailable on this platform")

    monkeypatch.setattr(os, "mknod", unavailable)
    monkeypatch.setattr("sysgraft.host.inode_output._set_xattr", None)
    found = put(kept_tree(), tmp_path / "out")
    assert missed(found) == {"special files": 2, "attributes": 1}


# --- Whole or not at all -------------------------------------------------------------------------


class Broken(BytesBlob):
    """A content that breaks off."""

    def readinto_at(self, offset: int, view: memoryview) -> None:
        if offset:
            raise FormatError("it is damaged")
        super().readinto_at(offset, view)


@pytest.mark.parametrize("before", ["missing", "empty"])
def test_a_content_that_cannot_be_read_leaves_nothing(tmp_path: Path, before: str) -> None:
    if before == "empty":
        (tmp_path / "out").mkdir()
    broken = Inode(stat.S_IFREG | 0o644, content=Broken(bytes(3 << 20)))
    with pytest.raises(FormatError, match="it is damaged"):
        put(kept_tree() | {b"z": broken}, tmp_path / "out")
    assert [path.name for path in tmp_path.iterdir()] == (["out"] if before == "empty" else [])
    assert before == "missing" or list((tmp_path / "out").iterdir()) == []


def test_a_full_disk_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "pwrite", full)
    with pytest.raises(OutputError, match="No space left"):
        put(kept_tree(), tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


def test_something_in_the_place_is_not_touched(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"precious")
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder/file").write_bytes(b"precious")
    (tmp_path / "dangling").symlink_to("nowhere")
    for name, words in (("file", "a file"), ("folder", "not empty"), ("dangling", "leads nowhere")):
        with pytest.raises(OutputError, match=words):
            put(kept_tree(), tmp_path / name)
    with pytest.raises(OutputError, match="cannot be written: No such file"):
        put(kept_tree(), tmp_path / "missing/out")
    assert (
        (tmp_path / "file").read_bytes() == (tmp_path / "folder/file").read_bytes() == b"precious"
    )
    assert sorted(path.name for path in tmp_path.iterdir()) == ["dangling", "file", "folder"]


def test_a_folder_that_somebody_exchanges_is_not_filled(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = os.mkdir

    def exchanged(path: str, mode: int = 0o777, **values: int) -> None:
        real(path, mode | 0o077, **values)
        os.chmod(path, 0o777)

    monkeypatch.setattr(os, "mkdir", exchanged)
    with pytest.raises(OutputError, match="another folder took the place"):
        put(kept_tree(), tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


def test_a_link_to_an_empty_folder_stays_one(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "out").symlink_to("real")
    put(kept_tree(), tmp_path / "out")
    assert (tmp_path / "out").is_symlink()
    assert_equal(folder_snapshot(tmp_path / "real"), tree_snapshot(kept_tree()), ALL)


@pytest.mark.root
@pytest.mark.parametrize("told", [True, False])
def test_a_folder_on_which_something_is_mounted_is_filled(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, told: bool
) -> None:
    """As volumes of containers are; `told` is whether the system tells before it is tried."""
    target = tmp_path / "out"
    target.mkdir()
    if not told:
        monkeypatch.setattr(os.path, "ismount", lambda _: False)
    tree = kept_tree()
    with mounted(target):
        assert put(tree, target) == ()
        assert_equal(folder_snapshot(target), tree_snapshot(tree), ALL)
        shutil.rmtree(target / "a")
        shutil.rmtree(target / "b")
        broken = Inode(stat.S_IFREG | 0o644, content=Broken(bytes(3 << 20)))
        with pytest.raises(FormatError):
            put(tree | {b"z": broken}, target)
        assert list(target.iterdir()) == []
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


@contextlib.contextmanager
def mounted(place: Path) -> Iterator[None]:
    subprocess.run(["mount", "-t", "tmpfs", "tmpfs", place], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", place], check=True)


@pytest.mark.root
def test_access_lists_of_the_folder_above_are_not_inherited(tmp_path: Path) -> None:
    os.setxattr(tmp_path, "system.posix_acl_default", ACL)
    put(kept_tree(), tmp_path / "out")
    assert_equal(folder_snapshot(tmp_path / "out"), tree_snapshot(kept_tree()), ALL)


# --- Trees that want out -------------------------------------------------------------------------


@pytest.mark.parametrize(
    "paths", [[b"../out"], [b"a/../../out"], [b"/out"], [b"."], [b"a//b"], [b"a\0b"], [b"l/x"]]
)
def test_a_tree_that_is_none_is_refused(tmp_path: Path, paths: list[bytes]) -> None:
    tree = {b"": directory(), b"a": directory(), b"a/..": directory(), b"l": link(b"/tmp")}
    with pytest.raises(FormatError):
        put(tree | {path: file() for path in paths}, tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


def test_two_names_that_are_one_to_the_file_system_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As `Name` and `name` are on most file systems of macOS; a link there leads nobody away."""
    (tmp_path / "elsewhere").mkdir()
    tree = {
        b"": directory(),
        b"Name": link(os.fsencode(tmp_path / "elsewhere")),
        b"name": directory(),
        b"name/file": file(),
    }
    only_lower(monkeypatch)
    with pytest.raises(OutputError, match="Name: another file took this name"):
        put(tree, tmp_path / "out")
    tree = {b"": directory(), b"FILE": file(), b"file": file()}
    with pytest.raises(OutputError, match="file: another file took this name"):
        put(tree, tmp_path / "out")
    assert [path.name for path in tmp_path.iterdir()] == ["elsewhere"]
    assert list((tmp_path / "elsewhere").iterdir()) == []


def only_lower(monkeypatch: pytest.MonkeyPatch) -> None:
    """A system that takes upper case for lower case."""
    real = {name: getattr(os, name) for name in ("open", "mkdir", "symlink")}

    def lowered(name: object) -> object:
        return name.lower() if isinstance(name, bytes) else name

    monkeypatch.setattr(os, "open", lambda name, *a, **k: real["open"](lowered(name), *a, **k))
    monkeypatch.setattr(os, "mkdir", lambda name, *a, **k: real["mkdir"](lowered(name), *a, **k))
    monkeypatch.setattr(
        os, "symlink", lambda to, name, **k: real["symlink"](to, lowered(name), **k)
    )
