"""Both partition tables of a disk: what is wrong is named, what is good is used."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING
from zlib import crc32

import pytest

from disk_kit import DISK, SIZE, Part, disk_of
from sysgraft.base.blob import BytesBlob
from sysgraft.errors import FormatError
from sysgraft.formats.gpt_tables import Tables, read_tables

if TYPE_CHECKING:
    from collections.abc import Callable

PARTS = [Part("esp", name="boot"), None, Part("root", name="root")]
LAST = SIZE // 512 - 1


def read(disk: bytes | bytearray) -> Tables:
    found = read_tables(BytesBlob(bytes(disk)))
    assert found is not None
    return found


def codes(disk: bytes | bytearray) -> list[str]:
    return [flaw.code for flaw in read(disk).flaws]


def reseal(disk: bytearray, lba: int) -> None:
    """Make the checksums of a table right."""
    at = lba * 512
    (entries_lba,) = struct.unpack_from("<Q", disk, at + 72)
    count, size = struct.unpack_from("<II", disk, at + 80)
    entries = disk[entries_lba * 512 : entries_lba * 512 + count * size]
    struct.pack_into("<I", disk, at + 88, crc32(entries))
    struct.pack_into("<I", disk, at + 16, 0)
    (header_size,) = struct.unpack_from("<I", disk, at + 12)
    struct.pack_into("<I", disk, at + 16, crc32(disk[at : at + header_size]))


@pytest.mark.parametrize("sector_size", [512, 1024, 2048, 4096])
def test_a_good_disk(sector_size: int) -> None:
    found = read(disk_of(PARTS, sector_size=sector_size))
    assert found.flaws == ()
    assert found.sector_size == sector_size
    assert found.disk_uuid == DISK
    assert [(part.index, part.name) for part in found.partitions] == [(0, "boot"), (2, "root")]
    assert found.primary
    assert found.backup


def test_no_table() -> None:
    assert read_tables(BytesBlob(bytes(SIZE))) is None
    assert read_tables(BytesBlob(b"")) is None
    assert read_tables(BytesBlob(b"EFI PART")) is None


@pytest.mark.parametrize(
    ("offset", "code"),
    [
        (512, "primary-damaged"),
        (512 + 20, "primary-damaged"),
        (1024 + 5, "primary-damaged"),
        (LAST * 512 + 60, "backup-damaged"),
        (LAST * 512 - 100, "backup-damaged"),
    ],
)
@pytest.mark.parametrize("sector_size", [512, 4096])
def test_one_damaged_table(offset: int, code: str, sector_size: int) -> None:
    if sector_size == 4096:
        table, within = divmod(offset, 512)
        near_end = table > 4
        offset = (SIZE - 4096 if near_end else 4096) + within % 90
    disk = disk_of(PARTS, sector_size=sector_size)
    disk[offset] ^= 0xFF
    found = read(disk)
    assert [flaw.code for flaw in found.flaws] == [code]
    assert [part.name for part in found.partitions] == ["boot", "root"]


def test_both_damaged() -> None:
    disk = disk_of(PARTS)
    disk[512 + 60] ^= 1
    disk[LAST * 512 + 60] ^= 1
    found = read(disk)
    assert codes(disk) == ["primary-damaged", "backup-damaged"]
    assert (found.used, found.partitions, found.disk_uuid) == (None, (), None)


def test_a_disk_that_grew() -> None:
    found = read(disk_of(PARTS) + bytes(1 << 20))
    assert [flaw.code for flaw in found.flaws] == ["backup-misplaced"]
    assert found.backup is not None


def test_a_disk_that_shrank() -> None:
    disk = disk_of(PARTS)[: SIZE - (1 << 20)]
    assert codes(disk) == ["backup-damaged", "usable-outside"]


def grown(*, flip: int, other: bytes = b"") -> bytearray:
    """A disk that has grown, its primary table damaged, perhaps with another backup at its end."""
    disk = disk_of(PARTS) + bytearray(1 << 20)
    disk[512 + flip] ^= 1
    if other:
        disk[len(disk) - 33 * 512 :] = other
    return disk


def end_of(parts: list[Part | None]) -> bytes:
    """The last sectors of the disk with other partitions."""
    return bytes(disk_of(parts, size=SIZE + (1 << 20))[-33 * 512 :])


def test_a_damaged_primary_table_still_tells_where_the_backup_is() -> None:
    found = read(grown(flip=50))
    assert found.backup
    assert found.backup.lba == LAST
    assert [flaw.code for flaw in found.flaws] == ["primary-damaged", "backup-misplaced"]


def test_two_backups_that_differ() -> None:
    disk = grown(flip=50, other=end_of([Part("home"), Part("srv"), Part("root")]))
    found = read(disk)
    assert "backups-differ" in [flaw.code for flaw in found.flaws]
    assert [part.name for part in found.partitions] == ["boot", "root"]


def test_a_backup_of_another_disk() -> None:
    disk = disk_of(PARTS)
    disk[512 + 50] ^= 1
    disk[512 + 56] ^= 1
    assert codes(disk) == ["primary-damaged", "backup-foreign"]


def test_entries_that_the_kernel_does_not_take() -> None:
    disk = disk_of(PARTS)
    for lba, entries in ((1, 2), (LAST, LAST - 32)):
        struct.pack_into("<II", disk, lba * 512 + 80, 64, 256)
        first = disk[entries * 512 : entries * 512 + 128]
        disk[entries * 512 : (entries + 32) * 512] = first + bytes(32 * 512 - 128)
        reseal(disk, lba)
    assert codes(disk) == ["entry-size"]


@pytest.mark.parametrize(("field", "value"), [(48, LAST + 1000), (40, LAST + 1), (48, 20)])
def test_usable_sectors_that_are_not_there(field: int, value: int) -> None:
    disk = disk_of([])
    for lba in (1, LAST):
        struct.pack_into("<Q", disk, lba * 512 + field, value)
        reseal(disk, lba)
    assert codes(disk) == ["usable-outside"]


def test_a_backup_where_the_primary_does_not_look() -> None:
    disk = disk_of(PARTS)
    struct.pack_into("<Q", disk, 512 + 32, LAST - 900)
    reseal(disk, 1)
    assert codes(disk) == ["backup-misplaced"]


def test_tables_that_differ() -> None:
    disk = disk_of(PARTS)
    disk[1024 + 56] = ord("B")
    reseal(disk, 1)
    found = read(disk)
    assert [flaw.code for flaw in found.flaws] == ["tables-differ"]
    assert found.partitions[0].name == "Boot"
    disk = disk_of(PARTS)
    struct.pack_into("<Q", disk, 512 + 48, LAST - 100)
    reseal(disk, 1)
    assert codes(disk) == ["tables-differ"]


def edit_both(change: Callable[[bytearray, int], None]) -> bytearray:
    """A change of the entries, in both tables."""
    disk = disk_of(PARTS)
    change(disk, 1024)
    change(disk, (LAST - 32) * 512)
    reseal(disk, 1)
    reseal(disk, LAST)
    return disk


def test_partitions_that_overlap() -> None:
    disk = edit_both(lambda disk, at: struct.pack_into("<Q", disk, at + 40, 3 * 2048))
    assert codes(disk) == ["partitions-overlap"]


@pytest.mark.parametrize("last", [LAST + 100, LAST - 10, 100])
def test_partitions_outside(last: int) -> None:
    disk = edit_both(lambda disk, at: struct.pack_into("<Q", disk, at + 2 * 128 + 40, last))
    assert "partition-outside" in codes(disk)


def test_two_of_one_name() -> None:
    def same(disk: bytearray, at: int) -> None:
        disk[at + 2 * 128 + 16 : at + 2 * 128 + 32] = disk[at + 16 : at + 32]

    assert codes(edit_both(same)) == ["duplicate-uuid"]


def test_a_partition_on_a_table() -> None:
    disk = edit_both(lambda disk, at: struct.pack_into("<Q", disk, at + 32, 5))
    assert "tables-overlap" in codes(disk)


def test_a_name_that_is_no_utf16_is_shown() -> None:
    disk = edit_both(lambda disk, at: struct.pack_into("<H", disk, at + 56, 0xD800))
    assert read(disk).partitions[0].name.startswith("\ufffd")


def test_tables_for_two_sector_sizes() -> None:
    small, large = disk_of(PARTS), disk_of(PARTS, sector_size=4096)
    small[4096:8192] = bytes(4096)
    large[512:1024] = small[512:1024]
    large[1024:4096] = small[1024:4096]
    struct.pack_into("<II", large, 512 + 80, 8, 128)
    reseal(large, 1)
    with pytest.raises(FormatError, match="512 and of 4096"):
        read_tables(BytesBlob(bytes(large)))
