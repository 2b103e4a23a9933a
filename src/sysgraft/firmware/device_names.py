"""Which device of an inventory a message means.

The kernel names a device by its subsystem and name, by the number of its node (``c189:3``) or of
its network interface (``n2``), or only in the text, without the subsystem. What is no device of a
bus itself, such as a Bluetooth controller, stands for the nearest one above it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from sysgraft.firmware.inventory import Device
    from sysgraft.host.sysfs import Sysfs

_NODES: Final = {"c": "char", "b": "block"}


class DeviceNames:
    """Finds devices.

    Args:
        devices: those of the inventory.
        files: the machine's; None where there is only a list.
        places: where each device of the inventory is, ``sys/devices/…``, by ``BUS:NAME``.
    """

    def __init__(
        self,
        devices: Iterable[Device] = (),
        files: Sysfs | None = None,
        places: Mapping[str, str] | None = None,
    ) -> None:
        self._files = files
        self._by_place = {place: name for name, place in (places or {}).items()}
        self._known = {f"{device.bus}:{device.name}" for device in devices}
        self._by_name: dict[str, list[str]] = {}
        for full in sorted(self._known):
            self._by_name.setdefault(full.partition(":")[2], []).append(full)

    def find(self, about: str, printed: str) -> str:
        """``BUS:NAME`` of the device a message is about; empty if nobody knows.

        Args:
            about: the record's ``DEVICE=``, empty for none.
            printed: what the message calls it, ``BUS:NAME`` or ``:NAME``.
        """
        exact = about[1:] if about.startswith("+") else ""
        for name in filter(None, (exact, printed)):
            if name in self._known:
                return name
        return self._through_files(about, exact or printed) or self._by_looks(exact or printed)

    def _by_looks(self, name: str) -> str:
        """By the name alone, where only one bus has it."""
        bus, _, plain = name.partition(":")
        same = self._by_name.get(plain, [])
        if len(same) == 1:
            return same[0]
        return name if bus else ""

    def _through_files(self, about: str, name: str) -> str:
        if self._files is None:
            return ""
        kind, number = about[:1], about[1:]
        if kind in _NODES:
            return self._nearest(f"sys/dev/{_NODES[kind]}/{number}")
        if kind == "n":
            return self._interface(number)
        subsystem, _, plain = name.partition(":")
        if not plain:
            return ""
        for path in (f"sys/class/{subsystem}/{plain}", f"sys/bus/{subsystem}/devices/{plain}"):
            found = self._nearest(path)
            if found:
                return found
        return ""

    def _interface(self, number: str) -> str:
        assert self._files is not None  # noqa: S101  for the type checker
        for interface in self._files.names("sys/class/net"):
            if (self._files.read(f"sys/class/net/{interface}/ifindex") or b"").decode(
                "ascii", "replace"
            ).strip() == number:
                return self._nearest(f"sys/class/net/{interface}")
        return ""

    def _nearest(self, path: str) -> str:
        """The device at a place, or the nearest above it."""
        place = self._files.resolve(path) if self._files else None
        while place:
            if place in self._by_place:
                return self._by_place[place]
            place = place.rpartition("/")[0]
        return ""
