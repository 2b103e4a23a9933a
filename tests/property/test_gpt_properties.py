"""GUID partition tables: any table survives the round trip, no flipped bit goes unnoticed."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Final
from uuid import UUID
from zlib import crc32

from hypothesis import given
from hypothesis import strategies as st

from sysgraft.base.blob import BytesBlob
from sysgraft.errors import FormatError
from sysgraft.formats import gpt, gpt_check

if TYPE_CHECKING:
    from collections.abc import Sequence

SIZE: Final = 1 << 18
UUIDS: Final = st.uuids(version=4)
NAMES: Final = st.text(
    st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=18
)


@st.composite
def tables(draw: st.DrawFn) -> gpt.Table:
    sector_size = draw(st.sampled_from(gpt.SECTOR_SIZES))
    empty = gpt.new_table(SIZE, disk_uuid=draw(UUIDS), partitions=(), sector_size=sector_size)
    space = st.integers(empty.first_usable_lba, empty.last_usable_lba)
    bounds = sorted(draw(st.sets(space, max_size=8)))
    ranges = list(zip(bounds[::2], bounds[1::2], strict=False))
    count = len(ranges)
    slots = draw(st.lists(st.integers(0, 127), min_size=count, max_size=count, unique=True))
    uuids = draw(st.lists(UUIDS, min_size=count, max_size=count, unique=True))
    parts = [
        gpt.Partition(
            index=slot,
            type_uuid=draw(UUIDS),
            uuid=uuid,
            first_lba=first,
            last_lba=last,
            attributes=draw(st.integers(0, 2**64 - 1)),
            name=draw(NAMES),
            sector_size=sector_size,
        )
        for slot, uuid, (first, last) in zip(sorted(slots), uuids, ranges, strict=True)
    ]
    return gpt.new_table(SIZE, disk_uuid=empty.disk_uuid, partitions=parts, sector_size=sector_size)


def disk_of(table: gpt.Table) -> bytearray:
    disk = bytearray(SIZE)
    for offset, data in gpt.render(table, SIZE):
        disk[offset : offset + len(data)] = data
    return disk


@given(tables())
def test_any_table_is_read_back_as_written(table: gpt.Table) -> None:
    blob = BytesBlob(bytes(disk_of(table)))
    assert gpt.parse(blob) == table
    assert gpt_check.problems(blob, table) == ()


@given(tables(), st.data())
def test_flipped_bit_is_noticed_or_in_a_region_that_says_so(
    table: gpt.Table, data: st.DataObject
) -> None:
    disk = disk_of(table)
    regions = [region for region in gpt_check.regions(table, SIZE) if ":" not in region.name]
    region = data.draw(st.sampled_from(regions))
    disk[data.draw(st.integers(region.start, region.end - 1))] ^= 1 << data.draw(st.integers(0, 7))
    assert noticed(disk, table) == (region.name not in gpt_check.UNAUTHENTICATED)


def noticed(disk: bytearray, table: gpt.Table) -> bool:
    blob = BytesBlob(bytes(disk))
    try:
        found = gpt.parse(blob)
    except FormatError:
        return True
    return found != table or gpt_check.problems(blob, found) != ()


def test_every_bit_of_mbr_and_both_headers_is_noticed() -> None:
    table = gpt.new_table(1 << 16, disk_uuid=UUID(int=7), partitions=())
    pieces = gpt.render(table, 1 << 16)
    disk = bytearray(1 << 16)
    for offset, data in pieces:
        disk[offset : offset + len(data)] = data
    for region in gpt_check.regions(table, 1 << 16):
        if "header" in region.name or region.name == "protective-mbr":
            missed = [bit for bit in bits(region) if not noticed(flipped(disk, bit), table)]
            assert missed == [], region


def bits(region: gpt_check.Region) -> Sequence[int]:
    return range(region.start * 8, region.end * 8)


def flipped(disk: bytearray, bit: int) -> bytearray:
    changed = bytearray(disk)
    changed[bit // 8] ^= 1 << bit % 8
    return changed


# --- Hostile input -------------------------------------------------------------------------------


def survives(data: bytes) -> None:
    """Whatever the bytes: a table with its problems and regions, or one sentence."""
    blob = BytesBlob(data)
    try:
        table = gpt.parse(blob)
    except FormatError as error:
        said = error.message
    else:
        said = "read"
        check_rest(blob, table)
    assert said
    assert "\n" not in said


def check_rest(blob: BytesBlob, table: gpt.Table) -> None:
    gpt_check.problems(blob, table)
    covered = gpt_check.regions(table, blob.size)
    assert sum(region.end - region.start for region in covered) == blob.size


@given(st.binary(max_size=2048), st.sampled_from(gpt.SECTOR_SIZES))
def test_noise_behind_the_magic_is_refused_in_one_sentence(noise: bytes, sector: int) -> None:
    survives(bytes(sector) + b"EFI PART" + noise)


EDGES: Final = [0, 1, 2, 33, 34, 127, 128, 511, 2**31, 2**32 - 1, 2**63, 2**64 - 1]


@given(
    st.lists(st.tuples(st.sampled_from(range(8, 92, 4)), st.sampled_from(EDGES)), max_size=4),
    st.lists(st.tuples(st.integers(0, 255), st.binary(min_size=1, max_size=16)), max_size=4),
    st.integers(0, SIZE),
)
def test_sealed_nonsense_in_any_field_is_survived(
    fields: list[tuple[int, int]], entries: list[tuple[int, bytes]], cut: int
) -> None:
    part = gpt.Partition(0, UUID(int=1), UUID(int=2), 40, 47)
    disk = disk_of(gpt.new_table(SIZE, disk_uuid=UUID(int=7), partitions=[part]))
    for offset, data in entries:
        disk[1024 + offset : 1024 + offset + len(data)] = data
    struct.pack_into("<I", disk, 512 + 88, crc32(disk[1024 : 1024 + 16384]))
    for offset, value in fields:
        struct.pack_into("<I", disk, 512 + offset, value & 0xFFFFFFFF)
    size = min(512, struct.unpack_from("<I", disk, 512 + 12)[0])
    disk[512 + 16 : 512 + 20] = bytes(4)
    struct.pack_into("<I", disk, 512 + 16, crc32(disk[512 : 512 + size]))
    survives(bytes(disk))
    survives(bytes(disk[:cut]))
