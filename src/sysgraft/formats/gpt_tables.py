"""Both GUID partition tables of a disk, each read for itself, with what is wrong named.

UEFI specification 2.10, §5.3: the primary table in sector 1, the backup at the end of the disk.
Where `sysgraft.formats.gpt` refuses, this goes on: a damaged table is a `Flaw` and the other one is
used, as most firmware does, and the kernel only with ``gpt`` on its command line
(``block/partitions/efi.c``). It repairs nothing; `sysgraft.formats.gpt_edit` makes what is to be
written.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING
from uuid import UUID

from sysgraft.errors import FormatError
from sysgraft.formats import gpt_records as records
from sysgraft.formats.gpt import SECTOR_SIZES, Partition, used_entries
from sysgraft.formats.gpt_flaws import Flaw, form_flaws, partition_flaws
from sysgraft.formats.gpt_remains import Remains, entries_place, read_remains

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sysgraft.base.blob import Blob
    from sysgraft.formats.gpt_records import Header


@dataclass(frozen=True, slots=True)
class Copy:
    """One of the two tables, sound by its own checksums.

    Attributes:
        lba: the sector of its header.
        sector: that sector, all of it.
        header: what it says.
        entries: the entry array, up to the end of its last sector.
        partitions: the used entries.
    """

    lba: int
    sector: bytes
    header: Header
    entries: bytes
    partitions: tuple[Partition, ...]

    @property
    def entries_size(self) -> int:
        """Bytes of the entry array under its checksum."""
        return self.header.entry_count * self.header.entry_size

    def spans(self, sector_size: int) -> tuple[tuple[int, int], tuple[int, int]]:
        """Where header and entries are: first and last sector of each."""
        first = self.header.entries_lba
        return (self.lba, self.lba), (first, first + len(self.entries) // sector_size - 1)


@dataclass(frozen=True, slots=True)
class Tables:
    """The tables of a disk.

    Attributes:
        size: of the disk in bytes.
        sector_size: in which the tables count.
        primary: None if it is damaged.
        backup: None if it is damaged.
        flaws: what is wrong, the tables before the partitions.
        primary_place: where the entries of a damaged primary table may be made anew; None if
            something else may be there.
    """

    size: int
    sector_size: int
    primary: Copy | None
    backup: Copy | None
    flaws: tuple[Flaw, ...]
    primary_place: int | None = None

    @property
    def used(self) -> Copy | None:
        """The table that is read here: the primary one, the backup where that is damaged."""
        return self.primary or self.backup

    @property
    def partitions(self) -> tuple[Partition, ...]:
        """The partitions of that one."""
        return self.used.partitions if self.used else ()

    @property
    def disk_uuid(self) -> UUID | None:
        """The name of the disk."""
        return UUID(bytes_le=self.used.header.disk_uuid) if self.used else None

    @property
    def last_lba(self) -> int:
        """The last whole sector."""
        return self.size // self.sector_size - 1


def read_tables(blob: Blob) -> Tables | None:
    """Both tables; None where nothing says that there is a GPT.

    Raises:
        FormatError: there are sound tables for two sector sizes, so readers could disagree.
    """
    read = [_read(blob, size) for size in SECTOR_SIZES if blob.size >= 3 * size]
    sound = [tables for tables in read if tables.used]
    if len(sound) > 1:
        one, other = sound[0].sector_size, sound[1].sector_size
        raise FormatError(f"GPTs for sectors of {one} and of {other} bytes")
    return sound[0] if sound else next((each for each in read if _has_magic(blob, each)), None)


def _has_magic(blob: Blob, tables: Tables) -> bool:
    size = tables.sector_size
    return any(records.starts_with_magic(blob, lba * size) for lba in (1, tables.last_lba))


def _read(blob: Blob, sector_size: int) -> Tables:
    flaws: list[Flaw] = []
    last = blob.size // sector_size - 1
    primary, problem = _try(blob, sector_size, 1)
    if problem:
        flaws.append(Flaw("primary-damaged", f"the primary table: {problem}"))
    remains = None if primary else read_remains(blob, sector_size)
    told = primary.header.alternate_lba if primary else remains and remains.alternate_lba
    backup, problem, other = _find_backup(blob, sector_size, told, last)
    flaws += _backup_flaws(primary, backup, problem, last)
    if primary and backup:
        flaws += _differences(primary, backup)
    if used := primary or backup:
        flaws += _doubts(used, other, remains)
        flaws += _table_flaws(used, backup if primary else None, sector_size)
        flaws += form_flaws(used.header, last)
        flaws += partition_flaws(used.header, used.partitions, last)
    place = None
    if backup and not primary:
        place = entries_place(blob, sector_size, backup.header, backup.entries)
    return Tables(blob.size, sector_size, primary, backup, tuple(flaws), place)


def _find_backup(
    blob: Blob, sector_size: int, told: int | None, last: int
) -> tuple[Copy | None, str, Copy | None]:
    """Where the primary table says it is, else at the end; why there is none; one at the end."""
    if told is None or told == last:
        return *_try(blob, sector_size, last), None
    found, problem = _try(blob, sector_size, told) if told > 1 else (None, "it has no place")
    other, at_end = _try(blob, sector_size, last)
    if found is None:
        problem = "" if other else f"{problem}; at the end of the disk, {at_end}"
    return found or other, problem, other if found else None


def _backup_flaws(
    primary: Copy | None, backup: Copy | None, problem: str, last: int
) -> Iterator[Flaw]:
    if problem:
        yield Flaw("backup-damaged", f"the backup table: {problem}")
    elif backup and backup.lba != last:
        text = f"the backup table is in sector {backup.lba}, the last one is {last}"
        yield Flaw("backup-misplaced", text)
    elif primary and primary.header.alternate_lba != last:
        text = f"the primary table looks for the backup in sector {primary.header.alternate_lba}"
        yield Flaw("backup-misplaced", f"{text}, it is in sector {last}")


def _try(blob: Blob, sector_size: int, lba: int) -> tuple[Copy | None, str]:
    try:
        return _read_copy(blob, sector_size, lba), ""
    except FormatError as error:
        return None, error.message


def _read_copy(blob: Blob, sector_size: int, lba: int) -> Copy:
    header = records.read_header(blob, sector_size, lba)
    records.check_entry_form(header.entry_count, header.entry_size)
    size = header.entry_count * header.entry_size
    records.read_entries(blob, header, sector_size)
    entries = blob.read_at(header.entries_lba * sector_size, -(-size // sector_size) * sector_size)
    return Copy(
        lba=lba,
        sector=blob.read_at(lba * sector_size, sector_size),
        header=header,
        entries=entries,
        partitions=tuple(used_entries(entries[:size], header.entry_size, sector_size, _name)),
    )


def _name(_index: int, raw: bytes) -> str:
    """A name, whatever is in it."""
    return raw.decode("utf-16-le", "replace").partition("\0")[0]


# --- What is wrong -------------------------------------------------------------------------------


def _doubts(used: Copy, other: Copy | None, remains: Remains | None) -> Iterator[Flaw]:
    """Why a backup may be of an older table, where the primary one does not vouch for it."""
    if remains is None:
        return
    if remains.disk_uuid not in (None, used.header.disk_uuid):
        names = [UUID(bytes_le=each) for each in (remains.disk_uuid or b"", used.header.disk_uuid)]
        text = f"the damaged primary table is of the disk {names[0]}, the backup of {names[1]}"
        yield Flaw("backup-foreign", text)
    if other and _facts(other) != _facts(used):
        text = f"the backup tables in sectors {used.lba} and {other.lba} differ"
        yield Flaw("backups-differ", text)


def _facts(copy: Copy) -> tuple[object, ...]:
    header = copy.header
    form = header.entry_count, header.entry_size, header.first_usable, header.last_usable
    return header.disk_uuid, form, copy.entries[: copy.entries_size]


def _differences(primary: Copy, backup: Copy) -> Iterator[Flaw]:
    mirrored = backup.header._replace(
        crc=primary.header.crc,
        my_lba=primary.lba,
        alternate_lba=primary.header.alternate_lba,
        entries_lba=primary.header.entries_lba,
    )
    size = primary.entries_size
    if mirrored != primary.header:
        yield Flaw("tables-differ", "the headers of the two tables differ")
    elif backup.entries[:size] != primary.entries[:size]:
        yield Flaw("tables-differ", "the partitions of the two tables differ")


def _table_flaws(used: Copy, other: Copy | None, sector_size: int) -> Iterator[Flaw]:
    """Tables must not lie on each other, nor on partitions: writing one would damage the other."""
    spans = [*used.spans(sector_size), *(other.spans(sector_size) if other else ()), (0, 0)]
    for (_, end), (start, _) in pairwise(sorted(spans)):
        if start <= end:
            yield Flaw("tables-overlap", f"the tables lie on each other in sector {start}")
    for part in used.partitions:
        if any(part.first_lba <= end and start <= part.last_lba for start, end in spans):
            yield Flaw("tables-overlap", f"partition {part.index + 1} lies on a partition table")
