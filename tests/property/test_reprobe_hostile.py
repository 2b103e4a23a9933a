"""Whatever ``/proc`` and ``/sys`` hold: guards are found, wrong names refused, all of it ends."""

from __future__ import annotations

from typing import Final

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sysgraft.errors import UsageError
from sysgraft.firmware.reprobe.anchors_console import console_anchors
from sysgraft.firmware.reprobe.anchors_disk import disk_anchors
from sysgraft.firmware.reprobe.anchors_net import net_anchors
from sysgraft.firmware.reprobe.guards import parse_allowed
from sysgraft.firmware.reprobe.names import split_device
from sysgraft.firmware.reprobe.selection import read_aliases, unbound
from sysgraft.firmware.reprobe.snapshot import read_snapshot
from sysgraft.host.mounts import mount_of, parse_mounts
from sysgraft.testing.sysfs import FakeSysfs

NAMES: Final = ("sda", "dm-0", "dm-1", "loop0", "eth0", "bond0", "usb1", "1-1", "..", "ttyS0")
TABLES: Final = (
    *("proc/self/mountinfo", "proc/swaps", "proc/net/route", "proc/net/ipv6_route"),
    *("proc/consoles", "proc/sys/kernel/osrelease", "usr/lib/modules/6/modules.alias"),
)
WORDS: Final = st.one_of(
    st.sampled_from(
        [
            *("0:5", "8:0", "7:0", "/", "/usr", "overlay", "ext4", "btrfs", "nfs", "-", "rw"),
            *("lowerdir=/:/usr", "/dev/sda", "/dev/mapper/x", "00000000", "0" * 32, "00", "eth0"),
            *("alias", "usb:*", "tty0", "ttyS0", "partition"),
        ]
    ),
    st.binary(max_size=6).map(lambda data: data.decode("latin-1")),
)
LINES: Final = st.lists(st.lists(WORDS, max_size=14).map(" ".join), max_size=12).map("\n".join)
PATHS: Final = st.lists(st.sampled_from(NAMES), min_size=1, max_size=3).map("/".join)


@st.composite
def machines(draw: st.DrawFn) -> FakeSysfs:
    """Files and links at the places that are looked at, with anything in them."""
    files = {path: draw(LINES) for path in TABLES}
    files["proc/sys/kernel/osrelease"] = "6"
    links: dict[str, str] = {}
    for _ in range(draw(st.integers(0, 12))):
        place = f"sys/devices/{draw(PATHS)}"
        name = draw(st.sampled_from(NAMES))
        kinds = ("bus/usb/devices", "class/block", "class/net", "class/tty", "fs/btrfs/1/devices")
        links[f"sys/{draw(st.sampled_from(kinds))}/{name}"] = f"/{place}"
        links[f"sys/dev/block/{draw(st.sampled_from(('8:0', '7:0')))}"] = f"/{place}"
        links[f"{place}/slaves/{draw(st.sampled_from(NAMES))}"] = f"/sys/devices/{draw(PATHS)}"
        files[f"{place}/{draw(st.sampled_from(('modalias', 'loop/backing_file')))}"] = draw(LINES)
        files[f"{place}/lower_{name}/x"] = ""
    return FakeSysfs(files, links)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(machines())
def test_guards_are_found_on_any_machine(files: FakeSysfs) -> None:
    snapshot = read_snapshot(files)
    for anchor in (
        *disk_anchors(files, snapshot),
        *net_anchors(files, snapshot),
        *console_anchors(files, snapshot),
    ):
        assert anchor.path
        assert anchor.what
    list(unbound(snapshot, read_aliases(files)))


@given(LINES)
def test_tables_of_mounts(text: str) -> None:
    mounts = parse_mounts(text.split("\n"))
    for mount in mounts:
        found = mount_of(mount.place, mounts)
        assert found is None or mount.place.startswith(found.place.rstrip("/"))


@given(st.text(max_size=40))
def test_names_stay_below_their_bus(text: str) -> None:
    for parse in (split_device, parse_allowed):
        try:
            found = parse(text)
        except UsageError:
            continue
        assert not any("/" in part or part in (".", "..") for part in found[:1])
