"""What a medium takes and holds: told before it is written, and after."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence
    from uuid import UUID

    from sysgraft.build.media.files import Group, MediaFile
    from sysgraft.build.media.proof import Judgement
    from sysgraft.formats.fat_writer import VolumePlan


class FileUse(NamedTuple):
    """A file of a medium.

    Attributes:
        path: on the medium.
        group: what it is there for.
        source: the file it comes from; empty if it is made here.
        size: its bytes.
        allocated: the bytes it takes.
    """

    path: str
    group: Group
    source: str
    size: int
    allocated: int


class VolumeUse(NamedTuple):
    """The file system of the EFI system partition.

    Attributes:
        size: its bytes.
        files: bytes that files take.
        overhead: bytes of tables, folders and what belongs to no cluster.
        free: bytes that nothing is in.
        bits: 16 or 32, of FAT16 or FAT32.
        serial: its ID.
    """

    size: int
    files: int
    overhead: int
    free: int
    bits: int
    serial: int


class PartitionUse(NamedTuple):
    """A partition: its role, identifier, first byte, bytes, and the file it comes from."""

    role: str
    uuid: UUID
    offset: int
    size: int
    source: str = ""


@dataclass(frozen=True, slots=True)
class MediaReport:
    """A medium.

    Attributes:
        path: of the image.
        written: whether it is there now.
        size: its bytes.
        architecture: of what it boots.
        files: all of them, those of the EFI system partition first.
        volume: the file system of that partition.
        partitions: all of them, that one first.
        judgements: what firmware with the medium's keys makes of the programs on it.
        warnings: what a person should worry about, a sentence each.
    """

    path: str
    written: bool
    size: int
    architecture: str
    files: tuple[FileUse, ...]
    volume: VolumeUse
    partitions: tuple[PartitionUse, ...]
    judgements: tuple[Judgement, ...]
    warnings: tuple[str, ...]

    @property
    def ok(self) -> bool:
        """Whether all that is on it would start with its keys."""
        return all(each.ok for each in self.judgements)


def volume_use(plan: VolumePlan, files: Sequence[FileUse]) -> VolumeUse:
    """How a file system is used."""
    taken = sum(each.allocated for each in files)
    return VolumeUse(
        size=plan.size,
        files=taken,
        overhead=plan.size - taken - plan.free,
        free=plan.free,
        bits=plan.layout.bits,
        serial=plan.options.serial,
    )


def file_use(files: Sequence[MediaFile], plan: VolumePlan) -> tuple[FileUse, ...]:
    """What each file takes on the EFI system partition."""
    return tuple(
        FileUse(
            each.path, each.group, each.source, each.content.size, plan.allocated(each.content.size)
        )
        for each in files
    )
