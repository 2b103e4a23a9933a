"""Changes the types of partitions where they are, so that systemd finds them.

The entry is `retype`. Both tables change, and nothing in them but types, attributes and checksums;
they are saved first, and written so that one of them is whole at any time. Works on disks in use:
types matter at the next boot only.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from sysgraft.disk import saving
from sysgraft.disk.check import CheckOptions, survey
from sysgraft.disk.kickstart import shell_line
from sysgraft.disk.mending import argument
from sysgraft.disk.opening import Machine, open_disk, refuse_held
from sysgraft.disk.roles import contradicts, type_of
from sysgraft.disk.rules_table import STALE
from sysgraft.disk.writable import repaired, writable_tables
from sysgraft.errors import InputError, OutputError, UsageError
from sysgraft.formats.gpt import GROWFS, NO_AUTO
from sysgraft.formats.gpt_edit import Change, edit
from sysgraft.host.block import forget_cached
from sysgraft.host.patching import patch

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from uuid import UUID

    from sysgraft.disk.opening import Disk
    from sysgraft.disk.report import PartitionReport
    from sysgraft.disk.scene import Scene
    from sysgraft.formats.gpt_edit import Edit
    from sysgraft.formats.gpt_tables import Tables


@dataclass(frozen=True, slots=True)
class RetypeOptions:
    """What is to be changed.

    Attributes:
        root: see `sysgraft.disk.check.CheckOptions`, as the next three.
        arch: of the machine.
        roles: what partitions are for, by their numbers.
        machine: where this one says what it has mounted.
        no_auto: whether partitions are to have the no-auto attribute, by their numbers.
        growfs: whether they are to have the grow-file-system attribute.
        backup: the file that the tables are saved in; empty for one in the current folder.
        force: also if a partition holds something else, or a table is damaged.
        dry_run: write nothing.
    """

    root: str = ""
    arch: str = ""
    roles: Mapping[int, str] = field(default_factory=dict)
    machine: Machine = field(default_factory=Machine)
    no_auto: Mapping[int, bool] = field(default_factory=dict)
    growfs: Mapping[int, bool] = field(default_factory=dict)
    backup: str = ""
    force: bool = False
    dry_run: bool = False


@dataclass(frozen=True, slots=True)
class Retyped:
    """What becomes of one partition.

    Attributes:
        number: of the partition, from 1.
        name: of the partition.
        role: what it is for, empty if only attributes change.
        why: how that is known.
        old_type: the type it had.
        new_type: the type it has.
        old_attributes: the attributes it had.
        new_attributes: the attributes it has.
    """

    number: int
    name: str
    role: str
    why: str
    old_type: UUID
    new_type: UUID
    old_attributes: int
    new_attributes: int


@dataclass(frozen=True, slots=True)
class RetypeReport:
    """What became of a disk.

    Attributes:
        disk: as the caller named it.
        arch: of which machine.
        changes: partitions that were, or would be, changed.
        repaired: which table was, or would be, made anew; empty if both were good.
        backup: the file that the tables were saved in; empty if nothing was written.
        written: whether anything was.
        notes: what a person should know.
    """

    disk: str
    arch: str
    changes: tuple[Retyped, ...]
    repaired: str
    backup: str
    written: bool
    notes: tuple[str, ...] = ()


def retype(path: str, options: RetypeOptions) -> RetypeReport:
    """Give the partitions of a disk or image the types of what they are for.

    Raises:
        InputError: it cannot be read, or its tables are in no state to be changed.
        UsageError: a partition that was named is not there, or holds something else.
        OutputError: it, or the file it is saved in, cannot be written.
    """
    with open_disk(path, options.machine) as disk:
        refuse_held(disk)
        tables = writable_tables(disk)
        scene = survey(
            disk, CheckOptions(options.root, options.arch, options.roles, options.machine)
        )
        wanted, notes = _wanted(scene, options)
        notes = (*notes, *_disk_notes(disk, tables))
        anew = repaired(disk, tables, force=options.force)
        after = edit(tables, [_change(each) for each in wanted])
        report = RetypeReport(path, scene.arch, wanted, anew, "", written=False, notes=notes)
        if options.dry_run or not any(after.writes):
            return report
        target = options.backup or saving.default_name(path)
        if not options.backup:
            notes = (*notes, saving.IN_MEMORY)
        expected = _save(disk, tables, after, target)
    forget_cached(path)
    patch(
        path,
        [[(each.offset, each.data) for each in group] for group in after.writes],
        expected=expected,
    )
    _look_again(path, after, options.machine, target)
    return RetypeReport(path, scene.arch, wanted, anew, target, written=True, notes=notes)


# --- What is to be changed -----------------------------------------------------------------------


def _wanted(scene: Scene, options: RetypeOptions) -> tuple[tuple[Retyped, ...], tuple[str, ...]]:
    there = {part.number for part in scene.partitions}
    if missing := sorted((options.no_auto.keys() | options.growfs.keys()) - there):
        raise UsageError(f"there is no partition {missing[0]}", file=scene.disk.path)
    notes: list[str] = []
    found = []
    for part in scene.partitions:
        type_uuid = _type(part, scene, notes, force=options.force)
        number = part.number
        bits = _bits(part.partition.attributes, NO_AUTO, options.no_auto.get(number))
        bits = _bits(bits, GROWFS, options.growfs.get(number))
        if part.role.name == "esp" and options.no_auto.get(number):
            notes.append(f"systemd takes no notice of no-auto on an ESP, partition {number}")
        found.append(_retyped(part, type_uuid, bits))
    return tuple(each for each in found if _differs(each)), tuple(notes)


def _type(part: PartitionReport, scene: Scene, notes: list[str], *, force: bool) -> UUID:
    """The type that a partition is to have; what its type alone tells is no reason for another."""
    role, now = part.role, part.partition.type_uuid
    if role.source in ("", "type"):
        return now
    wanted = type_of(role.name, scene.arch)
    if wanted == now or not contradicts(role.name, part.content) or force:
        return wanted
    text = f"partition {part.number} holds {part.content}, which {role.name} cannot be"
    if role.source == "option":
        hint = "use --force if you know better"
        raise UsageError(text, file=scene.disk.path, hint=hint)
    notes.append(f"{text}: it keeps its type")
    return now


def _bits(attributes: int, bit: int, wanted: bool | None) -> int:  # noqa: FBT001  a tristate
    if wanted is None:
        return attributes
    return attributes | bit if wanted else attributes & ~bit


def _retyped(part: PartitionReport, type_uuid: UUID, attributes: int) -> Retyped:
    entry = part.partition
    changed = type_uuid != entry.type_uuid
    return Retyped(
        number=part.number,
        name=entry.name,
        role=part.role.name if changed else "",
        why=part.role.why if changed else "as it was said",
        old_type=entry.type_uuid,
        new_type=type_uuid,
        old_attributes=entry.attributes,
        new_attributes=attributes,
    )


def _differs(each: Retyped) -> bool:
    return (each.old_type, each.old_attributes) != (each.new_type, each.new_attributes)


def _change(each: Retyped) -> Change:
    old, new = each.old_attributes, each.new_attributes
    return Change(each.number, each.new_type, new & ~old, old & ~new)


def _disk_notes(disk: Disk, tables: Tables) -> Iterator[str]:
    """What keeps the new types from being seen."""
    if disk.stale:
        yield STALE.format(", ".join(map(str, sorted(disk.stale))))
    yield from (flaw.text for flaw in tables.flaws if flaw.code == "entry-size")


# --- Writing -------------------------------------------------------------------------------------


def _save(disk: Disk, tables: Tables, after: Edit, target: str) -> list[tuple[int, bytes]]:
    """Save the tables in a file; what has to be on the disk still when it is written."""
    used = tables.used
    if used is None:
        raise InputError("both partition tables are damaged", file=disk.path)
    backup, data = saving.saved(disk, tables, used, after)
    saving.write_backup(target, data)
    return [(piece.offset, piece.data) for piece in backup.pieces]


def _look_again(path: str, after: Edit, machine: Machine, backup: str) -> None:
    """Whether the disk has what was written."""
    forget_cached(path)
    with open_disk(path, machine) as disk:
        size = disk.tables.sector_size if disk.tables else 1
        wanted = [
            (place * size, data)
            for copy in (after.primary, after.backup)
            for place, data in ((copy.lba, copy.sector), (copy.header.entries_lba, copy.entries))
        ]
        if any(disk.blob.read_at(offset, len(data)) != data for offset, data in wanted):
            saved = argument(backup)
            hint = shell_line(("sysgraft", "disk", "retype", argument(path), "--restore", saved))
            raise OutputError("it does not have what was written", file=path, hint=hint)
