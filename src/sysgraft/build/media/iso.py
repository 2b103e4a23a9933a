"""ISO images that boot UEFI firmware, from discs and, as they are, from USB sticks.

The EFI system partition is a FAT volume in a file of the ISO image. Firmware finds it on a disc by
El Torito, and elsewhere by the GPT in the system area, whose only partition covers the same bytes.
BIOS firmware starts nothing.
"""

from __future__ import annotations

import os
import stat
import tempfile
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from sysgraft.base.blob import BytesBlob
from sysgraft.base.ids import disk_uuid, partition_uuid
from sysgraft.base.pieces import Piece, PiecedBlob
from sysgraft.base.progress import NoProgress
from sysgraft.base.text import one_line
from sysgraft.build.media import proof
from sysgraft.build.media.content import gather
from sysgraft.build.media.files import MediaFile, opened
from sysgraft.build.media.options import IsoOptions, MediaOptions
from sysgraft.build.media.report import FileUse, MediaReport, PartitionUse, file_use, volume_use
from sysgraft.build.media.volume import ESP_TYPE, plan_esp, seed_of
from sysgraft.build.media.writing import check_place, write_image
from sysgraft.errors import InputError, UsageError
from sysgraft.formats import gpt, iso9660_writer
from sysgraft.formats.iso9660_records import SECTOR as ISO_SECTOR
from sysgraft.host.files import close_files
from sysgraft.host.folders import is_below, walk
from sysgraft.host.spool import spool_folder

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from uuid import UUID

    from sysgraft.base.progress import Progress
    from sysgraft.build.media.content import MediaContent
    from sysgraft.formats.fat_writer import VolumePlan

BOOT_IMAGE: Final = "boot/efi.img"
"""The FAT volume, in the ISO image."""

_SECTOR: Final = 512
"""Of the GPT: USB sticks have sectors of this size."""


@dataclass(frozen=True, slots=True)
class IsoPlan:
    """An ISO image before it is written.

    Attributes:
        size: its bytes.
        table: its one partition.
        volume: the FAT volume in that.
        iso: the ISO 9660 volume.
    """

    size: int
    table: gpt.Table
    volume: VolumePlan
    iso: iso9660_writer.VolumePlan

    def pieces(self) -> Iterator[Piece]:
        """The image; what lies between the pieces is zeros."""
        for offset, data in gpt.render(self.table, self.size):
            yield Piece(offset, BytesBlob(data))
        yield from self.iso.pieces()


def build_iso(
    path: str,
    options: MediaOptions,
    iso: IsoOptions | None = None,
    *,
    write: bool = True,
    progress: Progress | None = None,
) -> MediaReport:
    """Make an ISO image that boots.

    Nothing is written if something on it would not start with its keys, unless the options allow
    that; the report says so.

    Args:
        path: the image.
        options: what goes onto it.
        iso: what it is like.
        write: whether it is written; else only its plan is made.
        progress: told how far it is.

    Raises:
        UsageError: options contradict each other.
        InputError: a file cannot be used.
        OutputError: the image exists, or cannot be written.
    """
    iso, progress = iso or IsoOptions(), progress or NoProgress()
    if iso.overlay and is_below(path, iso.overlay):
        raise UsageError(
            f"the image would be in the folder that is put into it: {one_line(path)}",
            hint="write it outside of --overlay",
        )
    if write:
        check_place(path, replace=iso.replace)
    with tempfile.TemporaryDirectory(prefix="sysgraft-media-", dir=spool_folder()) as work:
        content = gather(options, work)
        further = (*content.carried, *_overlay(iso.overlay))
        plan = _plan(content, further, options, iso)
        judgements = tuple(proof.judge(content, progress))
        report = _report(path, content, further, plan, judgements)
        if write and (report.ok or options.allow_unverified):
            pieces = plan.pieces()
            write_image(path, pieces, plan.size, replace=iso.replace, progress=progress)
            report = replace(report, written=True)
        close_files()
    return report


def _overlay(folder: str) -> Iterator[MediaFile]:
    """The files of a folder, for the same places of the image."""
    if not folder:
        return
    for each in walk(folder):
        place = os.fsdecode(each.place)
        if stat.S_ISREG(each.status.st_mode):
            path = os.fsdecode(each.path).replace(os.sep, "/")
            yield MediaFile(path, opened(place), "overlay", place)
        elif not stat.S_ISDIR(each.status.st_mode):
            raise InputError("an ISO image takes files and folders only", file=place)


def _plan(
    content: MediaContent, further: Sequence[MediaFile], options: MediaOptions, iso: IsoOptions
) -> IsoPlan:
    seed = seed_of((*content.files, *further), options.seed)
    volume = plan_esp(content.files, seed, time=options.time, size=None)
    planned = _plan_iso(volume, further, options, iso)
    # Where the partition begins is known now, which is also said in it; it does not grow by that.
    start = planned.offset(BOOT_IMAGE)
    volume = plan_esp(content.files, seed, time=options.time, size=None, start=start)
    planned = _plan_iso(volume, further, options, iso)
    return IsoPlan(planned.size, _table(planned, volume, seed), volume, planned)


def _plan_iso(
    volume: VolumePlan, further: Sequence[MediaFile], options: MediaOptions, iso: IsoOptions
) -> iso9660_writer.VolumePlan:
    image = PiecedBlob(volume.pieces(), volume.size)
    files = [iso9660_writer.NewFile(BOOT_IMAGE, image)]
    files += [iso9660_writer.NewFile(each.path, each.content) for each in further]
    about = iso9660_writer.VolumeOptions(iso.volume_id, BOOT_IMAGE, options.time)
    return iso9660_writer.plan_volume(files, about)


def _table(planned: iso9660_writer.VolumePlan, volume: VolumePlan, seed: UUID) -> gpt.Table:
    first = planned.offset(BOOT_IMAGE) // _SECTOR
    esp = gpt.Partition(
        index=0,
        type_uuid=ESP_TYPE,
        uuid=partition_uuid(seed, ESP_TYPE),
        first_lba=first,
        last_lba=first + volume.size // _SECTOR - 1,
        name="esp",
    )
    return gpt.new_table(planned.size, disk_uuid=disk_uuid(seed), partitions=[esp])


def _report(
    path: str,
    content: MediaContent,
    further: Sequence[MediaFile],
    plan: IsoPlan,
    judgements: tuple[proof.Judgement, ...],
) -> MediaReport:
    files = file_use(content.files, plan.volume)
    beside = tuple(
        FileUse(
            each.path,
            each.group,
            each.source,
            each.content.size,
            -(-each.content.size // ISO_SECTOR) * ISO_SECTOR,
        )
        for each in further
    )
    esp = plan.table.partitions[0]
    return MediaReport(
        path=os.fspath(path),
        written=False,
        size=plan.size,
        architecture=content.architecture,
        files=(*files, *beside),
        volume=volume_use(plan.volume, files),
        partitions=(PartitionUse(esp.name, esp.uuid, esp.offset, esp.size),),
        judgements=judgements,
        warnings=content.warnings,
    )
