"""Reading /sys: the fake one and the one in a folder do the same."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final

import pytest

from sysgraft.errors import InputError
from sysgraft.host.sysfs import ATTRIBUTE_MAX, MAX_LINKS, SysfsFolder, read_text
from sysgraft.testing.sysfs import FakeSysfs

if TYPE_CHECKING:
    from pathlib import Path

    from sysgraft.host.sysfs import Sysfs

FILES: Final = {
    "sys/devices/pci0000:00/0000:00:02.0/modalias": "pci:v1\n",
    "sys/devices/pci0000:00/0000:00:02.0/long": "x" * 9000,
    "sys/bus/pci/drivers/e100/uevent": "",
    "etc/os-release": "ID=debian\n",
}
LINKS: Final = {
    "sys/bus/pci/devices/0000:00:02.0": "../../../devices/pci0000:00/0000:00:02.0",
    "sys/devices/pci0000:00/0000:00:02.0/driver": "../../../bus/pci/drivers/e100",
    "sys/absolute": "/sys/bus",
    "sys/away": "../../../../../../etc/os-release",
    "sys/loop": "loop",
    "sys/nowhere": "not/there",
}


@pytest.fixture(params=["fake", "folder"])
def files(request: pytest.FixtureRequest, tmp_path: Path) -> Sysfs:
    if request.param == "fake":
        return FakeSysfs(FILES, LINKS)
    root = tmp_path / "root"
    for path, text in FILES.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text)
    for path, target in LINKS.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).symlink_to(target)
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/os-release").write_text("ID=outside\n")
    return SysfsFolder(root)


def test_names_are_sorted(files: Sysfs) -> None:
    assert files.names("sys/bus/pci") == ["devices", "drivers"]
    assert files.names("sys/bus/pci/devices/0000:00:02.0") == ["driver", "long", "modalias"]
    assert files.names("") == ["etc", "sys"]
    assert files.names("sys/absolute") == ["pci"]


@pytest.mark.parametrize("path", ["sys/none", "sys/loop", "sys/nowhere", "etc/os-release"])
def test_no_folder_no_names(files: Sysfs, path: str) -> None:
    assert files.names(path) == []


def test_attributes_are_read_through_links(files: Sysfs) -> None:
    assert files.read("sys/bus/pci/devices/0000:00:02.0/modalias") == b"pci:v1\n"
    assert read_text(files, "sys/bus/pci/devices/0000:00:02.0/modalias") == "pci:v1"


def test_only_a_page_of_an_attribute(files: Sysfs) -> None:
    path = "sys/devices/pci0000:00/0000:00:02.0/long"
    assert len(files.read(path) or b"") == ATTRIBUTE_MAX
    assert len(files.read(path, 1 << 20) or b"") == 9000


@pytest.mark.parametrize("path", ["sys/none", "sys/bus", "sys/loop", "sys/nowhere", "a\0b", ""])
def test_what_cannot_be_read(files: Sysfs, path: str) -> None:
    assert files.read(path) is None
    assert read_text(files, path) == ""


def test_no_link_leads_out(files: Sysfs) -> None:
    assert files.read("sys/away") == b"ID=debian\n"
    assert files.read("../../../etc/os-release") == b"ID=debian\n"


def test_where_paths_lead(files: Sysfs) -> None:
    device = "sys/bus/pci/devices/0000:00:02.0"
    assert files.resolve(device) == "sys/devices/pci0000:00/0000:00:02.0"
    assert files.resolve(f"{device}/driver") == "sys/bus/pci/drivers/e100"
    assert files.resolve("sys/absolute/pci/drivers") == "sys/bus/pci/drivers"
    assert files.resolve("sys/loop") is None
    assert files.resolve("sys/nowhere") is None


def test_many_links_in_a_row(tmp_path: Path) -> None:
    links = {f"l{number}": f"l{number + 1}" for number in range(MAX_LINKS + 1)}
    for name, target in links.items():
        (tmp_path / name).symlink_to(target)
    end = f"l{MAX_LINKS + 1}"
    (tmp_path / end).write_text("end")
    for files in (SysfsFolder(tmp_path), FakeSysfs({end: "end"}, links)):
        assert files.read("l1") == b"end"
        assert files.read("l0") is None


def test_what_is_no_file_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    assert SysfsFolder(tmp_path).read("fifo") is None


def test_names_that_are_not_utf8_are_left_out(tmp_path: Path) -> None:
    (tmp_path / os.fsdecode(b"\xff")).write_text("")
    (tmp_path / "a\nb").write_text("")
    assert SysfsFolder(tmp_path).names("") == []


def test_no_root(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such folder"):
        SysfsFolder(tmp_path / "none")
