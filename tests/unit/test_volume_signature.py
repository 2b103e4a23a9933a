"""What a partition holds, by its signature."""

from __future__ import annotations

import pytest

import btrfs_kit
from disk_kit import EXT4, LUKS, LVM, SWAP
from fat_image import FatImage
from sysgraft.base.blob import BytesBlob
from sysgraft.formats.volume_signature import AMBIGUOUS, probe


@pytest.mark.parametrize(
    ("data", "name"),
    [
        (EXT4, "ext4"),
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
