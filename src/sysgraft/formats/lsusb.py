"""What ``lsusb -v`` prints: USB interfaces with their identifiers (usbutils).

The kernel matches drivers with interfaces, so each interface of the first configuration is one
here, in its first setting. Without ``-v`` there are none. Serial numbers are not looked at. Where a
device is plugged in is not in this listing: its name here is ``BUS/DEVICE``, both as printed.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, NamedTuple

from sysgraft.errors import LimitError
from sysgraft.formats.modalias import UsbId

if TYPE_CHECKING:
    from collections.abc import Iterator

MAX_SIZE: Final = 32 << 20
"""Bytes of a listing."""
MAX_LINE: Final = 4096
"""Bytes of a line that are looked at."""

_HEAD: Final = re.compile(
    r"Bus (?P<bus>\d{3}) Device (?P<device>\d{3}): "
    r"ID (?P<vendor>[0-9a-f]{4}):(?P<product>[0-9a-f]{4})"
)
_NUMBER: Final = re.compile(r"\s+(?P<name>b[A-Z]\w{1,30})\s+(?P<value>\d{1,3})\b")
_RELEASE: Final = re.compile(r"\s+bcdDevice\s+([0-9a-f]{1,2})\.([0-9a-f]{2})\b")
_CONFIGURATION: Final = "Configuration Descriptor:"
_INTERFACE: Final = "Interface Descriptor:"
# Descriptors inside others have fields of the same names.
_DESCRIPTOR: Final = re.compile(r"\s*[\w() /-]{1,60}:\s*$")


class UsbInterface(NamedTuple):
    """An interface.

    Attributes:
        device: its device, as ``BUS/DEVICE``.
        configuration: bConfigurationValue.
        ids: for its modalias.
    """

    device: str
    configuration: int
    ids: UsbId

    @property
    def name(self) -> str:
        """As sysfs names interfaces, but for the device."""
        return f"{self.device}:{self.configuration}.{self.ids.number}"


def parse(data: bytes) -> list[UsbInterface]:
    """The interfaces of a listing, in its order; what is none is passed over.

    Raises:
        LimitError: it has more than `MAX_SIZE` bytes.
    """
    if len(data) > MAX_SIZE:
        raise LimitError(f"a listing of USB devices of more than {MAX_SIZE} bytes")
    found: list[UsbInterface] = []
    for head, lines in _devices(data):
        found += _interfaces(head, lines)
    return found


def _devices(data: bytes) -> Iterator[tuple[re.Match[str], list[str]]]:
    head: re.Match[str] | None = None
    lines: list[str] = []
    for raw in data.split(b"\n"):
        line = raw[:MAX_LINE].decode("utf-8", "replace").rstrip()
        begins = _HEAD.match(line)
        if begins is not None:
            if head is not None:
                yield head, lines
            head, lines = begins, []
        elif line:
            lines.append(line)
    if head is not None:
        yield head, lines


def _interfaces(head: re.Match[str], lines: list[str]) -> Iterator[UsbInterface]:
    sections = list(_sections(lines))
    device = next((fields for title, fields in sections if title == "Device Descriptor:"), {})
    release = next((found for line in lines if (found := _RELEASE.match(line))), None)
    configuration = 1
    seen = 0
    for title, fields in sections:
        if title == _CONFIGURATION:
            seen += 1
            configuration = fields.get("bConfigurationValue", 1)
        is_first = title == _INTERFACE and not fields.get("bAlternateSetting")
        if seen != 1 or not is_first or "bInterfaceNumber" not in fields:
            continue
        ids = UsbId(
            int(head["vendor"], 16),
            int(head["product"], 16),
            int(f"{release[1]:0>2}{release[2]}", 16) if release else 0,
            _triple(device, "bDevice"),
            _triple(fields, "bInterface"),
            fields["bInterfaceNumber"],
        )
        yield UsbInterface(f"{head['bus']}/{head['device']}", configuration, ids)


def _sections(lines: list[str]) -> Iterator[tuple[str, dict[str, int]]]:
    """Each descriptor's title with its fields of one byte."""
    title = ""
    fields: dict[str, int] = {}
    for line in lines:
        if _DESCRIPTOR.fullmatch(line):
            yield title, fields
            title, fields = line.strip(), {}
        elif found := _NUMBER.match(line):
            fields.setdefault(found["name"], min(int(found["value"]), 0xFF))
    yield title, fields


def _triple(fields: dict[str, int], lead: str) -> tuple[int, int, int]:
    parts = (fields.get(lead + each, 0) for each in ("Class", "SubClass", "Protocol"))
    return (next(parts), next(parts), next(parts))
