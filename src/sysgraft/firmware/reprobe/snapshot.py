"""The devices of a machine at one moment: their drivers, and what the drivers made of them.

Read from sysfs (Linux ``Documentation/ABI/testing/sysfs-bus-*`` and ``Documentation/driver-api/
driver-model``): every device on a bus, ``/sys/bus/BUS/devices/NAME``, is a link to its place below
``/sys/devices``, where the tree tells what hangs on what. What drivers make of devices, disks,
network interfaces, screens, is in ``/sys/class``. Devices without a bus are no devices here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from sysgraft.errors import LimitError
from sysgraft.firmware.reprobe.reading import exists, last_part
from sysgraft.host.sysfs import read_text

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from sysgraft.host.sysfs import Sysfs

MAX_DEVICES: Final = 20_000
"""Devices on all buses: a server with a thousand virtual functions has some thousands."""

CONTROLS: Final = ("driver_override", "remove", "reset", "uevent")
"""Attributes of a device by which a driver can be had again."""
_CONSUMER: Final = "consumer:"
FACTS: Final = ("authorized", "class", "driver_override")
"""Attributes whose values count: whether a USB device may be used, what a PCI device is, and which
driver somebody has chosen."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Device:
    """A device on a bus.

    Attributes:
        bus: of it.
        name: on that bus.
        path: below the root: ``sys/devices/pci0000:00/0000:00:02.0``.
        modalias: what drivers are matched with; empty for none.
        driver: it is bound to; empty for none.
        module: that the driver came with; empty for none, or one that is built in.
        controls: those of `CONTROLS` that it has.
        facts: values of those of `FACTS` that it has.
        things: what its driver made, ``CLASS/NAME``: ``net/eth0``.
        consumers: devices that lose their drivers with this one, ``BUS:NAME`` (Linux
            ``Documentation/driver-api/device_link.rst``).
    """

    bus: str
    name: str
    path: str
    modalias: str = ""
    driver: str = ""
    module: str = ""
    controls: frozenset[str] = frozenset()
    facts: tuple[tuple[str, str], ...] = ()
    things: tuple[str, ...] = ()
    consumers: tuple[str, ...] = ()

    @property
    def key(self) -> str:
        """``BUS:NAME``."""
        return f"{self.bus}:{self.name}"

    def fact(self, name: str) -> str:
        """One of `FACTS`; empty if it has none."""
        return dict(self.facts).get(name, "")


@dataclass(frozen=True, slots=True)
class Snapshot:
    """All devices.

    Attributes:
        devices: by their keys, sorted.
        things: paths of what drivers made, by ``CLASS/NAME``.
        drivers: ``BUS/DRIVER`` of all that are loaded.
        modules: that are loaded.
    """

    devices: Mapping[str, Device]
    things: Mapping[str, str]
    drivers: frozenset[str]
    modules: frozenset[str]

    def at(self, path: str) -> Device | None:
        """The device that is nearest to a path, at it or above."""
        by_path = {device.path: device for device in self.devices.values()}
        return next((by_path[each] for each in _upwards(path) if each in by_path), None)

    def below(self, path: str) -> tuple[Device, ...]:
        """The devices in the tree below a path."""
        return tuple(d for d in self.devices.values() if d.path.startswith(f"{path}/"))


def is_at_or_below(path: str, folder: str) -> bool:
    """Whether a path is a folder or in it."""
    return path == folder or path.startswith(f"{folder}/")


def read_snapshot(files: Sysfs) -> Snapshot:
    """All devices of a machine.

    Raises:
        LimitError: there are more than `MAX_DEVICES`.
    """
    places: dict[tuple[str, str], str] = {}
    for bus in files.names("sys/bus"):
        for name in files.names(f"sys/bus/{bus}/devices"):
            real = files.resolve(f"sys/bus/{bus}/devices/{name}")
            if real is not None and is_at_or_below(real, "sys/devices"):
                places[bus, name] = real
            if len(places) > MAX_DEVICES:
                raise LimitError(f"more than {MAX_DEVICES} devices", file=files.source)
    things = dict(_things(files))
    owned = _owners(things, frozenset(places.values()))
    devices = [
        read_device(files, bus, name, path, things=owned.get(path, ()))
        for (bus, name), path in sorted(places.items())
    ]
    return Snapshot(
        {device.key: device for device in devices},
        things,
        frozenset(_drivers(files)),
        frozenset(files.names("sys/module")),
    )


def read_device(
    files: Sysfs, bus: str, name: str, path: str, *, things: tuple[str, ...] = ()
) -> Device:
    """What one device is now.

    Args:
        files: of the machine.
        bus: of the device.
        name: on it.
        path: where it is.
        things: what its driver made.
    """
    facts = ((each, read_text(files, f"{path}/{each}")) for each in FACTS)
    return Device(
        bus=bus,
        name=name,
        path=path,
        modalias=read_text(files, f"{path}/modalias"),
        driver=last_part(files, f"{path}/driver"),
        module=last_part(files, f"{path}/driver/module"),
        controls=frozenset(each for each in CONTROLS if exists(files, f"{path}/{each}")),
        facts=tuple((each, value) for each, value in facts if value),
        things=things,
        consumers=tuple(
            each.removeprefix(_CONSUMER) for each in files.names(path) if each.startswith(_CONSUMER)
        ),
    )


def things_below(files: Sysfs, path: str) -> tuple[str, ...]:
    """What drivers made in the tree below a path, now."""
    return tuple(name for name, real in _things(files) if is_at_or_below(real, path))


def _things(files: Sysfs) -> Iterator[tuple[str, str]]:
    for kind in files.names("sys/class"):
        for name in files.names(f"sys/class/{kind}"):
            real = files.resolve(f"sys/class/{kind}/{name}")
            if real is not None and is_at_or_below(real, "sys/devices"):
                yield f"{kind}/{name}", real


def _owners(things: Mapping[str, str], places: frozenset[str]) -> dict[str, tuple[str, ...]]:
    """What belongs to the nearest device above it."""
    found: dict[str, tuple[str, ...]] = {}
    for name, path in things.items():
        owner = next((each for each in _upwards(path) if each in places), None)
        if owner is not None:
            found[owner] = (*found.get(owner, ()), name)
    return found


def _upwards(path: str) -> Iterator[str]:
    while path:
        yield path
        path = path.rpartition("/")[0]


def _drivers(files: Sysfs) -> Iterator[str]:
    for bus in files.names("sys/bus"):
        for name in files.names(f"sys/bus/{bus}/drivers"):
            yield f"{bus}/{name}"
