"""The steps that may give a device its driver, from the one that disturbs least.

What each bus offers is in Linux ``Documentation/ABI/testing/sysfs-bus-usb``, ``sysfs-bus-pci`` and
``Documentation/driver-api/driver-model/binding.rst``:

* a device without a driver: its bus is asked for one (``drivers_probe``); udev loads the module it
  has missed; a driver that is named by the kernel's message may take it (``driver_override``);
* a device with one: the driver is told to start anew (``devlink``), or taken away and given back;
* a USB interface is taken away and given back (``authorized``; the kernel does not look for drivers
  of interfaces by itself then), after that the whole USB device; one that somebody has not
  authorized is not given anything;
* a PCI device is reset, after that removed and found again;
* at last the module is loaded anew, where no other device uses it.

This plans only. Whether a step may be taken is `sysgraft.firmware.reprobe.guards`' to say, by what
it touches.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal, NamedTuple, TypeAlias

from sysgraft.firmware.reprobe.snapshot import is_at_or_below

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sysgraft.firmware.reprobe.snapshot import Device, Snapshot

StepName: TypeAlias = Literal[
    "probe",
    "module",
    "override",
    "devlink",
    "rebind",
    "interface",
    "usb-device",
    "reset",
    "rescan",
    "reload",
]

ASKS_ON_OPEN: Final = frozenset({"3c59x", "bnx2", "e100", "r8169", "starfire", "tg3", "typhoon"})
"""Network drivers that load firmware when the interface is brought up, not in their probe: the open
functions in Linux drivers/net/ethernet."""

_HUB: Final = "hub"
"""The driver of USB hubs."""
_NO_WISH: Final = ("", "(null)")
"""What ``driver_override`` reads where nobody has chosen a driver."""
_INTERFACE_MARK: Final = ":"
"""In the name of a USB interface, ``1-4:1.0``; that of a device has none."""


class Write(NamedTuple):
    """A value for an attribute, whose path is relative to the root.

    Attributes:
        path: of it.
        value: for it.
        always: whether it is written even if something before it failed.
    """

    path: str
    value: str
    always: bool = False


class Command(NamedTuple):
    """A program to run."""

    words: tuple[str, ...]


class Step(NamedTuple):
    """One rung.

    Attributes:
        name: of it.
        touches: places whose whole trees go through it.
        actions: in their order; the first that fails ends the step.
    """

    name: StepName
    touches: tuple[str, ...]
    actions: tuple[Write | Command, ...]


class _Rung(NamedTuple):
    name: StepName
    device: Device
    actions: tuple[Write | Command, ...]


def plan(
    device: Device, snapshot: Snapshot, *, driver: str = "", gently: bool = False
) -> tuple[Step, ...]:
    """All rungs for a device as it is now.

    Args:
        device: which one; a step before may have left it without the driver it had.
        snapshot: what was around it at first, with itself.
        driver: that the kernel's messages name; empty for none.
        gently: only the first for a device without driver.
    """
    if gently:
        found = [] if device.driver else [_probe_rung(device)]
    else:
        found = list(_without(device, snapshot, driver) if not device.driver else _devlink(device))
        found += _rebind(device)
        found += _usb(device, snapshot) if device.bus == "usb" else ()
        found += _pci(device, snapshot) if device.bus == "pci" else ()
        found += _reload(snapshot.devices.get(device.key, device), snapshot)
    return tuple(Step(name, touched(each, snapshot), actions) for name, each, actions in found)


def touched(device: Device, snapshot: Snapshot) -> tuple[str, ...]:
    """The places of everything that goes with a device.

    That is what is below it in the tree, below the consumers of all these, and with the interface
    of a USB hub, whose place is beside the devices on it, the whole hub.
    """
    first = device.path.rpartition("/")[0] if device.driver == _HUB else device.path
    found: dict[str, None] = {}
    waiting = [first]
    while waiting:
        path = waiting.pop()
        if path not in found:
            found[path] = None
            for each in snapshot.devices.values():
                if each.consumers and is_at_or_below(each.path, path):
                    users = (snapshot.devices.get(key) for key in each.consumers)
                    waiting += [user.path for user in users if user]
    return tuple(found)


def _probe(device: Device, *, always: bool = False) -> Write:
    return Write(f"sys/bus/{device.bus}/drivers_probe", device.name, always)


def _probe_rung(device: Device) -> _Rung:
    return _Rung("probe", device, (_probe(device),))


def _without(device: Device, snapshot: Snapshot, driver: str) -> Iterator[_Rung]:
    yield _probe_rung(device)
    known = f"{device.bus}/{driver}" in snapshot.drivers
    if device.modalias and "uevent" in device.controls and not known:
        # What `udevadm trigger --action=add` does.
        yield _Rung("module", device, (Write(f"{device.path}/uevent", "add"),))
    free = "driver_override" in device.controls and device.fact("driver_override") in _NO_WISH
    if known and free:
        override = f"{device.path}/driver_override"
        # A line break takes the wish back: it would bind the device to this driver for good.
        actions = (Write(override, driver), _probe(device), Write(override, "\n", always=True))
        yield _Rung("override", device, actions)


def _devlink(device: Device) -> Iterator[_Rung]:
    if device.bus in ("pci", "auxiliary"):
        words = ("devlink", "dev", "reload", f"{device.bus}/{device.name}")
        actions = (Command((*words, "action", "driver_reinit")),)
        yield _Rung("devlink", device, actions)


def _rebind(device: Device) -> Iterator[_Rung]:
    if device.driver:
        folder = f"sys/bus/{device.bus}/drivers/{device.driver}"
        actions = (Write(f"{folder}/unbind", device.name), Write(f"{folder}/bind", device.name))
        yield _Rung("rebind", device, actions)


def _usb(device: Device, snapshot: Snapshot) -> Iterator[_Rung]:
    whole = device
    if _INTERFACE_MARK in device.name:
        if device.fact("authorized") == "1":
            yield _Rung("interface", device, (*_authorize(device), _probe(device, always=True)))
        above = snapshot.at(device.path.rpartition("/")[0])
        if above is None or above.bus != "usb":
            return
        whole = above
    if whole.fact("authorized") == "1":
        yield _Rung("usb-device", whole, _authorize(whole))


def _authorize(device: Device) -> tuple[Write, Write]:
    path = f"{device.path}/authorized"
    return Write(path, "0"), Write(path, "1", always=True)


def _pci(device: Device, snapshot: Snapshot) -> Iterator[_Rung]:
    if "reset" in device.controls:
        unbind = Write(f"sys/bus/pci/drivers/{device.driver}/unbind", device.name)
        before = (unbind,) if device.driver else ()
        reset = Write(f"{device.path}/reset", "1")
        yield _Rung("reset", device, (*before, reset, _probe(device, always=True)))
    if "remove" in device.controls:
        above = snapshot.at(device.path.rpartition("/")[0])
        place = above.path if above and above.bus == "pci" else "sys/bus/pci"
        again = Write(f"{place}/rescan", "1", always=True)
        yield _Rung("rescan", device, (Write(f"{device.path}/remove", "1"), again))


def _reload(device: Device, snapshot: Snapshot) -> Iterator[_Rung]:
    """Only where the driver has this device alone, and no other module needs its own."""
    module = device.module
    users = [d for d in snapshot.devices.values() if module and d.module == module]
    if users == [device]:
        actions = (Command(("modprobe", "-r", module)), Command(("modprobe", module)))
        yield _Rung("reload", device, actions)
