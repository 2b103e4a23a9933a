"""El Torito: how firmware starts a disc, for UEFI alone.

"El Torito" Bootable CD-ROM Format Specification 1.0 (1995), as UEFI 2.10 §13.3.2.1 uses it:
platform 0xEF, no emulation, the image of a FAT volume. UEFI takes a sector count of 0 or 1 for an
image that goes on to the end of the disc; the field has 16 bits and counts 512 bytes, so that no
image of 32 MiB or more can say its size there.
"""

from __future__ import annotations

import struct
from typing import Final

from sysgraft.formats.iso9660_records import SECTOR, boot_descriptor

PLATFORM_EFI: Final = 0xEF
VIRTUAL_SECTOR: Final = 512
TO_THE_END: Final = 1

_SYSTEM: Final = b"EL TORITO SPECIFICATION"
_NAME: Final = b"SYSGRAFT"
# Header 1, platform, reserved, name, checksum, 55 aa.
_VALIDATION: Final = struct.Struct("<BBH24sH2s")
# Bootable, medium (0: no emulation), load segment, system, unused, sectors, where it begins.
_ENTRY: Final = struct.Struct("<BBHBBHI20x")
_BOOTABLE: Final = 0x88
_MAX_SECTORS: Final = 0xFFFF


def descriptor(catalog_sector: int) -> bytes:
    """The boot record volume descriptor, which has to be in sector 17."""
    return boot_descriptor(_SYSTEM, struct.pack("<I", catalog_sector))


def catalog(image_sector: int, image_size: int) -> bytes:
    """The boot catalog with one image, a sector of it."""
    sectors = -(-image_size // VIRTUAL_SECTOR)
    count = sectors if 1 < sectors <= _MAX_SECTORS else TO_THE_END
    entry = _ENTRY.pack(_BOOTABLE, 0, 0, 0, 0, count, image_sector)
    return (_validation() + entry).ljust(SECTOR, b"\0")


def _validation() -> bytes:
    """The first entry, the sum of whose words is zero."""
    blank = _VALIDATION.pack(1, PLATFORM_EFI, 0, _NAME, 0, b"\x55\xaa")
    checksum = -sum(struct.unpack("<16H", blank)) & 0xFFFF
    return _VALIDATION.pack(1, PLATFORM_EFI, 0, _NAME, checksum, b"\x55\xaa")
