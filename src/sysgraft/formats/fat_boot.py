"""The boot sector of a FAT volume: where its parts are.

Microsoft FAT: General Overview of On-Disk Format 1.03 (fatgen103), "Boot Sector and BPB" and "FAT
Type Determination". Reads sector 0 and no copy of it. FSInfo, which only holds hints, is not read.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NamedTuple

from sysgraft.errors import FormatError, TruncatedError, UnsupportedError

if TYPE_CHECKING:
    from sysgraft.base.blob import Blob

SECTOR_SIZES: Final = (512, 1024, 2048, 4096)
MAX_CLUSTER_SIZE: Final = 1 << 19
"""Bytes of a cluster: 128 sectors of the largest size. The specification wants at most 32 KiB."""
ENTRY_SIZE: Final = 32
"""Bytes of a directory entry."""

# Clusters of a volume: below the first it is FAT12, below the second FAT16.
_MAX_FAT12: Final = 4085
_MAX_FAT16: Final = 65525
# FAT32 numbers clusters in 28 bits; 0 and 1 and the last eight or nine numbers mean other things.
_MAX_FAT32: Final = 0x0FFF_FFF5

_BOOT: Final = 512
_SIGNATURE: Final = b"\x55\xaa"
# 0 jump, 3 OEM name, 11 bytes per sector, 13 sectors per cluster, 14 reserved sectors, 16 FATs,
# 17 root entries, 19 sectors (16 bits), 21 media, 22 sectors per FAT (16 bits), 24 geometry and
# hidden sectors, 32 sectors (32 bits).
_COMMON: Final = struct.Struct("<3s8sHBHBHHBH8xI")
# FAT32, from 36: sectors per FAT, 40 flags, 42 version, 44 root cluster, 48 FSInfo, 50 backup.
_FAT32: Final = struct.Struct("<IHHIHH")
# 38 on FAT12 and FAT16, 66 on FAT32: signature 0x28 or 0x29, volume ID, and with 0x29 the label.
_EXTENDED: Final = struct.Struct("<BI11s")
_EXTENDED_AT: Final = {12: 38, 16: 38, 32: 66}
# Flags of FAT32: whether one FAT alone is in use, and which.
_NOT_MIRRORED: Final = 0x80
_ACTIVE_FAT: Final = 0x0F


class _Fields(NamedTuple):
    jump: bytes
    oem: bytes
    sector_size: int
    sectors_per_cluster: int
    reserved: int
    fats: int
    root_entries: int
    sectors16: int
    media: int
    fat_sectors16: int
    sectors32: int


@dataclass(frozen=True, slots=True)
class Geometry:
    """Where the parts of a volume are, in bytes from its beginning.

    Attributes:
        bits: 12, 16 or 32: of an entry of the file allocation table.
        sector_size: bytes of a sector.
        cluster_size: bytes of a cluster.
        cluster_limit: one more than the number of the last cluster; the first is 2.
        fat_offset: the file allocation table that is in use.
        fat_size: its bytes.
        root_offset: the root directory of FAT12 and FAT16, 0 on FAT32.
        root_size: its bytes.
        root_cluster: where the root directory of FAT32 begins, 0 on the others.
        data_offset: cluster 2.
        size: the whole volume.
        serial: the volume ID, 0 if there is none.
        label: the volume's name as the boot sector has it, which need not be up to date.
    """

    bits: int
    sector_size: int
    cluster_size: int
    cluster_limit: int
    fat_offset: int
    fat_size: int
    root_offset: int
    root_size: int
    root_cluster: int
    data_offset: int
    size: int
    serial: int
    label: bytes


def looks_like_fat(blob: Blob) -> bool:
    """Whether `blob` begins with a boot sector that `read_geometry` might take."""
    if blob.size < _BOOT:
        return False
    sector = blob.read_at(0, _BOOT)
    fields = _Fields._make(_COMMON.unpack_from(sector))
    return sector.endswith(_SIGNATURE) and fields.sector_size in SECTOR_SIZES and fields.fats > 0


def read_geometry(blob: Blob) -> Geometry:
    """Read the boot sector of the volume that is the whole of `blob`.

    Raises:
        TruncatedError: the volume is longer than `blob`.
        UnsupportedError: a FAT32 of a later version.
        FormatError: it is no FAT volume, or its boot sector contradicts itself.
    """
    if blob.size < _BOOT:
        raise TruncatedError(f"a FAT volume has {_BOOT} bytes at least, there are {blob.size}")
    sector = blob.read_at(0, _BOOT)
    fields = _Fields._make(_COMMON.unpack_from(sector))
    _check_fields(fields, sector)
    geometry = _lay_out(fields, sector)
    if geometry.size > blob.size:
        raise TruncatedError(f"the FAT volume has {geometry.size} bytes, there are {blob.size}")
    return geometry


def _check_fields(fields: _Fields, sector: bytes) -> None:
    if not sector.endswith(_SIGNATURE):
        raise FormatError("not a FAT volume: the boot sector does not end with 55 aa")
    if fields.sector_size not in SECTOR_SIZES:
        raise FormatError(f"not a FAT volume: sectors of {fields.sector_size} bytes")
    count = fields.sectors_per_cluster
    if not count or count & (count - 1) or count * fields.sector_size > MAX_CLUSTER_SIZE:
        raise FormatError(f"not a FAT volume: clusters of {count} sectors")
    if not fields.reserved or not fields.fats:
        raise FormatError("not a FAT volume: no reserved sectors or no allocation table")


def _lay_out(fields: _Fields, sector: bytes) -> Geometry:
    # What Linux and EDK II go by; the specification would count the clusters for this too, but
    # small FAT32 volumes are common on EFI system partitions.
    is_32 = fields.fat_sectors16 == 0
    fat_sectors, flags, version, root_cluster = fields.fat_sectors16, 0, 0, 0
    if is_32:
        fat_sectors, flags, version, root_cluster, *_ = _FAT32.unpack_from(sector, 36)
    if version:
        raise UnsupportedError(f"a FAT32 volume of version {version >> 8}.{version & 0xFF}")
    sectors = fields.sectors16 or fields.sectors32
    root_size = 0 if is_32 else fields.root_entries * ENTRY_SIZE
    root_sector = fields.reserved + fields.fats * fat_sectors
    data_sector = root_sector + -(-root_size // fields.sector_size)
    clusters = (sectors - data_sector) // fields.sectors_per_cluster
    if clusters < 1:
        raise FormatError(f"a FAT volume of {sectors} sectors has no room for data")
    bits = 32 if is_32 else _bits(clusters)
    fat_size = fat_sectors * fields.sector_size
    # A table that is too small leaves the last clusters out, as in Linux.
    limit = min(2 + clusters, 2 + _MAX_FAT32, fat_size * 8 // bits)
    active = flags & _ACTIVE_FAT if flags & _NOT_MIRRORED else 0
    if active >= fields.fats:
        raise FormatError(f"the FAT volume uses allocation table {active} of {fields.fats}")
    if is_32 and not 2 <= root_cluster < limit:
        raise FormatError(f"the FAT volume's root directory is at cluster {root_cluster}")
    serial, label = _identity(sector, bits)
    return Geometry(
        bits=bits,
        sector_size=fields.sector_size,
        cluster_size=fields.sectors_per_cluster * fields.sector_size,
        cluster_limit=limit,
        fat_offset=fields.reserved * fields.sector_size + active * fat_size,
        fat_size=fat_size,
        root_offset=0 if is_32 else root_sector * fields.sector_size,
        root_size=root_size,
        root_cluster=root_cluster,
        data_offset=data_sector * fields.sector_size,
        size=sectors * fields.sector_size,
        serial=serial,
        label=label,
    )


def _bits(clusters: int) -> int:
    if clusters >= _MAX_FAT16:
        raise FormatError(f"{clusters} clusters are too many for the kind of FAT volume this is")
    return 12 if clusters < _MAX_FAT12 else 16


def _identity(sector: bytes, bits: int) -> tuple[int, bytes]:
    signature, serial, label = _EXTENDED.unpack_from(sector, _EXTENDED_AT[bits])
    if signature not in (0x28, 0x29):
        return 0, b""
    return serial, label if signature == 0x29 else b""
