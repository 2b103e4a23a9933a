"""The EFI system partition of a medium: identifiers of the medium, and its FAT volume."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Final

from sysgraft.base.ids import default_seed, filesystem_uuid, partition_uuid
from sysgraft.formats.fat_writer import NewFile, VolumeOptions, plan_volume
from sysgraft.formats.partition_types import type_uuid

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from uuid import UUID

    from sysgraft.build.media.files import MediaFile
    from sysgraft.formats.fat_writer import VolumePlan

ESP_TYPE: Final = type_uuid("esp")
LABEL: Final = "ESP"
SPARE: Final = 1 << 20
"""Bytes that stay free: for a boot counter's or a random seed's file, and new entries of text."""


def seed_of(
    files: Sequence[MediaFile], seed: UUID | None, partitions: Iterable[tuple[str, int]] = ()
) -> UUID:
    """The seed of a medium's identifiers: as given, or made of the names and sizes of its files.

    Args:
        files: on it.
        seed: what is given.
        partitions: role and bytes of each further one.
    """
    if seed is not None:
        return seed
    digest = hashlib.sha256()
    for each in sorted(files, key=lambda file: file.path):
        # Names on a machine need not be UTF-8.
        name = each.path.encode("utf-8", "surrogateescape")
        digest.update(name + f"\0{each.content.size}\0".encode())
    for role, length in partitions:
        digest.update(f"{role}\0{length}\0partition\0".encode())
    return default_seed(f"medium {digest.hexdigest()}")


def plan_esp(
    files: Sequence[MediaFile],
    seed: UUID,
    *,
    time: int,
    size: int | None,
    sector_size: int = 512,
    start: int = 0,
) -> VolumePlan:
    """Lay out the volume.

    Args:
        files: what is on it.
        seed: of the medium.
        time: of everything on it.
        size: its bytes; None for as few as possible.
        sector_size: of the medium.
        start: its first byte on the medium.
    """
    identity = filesystem_uuid(partition_uuid(seed, ESP_TYPE))
    options = VolumeOptions(
        label=LABEL,
        serial=int.from_bytes(identity.bytes[:4], "big"),
        time=time,
        sector_size=sector_size,
        hidden=start // sector_size,
    )
    new = [NewFile(each.path, each.content) for each in files]
    return plan_volume(new, options, size=size, spare=SPARE if size is None else 0)
