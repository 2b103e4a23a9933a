"""Which block devices a file lies on, by what the kernel says of them."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from sysgraft.host.block import (
    PartitionPlace,
    device_number,
    devices_below,
    forget_cached,
    loops_on,
    partition_place,
    sector_size_of,
    stack_of,
)

if TYPE_CHECKING:
    from pathlib import Path


def device(sysfs: Path, number: str, *slaves: str) -> None:
    """A device, made of others."""
    folder = sysfs / "dev/block" / number
    (folder / "slaves").mkdir(parents=True)
    (folder / "dev").write_text(number + "\n")
    for slave in slaves:
        (folder / "slaves" / slave.replace(":", "-")).symlink_to(sysfs / "dev/block" / slave)


@pytest.fixture
def sysfs(tmp_path: Path) -> Path:
    return tmp_path / "sys"


def number_of(path: Path) -> str:
    found = path.stat().st_dev
    return f"{os.major(found)}:{os.minor(found)}"


def test_a_stack_is_followed_to_its_end(sysfs: Path, tmp_path: Path) -> None:
    own = number_of(tmp_path)
    device(sysfs, "253:9", "8:3")
    device(sysfs, "8:3")
    device(sysfs, own, "253:9")
    assert devices_below(str(tmp_path), sysfs=str(sysfs)) == {own, "253:9", "8:3"}


def test_a_circle_ends(sysfs: Path, tmp_path: Path) -> None:
    own = number_of(tmp_path)
    device(sysfs, "253:1", own)
    device(sysfs, own, "253:1")
    assert devices_below(str(tmp_path), sysfs=str(sysfs)) == {own, "253:1"}


def test_where_the_kernel_says_nothing_the_file_system_is_all(tmp_path: Path) -> None:
    found = devices_below(str(tmp_path), sysfs=str(tmp_path / "missing"))
    assert found == {number_of(tmp_path)}


def test_what_is_not_there_lies_nowhere(tmp_path: Path) -> None:
    assert devices_below(str(tmp_path / "missing")) == frozenset()
    assert device_number(str(tmp_path / "missing")) == ""


def test_a_file_is_no_block_device(tmp_path: Path) -> None:
    assert device_number(str(tmp_path)) == ""


# --- Partitions and loop devices -----------------------------------------------------------------


def test_which_partition_a_device_is(sysfs: Path) -> None:
    part = sysfs / "devices/sda/sda3"
    part.mkdir(parents=True)
    (part / "partition").write_text("3\n")
    (part.parent / "dev").write_text("8:0\n")
    (sysfs / "dev/block").mkdir(parents=True)
    (sysfs / "dev/block/8:3").symlink_to(part)
    (sysfs / "dev/block/8:0").symlink_to(part.parent)
    assert partition_place("8:3", sysfs=str(sysfs)) == PartitionPlace("8:0", 3)
    assert partition_place("8:0", sysfs=str(sysfs)) is None
    assert partition_place("8:9", sysfs=str(sysfs)) is None


@pytest.mark.parametrize(
    ("uuid", "place"),
    [
        ("part3-mpath-3600", PartitionPlace("253:0", 3)),
        ("mpath-3600", None),
        ("CRYPT-LUKS2-part3-x", None),
    ],
)
def test_partitions_of_a_multipath_disk(
    sysfs: Path, uuid: str, place: PartitionPlace | None
) -> None:
    device(sysfs, "253:0")
    device(sysfs, "253:3", "253:0")
    (sysfs / "dev/block/253:3/dm").mkdir()
    (sysfs / "dev/block/253:3/dm/uuid").write_text(f"{uuid}\n")
    assert partition_place("253:3", sysfs=str(sysfs)) == place
    assert stack_of("253:3", sysfs=str(sysfs)) == {"253:3", "253:0"}


def test_loop_devices_on_a_file(sysfs: Path, tmp_path: Path) -> None:
    image = tmp_path / "image"
    for name, number, file, offset in (
        ("loop0", "7:0", image, 0),
        ("loop1", "7:1", image, 4096),
        ("loop2", "7:2", tmp_path / "other", 0),
    ):
        folder = sysfs / "block" / name
        (folder / "loop").mkdir(parents=True)
        (folder / "dev").write_text(f"{number}\n")
        (folder / "loop/backing_file").write_text(f"{file}\n")
        (folder / "loop/offset").write_text(f"{offset}\n")
    (sysfs / "block/loop3").mkdir()
    assert loops_on(str(image), sysfs=str(sysfs)) == {"7:0": 0, "7:1": 4096}
    assert loops_on(str(image), sysfs=str(tmp_path / "missing")) == {}


def test_sectors_as_the_kernel_counts(sysfs: Path) -> None:
    device(sysfs, "8:0")
    assert sector_size_of("8:0", sysfs=str(sysfs)) is None
    (sysfs / "dev/block/8:0/queue").mkdir()
    (sysfs / "dev/block/8:0/queue/logical_block_size").write_text("4096\n")
    assert sector_size_of("8:0", sysfs=str(sysfs)) == 4096


def test_only_devices_are_forgotten(tmp_path: Path) -> None:
    forget_cached(str(tmp_path))
    forget_cached(str(tmp_path / "missing"))
