"""What a partition holds: a file system, or something that takes a file system's place.

Beside what `sysgraft.formats.fstype` knows: LVM physical volumes (lvm2, ``lib/format_text``: a
label in one of the first four sectors), dm-verity hash trees (cryptsetup's wiki, "DMVerity"), and
the JSON of a verity signature partition (UAPI.2, "Verity"). The names are libblkid's. That
something is sound is not checked.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sysgraft.errors import FormatError
from sysgraft.formats import fstype
from sysgraft.formats.fat_boot import looks_like_fat

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sysgraft.base.blob import Blob

AMBIGUOUS: Final = "ambiguous"
"""Several have their signatures here; libblkid names none then."""

_FRONT: Final = 4 * 512
_LVM_LABEL: Final = b"LABELONE"
_LVM_TYPE: Final = b"LVM2 001"
_LVM_TYPE_AT: Final = 24
_VERITY: Final = b"verity\0\0"
_SIGNATURE: Final = b'{"rootHash"'


def probe(blob: Blob) -> str:
    """Its name; empty where nothing is known, `AMBIGUOUS` where several claim it."""
    found = {name for name in _found(blob) if name}
    if len(found) > 1:
        return AMBIGUOUS
    return found.pop() if found else ""


def _found(blob: Blob) -> Iterator[str]:
    try:
        yield fstype.probe(blob) or ("vfat" if looks_like_fat(blob) else "")
    except FormatError:
        yield AMBIGUOUS
    front = blob.read_at(0, min(_FRONT, blob.size))
    if any(
        front.startswith(_LVM_LABEL, at) and front.startswith(_LVM_TYPE, at + _LVM_TYPE_AT)
        for at in range(0, _FRONT, 512)
    ):
        yield "LVM2_member"
    if front.startswith(_VERITY):
        yield "DM_verity_hash"
    if front.startswith(_SIGNATURE):
        yield "verity_hash_signature"
