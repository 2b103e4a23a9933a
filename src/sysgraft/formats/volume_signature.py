"""What a partition holds: a file system, or something that takes a file system's place.

Beside what `sysgraft.formats.fstype` knows: LVM physical volumes (lvm2, ``lib/format_text``: a
label in one of the first four sectors), members of a software RAID (md(4); the kernel's
``include/uapi/linux/raid/md_p.h``), which of ext2, ext3 and ext4 it is (``fs/ext4/ext4.h``),
dm-verity hash trees (cryptsetup's wiki, "DMVerity"), and
the JSON of a verity signature partition (UAPI.2, "Verity"). The names are libblkid's. That
something is sound is not checked.
"""

from __future__ import annotations

import struct
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


# Feature words of an ext superblock: compatible, incompatible, read-only compatible.
_FEATURES: Final = struct.Struct("<3I")
_FEATURES_AT: Final = 1024 + 0x5C
_HAS_JOURNAL: Final = 0x4
_JOURNAL_DEVICE: Final = 0x8
# What ext3 knows; ext4 has something beside that, as libblkid tells them apart: extents (0x40),
# 64bit (0x80), flex_bg (0x200), huge_file (0x8), metadata_csum (0x400)…
_EXT3_INCOMPATIBLE: Final = 0x2 | 0x4 | 0x10
_EXT3_READ_ONLY: Final = 0x1 | 0x2 | 0x4

_RAID: Final = 0xA92B4EFC
_RAID_1: Final = struct.Struct("<II120xQ")  # magic, version, place of the superblock in sectors


def probe(blob: Blob) -> str:
    """Its name; empty where nothing is known, `AMBIGUOUS` where several claim it."""
    if _is_raid(blob):
        return "linux_raid_member"  # of a mirror, the file system begins where the partition does
    found = {name for name in _found(blob) if name}
    if len(found) > 1:
        return AMBIGUOUS
    return found.pop() if found else ""


def _found(blob: Blob) -> Iterator[str]:
    try:
        name = fstype.probe(blob) or ("vfat" if looks_like_fat(blob) else "")
        yield _extended(blob) if name == "ext4" else name
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


def _extended(blob: Blob) -> str:
    """Which one of ext2, ext3 and ext4; a journal of its own is ``jbd``."""
    if blob.size < _FEATURES_AT + _FEATURES.size:
        return "ext2"
    compatible, incompatible, read_only = _FEATURES.unpack(
        blob.read_at(_FEATURES_AT, _FEATURES.size)
    )
    if incompatible & _JOURNAL_DEVICE:
        return "jbd"
    if incompatible & ~_EXT3_INCOMPATIBLE or read_only & ~_EXT3_READ_ONLY:
        return "ext4"
    return "ext3" if compatible & _HAS_JOURNAL else "ext2"


def _is_raid(blob: Blob) -> bool:
    """Whether it has a superblock of md: 1.1, 1.2, 1.0 or 0.90, by their places."""
    near_end = ((blob.size >> 9) - 16 & ~7) << 9
    if any(_has_raid_1(blob, at) for at in (0, 4096, near_end)):
        return True
    at = (blob.size & ~0xFFFF) - 0x10000
    if at < 0:
        return False
    head = blob.read_at(at, 12)
    # Version 0.90 is in the byte order of the machine.
    return any(struct.unpack(f"{order}3I", head) == (_RAID, 0, 90) for order in "<>")


def _has_raid_1(blob: Blob, at: int) -> bool:
    if not 0 <= at <= blob.size - _RAID_1.size:
        return False
    return _RAID_1.unpack(blob.read_at(at, _RAID_1.size)) == (_RAID, 1, at >> 9)
