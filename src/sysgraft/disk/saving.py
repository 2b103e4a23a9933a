"""Partition tables saved in a file, and put back."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from sysgraft.base.blob import BytesBlob, SubBlob, collect
from sysgraft.disk.opening import Machine, open_disk, refuse_held
from sysgraft.errors import InputError, OutputError, in_file
from sysgraft.formats import mbr
from sysgraft.formats.gpt_backup import MAX_SIZE, Backup, Piece, read_backup, render_backup
from sysgraft.formats.gpt_tables import read_tables
from sysgraft.host.block import forget_cached
from sysgraft.host.output import atomic_output
from sysgraft.host.patching import patch
from sysgraft.host.small import read_small

if TYPE_CHECKING:
    from uuid import UUID

    from sysgraft.base.blob import Blob
    from sysgraft.disk.opening import Disk
    from sysgraft.formats.gpt_edit import Edit
    from sysgraft.formats.gpt_tables import Copy, Tables

SUFFIX: Final = ".gpt-backup"
"""Behind the name of the disk, in the current folder."""


IN_MEMORY: Final = (
    "the tables are saved in the current folder, which of an installer is in memory: copy the file "
    "to other storage, or name a place there with --backup"
)
"""The note about a file that nobody named."""


def default_name(disk: str) -> str:
    """Where the tables of a disk are saved if nobody says."""
    return os.path.basename(os.path.normpath(disk)) + SUFFIX


def saved(disk: Disk, tables: Tables, used: Copy, after: Edit) -> tuple[Backup, bytes]:
    """The tables as they are on the disk, and the file that they are saved in.

    Args:
        disk: the disk.
        tables: its tables.
        used: the one that readers go by.
        after: what becomes of them: places that will be written are saved too.
    """
    size = tables.sector_size
    spans = {"protective-mbr": (0, max(mbr.SIZE, size))}
    for name, copy in (("primary", after.primary), ("backup", after.backup)):
        spans[f"{name}-header"] = (copy.lba * size, size)
        spans[f"{name}-entries"] = (copy.header.entries_lba * size, len(copy.entries))
    order = ("protective-mbr", "primary-header", "primary-entries", "backup-entries")
    pieces = tuple(
        Piece(name, spans[name][0], disk.blob.read_at(*spans[name]))
        for name in (*order, "backup-header")
    )
    backup = Backup(disk.blob.size, size, _name(tables), pieces)
    return backup, render_backup(backup, used.entries[: used.entries_size])


def write_backup(path: str, data: bytes) -> None:
    """Write the file; it is on the disk when this returns.

    Raises:
        OutputError: there is one of that name.
    """
    if os.path.lexists(path):
        hint = "it may be the way back from an earlier change: name another with --backup"
        raise OutputError("the file exists", file=path, hint=hint)
    with atomic_output(path, replace=False) as file:
        file.write(data)


def _name(tables: Tables) -> UUID:
    if tables.disk_uuid is None:
        raise InputError("both partition tables are damaged")
    return tables.disk_uuid


# --- Putting back --------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class RestoreReport:
    """What became of a disk.

    Attributes:
        disk: as the caller named it.
        backup: the file.
        pieces: names of what was, or would be, put back.
        written: whether it was.
        notes: what a person should know.
    """

    disk: str
    backup: str
    pieces: tuple[str, ...]
    written: bool
    notes: tuple[str, ...] = ()


def restore(
    path: str,
    backup: str,
    *,
    force: bool = False,
    dry_run: bool = False,
    machine: Machine | None = None,
) -> RestoreReport:
    """Put the tables back that `sysgraft.disk.retype` saved; the MBR it never changed stays.

    Args:
        path: the disk or image.
        backup: the file.
        force: also if the partitions lie elsewhere by now, or no table tells which disk it is.
        dry_run: write nothing.
        machine: where this one says what it has; None for the usual places.

    Raises:
        InputError: the file is not of this disk.
    """
    with in_file(backup):
        found = read_backup(read_small(backup, MAX_SIZE, "backup of partition tables"))
    with open_disk(path, machine or Machine()) as disk:
        refuse_held(disk)
        now = {
            piece.name: disk.blob.read_at(piece.offset, len(piece.data))
            for piece in found.pieces
            if piece.offset + len(piece.data) <= disk.blob.size
        }
        before = (
            read_tables(_Overlaid(disk.blob, found.pieces))
            if disk.blob.size == found.size
            else None
        )
        _refuse_foreign(disk, found, backup)
        differing = [each for each in found.pieces if now[each.name] != each.data]
        wanted = [each for each in differing if each.name != "protective-mbr"]
        _refuse_in_use(disk, wanted)
        _refuse_unfit(disk, before, backup, force=force)
        groups = _in_order(wanted, disk.tables, before)
        expected = [(each.offset, now[each.name]) for each in found.pieces]
    if wanted and not dry_run:
        forget_cached(path)
        patch(path, groups, expected=expected)
    notes = () if len(wanted) == len(differing) else ("the MBR is another one now, and stays",)
    names = tuple(piece.name for piece in wanted)
    return RestoreReport(path, backup, names, bool(wanted) and not dry_run, notes)


def _in_order(
    pieces: list[Piece], now: Tables | None, before: Tables | None
) -> list[list[tuple[int, bytes]]]:
    """What is damaged now comes first; what was damaged then comes last."""
    groups = {
        table: [(each.offset, each.data) for each in pieces if each.name.startswith(table)]
        for table in ("backup", "primary")
    }
    groups["primary"] = _joined(groups["primary"])
    primary_first = (now and not now.primary) or (before and not before.backup)
    order = ("primary", "backup") if primary_first else ("backup", "primary")
    return [groups[table] for table in order]


def _joined(pieces: list[tuple[int, bytes]]) -> list[tuple[int, bytes]]:
    """A header and the entries behind it as one piece: a power cut has less room between."""
    joined: list[tuple[int, bytes]] = []
    for offset, data in pieces:
        if joined and offset == joined[-1][0] + len(joined[-1][1]):
            start, before = joined.pop()
            joined.append((start, before + data))
        else:
            joined.append((offset, data))
    return joined


def _doubted(disk: Disk) -> bool:
    """Whether it is not certain that the only table that is sound is the one of this disk."""
    flaws = disk.tables.flaws if disk.tables else ()
    return any(flaw.code in ("backup-foreign", "backups-differ") for flaw in flaws)


def _refuse_foreign(disk: Disk, found: Backup, backup: str) -> None:
    if disk.blob.size != found.size:
        text = f"it is of a disk with {found.size} bytes, {disk.path} has {disk.blob.size}"
        raise InputError(text, file=backup)
    name = disk.tables.disk_uuid if disk.tables and not _doubted(disk) else None
    if name not in (None, found.disk_uuid):
        raise InputError(f"it is of the disk {found.disk_uuid}, {disk.path} is {name}", file=backup)


def _refuse_in_use(disk: Disk, pieces: list[Piece]) -> None:
    """Nothing goes where a partition is by now, of either table."""
    tables = disk.tables
    copies = [copy for copy in (tables and tables.primary, tables and tables.backup) if copy]
    for part in (part for copy in copies for part in copy.partitions):
        end = part.offset + part.size
        if any(each.offset < end and part.offset < each.offset + len(each.data) for each in pieces):
            text = f"partition {part.index + 1} lies by now where a table has to be put back"
            raise InputError(f"{text}: nothing was written", file=disk.path)


def _refuse_unfit(disk: Disk, before: Tables | None, backup: str, *, force: bool) -> None:
    if before is None or before.used is None:
        raise InputError("it holds no partition table that can be read", file=backup)
    if any(flaw.code == "tables-overlap" for flaw in before.flaws):
        raise InputError("its tables lie where partitions are", file=backup)
    if force:
        return
    if disk.tables is None or disk.tables.used is None or _doubted(disk):
        hint = "use --force if it is the right one"
        raise InputError("no table on the disk tells which disk it is", file=disk.path, hint=hint)
    if _layout(before) != _layout(disk.tables):
        hint = "use --force to have the old partitions back"
        raise InputError("the partitions lie elsewhere by now", file=disk.path, hint=hint)


def _layout(tables: Tables) -> set[tuple[int, UUID, int, int]]:
    return {(part.index, part.uuid, part.first_lba, part.last_lba) for part in tables.partitions}


class _Overlaid:
    """A disk as it would be with other bytes in some places."""

    __slots__ = ("_blob", "_pieces")

    def __init__(self, blob: Blob, pieces: tuple[Piece, ...]) -> None:
        self._blob = blob
        self._pieces = pieces

    @property
    def size(self) -> int:
        """Length in bytes."""
        return self._blob.size

    def read_at(self, offset: int, length: int) -> bytes:
        """See `Blob.read_at`."""
        return collect(self, offset, length)

    def readinto_at(self, offset: int, view: memoryview) -> None:
        """See `Blob.readinto_at`."""
        self._blob.readinto_at(offset, view)
        end = offset + len(view)
        for piece in self._pieces:
            start, stop = max(offset, piece.offset), min(end, piece.offset + len(piece.data))
            if start < stop:
                part = SubBlob(BytesBlob(piece.data), start - piece.offset, stop - start)
                part.readinto_at(0, view[start - offset : stop - offset])
