"""The EFI system partition: found in the image of a disk, or being the whole image.

UEFI 2.10 §13.3: a FAT volume, on a disk with a GPT in a partition of its own type. Disks with an
MBR only are not looked into.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sysgraft.base.blob import SubBlob
from sysgraft.errors import FormatError
from sysgraft.formats import gpt
from sysgraft.formats.fat_boot import looks_like_fat
from sysgraft.formats.partition_types import type_uuid

if TYPE_CHECKING:
    from sysgraft.base.blob import Blob


def find_esp(blob: Blob) -> Blob:
    """The FAT volume in `blob`, for `sysgraft.formats.fat.open_volume`.

    Raises:
        FormatError: it is neither a FAT volume nor a disk with exactly one EFI system partition.
    """
    if gpt.probe(blob) is None:
        if not looks_like_fat(blob):
            raise FormatError("neither a FAT volume nor a disk with a GPT")
        return blob
    esp = type_uuid("esp")
    found = [part for part in gpt.parse(blob).partitions if part.type_uuid == esp]
    if len(found) != 1:
        raise FormatError(
            f"the disk has {len(found) or 'no'} EFI system partitions",
            hint="give the partition itself if it is not of that type, or one of several",
        )
    return SubBlob(blob, found[0].offset, found[0].size)
