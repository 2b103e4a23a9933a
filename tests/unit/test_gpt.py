"""GUID partition tables: what is written can be read, and every broken rule is named."""

from __future__ import annotations

import struct
from dataclasses import replace
from typing import Final
from uuid import UUID
from zlib import crc32

import pytest

from sysgraft.base.blob import BytesBlob
from sysgraft.errors import (
    FormatError,
    LimitError,
    TruncatedError,
    UnsupportedError,
    UsageError,
)
from sysgraft.formats import gpt, gpt_check
from sysgraft.formats.partition_types import type_uuid

SIZE: Final = 256 * 1024
DISK: Final = UUID("6913f4b6-6690-4a57-a202-f1b53c56dbdf")
ROOT: Final = type_uuid("root", "x86-64")
VERITY: Final = type_uuid("root-verity", "x86-64")

# Offsets in the header (UEFI 2.10, table 5-5), with the struct code of each field.
FIELDS: Final = {
    "revision": (8, "I"),
    "header_size": (12, "I"),
    "reserved": (20, "I"),
    "my_lba": (24, "Q"),
    "backup_lba": (32, "Q"),
    "first_usable": (40, "Q"),
    "last_usable": (48, "Q"),
    "entries_lba": (72, "Q"),
    "entry_count": (80, "I"),
    "entry_size": (84, "I"),
}


def make_table(size: int = SIZE, *, sector_size: int = 512) -> gpt.Table:
    grain = 4096 // sector_size
    first = 40 if sector_size == 512 else 6 * grain
    parts = [
        gpt.Partition(
            index=0,
            type_uuid=ROOT,
            uuid=UUID(int=1),
            first_lba=first,
            last_lba=first + 4 * grain - 1,
            attributes=gpt.READ_ONLY,
            name="root-x86-64",
            sector_size=sector_size,
        ),
        gpt.Partition(
            index=1,
            type_uuid=VERITY,
            uuid=UUID(int=2),
            first_lba=first + 5 * grain,
            last_lba=first + 6 * grain - 1,
            attributes=gpt.NO_AUTO | gpt.GROWFS,
            name="Größe 🎉",
            sector_size=sector_size,
        ),
    ]
    return gpt.new_table(size, disk_uuid=DISK, partitions=parts, sector_size=sector_size)


def make_disk(table: gpt.Table, size: int = SIZE) -> bytearray:
    disk = bytearray(size)
    for offset, data in gpt.render(table, size):
        disk[offset : offset + len(data)] = data
    return disk


def patch(disk: bytearray, at: int = 512, **fields: int) -> BytesBlob:
    """`disk` with header fields changed and both checksums made right again."""
    for name, value in fields.items():
        offset, code = FIELDS[name]
        struct.pack_into(f"<{code}", disk, at + offset, value)
    reseal(disk, at)
    return BytesBlob(bytes(disk))


def reseal(disk: bytearray, at: int = 512) -> None:
    size, lba, count, entry = (
        struct.unpack_from(code, disk, at + offset)[0]
        for offset, code in ((12, "<I"), (72, "<Q"), (80, "<I"), (84, "<I"))
    )
    if count * entry < SIZE and lba < SIZE:
        entries = crc32(disk[lba * 512 : lba * 512 + count * entry])
        struct.pack_into("<I", disk, at + 88, entries)
    disk[at + 16 : at + 20] = bytes(4)
    struct.pack_into("<I", disk, at + 16, crc32(disk[at : at + min(size, 512)]))


def entry(disk: bytearray, index: int, offset: int, data: bytes) -> BytesBlob:
    """`disk` with bytes of an entry changed in both arrays and all checksums right."""
    for base in (1024, SIZE - 33 * 512):
        start = base + index * 128 + offset
        disk[start : start + len(data)] = data
    reseal(disk, SIZE - 512)
    reseal(disk)
    return BytesBlob(bytes(disk))


# --- Round trip ----------------------------------------------------------------------------------


@pytest.mark.parametrize("sector_size", gpt.SECTOR_SIZES)
def test_written_table_is_read_back_for_every_sector_size(sector_size: int) -> None:
    table = make_table(sector_size=sector_size)
    blob = BytesBlob(bytes(make_disk(table)))
    assert gpt.probe(blob) == sector_size
    assert gpt.parse(blob) == table
    assert gpt_check.problems(blob, table) == ()


def test_positions_and_flags_are_told_in_bytes_and_words() -> None:
    root, verity = gpt.parse(BytesBlob(bytes(make_disk(make_table())))).partitions
    assert (root.offset, root.size, root.name) == (20480, 16384, "root-x86-64")
    assert (root.read_only, root.no_auto, root.growfs) == (True, False, False)
    assert (verity.offset, verity.size, verity.name) == (40960, 4096, "Größe 🎉")
    assert (verity.read_only, verity.no_auto, verity.growfs) == (False, True, True)


def test_pieces_stay_clear_of_the_space_for_partitions() -> None:
    (start, front), (end, back) = gpt.render(make_table(), SIZE)
    assert (start, len(front)) == (0, 34 * 512)
    assert (end, len(back)) == (SIZE - 33 * 512, 33 * 512)


# --- Refusals ------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [0, 511, 512, 519, 600, 1023])
def test_file_too_short_for_a_header_is_refused(size: int) -> None:
    with pytest.raises(FormatError):
        gpt.parse(BytesBlob(bytes(make_disk(make_table())[:size])))


def test_file_without_a_table_has_none() -> None:
    assert gpt.probe(BytesBlob(bytes(8192))) is None
    with pytest.raises(FormatError, match="there is no GPT"):
        gpt.parse(BytesBlob(bytes(8192)))


def test_headers_for_two_sector_sizes_are_refused() -> None:
    disk = make_disk(make_table(sector_size=4096))
    disk[512:520] = b"EFI PART"
    with pytest.raises(FormatError, match="sector sizes 512 and 4096"):
        gpt.parse(BytesBlob(bytes(disk)))


@pytest.mark.parametrize(
    ("fields", "error", "message"),
    [
        ({"revision": 0x20000}, UnsupportedError, "revision is 0x20000"),
        ({"header_size": 91}, FormatError, "says it has 91 bytes"),
        ({"header_size": 513}, FormatError, "says it has 513 bytes"),
        ({"header_size": 0xFFFFFFFF}, FormatError, "says it has 4294967295 bytes"),
        ({"my_lba": 2}, FormatError, "sector 1 says it is in sector 2"),
        ({"entry_count": 0}, FormatError, "0 entries of 128 bytes"),
        ({"entry_count": 1025}, LimitError, "1025 entries"),
        ({"entry_count": 0xFFFFFFFF}, LimitError, "4294967295 entries"),
        ({"entry_size": 64}, FormatError, "entries of 64 bytes"),
        ({"entry_size": 192}, FormatError, "entries of 192 bytes"),
        ({"entry_size": 8192}, LimitError, "entries of 8192 bytes"),
        ({"entries_lba": 1}, FormatError, "overlap the header"),
        ({"entries_lba": 3}, FormatError, "overlap the space for partitions"),
        ({"entries_lba": 2**63}, FormatError, "overlap the space for partitions"),
        ({"first_usable": 33}, FormatError, "overlap the space for partitions"),
        ({"first_usable": 41}, FormatError, "partition 1 is at sectors 40 to 71, outside 41"),
        ({"last_usable": 33}, FormatError, "ends before it begins"),
        ({"last_usable": 80}, FormatError, "partition 2 is at sectors 80 to 87, outside 34 to 80"),
        ({"last_usable": SIZE // 512}, TruncatedError, "the disk ends at 262144"),
        ({"last_usable": 2**64 - 1}, TruncatedError, "the disk ends at 262144"),
    ],
)
def test_header_that_breaks_a_rule_is_refused(
    fields: dict[str, int], error: type[FormatError], message: str
) -> None:
    with pytest.raises(error, match=message):
        gpt.parse(patch(make_disk(make_table()), **fields))


def test_header_checksum_is_checked() -> None:
    disk = make_disk(make_table())
    disk[512 + 56] ^= 1
    with pytest.raises(FormatError, match="the header's checksum"):
        gpt.parse(BytesBlob(bytes(disk)))


def test_entries_checksum_covers_unused_entries() -> None:
    disk = make_disk(make_table())
    disk[1024 + 127 * 128 + 20] ^= 1
    with pytest.raises(FormatError, match="the partition entries' checksum"):
        gpt.parse(BytesBlob(bytes(disk)))


def lbas(first: int, last: int) -> bytes:
    return struct.pack("<QQ", first, last)


@pytest.mark.parametrize(
    ("offset", "data", "message"),
    [
        (32, lbas(71, 80), "partitions 1 and 2 overlap"),
        (32, lbas(40, 71), "partitions 1 and 2 overlap"),
        (32, lbas(90, 89), "partition 2 is at sectors 90 to 89"),
        (32, lbas(33, 36), "partition 2 is at sectors 33 to 36"),
        (32, lbas(80, 2**64 - 1), "partition 2 is at sectors 80"),
        (16, UUID(int=1).bytes_le, "two partitions have the same UUID"),
        (56, b"\x00\xd8a\x00", "the name of partition 2 is not UTF-16"),
    ],
)
def test_entry_that_breaks_a_rule_is_refused(offset: int, data: bytes, message: str) -> None:
    with pytest.raises(FormatError, match=message):
        gpt.parse(entry(make_disk(make_table()), 1, offset, data))


def test_larger_entries_than_usual_are_read() -> None:
    disk = make_disk(replace(make_table(), entry_count=64, entry_size=256))
    table = gpt.parse(BytesBlob(bytes(disk)))
    assert [part.name for part in table.partitions] == ["root-x86-64", "Größe 🎉"]
    assert gpt_check.problems(BytesBlob(bytes(disk)), table) == ()


def test_name_ends_at_its_first_nul() -> None:
    blob = entry(make_disk(make_table()), 0, 56, "a\0b".encode("utf-16-le"))
    assert gpt.parse(blob).partitions[0].name == "a"


# --- Problems ------------------------------------------------------------------------------------

LAST: Final = SIZE - 512


@pytest.mark.parametrize(
    ("offset", "data", "message"),
    [
        (510, b"\0", "lacks its signature"),
        (446, b"\x80", "does not cover the disk"),
        (450, b"\x83", "does not cover the disk"),
        (454, b"\2", "does not cover the disk"),
        (458, b"\0\0", "does not cover the disk"),
        (448, b"\0", "wrong CHS"),
        (452, b"\0", "wrong CHS"),
        (462, b"\x80", "partitions of its own"),
        (512 + 92, b"\1", "bytes after the header"),
        (LAST, b"X", "backup table: the header does not begin"),
        (LAST + 60, b"X", "backup table: the header's checksum"),
        (LAST + 92, b"X", "bytes after the backup header"),
        (LAST - 1, b"X", "backup partition entries differ"),
        (LAST - 32 * 512, b"X", "backup partition entries differ"),
    ],
)
def test_what_leaves_the_primary_table_readable_is_a_problem(
    offset: int, data: bytes, message: str
) -> None:
    disk = make_disk(make_table())
    disk[offset : offset + len(data)] = data
    blob = BytesBlob(bytes(disk))
    (problem,) = gpt_check.problems(blob, gpt.parse(blob))
    assert message in problem


@pytest.mark.parametrize(
    "fields",
    [{"my_lba": 511, "first_usable": 35}, {"backup_lba": 2}, {"entries_lba": 2}, {"reserved": 1}],
)
def test_sealed_backup_header_must_say_the_same(fields: dict[str, int]) -> None:
    disk = make_disk(make_table())
    blob = patch(disk, SIZE - 512, **fields)
    assert gpt_check.problems(blob, gpt.parse(blob)) == (
        "the backup header differs from the primary one",
    )


def test_reserved_field_of_the_header_is_a_problem() -> None:
    blob = patch(make_disk(make_table()), reserved=1)
    assert "the reserved field of the header is not zero" in gpt_check.problems(
        blob, gpt.parse(blob)
    )


def test_grown_file_lacks_its_backup_at_the_end() -> None:
    blob = BytesBlob(bytes(make_disk(make_table()) + bytes(1024)))
    found = gpt_check.problems(blob, gpt.parse(blob))
    assert "the backup header should be in sector 511, the last one is 513" in found


def test_cut_file_lacks_its_backup() -> None:
    blob = BytesBlob(bytes(make_disk(make_table())[: SIZE - 4096]))
    found = gpt_check.problems(blob, gpt.parse(blob))
    assert "the backup header should be in sector 511, the last one is 503" in found


def test_half_a_sector_at_the_end_is_a_problem() -> None:
    blob = BytesBlob(bytes(make_disk(make_table()) + b"x"))
    found = gpt_check.problems(blob, gpt.parse(blob))
    assert found == ("the disk does not end with a whole sector",)


def test_space_for_partitions_must_end_before_the_backup() -> None:
    blob = patch(make_disk(make_table()), last_usable=480)
    assert "the space for partitions overlaps the backup table" in gpt_check.problems(
        blob, gpt.parse(blob)
    )


def test_bytes_between_mbr_and_header_of_large_sectors_are_a_problem() -> None:
    disk = make_disk(make_table(sector_size=4096))
    disk[3000] = 1
    blob = BytesBlob(bytes(disk))
    assert gpt_check.problems(blob, gpt.parse(blob)) == ("the bytes after the MBR are not zero",)


# --- Writing refuses -----------------------------------------------------------------------------


def with_second(**changes: object) -> gpt.Table:
    table = make_table()
    root, verity = table.partitions
    return replace(table, partitions=(root, replace(verity, **changes)))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "changes",
    [
        {"index": 0},
        {"index": 128},
        {"index": -1},
        {"sector_size": 4096},
        {"name": "x" * 37},
        {"name": "🎉" * 19},
        {"name": "a\0b"},
        {"name": "\ud800"},
    ],
)
def test_entry_that_cannot_be_written_is_refused(changes: dict[str, object]) -> None:
    with pytest.raises(UsageError):
        gpt.render(with_second(**changes), SIZE)


def test_name_of_36_units_is_written_whole() -> None:
    disk = make_disk(with_second(name="🎉" * 18))
    assert gpt.parse(BytesBlob(bytes(disk))).partitions[1].name == "🎉" * 18


@pytest.mark.parametrize(
    "changes",
    [{"first_lba": 60}, {"last_lba": 500}, {"first_lba": 0}, {"uuid": UUID(int=1)}],
)
def test_table_that_could_not_be_read_is_not_written(changes: dict[str, object]) -> None:
    with pytest.raises(FormatError):
        gpt.render(with_second(**changes), SIZE)


@pytest.mark.parametrize("size", [SIZE + 512, SIZE - 512, SIZE + 1])
def test_table_for_another_disk_size_is_not_written(size: int) -> None:
    with pytest.raises(UsageError, match="not for a disk"):
        gpt.render(make_table(), size)


def test_partitions_may_not_reach_into_the_backup() -> None:
    with pytest.raises(UsageError, match="overlaps the backup"):
        gpt.render(replace(make_table(), last_usable_lba=480), SIZE)


# --- Regions -------------------------------------------------------------------------------------


def test_regions_name_every_byte_once() -> None:
    assert [tuple(region) for region in gpt_check.regions(make_table(), SIZE)] == [
        (0, 446, "mbr-boot-code"),
        (446, 512, "protective-mbr"),
        (512, 604, "primary-header"),
        (604, 1024, "primary-header-padding"),
        (1024, 17408, "primary-entries"),
        (17408, 20480, "slack"),
        (20480, 36864, "partition:root-x86-64"),
        (36864, 40960, "slack"),
        (40960, 45056, "partition:Größe 🎉"),
        (45056, SIZE - 33 * 512, "slack"),
        (SIZE - 33 * 512, SIZE - 512, "backup-entries"),
        (SIZE - 512, SIZE - 420, "backup-header"),
        (SIZE - 420, SIZE, "backup-header-padding"),
    ]


@pytest.mark.parametrize("sector_size", gpt.SECTOR_SIZES)
@pytest.mark.parametrize("size", [SIZE, SIZE - 4096, SIZE + 8192])
def test_regions_join_without_gaps_whatever_the_size(sector_size: int, size: int) -> None:
    found = gpt_check.regions(make_table(sector_size=sector_size), size)
    ends = [0, *(region.end for region in found)]
    assert ends == [*(region.start for region in found), size]
    assert all(region.start < region.end for region in found)
