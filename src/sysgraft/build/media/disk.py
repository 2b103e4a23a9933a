"""Disk images that boot: a GPT, an EFI system partition, and further partitions from files.

UEFI 2.10 §5.3 and §13.3; types of the Discoverable Partitions Specification. Partitions begin at
whole MiB, in the order they are given, the EFI system partition first.
"""

from __future__ import annotations

import os
import re
import tempfile
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final
from uuid import UUID

from sysgraft.base.blob import BytesBlob
from sysgraft.base.ids import disk_uuid, partition_uuid
from sysgraft.base.pieces import Piece, moved
from sysgraft.base.progress import NoProgress
from sysgraft.build.media import proof
from sysgraft.build.media.content import gather
from sysgraft.build.media.files import opened
from sysgraft.build.media.options import DiskOptions, MediaOptions, PartitionFile
from sysgraft.build.media.report import MediaReport, PartitionUse, file_use, volume_use
from sysgraft.build.media.volume import ESP_TYPE, plan_esp, seed_of
from sysgraft.build.media.writing import check_place, write_image
from sysgraft.errors import UsageError
from sysgraft.formats import gpt
from sysgraft.formats.fat_layout import SECTOR_SIZES
from sysgraft.formats.partition_types import ALL, lookup
from sysgraft.host.files import close_files
from sysgraft.host.spool import spool_folder

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from sysgraft.base.blob import Blob
    from sysgraft.base.progress import Progress
    from sysgraft.build.media.content import MediaContent
    from sysgraft.formats.fat_writer import VolumePlan

MIB: Final = 1 << 20
_FRONT: Final = MIB
_BACK: Final = MIB
"""Bytes for the tables before and behind the partitions: more than they take, so that partitions
begin and end at whole MiB."""
MAX_PARTITIONS: Final = gpt.ENTRIES_SIZE // 128
"""Entries of a new table, that of the EFI system partition counted."""
NIL: Final = UUID(int=0)
"""The type of an entry that is not in use (UEFI 2.10 §5.3.3)."""
_UUID: Final = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")


@dataclass(frozen=True, slots=True)
class _Further:
    """A partition from a file."""

    role: str
    type_uuid: UUID
    uuid: UUID | None
    source: str
    content: Blob


@dataclass(frozen=True, slots=True)
class DiskPlan:
    """A disk image before it is written.

    Attributes:
        size: its bytes.
        table: its partitions.
        volume: the file system of the first one.
        contents: what the others hold, in order.
    """

    size: int
    table: gpt.Table
    volume: VolumePlan
    contents: Sequence[Blob]

    def pieces(self) -> Iterator[Piece]:
        """The image; what lies between the pieces is zeros."""
        for offset, data in gpt.render(self.table, self.size):
            yield Piece(offset, BytesBlob(data))
        esp, *others = self.table.partitions
        yield from moved(self.volume.pieces(), esp.offset)
        for partition, content in zip(others, self.contents, strict=True):
            yield Piece(partition.offset, content)


def build_disk(
    path: str,
    options: MediaOptions,
    disk: DiskOptions | None = None,
    *,
    write: bool = True,
    progress: Progress | None = None,
) -> MediaReport:
    """Make a disk image that boots.

    Nothing is written if something on it would not start with its keys, unless the options allow
    that; the report says so.

    Args:
        path: the image.
        options: what goes onto it.
        disk: what it is like.
        write: whether it is written; else only its plan is made.
        progress: told how far it is.

    Raises:
        UsageError: options contradict each other, or the image is too small.
        InputError: a file cannot be used.
        OutputError: the image exists, or cannot be written.
    """
    disk, progress = disk or DiskOptions(), progress or NoProgress()
    if write:
        check_place(path, replace=disk.replace)
    with tempfile.TemporaryDirectory(prefix="sysgraft-media-", dir=spool_folder()) as work:
        content = gather(options, work)
        further = [_further(each, content) for each in disk.partitions]
        plan = _plan(content, further, options, disk)
        judgements = tuple(proof.judge(content, progress))
        report = _report(path, content, further, plan, judgements)
        if write and (report.ok or options.allow_unverified):
            pieces = plan.pieces()
            write_image(path, pieces, plan.size, replace=disk.replace, progress=progress)
            report = replace(report, written=True)
        close_files()
    return report


def _plan(
    content: MediaContent, further: Sequence[_Further], options: MediaOptions, disk: DiskOptions
) -> DiskPlan:
    if len(further) >= MAX_PARTITIONS:
        raise UsageError(f"{len(further) + 1} partitions; a disk has {MAX_PARTITIONS} at most")
    if disk.sector_size not in SECTOR_SIZES:
        raise UsageError(f"sectors of {disk.sector_size} bytes; possible are 512 and 4096")
    files = (*content.files, *content.carried)
    seed = seed_of(files, options.seed, [(each.role, each.content.size) for each in further])
    volume = plan_esp(
        files,
        seed,
        time=options.time,
        size=_esp_size(further, disk),
        sector_size=disk.sector_size,
        start=_FRONT,
    )
    partitions = tuple(_partitions(seed, volume, further, disk.sector_size))
    _check_different(partitions)
    last = partitions[-1]
    size = _rounded(last.offset + last.size) + _BACK
    if disk.size is not None:
        if disk.size < size:
            raise UsageError(
                f"the partitions do not fit into {disk.size} bytes: {size - disk.size} are missing"
            )
        size = disk.size - disk.size % disk.sector_size
    table = gpt.new_table(
        size, disk_uuid=disk_uuid(seed), partitions=partitions, sector_size=disk.sector_size
    )
    return DiskPlan(size, table, volume, [each.content for each in further])


def _esp_size(further: Sequence[_Further], disk: DiskOptions) -> int | None:
    """Bytes of the EFI system partition; None for as few as possible."""
    if disk.esp_size is not None or disk.size is None:
        return disk.esp_size
    others = sum(_rounded(each.content.size) for each in further)
    room = (disk.size - _FRONT - _BACK - others) // MIB * MIB
    if room <= 0:
        raise UsageError(
            f"a disk of {disk.size} bytes has no room for an EFI system partition",
            hint="leave --size out for the smallest image that holds all",
        )
    return room


def _rounded(size: int) -> int:
    return size + -size % MIB


# --- Partitions ----------------------------------------------------------------------------------


def _further(partition: PartitionFile, content: MediaContent) -> _Further:
    blob = opened(partition.path)
    if not blob.size:
        raise UsageError(f"{partition.path} is empty, and a partition is not")
    if partition.uuid == NIL:
        raise UsageError(f"a partition cannot have the UUID {NIL}")
    kind = _type_of(partition.role, content.architecture)
    return _Further(*kind, partition.uuid, partition.path, blob)


def _type_of(role: str, architecture: str) -> tuple[str, UUID]:
    """The name and the type of a partition, by a role, a name or a UUID.

    Raises:
        UsageError: there is no such type.
    """
    if _UUID.fullmatch(role):
        known = lookup(UUID(role))
        return (known.name if known else "data"), _allowed(UUID(role))
    for each in ALL:
        if role == each.name or (role == each.designator and each.arch == architecture):
            return each.name, _allowed(each.uuid)
    raise UsageError(
        f"there is no partition type {role!r}",
        hint="such as root, usr-verity, home, linux-generic, root-arm64; or give a UUID",
    )


def _allowed(kind: UUID) -> UUID:
    if kind == ESP_TYPE:
        raise UsageError("a disk has one EFI system partition, which is made here")
    if kind == NIL:
        raise UsageError(f"the partition type {kind} stands for no partition")
    return kind


def _check_different(partitions: Sequence[gpt.Partition]) -> None:
    seen: dict[UUID, str] = {}
    for each in partitions:
        if each.uuid in seen:
            raise UsageError(
                f"two partitions would have the UUID {each.uuid}: {seen[each.uuid]}, {each.name}"
            )
        seen[each.uuid] = each.name


def _partitions(
    seed: UUID, volume: VolumePlan, further: Sequence[_Further], sector_size: int
) -> Iterator[gpt.Partition]:
    shapes: list[tuple[str, UUID, int, UUID | None]] = [("esp", ESP_TYPE, volume.size, None)]
    shapes += [(each.role, each.type_uuid, each.content.size, each.uuid) for each in further]
    position, seen = _FRONT, dict.fromkeys((shape[1] for shape in shapes), 0)
    for index, (name, kind, size, uuid) in enumerate(shapes):
        sectors = -(-size // sector_size)
        yield gpt.Partition(
            index=index,
            type_uuid=kind,
            uuid=uuid or partition_uuid(seed, kind, seen[kind]),
            first_lba=position // sector_size,
            last_lba=position // sector_size + sectors - 1,
            name=name,
            sector_size=sector_size,
        )
        seen[kind] += 1
        position = _rounded(position + size)


# --- Report --------------------------------------------------------------------------------------


def _report(
    path: str,
    content: MediaContent,
    further: Sequence[_Further],
    plan: DiskPlan,
    judgements: tuple[proof.Judgement, ...],
) -> MediaReport:
    files = file_use((*content.files, *content.carried), plan.volume)
    sources = ["", *(each.source for each in further)]
    return MediaReport(
        path=os.fspath(path),
        written=False,
        size=plan.size,
        architecture=content.architecture,
        files=files,
        volume=volume_use(plan.volume, files),
        partitions=tuple(
            PartitionUse(each.name, each.uuid, each.offset, each.size, source)
            for each, source in zip(plan.table.partitions, sources, strict=True)
        ),
        judgements=judgements,
        warnings=content.warnings,
    )
