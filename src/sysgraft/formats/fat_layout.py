"""The parts of a new FAT volume: how large each is and where it lies.

Microsoft FAT: General Overview of On-Disk Format 1.03 (fatgen103), "Boot Sector and BPB", "FAT Type
Determination", "FAT Volume Initialization". FAT32, or FAT16 where a volume is too small for it;
never FAT12. Two allocation tables; the first cluster lies where a sector of 4096 bytes begins.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Final

from sysgraft.errors import LimitError, UsageError
from sysgraft.formats.fat_boot import ENTRY_SIZE

SECTOR_SIZES: Final = (512, 4096)
"""Bytes of a sector of disks that are sold."""
MIB: Final = 1 << 20
MAX_SIZE: Final = (1 << 32) * 512 - MIB
"""Bytes of a volume: its sectors are counted in 32 bits."""
MAX_FILE: Final = (1 << 32) - 1
"""Bytes of a file (fatgen103, DIR_FileSize)."""

# Below the first number of clusters a volume is FAT12, below the second FAT16. The specification
# says to keep sixteen away from both, since many programs are wrong by a few.
_FROM_16: Final = 4085 + 16
_BELOW_32: Final = 65525 - 16
_FROM_32: Final = 65525 + 16
_FATS: Final = 2
_ALIGNMENT: Final = 4096
_ROOT_ENTRIES: Final = 512
"""What the specification wants of FAT16."""
# The specification's table "DskTableFAT32": up to so many bytes, clusters of so many.
_CLUSTERS_32: Final = (
    (260 << 20, 512), (8 << 30, 4096), (16 << 30, 8192), (32 << 30, 16384), (MAX_SIZE, 32768),
)  # fmt: skip
_CLUSTERS_16: Final = (512, 1024, 2048, 4096, 8192, 16384, 32768)

_MEDIA: Final = 0xF8
_SIGNATURE: Final = b"\x55\xaa"
# As in `sysgraft.formats.fat_boot`, with sectors per track 24, heads 26 and hidden sectors 28.
_COMMON: Final = struct.Struct("<3s8sHBHBHHBHHHII")
# FAT32: sectors per FAT, flags, version, root cluster, FSInfo, backup, reserved.
_FAT32: Final = struct.Struct("<IHHIHH12x")
# Drive number, reserved, signature, volume ID, label, type.
_EXTENDED: Final = struct.Struct("<BBBI11s8s")
_FSINFO: Final = struct.Struct("<4s480x4sII12x4s")
_FSINFO_SECTOR: Final = 1
_BACKUP_SECTOR: Final = 6
_RESERVED: Final = {16: 1, 32: 32}
_OEM: Final = b"SYSGRAFT"
# For a PC that starts the volume without UEFI: go on with the next device, else stand still.
_BOOT_CODE: Final = b"\xcd\x18\xf4\xeb\xfd"
_ROOT_CLUSTER: Final = 2


@dataclass(frozen=True, slots=True)
class Layout:
    """Where the parts of a volume are.

    Attributes:
        bits: 16 or 32.
        sector_size: bytes of a sector.
        cluster_size: bytes of a cluster.
        reserved: sectors before the first table.
        fat_sectors: sectors of a table.
        clusters: how many there are.
        sectors: of the whole volume.
    """

    bits: int
    sector_size: int
    cluster_size: int
    reserved: int
    fat_sectors: int
    clusters: int
    sectors: int

    @property
    def size(self) -> int:
        """Bytes of the volume."""
        return self.sectors * self.sector_size

    @property
    def fat_offsets(self) -> tuple[int, ...]:
        """Where the tables begin."""
        step = self.fat_sectors * self.sector_size
        start = self.reserved * self.sector_size
        return tuple(start + number * step for number in range(_FATS))

    @property
    def root_offset(self) -> int:
        """The root directory of FAT16."""
        return self.fat_offsets[-1] + self.fat_sectors * self.sector_size

    @property
    def root_size(self) -> int:
        """Its bytes; 0 on FAT32, where it is in clusters as any other."""
        return _ROOT_ENTRIES * ENTRY_SIZE if self.bits == 16 else 0

    @property
    def data_offset(self) -> int:
        """Cluster 2."""
        return self.root_offset + self.root_size

    def clusters_of(self, size: int) -> int:
        """How many clusters a file of so many bytes takes."""
        return -(-size // self.cluster_size)


def layout_of(size: int, sector_size: int = 512) -> Layout:
    """The layout of a volume of a given size.

    Raises:
        UsageError: no FAT16 or FAT32 volume has this size.
    """
    _check_sector(sector_size)
    if not size <= MAX_SIZE:
        raise LimitError(f"a FAT volume of {size} bytes; the limit is {MAX_SIZE}")
    sectors = size // sector_size
    layout = _made(32, sectors, sector_size, _cluster_32(size, sector_size))
    if layout.clusters >= _FROM_32:
        return layout
    for cluster in _CLUSTERS_16:
        if cluster < sector_size:
            continue
        layout = _made(16, sectors, sector_size, cluster)
        if layout.clusters <= _BELOW_32:
            break
    if layout.clusters < _FROM_16:
        least = smallest(sector_size, bits=16)
        raise UsageError(
            f"a FAT volume of {size} bytes is too small: it needs {least} at least",
            hint=f"an EFI system partition of --esp-size {least // MIB}M or more has room for it",
        )
    return layout


def smallest(sector_size: int = 512, *, bits: int = 32) -> int:
    """Bytes of the smallest volume, in whole MiB."""
    _check_sector(sector_size)
    clusters = _FROM_32 if bits == 32 else _FROM_16
    width = bits // 8
    tables = _FATS * -(-(clusters + 2) * width // sector_size)
    root = 0 if bits == 32 else _ROOT_ENTRIES * ENTRY_SIZE
    used = (_RESERVED[bits] + tables + clusters) * sector_size + root + _ALIGNMENT
    return used + -used % MIB


def _check_sector(sector_size: int) -> None:
    if sector_size not in SECTOR_SIZES:
        raise UsageError(f"sectors of {sector_size} bytes; possible are 512 and 4096")


def _cluster_32(size: int, sector_size: int) -> int:
    cluster = next(cluster for limit, cluster in _CLUSTERS_32 if size <= limit)
    return max(cluster, sector_size)


def _made(bits: int, sectors: int, sector_size: int, cluster_size: int) -> Layout:
    width, per_cluster = bits // 8, cluster_size // sector_size
    root = 0 if bits == 32 else _ROOT_ENTRIES * ENTRY_SIZE // sector_size
    reserved = _RESERVED[bits]
    # The smallest table that holds all clusters there are beside two of it.
    room = max(0, sectors - reserved - root)
    fat = -(-(room + 2 * per_cluster) * width // (cluster_size + _FATS * width))
    reserved += -(reserved + _FATS * fat + root) % (_ALIGNMENT // sector_size)
    clusters = max(0, (sectors - reserved - root - _FATS * fat) // per_cluster)
    return Layout(bits, sector_size, cluster_size, reserved, fat, clusters, sectors)


# --- Boot sector and FSInfo ----------------------------------------------------------------------


def boot_sector(layout: Layout, *, serial: int, label: bytes, hidden: int) -> bytes:
    """The boot sector.

    Args:
        layout: of the volume.
        serial: the volume ID.
        label: eleven bytes.
        hidden: sectors of the disk before the volume.
    """
    wide = layout.bits == 32
    small = layout.sectors if layout.sectors < 1 << 16 and not wide else 0
    data = _COMMON.pack(
        b"\xeb\x58\x90" if wide else b"\xeb\x3c\x90",
        _OEM,
        layout.sector_size,
        layout.cluster_size // layout.sector_size,
        layout.reserved,
        _FATS,
        0 if wide else _ROOT_ENTRIES,
        small,
        _MEDIA,
        0 if wide else layout.fat_sectors,
        63,  # what everybody writes, and nobody uses any more
        255,
        min(hidden, 0xFFFF_FFFF),
        0 if small else layout.sectors,
    )
    if wide:
        fields = (layout.fat_sectors, 0, 0, _ROOT_CLUSTER, _FSINFO_SECTOR, _BACKUP_SECTOR)
        data += _FAT32.pack(*fields)
    kind = f"FAT{layout.bits}".encode().ljust(8)
    data += _EXTENDED.pack(0x80, 0, 0x29, serial, label, kind) + _BOOT_CODE
    return (data.ljust(510, b"\0") + _SIGNATURE).ljust(layout.sector_size, b"\0")


def reserved_area(layout: Layout, boot: bytes, *, used: int) -> bytes:
    """What lies before the tables: the boot sector, on FAT32 also FSInfo and copies of both.

    Args:
        layout: of the volume.
        boot: its boot sector.
        used: clusters in use; they are the first ones.
    """
    if layout.bits == 16:
        return boot
    following = used + 2 if used < layout.clusters else 0xFFFF_FFFF
    info = _FSINFO.pack(
        b"RRaA", b"rrAa", layout.clusters - used, following, b"\0\0" + _SIGNATURE
    ).ljust(layout.sector_size, b"\0")
    third = (bytes(510) + _SIGNATURE).ljust(layout.sector_size, b"\0")
    one = boot + info + third
    gap = bytes((_BACKUP_SECTOR - 3) * layout.sector_size)
    return one + gap + one
