"""Master boot records: protective, hybrid, plain, none."""

from __future__ import annotations

import struct

import pytest

from disk_kit import disk_of
from sysgraft.base.blob import BytesBlob
from sysgraft.formats import mbr


def sector(*records: tuple[int, int, int, int]) -> bytes:
    data = bytearray(512)
    for number, (status, kind, first, count) in enumerate(records):
        struct.pack_into("<B3xB3xII", data, 446 + 16 * number, status, kind, first, count)
    data[510:] = b"\x55\xaa"
    return bytes(data)


EE = (0, 0xEE, 1, 4095)
LINUX = (0x80, 0x83, 2048, 100)


@pytest.mark.parametrize(
    ("records", "kind"),
    [
        ((EE,), "protective"),
        ((EE, LINUX), "hybrid"),
        ((LINUX, EE), "hybrid"),
        ((LINUX,), "plain"),
        ((), "none"),
        (((0, 0x83, 2048, 0),), "none"),
        (((0x33, 0x83, 2048, 100),), "none"),
        (((0x33, 0xEE, 1, 4095),), "protective"),
        (((0, 0xEE, 1, 0),), "protective"),
        (((0, 0xEE, 0, 4095),), "none"),
        (((0, 0xEE, 2, 4095), LINUX), "plain"),
    ],
)
def test_kinds(records: tuple[tuple[int, int, int, int], ...], kind: str) -> None:
    assert mbr.parse(BytesBlob(sector(*records))).kind == kind


def test_records() -> None:
    found = mbr.parse(BytesBlob(sector(LINUX, (0, 0xEF, 4, 5), (0, 0x42, 9, 9))))
    assert [record.type_name for record in found.records] == ["Linux", "EFI system", "type 0x42"]
    assert found.records[0] == mbr.Record(1, True, 0x83, 2048, 100)


def test_no_record_at_all() -> None:
    assert mbr.parse(BytesBlob(b"")).kind == "none"
    assert mbr.parse(BytesBlob(bytes(512))).kind == "none"


def test_a_disk_of_ours_is_protected() -> None:
    assert mbr.parse(BytesBlob(bytes(disk_of([])))).kind == "protective"
