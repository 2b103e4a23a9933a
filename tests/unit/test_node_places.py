"""What nodes are changed with: folders without links, exchanged names, locks, room, remounts."""

from __future__ import annotations

import ctypes
import errno
import os
import subprocess
import sys
import threading
import time
from typing import TYPE_CHECKING

import pytest

from sysgraft.errors import InputError, OutputError, ToolError
from sysgraft.formats.extension_release import Kind
from sysgraft.host import remounting, renaming, space
from sysgraft.host.locking import folder_lock
from sysgraft.host.places import (
    below,
    is_plain_folder,
    make_plain_folder,
    real_path,
    remove_link,
    unlink_if_there,
)
from sysgraft.host.systemd import Hierarchy, RunningSystemd, systemd_release

if TYPE_CHECKING:
    from pathlib import Path


# --- Folders without links ------------------------------------------------------------------------


def test_paths_below_a_root() -> None:
    assert below("/", "/var/lib") == "/var/lib"
    assert below("/sysroot", "/var/lib") == "/sysroot/var/lib"
    assert below("/sysroot", "//etc/x") == "/sysroot/etc/x"


def test_folders_are_made_with_all_above_them(tmp_path: Path) -> None:
    root = str(tmp_path)
    path = f"{root}/a/b/c"
    assert not is_plain_folder(root, path)
    make_plain_folder(root, path)
    make_plain_folder(root, path)
    assert is_plain_folder(root, path)
    assert is_plain_folder(root, root)
    assert os.stat(path).st_mode & 0o777 == 0o755 & ~current_umask()


def current_umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


@pytest.mark.parametrize("depth", [0, 1, 2])
@pytest.mark.parametrize("kind", ["link", "dangling", "file", "fifo"])
def test_nothing_but_a_folder_is_passed(tmp_path: Path, depth: int, kind: str) -> None:
    names = ["a", "b", "c"]
    place = tmp_path.joinpath("root", *names[:depth])
    place.mkdir(parents=True)
    (tmp_path / "outside").mkdir()
    bad = place / names[depth]
    if kind in ("link", "dangling"):
        bad.symlink_to(tmp_path / ("outside" if kind == "link" else "nowhere"))
    elif kind == "file":
        bad.write_bytes(b"")
    else:
        os.mkfifo(bad)
    root = str(tmp_path / "root")
    target = os.path.join(root, *names)
    for call in (is_plain_folder, make_plain_folder):
        with pytest.raises(InputError) as caught:
            call(root, target)
        assert caught.value.file == str(bad)
    assert os.listdir(tmp_path / "outside") == []
    assert not (tmp_path / "nowhere").exists()


def test_what_is_not_below_the_root_is_refused(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "root/../x"):
        with pytest.raises(InputError, match="not below"):
            make_plain_folder(str(tmp_path / "root"), str(path))
    assert not (tmp_path / "x").exists()


def test_removing_what_is_there(tmp_path: Path) -> None:
    path = tmp_path / "x"
    assert not unlink_if_there(str(path))
    path.symlink_to("/etc/passwd")
    remove_link(str(path))
    assert not path.is_symlink()
    path.write_bytes(b"x")
    remove_link(str(path))
    assert path.exists()
    assert unlink_if_there(str(path))
    (tmp_path / "folder").mkdir()
    with pytest.raises(OutputError, match="cannot be removed"):
        unlink_if_there(str(tmp_path / "folder"))


def test_links_lead_where_the_system_has_them(tmp_path: Path) -> None:
    root = tmp_path / "root"
    (root / "etc").mkdir(parents=True)
    (root / "etc/real").write_bytes(b"")
    (root / "a").symlink_to("/etc/b")
    (root / "etc/b").symlink_to("real")
    (root / "loop").symlink_to("/loop")
    assert real_path(str(root), str(root / "a")) == str(root / "etc/real")
    assert real_path(str(root), str(root / "loop")).endswith("loop")
    assert real_path("/", str(root / "etc/b")) == str(root / "etc/real")


# --- Names exchanged and replaced -----------------------------------------------------------------


def test_two_folders_exchange_their_names(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "which").write_text(name)
    assert renaming.exchange(str(tmp_path / "a"), str(tmp_path / "b"))
    assert (tmp_path / "a/which").read_text() == "b"
    assert (tmp_path / "b/which").read_text() == "a"
    with pytest.raises(FileNotFoundError):
        renaming.exchange(str(tmp_path / "a"), str(tmp_path / "none"))
    assert (tmp_path / "a/which").read_text() == "b"


@pytest.mark.parametrize("number", [errno.EINVAL, errno.ENOSYS, errno.ENOTSUP])
def test_where_names_cannot_be_exchanged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    class Library:
        def renameat2(self, *_: object) -> int:
            ctypes.set_errno(number)
            return -1

    monkeypatch.setattr(ctypes, "CDLL", lambda *_, **__: Library())
    assert not renaming.exchange(str(tmp_path), str(tmp_path))
    monkeypatch.setattr(ctypes, "CDLL", lambda *_, **__: object())
    assert not renaming.exchange(str(tmp_path), str(tmp_path))


def test_links_are_replaced_whole(tmp_path: Path) -> None:
    path = tmp_path / "link"
    (tmp_path / "target").write_text("mine")
    for target in ("target", "../x"):
        renaming.replace_link(str(path), target)
        assert os.readlink(path) == target
    path.unlink()
    path.mkdir()
    with pytest.raises(IsADirectoryError):
        renaming.replace_link(str(path), "x")
    assert sorted(os.listdir(tmp_path)) == ["link", "target"]
    assert (tmp_path / "target").read_text() == "mine"


def test_syncing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    renaming.sync_all(str(tmp_path))
    with pytest.raises(FileNotFoundError):
        renaming.sync_all(str(tmp_path / "none"))
    synced: list[bool] = []
    monkeypatch.setattr(ctypes, "CDLL", lambda *_, **__: object())
    monkeypatch.setattr(os, "sync", lambda: synced.append(True))
    renaming.sync_all(str(tmp_path))
    assert synced == [True]


# --- Locks ----------------------------------------------------------------------------------------


def test_one_at_a_time(tmp_path: Path) -> None:
    with folder_lock(str(tmp_path)):
        start = time.monotonic()
        with pytest.raises(ToolError) as caught, folder_lock(str(tmp_path), patience=0.15):
            pytest.fail("both have it")
        assert 0.1 <= time.monotonic() - start < 5
        assert caught.value.file == str(tmp_path)
    with folder_lock(str(tmp_path), patience=0):
        pass
    assert os.listdir(tmp_path) == []


def test_waiting_for_somebody_who_ends(tmp_path: Path) -> None:
    order: list[str] = []
    held = threading.Event()

    def hold() -> None:
        with folder_lock(str(tmp_path)):
            held.set()
            time.sleep(0.3)
            order.append("first")

    thread = threading.Thread(target=hold)
    thread.start()
    held.wait()
    with folder_lock(str(tmp_path), patience=20):
        order.append("second")
    thread.join()
    assert order == ["first", "second"]


def test_a_lock_goes_with_its_process(tmp_path: Path) -> None:
    code = (
        "import os, sys\n"
        "from sysgraft.host.locking import folder_lock\n"
        "with folder_lock(sys.argv[1]):\n    os._exit(3)\n"
    )
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=False)
    assert done.returncode == 3
    with folder_lock(str(tmp_path), patience=0):
        pass


def test_links_are_not_locked(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path)
    for path in (tmp_path / "link", tmp_path / "none"):
        with pytest.raises(OutputError), folder_lock(str(path)):
            pass


# --- Room, and remounts ---------------------------------------------------------------------------


def test_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    free = space.free_bytes(str(tmp_path))
    assert free is not None
    space.check_space(str(tmp_path), 0)
    with pytest.raises(OutputError, match="are needed"):
        space.check_space(str(tmp_path), 1 << 62)
    with pytest.raises(OutputError):
        space.free_bytes(str(tmp_path / "none"))
    unknown = os.statvfs_result((4096, 4096, 0, 0, 0, 0, 0, 0, 0, 255))
    monkeypatch.setattr(os, "statvfs", lambda _: unknown)
    assert space.free_bytes(str(tmp_path)) is None
    space.check_space(str(tmp_path), 1 << 62)


def test_what_is_writable_is_left_as_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remounting, "run", lambda *_: pytest.fail("it was remounted"))
    with remounting.writable(str(tmp_path)):
        (tmp_path / "x").write_bytes(b"")


@pytest.mark.parametrize("fails", [False, True])
def test_what_is_read_only_is_so_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, fails: bool
) -> None:
    done: list[str] = []
    monkeypatch.setattr(remounting, "is_read_only", lambda _: True)
    monkeypatch.setattr(remounting, "run", lambda argv: done.append(argv[2]))

    def change() -> None:
        with remounting.writable(str(tmp_path)):
            done.append("changed")
            if fails:
                raise KeyboardInterrupt

    if fails:
        with pytest.raises(KeyboardInterrupt):
            change()
    else:
        change()
    assert done == ["remount,rw", "changed", "remount,ro"]


def test_what_cannot_be_made_writable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remounting, "is_read_only", lambda _: True)

    def refuse(_: object) -> None:
        raise ToolError("write-protected")

    monkeypatch.setattr(remounting, "run", refuse)
    with (
        pytest.raises(OutputError, match="cannot be made writable: write-protected"),
        remounting.writable(str(tmp_path)),
    ):
        pytest.fail("it was changed")
    monkeypatch.setattr(remounting, "mount_of_folder", lambda _: None)
    with (
        pytest.raises(OutputError, match="nobody knows where it is mounted"),
        remounting.writable(str(tmp_path)),
    ):
        pytest.fail("it was changed")


# --- systemd --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("paths", "release"),
    [
        (["usr/lib/systemd/libsystemd-shared-257.so"], 257),
        (["lib/systemd/libsystemd-shared-252.so", "lib/systemd/libsystemd-core-252.so"], 252),
        (["usr/lib/x86_64-linux-gnu/systemd/libsystemd-shared-257.13-1.so"], 257),
        (["usr/lib64/systemd/libsystemd-shared-256.7-3.fc41.so"], 256),
        (
            [
                "usr/lib/systemd/libsystemd-shared-255.so",
                "usr/lib/systemd/libsystemd-shared-257.so",
            ],
            257,
        ),
    ],
)
def test_the_release_of_systemd(tmp_path: Path, paths: list[str], release: int) -> None:
    for path in paths:
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_bytes(b"")
    assert systemd_release(str(tmp_path)) == release


def test_a_system_without_systemd(tmp_path: Path) -> None:
    (tmp_path / "usr/lib/systemd").mkdir(parents=True)
    (tmp_path / "usr/lib/systemd/libsystemd-shared-x.so").write_bytes(b"")
    with pytest.raises(InputError, match="no systemd is found"):
        systemd_release(str(tmp_path))


class Done:
    """What a program has printed."""

    def __init__(self, stdout: str) -> None:
        self.stdout = stdout


def test_what_systemd_says_it_has_merged(monkeypatch: pytest.MonkeyPatch) -> None:
    text = (
        '[{"hierarchy":"/opt","extensions":"none","since":null},'
        '{"hierarchy":"/usr","extensions":["a","b"],"since":1}]'
    )
    asked: list[object] = []

    def answer(argv: list[str], *, env: object) -> Done:
        asked.extend([argv, env])
        return Done(text)

    monkeypatch.setattr("sysgraft.host.run.run", answer)
    assert RunningSystemd({"X": "y"}).merged(Kind.SYSEXT) == (
        Hierarchy("/opt", ()),
        Hierarchy("/usr", ("a", "b")),
    )
    assert asked == [["systemd-sysext", "status", "--json=short", "--no-pager"], {"X": "y"}]


@pytest.mark.parametrize("text", ["", "none", "{}x", '[{"x": 1}]', "[1]", "[" * 100000, "5"])
def test_what_systemd_says_and_nobody_understands(
    monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    monkeypatch.setattr("sysgraft.host.run.run", lambda *_, **__: Done(text))
    with pytest.raises(ToolError, match="tells nothing that can be read"):
        RunningSystemd().merged(Kind.CONFEXT)


def test_a_merge_is_asked_for_by_its_unit(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[list[str]] = []
    monkeypatch.setattr("sysgraft.host.run.run", lambda argv, **_: asked.append(argv))
    RunningSystemd().refresh(Kind.CONFEXT)
    assert asked == [
        ["systemctl", "reset-failed", "systemd-confext.service"],
        ["systemctl", "reload-or-restart", "systemd-confext.service"],
    ]
