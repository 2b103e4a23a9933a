"""Folders that appear whole or not at all."""

from __future__ import annotations

import os
import stat
import subprocess
from typing import TYPE_CHECKING, Final

import pytest

from sysgraft.errors import OutputError
from sysgraft.host import output_folder
from sysgraft.host.output_folder import NewFile, write_folder

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

FILES: Final = (
    NewFile("db.key", b"private", secret=True),
    NewFile("db.pem", b"public"),
)


@pytest.fixture(autouse=True)
def umask() -> Iterator[None]:
    before = os.umask(0o022)
    yield
    os.umask(before)


def is_ours(name: str) -> bool:
    return name.startswith("db.")


def write(path: Path, *, replace: bool = False) -> None:
    write_folder(str(path), FILES, replace=replace, is_ours=is_ours)


def modes(folder: Path) -> dict[str, int]:
    return {path.name: stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()}


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.mark.parametrize("exists", [False, True])
def test_a_folder_appears_with_its_files(tmp_path: Path, exists: bool) -> None:
    keys = tmp_path / "keys"
    if exists:
        keys.mkdir(mode=0o750)
    write(keys)
    assert contents(keys) == {"db.key": b"private", "db.pem": b"public"}
    assert modes(keys) == {"db.key": 0o600, "db.pem": 0o644}
    assert stat.S_IMODE(keys.stat().st_mode) == (0o750 if exists else 0o755)
    assert list(tmp_path.iterdir()) == [keys]


def test_a_secret_is_never_readable_by_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    os.umask(0)
    seen: list[tuple[int, int]] = []
    real = os.fsync

    def fsync(fd: int) -> None:
        status = os.fstat(fd)
        if stat.S_ISREG(status.st_mode):
            folder = next(tmp_path.glob(".sysgraft-*")).stat()
            seen.append((stat.S_IMODE(folder.st_mode), stat.S_IMODE(status.st_mode)))
        real(fd)

    monkeypatch.setattr(os, "fsync", fsync)
    write(tmp_path / "keys")
    assert seen == [(0o700, 0o600), (0o700, 0o666)]


def test_a_filled_folder_is_replaced_only_on_request(tmp_path: Path) -> None:
    keys = tmp_path / "keys"
    keys.mkdir(mode=0o700)
    (keys / "db.old").write_bytes(b"old")
    with pytest.raises(OutputError, match="not empty") as caught:
        write(keys)
    assert "--force" in caught.value.hint
    assert contents(keys) == {"db.old": b"old"}
    write(keys, replace=True)
    assert contents(keys) == {"db.key": b"private", "db.pem": b"public"}
    assert stat.S_IMODE(keys.stat().st_mode) == 0o700
    assert list(tmp_path.iterdir()) == [keys]


@pytest.mark.parametrize("replace", [True, False])
def test_other_peoples_files_are_never_lost(tmp_path: Path, replace: bool) -> None:
    (tmp_path / "letter.txt").write_text("dear")
    (tmp_path / "db.pem").write_text("old")
    with pytest.raises(OutputError, match=r"letter\.txt"):
        write(tmp_path, replace=replace)
    assert contents(tmp_path) == {"letter.txt": b"dear", "db.pem": b"old"}


def test_what_is_no_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("text")
    (tmp_path / "broken").symlink_to("nowhere")
    for name, message in (
        ("file", "not a folder"),
        ("broken", "leads nowhere"),
        ("absent/keys", "No such file"),
        ("file/keys", "Not a directory|not a folder"),
    ):
        with pytest.raises(OutputError, match=message):
            write(tmp_path / name)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["broken", "file"]


def test_a_link_to_a_folder_is_followed(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "keys").symlink_to("real")
    write(tmp_path / "keys")
    assert (tmp_path / "keys").is_symlink()
    assert (tmp_path / "real/db.pem").read_bytes() == b"public"


@pytest.mark.parametrize("exists", [False, True])
@pytest.mark.parametrize("call", ["rename", "fsync"])
def test_after_a_failure_all_is_as_before(
    tmp_path: Path, exists: bool, call: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys = tmp_path / "keys"
    if exists:
        keys.mkdir()
        (keys / "db.old").write_bytes(b"old")
    real = os.rename

    def fail(*places: str) -> None:
        if call == "rename" and os.path.basename(places[0]).startswith("keys"):
            real(*places)  # the old folder out of the way; the new one then fails
            return
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, call, fail)
    with pytest.raises(OutputError, match="No space left"):
        write(keys, replace=True)
    monkeypatch.undo()
    assert [path.name for path in tmp_path.iterdir()] == (["keys"] if exists else [])
    if exists:
        assert contents(keys) == {"db.old": b"old"}


def test_the_old_folder_comes_back_when_the_new_one_cannot_take_its_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys = tmp_path / "keys"
    keys.mkdir()
    (keys / "db.old").write_bytes(b"old")
    real = os.rename
    answers = [OSError(39, "not empty"), OSError(28, "full")]

    def rename(source: str, place: str) -> None:
        if place == str(keys) and answers:
            raise answers.pop(0)
        real(source, place)

    monkeypatch.setattr(os, "rename", rename)
    with pytest.raises(OutputError):
        write(keys, replace=True)
    monkeypatch.undo()
    assert answers == []
    assert contents(keys) == {"db.old": b"old"}
    assert list(tmp_path.iterdir()) == [keys]


def test_files_that_come_meanwhile_are_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys = tmp_path / "keys"
    real = output_folder._write_all

    def write_all(folder: str, files: tuple[NewFile, ...]) -> None:
        real(folder, files)
        keys.mkdir(exist_ok=True)
        (keys / "other").write_bytes(b"meanwhile")

    monkeypatch.setattr(output_folder, "_write_all", write_all)
    with pytest.raises(OutputError, match="not empty"):
        write(keys)
    assert contents(keys) == {"other": b"meanwhile"}


@pytest.mark.root
@pytest.mark.parametrize("fails", [False, True])
def test_a_folder_where_something_is_mounted_is_filled(
    tmp_path: Path, fails: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys = tmp_path / "keys"
    keys.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "mode=755", "tmpfs", keys], check=True)
    try:
        if not fails:
            write(keys)
            assert contents(keys) == {"db.key": b"private", "db.pem": b"public"}
            assert modes(keys) == {"db.key": 0o600, "db.pem": 0o644}
            with pytest.raises(OutputError):
                write(keys, replace=True)
            assert len(contents(keys)) == 2
            return
        real = os.rename

        def rename(source: str, place: str) -> None:
            if place.endswith("db.pem"):
                raise OSError(28, "No space left on device")
            real(source, place)

        monkeypatch.setattr(os, "rename", rename)
        with pytest.raises(OutputError, match="No space left"):
            write(keys)
        assert contents(keys) == {}
    finally:
        subprocess.run(["umount", keys], check=True)
    assert list(tmp_path.iterdir()) == [keys]
