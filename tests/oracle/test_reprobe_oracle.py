"""The disks that must not lose their drivers, on the machine of the tests, against util-linux."""

from __future__ import annotations

import json
import subprocess
from typing import TYPE_CHECKING, Final

import pytest

from sysgraft.firmware.reprobe.anchors_disk import disk_anchors
from sysgraft.firmware.reprobe.snapshot import read_snapshot
from sysgraft.host.sysfs import SysfsFolder

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.oracle("lsblk")

# Reads the kernel's own tables, not udev's database, which not every machine has.
LSBLK: Final = ("lsblk", "--json", "--inverse", "--output", "KNAME,MOUNTPOINTS")


def mounted(devices: list[dict[str, object]]) -> Iterator[set[str]]:
    """For each device that is mounted somewhere: it, and what it is made of."""
    for device in devices:
        places = device["mountpoints"]
        if isinstance(places, list) and any(places):
            yield set(names(device))


def names(device: dict[str, object]) -> Iterator[str]:
    yield str(device["kname"])
    below = device.get("children", [])
    for each in below if isinstance(below, list) else []:
        yield from names(each)


def test_every_disk_that_is_mounted_is_guarded_with_all_it_is_made_of() -> None:
    done = subprocess.run(LSBLK, capture_output=True, text=True, check=True)
    files = SysfsFolder("/")
    snapshot = read_snapshot(files)
    guarded = {each.path.rpartition("/")[2] for each in disk_anchors(files, snapshot)}
    for stack in mounted(json.loads(done.stdout)["blockdevices"]):
        # A whole disk is above its partition in the tree, and so guarded with it.
        on_disk = {name for name in stack if f"block/{name}" in snapshot.things}
        paths = {snapshot.things[f"block/{name}"] for name in on_disk & guarded}
        for name in on_disk:
            place = snapshot.things[f"block/{name}"]
            assert any(path == place or path.startswith(f"{place}/") for path in paths), name
