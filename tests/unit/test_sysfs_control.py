"""Attributes are written by a process that may hang, and nothing else is written."""

from __future__ import annotations

import errno
import os
import time
from typing import TYPE_CHECKING

import pytest

from sysgraft.errors import OutputError, StuckError
from sysgraft.host import sysfs_control
from sysgraft.host.merged import merged_files
from sysgraft.host.sysfs_control import MAX_VALUE, KernelSysfs

if TYPE_CHECKING:
    from pathlib import Path

PROBE = "sys/bus/usb/drivers_probe"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "sys/bus/usb").mkdir(parents=True)
    (tmp_path / PROBE).write_text("")
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/passwd").write_text("root")
    return tmp_path


def write(root: Path, path: str, value: str = "1-4:1.0", seconds: float = 5) -> None:
    KernelSysfs(str(root)).write(path, value, seconds=seconds)


def test_a_value_is_written_as_it_is(root: Path) -> None:
    write(root, PROBE)
    assert (root / PROBE).read_bytes() == b"1-4:1.0"
    (root / "sys/link").symlink_to("bus/usb")
    write(root, "sys/link/drivers_probe", "other---")
    assert (root / PROBE).read_bytes() == b"other---"


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("etc/passwd", "below /sys"),
        ("sys/../etc/passwd", "below /sys"),
        ("sys/out/passwd", "below /sys"),
        ("sys/absolute", "below /sys"),
        ("sys/round", "no such attribute"),
        ("sys/bus/usb/none", "no such attribute"),
        ("sys/bus/usb", "is no file"),
        ("sys/pipe", "is no file"),
        ("sys/bus/usb/\0", "no such attribute"),
    ],
)
def test_only_attributes_are_written(root: Path, path: str, message: str) -> None:
    (root / "sys/out").symlink_to("../etc")
    (root / "sys/absolute").symlink_to("/etc/passwd")
    (root / "sys/round").symlink_to("round")
    os.mkfifo(root / "sys/pipe")
    with pytest.raises(OutputError, match=message):
        write(root, path)
    assert (root / "etc/passwd").read_text() == "root"


@pytest.mark.parametrize("value", ["", "x" * (MAX_VALUE + 1)])
def test_values_no_attribute_takes(root: Path, value: str) -> None:
    with pytest.raises(OutputError, match="is not written"):
        write(root, PROBE, value)


@pytest.mark.parametrize("number", [errno.EBUSY, errno.ENODEV, errno.EACCES])
def test_what_the_kernel_refuses_has_its_reason(
    root: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    monkeypatch.setattr(sysfs_control, "_write", lambda *_: number)
    with pytest.raises(OutputError, match=f"/{PROBE}: {os.strerror(number)}$"):
        write(root, PROBE)


def test_a_write_that_hangs_is_given_up(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def hang(*_: object) -> int:
        time.sleep(60)
        return 0

    monkeypatch.setattr(sysfs_control, "_write", hang)
    began = time.monotonic()
    with pytest.raises(StuckError, match="did not answer"):
        write(root, PROBE, seconds=0.3)
    assert time.monotonic() - began < 20


def test_a_writer_that_dies_is_no_success(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sysfs_control, "_write", lambda *_: os._exit(3))
    with pytest.raises(OutputError):
        write(root, PROBE)


def test_a_folder_without_a_merge_has_nothing_merged(tmp_path: Path) -> None:
    (tmp_path / "usr/lib/udev/rules.d").mkdir(parents=True)
    assert merged_files("usr/lib/udev/rules.d", root=str(tmp_path)) == ()
    (tmp_path / "usr/lib/os-release").write_text("ID=x\n")
    (tmp_path / "usr/lib/udev/rules.d/50-x.rules").write_text("")
    assert merged_files("usr/lib/udev/rules.d", root=str(tmp_path)) == ()


def test_a_file_of_another_file_system_is_merged(tmp_path: Path) -> None:
    """A link to where another file system is stands for a layer of an overlay."""
    (tmp_path / "usr/lib/udev/rules.d").mkdir(parents=True)
    (tmp_path / "usr/lib/os-release").write_text("ID=x\n")
    (tmp_path / "usr/lib/udev/rules.d/60-x.rules").symlink_to("/proc/version")
    assert merged_files("usr/lib/udev/rules.d", root=str(tmp_path)) == ("60-x.rules",)
