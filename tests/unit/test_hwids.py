"""The hardware IDs of a UKI: sections and JSON descriptions."""

from __future__ import annotations

import json
import struct
from uuid import UUID

import pytest

from sysgraft.errors import FormatError, LimitError, TruncatedError, UnsupportedError
from sysgraft.formats import hwids
from sysgraft.formats.hwids import Device, DeviceType

A = UUID("00112233-4455-6677-8899-aabbccddeeff")
B = UUID("10112233-4455-6677-8899-aabbccddeeff")
DTB, FW = DeviceType.DEVICETREE, DeviceType.UEFI_FW
NULL = bytes(28)


def entry(descriptor: int, hwid: UUID, name: int, match: int) -> bytes:
    return struct.pack("<I16sII", descriptor, hwid.bytes_le, name, match)


def description(**changes: object) -> bytes:
    fields: dict[str, object] = {
        "type": "devicetree", "name": "Board", "compatible": "maker,board", "hwids": [str(A)],
    }  # fmt: skip
    fields |= changes
    return json.dumps({name: value for name, value in fields.items() if value is not None}).encode()


def test_a_section_has_the_bytes_of_the_stub() -> None:
    section = hwids.render([Device(FW, "Name", "id", (A,))])
    assert section == (
        bytes.fromhex("1c000020 33221100 5544 7766 8899aabbccddeeff 38000000 3d000000")
        + NULL
        + b"Name\0id\0"
    )
    assert hwids.parse(section) == (Device(FW, "Name", "id", (A,)),)


def test_strings_are_stored_once_and_ids_sorted() -> None:
    devices = (Device(DTB, "z", "m,b", (A, B)), Device(DTB, "a", "m,b", (B,)))
    section = hwids.render([Device(DTB, "z", "m,b", (B, A, B)), devices[1]])
    strings = 4 * 28
    assert section == (
        entry(0x1000001C, A, strings + 6, strings + 2)
        + entry(0x1000001C, B, strings + 6, strings + 2)
        + entry(0x1000001C, B, strings, strings + 2)
        + NULL
        + b"a\0m,b\0z\0"
    )
    assert hwids.parse(section) == devices


def test_descriptions_of_one_device_are_joined() -> None:
    devices = [
        Device(DTB, "a", "b", (B,)),
        Device(DTB, "x", "y", (A,)),
        Device(DTB, "a", "b", (A,)),
    ]
    found = hwids.parse(hwids.render(devices))
    assert found == (Device(DTB, "a", "b", (A, B)), Device(DTB, "x", "y", (A,)))
    assert hwids.render(found) == hwids.render(devices)


def test_nothing_is_a_section_too() -> None:
    assert hwids.render([]) == NULL
    assert hwids.parse(NULL) == hwids.parse(b"") == ()


def test_strings_can_be_absent() -> None:
    assert hwids.parse(entry(0x1000001C, A, 0, 0) + NULL) == (Device(DTB, "", "", (A,)),)


@pytest.mark.parametrize(
    ("section", "error"),
    [
        (entry(0x3000001C, A, 0, 0) + NULL, UnsupportedError),
        (entry(0x0000001C, A, 0, 0) + NULL, UnsupportedError),
        (entry(0x1000001D, A, 0, 0) + NULL, FormatError),
        (entry(0x10000000, A, 0, 0) + NULL, FormatError),
        (entry(0x1000001C, A, 0, 0), TruncatedError),
        (NULL[:-1], TruncatedError),
        (entry(0x1000001C, A, 57, 0) + NULL, FormatError),
        (entry(0x1000001C, A, 2**32 - 1, 0) + NULL, FormatError),
        (entry(0x1000001C, A, 0, 56) + NULL + b"no end", FormatError),
        (entry(0x1000001C, A, 0, 56) + NULL + b"\xff\0", FormatError),
        (entry(0x1000001C, A, 0, 56) + NULL + b"x" * 4097 + b"\0", FormatError),
        (bytes((4 << 20) + 1), LimitError),
        (entry(0x1000001C, A, 0, 0) * (2**16 + 1) + NULL, LimitError),
    ],
)
def test_broken_sections_are_refused(section: bytes, error: type[FormatError]) -> None:
    with pytest.raises(error) as caught:
        hwids.parse(section)
    assert type(caught.value) is error


def test_strings_that_overlap_cannot_fill_the_memory() -> None:
    places = range(56 * 28, 56 * 28 + 55)
    entries = b"".join(entry(0x1000001C, A, place, 0) for place in places)
    with pytest.raises(FormatError, match="overlap"):
        hwids.parse(entries + NULL + b"x" * 4000 + b"\0")


def test_truncation_anywhere_is_refused() -> None:
    section = hwids.render([Device(DTB, "a", "m,b", (A, B)), Device(FW, "c", "d", (A,))])
    for length in range(1, len(section)):
        with pytest.raises(FormatError):
            hwids.parse(section[:length])


@pytest.mark.parametrize(
    ("device", "error"),
    [
        (Device(DTB, "a\0b", "c", (A,)), FormatError),
        (Device(DTB, "a", "\ud800", (A,)), FormatError),
        (Device(DTB, "a", "é" * 2049, (A,)), LimitError),
    ],
)
def test_what_cannot_be_stored_is_refused(device: Device, error: type[FormatError]) -> None:
    with pytest.raises(error) as caught:
        hwids.render([device])
    assert type(caught.value) is error


def test_sections_are_limited() -> None:
    many = tuple(UUID(int=number) for number in range(2**16 + 1))
    assert len(hwids.parse(hwids.render([Device(DTB, "a", "b", many[:-1])]))[0].hwids) == 2**16
    with pytest.raises(LimitError):
        hwids.render([Device(DTB, "a", "b", many)])
    with pytest.raises(LimitError):
        hwids.render([Device(DTB, f"{n:04000}", "b", (A,)) for n in range(1100)])


# --- Descriptions --------------------------------------------------------------------------------


def test_descriptions_are_read() -> None:
    assert hwids.parse_description(description(hwids=[str(B), str(A).upper(), str(A)])) == (
        Device(DTB, "Board", "maker,board", (A, B)),
    )
    assert hwids.parse_description(description(type=None)) == (
        Device(DTB, "Board", "maker,board", (A,)),
    )
    firmware = description(type="uefi-fw", compatible=None, fwid="acme", extra=[1], hwids=[])
    assert hwids.parse_description(firmware) == (Device(FW, "Board", "acme", ()),)


@pytest.mark.parametrize(
    ("data", "error"),
    [
        (b"", FormatError),
        (b"\xff", FormatError),
        (b"[]", FormatError),
        (b"[" * 100_000, FormatError),
        (b'{"name": "\xff"}', FormatError),
        (description(name=None), FormatError),
        (description(hwids=None), FormatError),
        (description(compatible=None), FormatError),
        (description(compatible=None, fwid="x"), FormatError),
        (description(fwid="x"), FormatError),
        (description(type="uefi-fw"), FormatError),
        (description(type="acpi"), UnsupportedError),
        (description(name=5), FormatError),
        (description(name="a\0"), FormatError),
        (description(name="\ud800"), FormatError),
        (description(hwids=["no"]), FormatError),
        (description(hwids=[5]), FormatError),
        (description(hwids=str(A)), FormatError),
        (b" " * (2**20 + 1), LimitError),
    ],
)
def test_wrong_descriptions_are_refused(data: bytes, error: type[FormatError]) -> None:
    with pytest.raises(error) as caught:
        hwids.parse_description(data)
    assert type(caught.value) is error
    assert len(str(caught.value)) < 300
