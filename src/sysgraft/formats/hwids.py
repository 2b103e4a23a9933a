"""The ``.hwids`` section of a UKI: by what hardware a devicetree or firmware is chosen.

systemd ``src/boot/chid.h`` and ``src/ukify/ukify.py``: an array of devices, each one hardware ID
(a CHID, computed from SMBIOS fields) with the offsets of a name and of what it stands for, then an
empty one, then the strings. Reads and writes the section, and reads the JSON descriptions from
which it is made. It does not compute hardware IDs.
"""

from __future__ import annotations

import enum
import struct
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING, Final
from uuid import UUID

import msgspec

from sysgraft.errors import FormatError, LimitError, TruncatedError, UnsupportedError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

MAX_SECTION: Final = 4 << 20
"""Bytes of a section: systemd's own collection makes about 20 KiB."""
MAX_ENTRIES: Final = 1 << 16
"""Hardware IDs in a section; systemd's own collection has about 400."""
MAX_DESCRIPTION: Final = 1 << 20
"""Bytes of a JSON description; systemd's have about 1 KiB."""
MAX_STRING: Final = 1 << 12
"""Bytes of a name, compatible string or firmware ID."""

# Device: 0 type in the upper 4 bits and size in the lower 28, 4 hardware ID, 20 offset of the name
# and 24 of the compatible string or firmware ID in the section, 0 where there is none. Both are
# UTF-8 with a NUL behind. A first field of 0 ends the array.
_ENTRY: Final = struct.Struct("<I16sII")
_TYPE_SHIFT: Final = 28


class DeviceType(enum.IntEnum):
    """What is chosen by the hardware."""

    DEVICETREE = 1
    UEFI_FW = 2

    @property
    def label(self) -> str:
        """Its name in JSON descriptions."""
        return "devicetree" if self is DeviceType.DEVICETREE else "uefi-fw"


_TYPES: Final = {each.label: each for each in DeviceType}


@dataclass(frozen=True, slots=True)
class Device:
    """A kind of machine.

    Attributes:
        type: what is chosen for it.
        name: what it is called.
        match: how that is found: a devicetree's first compatible string, a firmware's ID.
        hwids: the hardware IDs it can have, sorted.
    """

    type: DeviceType
    name: str
    match: str
    hwids: tuple[UUID, ...]


def parse(section: bytes) -> tuple[Device, ...]:
    """Read a section; entries of one device that stand together are one `Device`.

    Raises:
        UnsupportedError: it has devices of an unknown type, with which the stub takes none.
        FormatError: it breaks the rules; also by its subclasses.
    """
    if len(section) > MAX_SECTION:
        raise LimitError(f"hardware IDs of {len(section)} bytes; the limit is {MAX_SECTION}")
    strings = _Strings(section)
    entries = [
        (_type(descriptor), strings.at(name), strings.at(match), UUID(bytes_le=hwid))
        for descriptor, hwid, name, match in _entries(section)
    ]
    return tuple(
        Device(kind, name, match, tuple(entry[-1] for entry in found))
        for (kind, name, match), found in groupby(entries, key=lambda entry: entry[:3])
    )


def _entries(section: bytes) -> Iterator[tuple[int, bytes, int, int]]:
    """The array, which ends with an empty entry."""
    for number in range(len(section) // _ENTRY.size):
        entry = _ENTRY.unpack_from(section, number * _ENTRY.size)
        if entry[0] == 0:
            return
        if number == MAX_ENTRIES:
            raise LimitError(f"more than {MAX_ENTRIES} hardware IDs")
        yield entry
    if section:
        raise TruncatedError("the hardware IDs have no end")


def _type(descriptor: int) -> DeviceType:
    size = descriptor & ((1 << _TYPE_SHIFT) - 1)
    if size != _ENTRY.size:
        raise FormatError(f"a hardware ID's entry of {size} bytes")
    try:
        return DeviceType(descriptor >> _TYPE_SHIFT)
    except ValueError:
        raise UnsupportedError(f"hardware IDs of type {descriptor >> _TYPE_SHIFT}") from None


class _Strings:
    """The strings of a section, each read once; they cannot be more than the section."""

    def __init__(self, section: bytes) -> None:
        self._section = section
        self._known = {0: ""}
        self._room = len(section)

    def at(self, offset: int) -> str:
        if offset not in self._known:
            self._known[offset] = self._read(offset)
        return self._known[offset]

    def _read(self, offset: int) -> str:
        end = self._section.find(b"\0", offset, offset + MAX_STRING + 1)
        if end < 0:
            raise FormatError(f"the hardware IDs have no string at byte {offset}")
        self._room -= end - offset
        if self._room < 0:
            raise FormatError("the strings of the hardware IDs overlap")
        try:
            return self._section[offset:end].decode()
        except UnicodeDecodeError:
            raise FormatError(f"the string at byte {offset} is not UTF-8") from None


def render(devices: Iterable[Device]) -> bytes:
    """The section; devices that differ in nothing but their hardware IDs are joined.

    The bytes are those of ukify: devices in the order given, hardware IDs and strings sorted,
    each string once. The end of the array is there even if there is nothing before it.

    Raises:
        LimitError: there is too much of something.
        FormatError: a string that cannot be stored.
    """
    joined: dict[tuple[DeviceType, str, str], set[UUID]] = {}
    for device in devices:
        joined.setdefault((device.type, device.name, device.match), set()).update(device.hwids)
    count = sum(map(len, joined.values()))
    if count > MAX_ENTRIES:
        raise LimitError(f"{count} hardware IDs; the limit is {MAX_ENTRIES}")
    words = {word for _, *pair in joined for word in pair}
    offsets, strings = _place(words, (count + 1) * _ENTRY.size)
    entries = b"".join(
        _pack(kind, hwid, offsets[name], offsets[match])
        for (kind, name, match), hwids in joined.items()
        for hwid in sorted(hwids)
    )
    section = entries + bytes(_ENTRY.size) + strings
    if len(section) > MAX_SECTION:
        raise LimitError(f"hardware IDs of {len(section)} bytes; the limit is {MAX_SECTION}")
    return section


def _pack(kind: DeviceType, hwid: UUID, name: int, match: int) -> bytes:
    return _ENTRY.pack(_ENTRY.size | kind << _TYPE_SHIFT, hwid.bytes_le, name, match)


def _place(words: set[str], start: int) -> tuple[Mapping[str, int], bytes]:
    """Where each word will be, and all of them as bytes."""
    encoded = [_checked(word).encode() + b"\0" for word in sorted(words)]
    offsets = [start]
    for word in encoded:
        offsets.append(offsets[-1] + len(word))
    return dict(zip(sorted(words), offsets, strict=False)), b"".join(encoded)


def _checked(word: str) -> str:
    if "\0" in word:
        raise FormatError(f"a NUL in a device's name or match: {word!r:.100}")
    try:
        size = len(word.encode())
    except UnicodeEncodeError:
        raise FormatError(f"not a text that UTF-8 can hold: {word!r:.100}") from None
    if size > MAX_STRING:
        raise LimitError(f"a device's name or match of {size} bytes; the limit is {MAX_STRING}")
    return word


class _Description(msgspec.Struct, frozen=True):
    """The JSON object; ukify 257 knows no ``type`` and takes all for devicetrees."""

    name: str
    hwids: list[str]
    type: str = DeviceType.DEVICETREE.label
    compatible: str | None = None
    fwid: str | None = None


def parse_description(data: bytes) -> tuple[Device, ...]:
    """Read a JSON description: the devices it is of, which today is always one.

    Raises:
        FormatError: it is none, or a field is missing or not what it has to be.
    """
    if len(data) > MAX_DESCRIPTION:
        raise LimitError(f"a description of {len(data)} bytes; the limit is {MAX_DESCRIPTION}")
    try:
        found = msgspec.json.decode(data, type=_Description)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError) as error:
        raise FormatError(f"not a hardware description: {error}") from error
    kind = _TYPES.get(found.type)
    if kind is None:
        raise UnsupportedError(f"a description of type {found.type!r:.100}")
    matches = {DeviceType.DEVICETREE: found.compatible, DeviceType.UEFI_FW: found.fwid}
    match = matches.pop(kind)
    if match is None or set(matches.values()) != {None}:
        field = "compatible" if kind is DeviceType.DEVICETREE else "fwid"
        raise FormatError(
            f"a description of type {kind.label} has {field} and nothing else to match"
        )
    hwids = tuple(sorted({_uuid(text) for text in found.hwids}))
    return (Device(kind, _checked(found.name), _checked(match), hwids),)


def _uuid(text: str) -> UUID:
    try:
        return UUID(text)
    except ValueError:
        raise FormatError(f"not a hardware ID: {text!r:.100}") from None
