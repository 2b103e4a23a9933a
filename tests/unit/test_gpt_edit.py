"""Changes in partition tables: nothing else changes, and one table is whole at any time."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING
from uuid import UUID
from zlib import crc32

import pytest
from test_gpt_tables import LAST, PARTS, read, reseal

from disk_kit import SIZE, disk_of
from sysgraft.errors import FormatError, UsageError
from sysgraft.formats.gpt import GROWFS, NO_AUTO
from sysgraft.formats.gpt_edit import Change, Edit, edit
from sysgraft.formats.partition_types import type_uuid

if TYPE_CHECKING:
    from collections.abc import Iterator

ARM = type_uuid("root", "arm64")
SMALL = 5 << 20
CHANGES = [Change(3, ARM, set_bits=NO_AUTO | GROWFS)]


def applied(disk: bytes | bytearray, after: Edit) -> bytearray:
    out = bytearray(disk)
    for group in after.writes:
        for offset, data in group:
            out[offset : offset + len(data)] = data
    return out


def unusual(sector_size: int = 512) -> bytearray:
    """Reserved bytes used, a longer header, entries of 256 bytes, bytes behind everything."""
    disk = disk_of(PARTS, sector_size=sector_size)
    last = SIZE // sector_size - 1
    count = 60
    for lba in (1, last):
        at = lba * sector_size
        (entries_lba,) = struct.unpack_from("<Q", disk, at + 72)
        place = entries_lba * sector_size
        old = bytes(disk[place : place + 128 * count])
        for number in range(count):
            start = place + 256 * number
            disk[start : start + 256] = old[128 * number : 128 * number + 128] + b"\x77" * 128
        struct.pack_into("<II", disk, at + 80, count, 256)
        struct.pack_into("<I", disk, at + 12, 120)
        struct.pack_into("<I", disk, at + 20, 0xABCD)
        disk[at + 92 : at + 200] = b"\x99" * 108
        entries = disk[place : place + count * 256]
        struct.pack_into("<I", disk, at + 88, crc32(entries))
        struct.pack_into("<I", disk, at + 16, 0)
        struct.pack_into("<I", disk, at + 16, crc32(disk[at : at + 120]))
    return disk


@pytest.mark.parametrize("sector_size", [512, 4096])
@pytest.mark.parametrize("odd", [False, True])
def test_only_types_bits_and_checksums_change(sector_size: int, odd: bool) -> None:
    disk = unusual(sector_size) if odd else disk_of(PARTS, sector_size=sector_size)
    flaws = ["entry-size"] if odd else []
    assert [flaw.code for flaw in read(disk).flaws] == flaws
    after = applied(disk, edit(read(disk), CHANGES))
    found = read(after)
    assert [flaw.code for flaw in found.flaws] == flaws
    part = found.partitions[1]
    assert (part.type_uuid, part.no_auto, part.growfs, part.name) == (ARM, True, True, "root")
    size, last = 256 if odd else 128, SIZE // sector_size - 1
    allowed: set[int] = set()
    for lba in (1, last):
        at = lba * sector_size
        (entries_lba,) = struct.unpack_from("<Q", disk, at + 72)
        entry = entries_lba * sector_size + 2 * size
        allowed |= {*range(at + 16, at + 20), *range(at + 88, at + 92)}
        allowed |= {*range(entry, entry + 16), entry + 55}
    changed = {at for at, (a, b) in enumerate(zip(disk, after, strict=True)) if a != b}
    assert changed <= allowed
    assert len(changed) > 30


def test_back_again_gives_the_same_bytes() -> None:
    disk = disk_of(PARTS)
    there = applied(disk, edit(read(disk), CHANGES))
    back = [Change(3, type_uuid("root", "x86-64"), clear_bits=NO_AUTO | GROWFS)]
    assert applied(there, edit(read(there), back)) == disk


def test_no_change_writes_nothing() -> None:
    assert edit(read(disk_of(PARTS)), []).writes == ((), ())
    assert edit(read(disk_of(PARTS)), [Change(1)]).writes == ((), ())


def test_a_partition_that_is_not_there() -> None:
    for number in (0, 2, 4, 128, 129):
        with pytest.raises(UsageError, match=f"no partition {number}"):
            edit(read(disk_of(PARTS)), [Change(number, ARM)])


# --- Power cuts ----------------------------------------------------------------------------------


def cuts(disk: bytearray, after: Edit, sector_size: int) -> Iterator[bytes]:
    """Every state a power cut leaves: groups in order, sectors of a group in any of a few orders,
    the last one torn."""
    done = bytearray(disk)
    for group in after.writes:
        sectors = [
            (offset + at, data[at : at + sector_size])
            for offset, data in group
            for at in range(0, len(data), sector_size)
        ]
        for order in (sectors, sectors[::-1], sectors[1::2] + sectors[::2]):
            state = bytearray(done)
            yield bytes(state)
            for offset, data in order:
                for torn in (1, 17, 91, sector_size // 2):
                    yield bytes(state[:offset] + data[:torn] + state[offset + torn :])
                state[offset : offset + sector_size] = data
                yield bytes(state)
        for offset, data in group:
            done[offset : offset + len(data)] = data
    yield bytes(done)


@pytest.mark.parametrize("sector_size", [512, 4096])
@pytest.mark.parametrize("damaged", ["", "primary", "backup", "differ"])
def test_one_table_is_whole_at_any_time(sector_size: int, damaged: str) -> None:
    disk = disk_of(PARTS, size=SMALL, sector_size=sector_size)
    if damaged == "primary":
        disk[sector_size + 60] ^= 1
    elif damaged == "backup":
        disk[SMALL - sector_size + 60] ^= 1
    elif damaged:
        at = SMALL - sector_size
        struct.pack_into("<Q", disk, at + 48, SMALL // sector_size - 50)
        struct.pack_into("<I", disk, at + 16, 0)
        struct.pack_into("<I", disk, at + 16, crc32(disk[at : at + 92]))
    types = {type_uuid("root", "x86-64"), ARM}
    seen = set()
    for state in cuts(disk, edit(read(disk), CHANGES), sector_size):
        found = read(state)
        assert found.used is not None
        assert [part.name for part in found.partitions] == ["boot", "root"]
        assert found.partitions[1].type_uuid in types
        seen.add(found.partitions[1].type_uuid)
    assert seen == types
    assert found.flaws == ()


def test_the_backup_comes_first() -> None:
    first, second = edit(read(disk_of(PARTS)), CHANGES).writes
    assert all(write.offset > SIZE // 2 for write in first)
    assert all(write.offset < SIZE // 2 for write in second)
    assert first[-1].offset == LAST * 512
    assert second[-1].offset == 512


def test_a_header_and_the_entries_behind_it_are_one_write() -> None:
    disk = disk_of(PARTS)
    (write,) = edit(read(disk), CHANGES).writes[1]
    assert (write.offset, len(write.data)) == (512, 1024)
    disk[512 + 50] ^= 1
    (write,) = edit(read(disk), []).writes[0]
    assert (write.offset, len(write.data)) == (512, 33 * 512)


# --- A table made anew ---------------------------------------------------------------------------


@pytest.mark.parametrize("offset", [512 + 60, 1024 + 3, LAST * 512 + 60, (LAST - 32) * 512])
def test_a_table_made_anew_is_the_one_that_was(offset: int) -> None:
    good = disk_of(PARTS)
    disk = bytearray(good)
    disk[offset] ^= 0xFF
    assert applied(disk, edit(read(disk), [])) == good


def live(disk: bytearray, *, header: bool) -> bytearray:
    """What is no table where one may have to go, and with or without a header that is sound."""
    disk[1024 : 1024 + 2048] = b"core.img" * 256
    if not header:
        disk[512 + 50] ^= 1
    return disk


def test_nothing_is_written_over_what_is_no_old_table() -> None:
    with pytest.raises(FormatError, match="something else than an old one") as caught:
        edit(read(live(disk_of(PARTS), header=False)), [])
    assert caught.value.hint
    blank = disk_of(PARTS)
    blank[512 : 34 * 512] = bytes(33 * 512)
    assert applied(blank, edit(read(blank), [])) == disk_of(PARTS)


def test_entries_stay_where_a_sound_header_has_them() -> None:
    disk = live(disk_of(PARTS), header=True)
    for lba in (1, LAST):
        struct.pack_into("<Q", disk, lba * 512 + 40, 2048)
    reseal(disk, LAST)
    struct.pack_into("<Q", disk, 512 + 72, 100)
    struct.pack_into("<I", disk, 512 + 16, 0)
    struct.pack_into("<I", disk, 512 + 16, crc32(disk[512 : 512 + 92]))
    after = applied(disk, edit(read(disk), []))
    assert after[1024 : 1024 + 2048] == b"core.img" * 256
    found = read(after)
    assert found.primary
    assert found.primary.header.entries_lba == 100
    assert found.flaws == ()


def test_both_damaged_is_refused() -> None:
    disk = disk_of(PARTS)
    disk[512 + 60] ^= 1
    disk[LAST * 512 + 60] ^= 1
    with pytest.raises(FormatError, match="both"):
        edit(read(disk), [])


def test_no_room_for_a_table() -> None:
    shrunk = disk_of(PARTS)[: SIZE - (1 << 20)]
    with pytest.raises(FormatError, match="no room for a backup") as caught:
        edit(read(shrunk), [])
    assert "--move-second-header" in caught.value.hint
    disk = disk_of(PARTS)
    disk[512] ^= 1
    struct.pack_into("<Q", disk, LAST * 512 + 40, 3)
    reseal(disk, LAST)
    with pytest.raises(FormatError, match="no room for a primary"):
        edit(read(disk), [])
    disk = disk_of(PARTS)
    disk[512] ^= 1
    struct.pack_into("<Q", disk, (LAST - 32) * 512 + 32, 5)
    reseal(disk, LAST)
    with pytest.raises(FormatError, match="partition 1 lies where"):
        edit(read(disk), [])


def test_a_backup_that_lies_where_the_primary_has_to_go() -> None:
    disk = disk_of(PARTS)
    disk[512] ^= 1
    struct.pack_into("<Q", disk, LAST * 512 + 72, 1)
    reseal(disk, LAST)
    assert read(disk).backup
    with pytest.raises(FormatError, match="on each other in sector"):
        edit(read(disk), [])


def test_uuid_bytes_are_mixed_endian() -> None:
    disk = disk_of(PARTS)
    after = applied(disk, edit(read(disk), [Change(1, UUID(int=0x00112233 << 96))]))
    assert after[1024:1028] == b"\x33\x22\x11\x00"
