"""What a partition holds, as far as it tells a role for certain."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple
from uuid import UUID

from sysgraft.errors import FormatError, InputError
from sysgraft.formats import fat, volume_signature

if TYPE_CHECKING:
    from sysgraft.base.blob import Blob

_EFI: Final = "EFI"
# Of the first page of swap space (include/linux/swap.h, union swap_header): the UUID behind 1024
# bytes, version, last page and number of bad pages.
_SWAP_UUID: Final = 1024 + 3 * 4


class Content(NamedTuple):
    """What a partition holds.

    Attributes:
        name: libblkid's name of it, empty where it is not known.
        role: the one it has for certain, else empty.
        why: how that is known.
        uuid: of swap space.
    """

    name: str
    role: str = ""
    why: str = ""
    uuid: UUID | None = None


def look_into(blob: Blob | None) -> Content:
    """What is in a partition; nothing is known of one that cannot be read."""
    if blob is None:
        return Content("")
    try:
        name = volume_signature.probe(blob)
        if name == "swap":
            uuid = UUID(bytes=blob.read_at(_SWAP_UUID, 16))
            return Content(name, "swap", "it is swap space", uuid)
        if name == "vfat" and _has_efi(blob):
            return Content(name, "esp", "it is a FAT volume with a folder EFI")
    except InputError:
        return Content("")
    return Content(name)


def _has_efi(blob: Blob) -> bool:
    try:
        found = fat.open_volume(blob).find(_EFI)
    except FormatError:
        return False
    return found is not None and found.is_dir
