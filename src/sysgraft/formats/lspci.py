"""What ``lspci`` prints: PCI devices with their identifiers, drivers and modules.

pciutils' ``lspci -nnk``, with any number of ``-v``, and the form for programs, ``-vmnnk`` and
``-vmmnnk`` (lspci(8), "Machine parsable output"). Without ``-nn`` there are no identifiers, and
nothing is found. The domain, which ``lspci`` leaves out where all have the same, is taken for 0000.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, NamedTuple

from sysgraft.errors import LimitError
from sysgraft.formats.modalias import PciId

if TYPE_CHECKING:
    from collections.abc import Iterator

MAX_SIZE: Final = 32 << 20
"""Bytes of a listing; ``-vvv`` of a large server has some megabytes."""
MAX_LINE: Final = 4096
"""Bytes of a line that are looked at."""

_SLOT: Final = r"(?:(?P<domain>[0-9a-f]{4,8}):)?(?P<slot>[0-9a-f]{2}:[0-9a-f]{2}\.[0-7])"
_ID: Final = r"\[(?P<vendor>[0-9a-f]{4}):(?P<device>[0-9a-f]{4})\]"
_HEAD: Final = re.compile(_SLOT + r" ")
_CLASS: Final = re.compile(r"\[(?P<code>[0-9a-f]{4})\]: ")
_IDS: Final = re.compile(_ID)
_INTERFACE: Final = re.compile(r"\(prog-if ([0-9a-f]{2})\b")
_LAST_NUMBER: Final = re.compile(r"\[([0-9a-f]{4})\]\s*$")
_BYTE: Final = re.compile(r"[0-9a-f]{2}")
_PLACE: Final = re.compile(_SLOT)


class PciDevice(NamedTuple):
    """A device.

    Attributes:
        name: as in ``/sys/bus/pci/devices``.
        ids: for its modalias.
        driver: it is bound to; empty for none.
        modules: that know it.
    """

    name: str
    ids: PciId
    driver: str
    modules: tuple[str, ...]


def parse(data: bytes) -> list[PciDevice]:
    """The devices of a listing, in its order; what is none is passed over.

    Raises:
        LimitError: it has more than `MAX_SIZE` bytes.
    """
    if len(data) > MAX_SIZE:
        raise LimitError(f"a listing of PCI devices of more than {MAX_SIZE} bytes")
    found: list[PciDevice] = []
    for block in _blocks(data):
        machine_form = ":\t" in block[0]
        device = _of_fields(block) if machine_form else _of_lines(block)
        if device is not None:
            found.append(device)
    return found


def _blocks(data: bytes) -> Iterator[list[str]]:
    """Lines that belong together: up to an empty one, or the next device."""
    block: list[str] = []
    for raw in data.split(b"\n"):
        line = raw[:MAX_LINE].decode("utf-8", "replace").rstrip()
        if block and (not line or _HEAD.match(line)):
            yield block
            block = []
        if line:
            block.append(line)
    if block:
        yield block


def _of_lines(block: list[str]) -> PciDevice | None:
    head = _HEAD.match(block[0])
    kind = _CLASS.search(block[0])
    ids = list(_IDS.finditer(block[0]))
    if head is None or kind is None or not ids:
        return None
    notes = dict(line.strip().partition(": ")[::2] for line in reversed(block[1:]))
    below = _IDS.search(notes.get("Subsystem", ""))
    interface = _INTERFACE.search(block[0])
    return PciDevice(
        _name(head),
        PciId(
            int(ids[-1]["vendor"], 16),
            int(ids[-1]["device"], 16),
            int(below["vendor"], 16) if below else 0,
            int(below["device"], 16) if below else 0,
            int(kind["code"] + (interface[1] if interface else "00"), 16),
        ),
        notes.get("Kernel driver in use", ""),
        tuple(filter(None, notes.get("Kernel modules", "").split(", "))),
    )


def _of_fields(block: list[str]) -> PciDevice | None:
    """``Tag:<tab>value`` lines; with a single ``m`` the first ``Device`` is the slot."""
    pairs = [line.partition(":\t")[::2] for line in block]
    values = dict(pairs)
    place = _PLACE.fullmatch(values.get("Slot") or pairs[0][1])
    vendor, device, kind = (_number(values.get(key, "")) for key in ("Vendor", "Device", "Class"))
    if place is None or vendor is None or device is None or kind is None:
        return None
    interface = _BYTE.fullmatch(values.get("ProgIf", ""))
    return PciDevice(
        _name(place),
        PciId(
            vendor,
            device,
            _number(values.get("SVendor", "")) or 0,
            _number(values.get("SDevice", "")) or 0,
            kind << 8 | (int(interface[0], 16) if interface else 0),
        ),
        values.get("Driver", ""),
        tuple(value for key, value in pairs if key == "Module"),
    )


def _name(place: re.Match[str]) -> str:
    return f"{place['domain'] or '0000'}:{place['slot']}"


def _number(value: str) -> int | None:
    found = _LAST_NUMBER.search(value)
    return int(found[1], 16) if found else None
