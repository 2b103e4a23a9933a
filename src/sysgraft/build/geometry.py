"""Where the parts of an extension image lie.

The order is systemd-repart's (data, hash tree, signature), on 4096-byte boundaries, from the
first one that the partition table leaves free; partitions are exactly as large as what they
hold. systemd-repart starts larger images at 1 MiB and spreads slack over the partitions; that
space holds nothing, and firmware pays for it once per boot entry.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

SECTOR: Final = 512
GRAIN: Final = 4096
# 34 sectors of boot record, header and 128 entries (UEFI 2.10, 5.3), rounded up to the grain.
FIRST_OFFSET: Final = 20480
# The backup: 32 sectors of entries and one of header.
BACKUP_SIZE: Final = 33 * SECTOR
# systemd-repart's fixed size of a verity-sig partition (VERITY_SIG_SIZE).
SIGNATURE_SIZE: Final = 4 * GRAIN


@dataclass(frozen=True, slots=True)
class Geometry:
    """Offsets and sizes in bytes; `signature_size` is 0 where there is no signature."""

    data_size: int
    hash_size: int
    signature_size: int
    data_offset: int = FIRST_OFFSET

    @property
    def hash_offset(self) -> int:
        """Where the hash partition begins."""
        return self.data_offset + self.data_size

    @property
    def signature_offset(self) -> int:
        """Where the signature partition begins, if there is one."""
        return self.hash_offset + self.hash_size

    @property
    def disk_size(self) -> int:
        """Size of the whole image."""
        return disk_size(self.signature_offset + self.signature_size)


def disk_size(end: int) -> int:
    """Size of an image whose last partition ends at `end`: the backup table goes behind it."""
    return -(-(end + BACKUP_SIZE) // GRAIN) * GRAIN
