"""Walking a folder whose owner changes it meanwhile."""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING

import pytest

from sysgraft.errors import InputError, LimitError
from sysgraft.host import folders

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

HAS_XATTRS = pytest.mark.skipif(not hasattr(os, "setxattr"), reason="no extended attributes here")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A folder with one folder, one file and one link; beside it, what is none of its business."""
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside/secret").write_bytes(b"secret")
    root = tmp_path / "root"
    (root / "a").mkdir(parents=True)
    (root / "a/file").write_bytes(b"data")
    (root / "link").symlink_to("target")
    return root


def test_a_walk_gives_places_states_and_targets(root: Path) -> None:
    found = list(folders.walk(str(root)))
    assert [(each.path, each.target) for each in found] == [
        (b"a", b""),
        (b"link", b"target"),
        (b"a/file", b""),
    ]
    assert found[2].place == os.fsencode(root / "a/file")
    assert found[2].status == (root / "a/file").lstat()


@pytest.mark.parametrize("swap", ["link", "folder"])
def test_what_takes_a_folders_place_is_not_walked(root: Path, swap: str) -> None:
    outside = root.parent / "outside"
    walk = folders.walk(str(root))
    assert next(walk).path == b"a"
    (root / "a").rename(root.parent / "away")
    if swap == "link":
        (root / "a").symlink_to(outside)
    else:
        outside.rename(root / "a")
    with pytest.raises(InputError) as caught:
        list(walk)
    assert caught.value.file == str(root / "a")


def test_the_folder_itself_may_be_named_by_a_link(root: Path) -> None:
    link = root.parent / "link"
    link.symlink_to(root)
    assert len(list(folders.walk(str(link)))) == 3


def test_a_walk_is_limited(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(folders, "MAX_FILES", 2)
    with pytest.raises(LimitError, match="more than 2 files"):
        list(folders.walk(str(root)))


def test_no_descriptor_stays_open_of_a_walk_that_is_given_up(root: Path) -> None:
    before = os.listdir("/dev/fd")
    walk = folders.walk(str(root))
    next(walk)
    del walk
    assert os.listdir("/dev/fd") == before


@pytest.fixture
def refused(monkeypatch: pytest.MonkeyPatch) -> Callable[[str, str], None]:
    """Make a function of `os` refuse a name, which the system does not do to root."""

    def refuse(function: str, name: str) -> None:
        real = getattr(os, function)

        def refusing(path: bytes, *rest: object, **options: object) -> object:
            if os.path.basename(os.fsencode(path)) == os.fsencode(name):
                raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
            return real(path, *rest, **options)

        monkeypatch.setattr(os, function, refusing)

    return refuse


def test_a_folder_that_cannot_be_opened_is_skipped_if_nobody_wants_it(
    root: Path, refused: Callable[[str, str], None]
) -> None:
    refused("open", "a")
    asked = []

    def skip(path: bytes) -> bool:
        asked.append(path)
        return True

    assert [each.path for each in folders.walk(str(root), skip=skip)] == [b"a", b"link"]
    assert asked == [b"a"]
    with pytest.raises(InputError, match="cannot be read: Permission denied") as caught:
        list(folders.walk(str(root), skip=lambda path: path != b"a"))
    assert caught.value.file == str(root / "a")


def test_a_file_that_cannot_be_looked_at_is_skipped_if_nobody_wants_it(
    root: Path, refused: Callable[[str, str], None]
) -> None:
    refused("readlink", "link")
    found = folders.walk(str(root), skip=lambda path: path == b"link")
    assert [each.path for each in found] == [b"a", b"a/file"]
    with pytest.raises(InputError, match="Permission denied"):
        list(folders.walk(str(root)))


def test_the_folder_itself_is_never_skipped(root: Path) -> None:
    with pytest.raises(InputError, match="cannot be read"):
        list(folders.walk(str(root / "none"), skip=lambda _: True))


@HAS_XATTRS
def test_attributes_are_those_of_the_file_that_was_found(root: Path) -> None:
    path, secret = root / "a/file", root.parent / "outside/secret"
    os.setxattr(path, "user.note", b"mine")
    os.setxattr(path, "user.other", b"")
    os.setxattr(secret, "user.note", b"secret")
    (found,) = (each for each in folders.walk(str(root)) if each.path == b"a/file")
    chosen = folders.xattrs(found, lambda names: [name for name in names if b"note" in name])
    assert chosen == ((b"user.note", b"mine"),)
    secret.rename(path)
    with pytest.raises(InputError, match="took its place"):
        folders.xattrs(found, lambda names: names)


@HAS_XATTRS
def test_a_link_has_no_attributes_of_its_target(root: Path) -> None:
    (root / "link").unlink()
    (root / "link").symlink_to("a/file")
    os.setxattr(root / "a/file", "user.note", b"mine")
    (found,) = (each for each in folders.walk(str(root)) if each.path == b"link")
    assert folders.xattrs(found, lambda names: names) == ()
