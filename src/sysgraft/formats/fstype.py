"""Which file system a blob holds, told by its magic number.

Covers what systemd mounts from disk images (btrfs erofs ext4 f2fs squashfs vfat xfs), and a few
formats that libblkid, which systemd asks, takes bytes for besides: LUKS with its spare headers,
ISO 9660, UDF, swap. libblkid knows dozens more; that the gaps of an image are empty is what keeps
those away. Magic numbers are all it looks at: it does not check that a file system is sound.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sysgraft.errors import FormatError

if TYPE_CHECKING:
    from sysgraft.base.blob import Blob

# name, offset in bytes, magic bytes. Three keep their superblock at 1024 and so exclude each
# other; ext4's two magic bytes come last, they may stand in another's UUID by chance. Each is
# from the kernel's header of that file system (include/uapi/linux/magic.h and fs/*/).
MAGICS: Final[tuple[tuple[str, int, bytes], ...]] = (
    ("erofs", 1024, b"\xe2\xe1\xf5\xe0"),
    ("f2fs", 1024, b"\x10\x20\xf5\xf2"),
    ("ext4", 1080, b"\x53\xef"),
    ("squashfs", 0, b"hsqs"),
    ("xfs", 0, b"XFSB"),
    ("btrfs", 65600, b"_BHRfS_M"),
    ("vfat", 82, b"FAT32   "),
    ("vfat", 54, b"FAT16   "),
    ("vfat", 54, b"FAT12   "),
    ("crypto_LUKS", 0, b"LUKS\xba\xbe"),
    # The spare header of LUKS2 may stand at any of these (LUKS2 On-Disk Format 1.1.3, 2.1).
    *(("crypto_LUKS", 0x4000 << step, b"SKUL\xba\xbe") for step in range(9)),
    ("iso9660", 32769, b"CD001"),
    ("udf", 32769, b"BEA01"),
    ("swap", 4086, b"SWAPSPACE2"),
    ("swap", 4086, b"SWAP-SPACE"),
)
_FRONT: Final = 4096
SUPERBLOCK_AT_1024: Final = ("erofs", "f2fs", "ext4")


def probe(blob: Blob) -> str | None:
    """The file system's name, or None where no magic number is found.

    Raises:
        FormatError: two file systems claim the blob, so that readers would disagree.
    """
    # Most magic numbers stand at the front, which is read once for all of them.
    front = blob.read_at(0, min(_FRONT, blob.size))
    found = list(
        dict.fromkeys(name for name, at, magic in MAGICS if _holds(blob, front, at, magic))
    )
    sharing = [name for name in found if name in SUPERBLOCK_AT_1024]
    found = [name for name in found if name not in sharing[1:]]
    if len(found) > 1:
        raise FormatError(f"two file systems claim these bytes: {', '.join(sorted(found))}")
    return found[0] if found else None


def _holds(blob: Blob, front: bytes, offset: int, magic: bytes) -> bool:
    if offset + len(magic) <= _FRONT:
        return front.startswith(magic, offset)
    return blob.size >= offset + len(magic) and blob.read_at(offset, len(magic)) == magic
