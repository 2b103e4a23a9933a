"""The devices of a machine, from its ``/sys``, or from what listing programs printed of it.

Of ``/sys`` every device of a bus that has a modalias is taken, as ``modalias`` or as ``MODALIAS=``
of its ``uevent`` (Linux ``Documentation/ABI/testing/sysfs-bus-*``). Nothing in it needs root.
"""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Final, NamedTuple

from sysgraft.errors import LimitError
from sysgraft.firmware.inventory import MAX_DEVICES, Device
from sysgraft.formats import lspci, lsusb, modalias, udev_db
from sysgraft.host.sysfs import read_text

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from sysgraft.host.sysfs import Sysfs

_TEXT_MAX: Final = 4096
# All processors have one modalias, which may be kilobytes long.
_ALIKE: Final = "cpu"
# The names of its devices are UUIDs of this very machine.
_NAMED_BY_UUID: Final = "vmbus"
# Classes, no buses, whose devices have modaliases all the same; that of DMI tells of one machine.
_CLASSES: Final = frozenset({"dmi", "input"})
# Attributes that names of firmware are made of, by bus.
_ATTRIBUTES: Final = {"pci": ("subsystem_vendor", "subsystem_device")}
# Properties of its node in the devicetree: texts, each with a NUL behind it (DTSpec §2.2.4).
_TREE_PROPERTIES: Final = ("compatible", "firmware-name")


class Placed(NamedTuple):
    """A device, and where it is: ``sys/devices/…``; empty where nobody knows."""

    device: Device
    place: str


def of_sysfs(files: Sysfs) -> list[Placed]:
    """All devices of a machine, sorted by bus and name.

    Raises:
        LimitError: there are more than `MAX_DEVICES`.
    """
    found = list(islice(_of_buses(files), MAX_DEVICES + 1))
    _check_count(len(found))
    return list(_with_parents(found))


def _check_count(count: int) -> None:
    if count > MAX_DEVICES:
        raise LimitError(f"a machine with more than {MAX_DEVICES} devices")


def _of_buses(files: Sysfs) -> Iterator[Placed]:
    for bus in files.names("sys/bus"):
        seen: set[str] = set()
        for number, name in enumerate(files.names(f"sys/bus/{bus}/devices")):
            path = f"sys/bus/{bus}/devices/{name}"
            alias = _modalias(files, path)
            if not alias or (bus == _ALIKE and alias in seen):
                continue
            seen.add(alias)
            shown = _shown(bus, name, number)
            yield Placed(_device(files, path, bus, shown, alias), files.resolve(path) or path)


def _shown(bus: str, name: str, number: int) -> str:
    return f"device{number}" if bus == _NAMED_BY_UUID else name


def _modalias(files: Sysfs, path: str) -> str:
    text = read_text(files, f"{path}/modalias", _TEXT_MAX)
    return text or _uevent(files, path).get("MODALIAS", "")


def _uevent(files: Sysfs, path: str) -> dict[str, str]:
    lines = read_text(files, f"{path}/uevent", _TEXT_MAX).splitlines()
    return dict(line.partition("=")[::2] for line in lines)


def _device(files: Sysfs, path: str, bus: str, name: str, alias: str) -> Device:
    driver = files.resolve(f"{path}/driver")
    module = files.resolve(f"{driver}/module") if driver else None
    return Device(
        bus,
        name,
        alias,
        driver=_last(driver),
        module=_last(module),
        properties=dict(_properties(files, path, bus)),
    )


def _last(path: str | None) -> str:
    return path.rpartition("/")[2] if path else ""


def _properties(files: Sysfs, path: str, bus: str) -> Iterator[tuple[str, str]]:
    for name in _ATTRIBUTES.get(bus, ()):
        text = read_text(files, f"{path}/{name}")
        if text:
            yield name, text
    for name in _TREE_PROPERTIES:
        text = tree_texts(files, f"{path}/of_node/{name}")
        if text:
            yield name, text


def tree_texts(files: Sysfs, path: str) -> str:
    """A devicetree's list of texts, with spaces between them; empty where there is none."""
    return " ".join(filter(None, read_text(files, path).split("\0")))


def _with_parents(found: list[Placed]) -> Iterator[Placed]:
    """Each device with the nearest one above it."""
    by_place = {each.place: each.device for each in found}
    for device, place in found:
        above = place.rpartition("/")[0]
        while above and above not in by_place:
            above = above.rpartition("/")[0]
        parent = by_place[above].name if above else ""
        yield Placed(
            Device(
                device.bus,
                device.name,
                device.modalias,
                device.driver,
                device.module,
                parent,
                device.properties,
            ),
            place,
        )


# --- Listings ------------------------------------------------------------------------------------


def of_lspci(data: bytes) -> list[Device]:
    """What ``lspci -nnk`` lists; raises as `lspci.parse`."""
    return [
        Device(
            "pci",
            each.name,
            modalias.of_pci(each.ids),
            driver=each.driver,
            module=_module_of(each),
            properties=_subsystem(each.ids),
        )
        for each in lspci.parse(data)
    ]


def _module_of(each: lspci.PciDevice) -> str:
    """The module that brought the driver: of several that know the device, the like-named one."""
    if not each.driver:
        return ""
    plain = each.driver.replace("-", "_")
    return next((name for name in each.modules if name.replace("-", "_") == plain), "")


def _subsystem(ids: modalias.PciId) -> dict[str, str]:
    return {
        "subsystem_vendor": f"0x{ids.subsystem_vendor:04x}",
        "subsystem_device": f"0x{ids.subsystem_device:04x}",
    }


def of_lsusb(data: bytes) -> list[Device]:
    """What ``lsusb -v`` lists; raises as `lsusb.parse`."""
    return [
        Device("usb", each.name, modalias.of_usb(each.ids), parent=each.device)
        for each in lsusb.parse(data)
    ]


def of_udev(data: bytes, modules: Mapping[str, str] | None = None) -> list[Placed]:
    """What ``udevadm info --export-db`` lists; raises as `udev_db.parse`.

    Args:
        data: the listing.
        modules: of drivers, where they are known.
    """
    found = [
        Placed(
            Device(
                each.subsystem,
                _shown(each.subsystem, each.name, number),
                each.modalias,
                driver=each.driver,
                module=(modules or {}).get(each.driver, ""),
            ),
            f"sys{each.path}",
        )
        for number, each in enumerate(udev_db.parse(data))
        if each.modalias and each.subsystem not in _CLASSES
    ]
    _check_count(len(found))
    return sorted(_with_parents(found), key=lambda each: (each.device.bus, each.device.name))


def joined(lists: Iterable[Iterable[Device]]) -> list[Device]:
    """One list, sorted; of devices with one name the first counts.

    Raises:
        LimitError: there are more than `MAX_DEVICES`.
    """
    found: dict[tuple[str, str], Device] = {}
    for devices in lists:
        for device in devices:
            found.setdefault((device.bus, device.name), device)
    _check_count(len(found))
    return [found[key] for key in sorted(found)]
