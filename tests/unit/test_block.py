"""Which block devices a file lies on, by what the kernel says of them."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from sysgraft.host.block import device_number, devices_below

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
