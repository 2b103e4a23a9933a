"""Which devices are re-probed, and on what evidence.

* ``named``: somebody named the device, or its modalias.
* ``message``: the kernel said that a driver missed firmware for it. That alone proves nothing,
  since drivers try several names, and do without some files: nothing is done to a device that has a
  driver which made of it what such a device has.
* ``unbound``: it has no driver, though a module that is loaded says it is for such devices. It may
  have other reasons, so nothing is done but to ask once more.

Where a USB device is meant, its interfaces are what drivers are for.
"""

from __future__ import annotations

import fnmatch
import re
from typing import TYPE_CHECKING, Final, Literal, NamedTuple, TypeAlias

from sysgraft.host.sysfs import read_text

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from sysgraft.firmware.inventory import Failure
    from sysgraft.firmware.reprobe.snapshot import Device, Snapshot
    from sysgraft.host.sysfs import Sysfs

Evidence: TypeAlias = Literal["named", "message", "unbound"]

MAX_ALIASES: Final = 1 << 20
"""Lines of a kernel's ``modules.alias``; Debian 13's has some 20,000."""
_MAX_INDEX: Final = 64 << 20
_DESCRIBED: Final = "acpi"
"""Devices on this bus describe others, which have the drivers."""
_NETWORK_CLASS: Final = ("0x0200", "0x0280")
_DISPLAY_CLASS: Final = "0x03"


class Wanted(NamedTuple):
    """A device to re-probe.

    Attributes:
        device: as it is.
        evidence: why.
        why: the same in words.
        driver: that missed its firmware; empty where nobody says.
    """

    device: Device
    evidence: Evidence
    why: str
    driver: str = ""


def named(snapshot: Snapshot, keys: Iterable[str]) -> Iterator[Wanted]:
    """The devices of these names that are there; of USB devices what misses a driver in them."""
    for key in keys:
        device = snapshot.devices.get(key)
        for each in _parts(snapshot, device) if device else ():
            yield Wanted(each, "named", f"{key} was named")


def matching(snapshot: Snapshot, patterns: Iterable[str]) -> Iterator[Wanted]:
    """The devices without a driver whose modalias matches."""
    for pattern in patterns:
        for device in snapshot.devices.values():
            if not device.driver and fnmatch.fnmatchcase(device.modalias, pattern):
                yield Wanted(device, "named", f"its modalias matches {pattern}")


def failed(snapshot: Snapshot, failures: Sequence[Failure]) -> Iterator[Wanted]:
    """The devices that the kernel's messages are about."""
    # A driver may complain thousands of times.
    for failure in {failure.device: failure for failure in reversed(failures)}.values():
        device = snapshot.devices.get(failure.device)
        why = failure.name or failure.message
        for each in _parts(snapshot, device) if device else ():
            yield Wanted(each, "message", f"it missed {why}", failure.driver)


def unbound(snapshot: Snapshot, aliases: Sequence[tuple[str, str]]) -> Iterator[Wanted]:
    """The devices without a driver that a loaded module is for.

    Args:
        snapshot: the devices.
        aliases: see `read_aliases`.
    """
    usable = [(prefix_of(p), p, module) for p, module in aliases if module in snapshot.modules]
    for device in snapshot.devices.values():
        if device.modalias and not device.driver and device.bus != _DESCRIBED:
            module = _module_for(device.modalias, usable)
            if module:
                why = f"it has no driver, and the module {module} is for such devices"
                yield Wanted(device, "unbound", why)


def read_aliases(files: Sysfs) -> list[tuple[str, str]]:
    """Pattern and module of each line in the running kernel's ``modules.alias`` (depmod(8))."""
    release = read_text(files, "proc/sys/kernel/osrelease", 256)
    text = (
        read_text(files, f"usr/lib/modules/{release}/modules.alias", _MAX_INDEX) if release else ""
    )
    words = (line.split(" ") for line in text.split("\n", MAX_ALIASES)[:MAX_ALIASES])
    return [(w[1], w[2].replace("-", "_")) for w in words if len(w) == 3 and w[0] == "alias"]


def prefix_of(pattern: str) -> str:
    """What a pattern begins with literally."""
    return re.split(r"[*?\[]", pattern, maxsplit=1)[0]


def _module_for(modalias: str, usable: Sequence[tuple[str, str, str]]) -> str:
    for prefix, pattern, module in usable:
        if modalias.startswith(prefix) and fnmatch.fnmatchcase(modalias, pattern):
            return module
    return ""


def missing_thing(device: Device) -> str:
    """The class of what its driver should have made and has not; empty if nothing is missed.

    Only for devices whose bus tells what they are (PCI class codes).
    """
    expected = expected_class(device)
    made = {thing.partition("/")[0] for thing in device.things}
    return expected if expected and expected not in made else ""


def expected_class(device: Device) -> str:
    """What a driver makes of such a device; empty where nobody can tell."""
    if device.bus == "pci" and device.fact("class").startswith(_NETWORK_CLASS):
        return "net"
    if device.bus == "pci" and device.fact("class").startswith(_DISPLAY_CLASS):
        return "drm"
    return ""


def first_of_each(wanted: Iterable[Wanted]) -> tuple[Wanted, ...]:
    """Each device once, on its strongest evidence, in the order they came."""
    found: dict[str, Wanted] = {}
    for each in wanted:
        found.setdefault(each.device.key, each)
    return tuple(found.values())


def _parts(snapshot: Snapshot, device: Device) -> tuple[Device, ...]:
    """The interfaces of a USB device that have no driver; the device itself if all have one."""
    if device.bus != "usb" or ":" in device.name:
        return (device,)
    inside = (d for d in snapshot.below(device.path) if d.bus == "usb" and not d.driver)
    mine = tuple(d for d in inside if d.name.startswith(f"{device.name}:"))
    return mine or (device,)
