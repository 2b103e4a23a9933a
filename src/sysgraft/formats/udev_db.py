"""What ``udevadm info --export-db`` prints: all devices, with what their uevents say.

Each device is lines up to an empty one, ``E: KEY=VALUE`` its properties. Only what tells its kind
and its driver is taken; names, addresses and serial numbers that rules add are not.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from sysgraft.errors import LimitError

if TYPE_CHECKING:
    from collections.abc import Iterator

MAX_SIZE: Final = 64 << 20
"""Bytes of a database; a server's has some megabytes."""
MAX_LINE: Final = 4096
"""Bytes of a line that are looked at."""

_WANTED: Final = frozenset({"DEVPATH", "SUBSYSTEM", "MODALIAS", "DRIVER"})


class UdevDevice(NamedTuple):
    """A device.

    Attributes:
        path: below ``/sys``, with a leading slash.
        subsystem: its bus or class.
        modalias: empty for none.
        driver: likewise.
    """

    path: str
    subsystem: str
    modalias: str
    driver: str

    @property
    def name(self) -> str:
        """As in ``/sys/bus/SUBSYSTEM/devices``."""
        return self.path.rpartition("/")[2]


def parse(data: bytes) -> list[UdevDevice]:
    """The devices with a path and a subsystem, in the order of the database.

    Raises:
        LimitError: it has more than `MAX_SIZE` bytes.
    """
    if len(data) > MAX_SIZE:
        raise LimitError(f"a udev database of more than {MAX_SIZE} bytes")
    return [
        UdevDevice(
            fields["DEVPATH"],
            fields["SUBSYSTEM"],
            fields.get("MODALIAS", ""),
            fields.get("DRIVER", ""),
        )
        for fields in _devices(data)
        if "DEVPATH" in fields and "SUBSYSTEM" in fields
    ]


def _devices(data: bytes) -> Iterator[dict[str, str]]:
    fields: dict[str, str] = {}
    for raw in data.split(b"\n"):
        line = raw[:MAX_LINE].decode("utf-8", "replace").rstrip()
        if not line:
            yield fields
            fields = {}
        elif line.startswith("E: "):
            key, _, value = line[3:].partition("=")
            if key in _WANTED:
                fields[key] = value
    yield fields
