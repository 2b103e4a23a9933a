"""What a partition holds, by its signature."""

from __future__ import annotations

import struct

import pytest

import btrfs_kit
from disk_kit import EXT3, EXT4, LUKS, LVM, RAID, SWAP
from fat_image import FatImage
from sysgraft.base.blob import BytesBlob
from sysgraft.formats.volume_signature import AMBIGUOUS, probe


def ext(compatible: int = 0, *, incompatible: int = 0, read_only: int = 0) -> bytes:
    """A superblock with features."""
    features = struct.pack("<3I", compatible, incompatible, read_only)
    return bytes(1080) + b"\x53\xef" + bytes(34) + features + bytes(4096)


def raid(at: int, *, place: int | None = None, old: str = "") -> bytes:
    """A mirror's half: a file system, and a superblock of md somewhere."""
    data = bytearray(EXT4.ljust(1 << 20, b"\0"))
    superblock = struct.pack("<II120xQ", 0xA92B4EFC, 1, at >> 9 if place is None else place)
    if old:
        superblock = struct.pack(f"{old}3I", 0xA92B4EFC, 0, 90)
    data[at : at + len(superblock)] = superblock
    return bytes(data)


@pytest.mark.parametrize(
    ("data", "name"),
    [
        (EXT4, "ext4"),
        (EXT3, "ext3"),
        (ext(), "ext2"),
        (ext(incompatible=0x2 | 0x10, read_only=0x3), "ext2"),
        (ext(0x4, incompatible=0x2 | 0x4), "ext3"),
        (ext(0x4, incompatible=0x40), "ext4"),
        (ext(0x4, incompatible=0x80), "ext4"),
        (ext(0x4, incompatible=0x200), "ext4"),
        (ext(0x4, read_only=0x400), "ext4"),
        (ext(0x4, incompatible=0x8), "jbd"),
        (EXT4[:1082], "ext2"),
        (RAID, "linux_raid_member"),
        (raid(0), "linux_raid_member"),
        (raid((1 << 20) - 8192), "linux_raid_member"),
        (raid((1 << 20) - 8192, place=3), "ext4"),
        (raid((1 << 20) - (1 << 16), old="<"), "linux_raid_member"),
        (raid((1 << 20) - (1 << 16), old=">"), "linux_raid_member"),
        (LUKS, "crypto_LUKS"),
        (LVM, "LVM2_member"),
        (SWAP, "swap"),
        (btrfs_kit.fedora().image(), "btrfs"),
        (FatImage(12).image(), "vfat"),
        (FatImage(32).image(), "vfat"),
        (b"XFSB" + bytes(4096), "xfs"),
        (b"hsqs" + bytes(4096), "squashfs"),
        (bytes(1024) + b"\xe2\xe1\xf5\xe0" + bytes(4096), "erofs"),
        (b"verity\0\0" + bytes(4096), "DM_verity_hash"),
        (b'{"rootHash":"00"}' + bytes(4096), "verity_hash_signature"),
        (bytes(8192), ""),
        (b"", ""),
        (LVM[:1024] + EXT4[1024:], AMBIGUOUS),
        (LUKS[:1000].ljust(1080, b"\0") + b"\x53\xef" + bytes(4096), AMBIGUOUS),
    ],
)
def test_signatures(data: bytes, name: str) -> None:
    assert probe(BytesBlob(data)) == name


@pytest.mark.parametrize("sector", range(4))
def test_a_label_of_lvm_in_any_of_four_sectors(sector: int) -> None:
    data = bytes(512 * sector) + LVM[512:]
    assert probe(BytesBlob(data)) == "LVM2_member"
    assert probe(BytesBlob(bytes(2048) + LVM[512:])) == ""
