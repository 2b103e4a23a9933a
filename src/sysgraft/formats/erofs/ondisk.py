"""Constants of the EROFS on-disk format that several modules share.

Source: Linux ``Documentation/filesystems/erofs.rst`` and ``fs/erofs/erofs_fs.h``; the sizes,
bits and numbers below carry that header's values. The structures themselves are packed and
parsed in `superblock`, `inode`, `dirent` and `xattr`. What belongs to compressed data alone is in
`compression`, `map_header` and `lclusters`.
"""

from __future__ import annotations

import stat
from enum import IntEnum, IntFlag
from typing import Final

MAGIC: Final = 0xE0F5E1E2
"""``EROFS_SUPER_MAGIC_V1``."""

SUPER_OFFSET: Final = 1024
"""Where the superblock starts; the bytes before it are free for boot code."""

SUPER_SIZE: Final = 128
"""Size of the superblock without extension slots."""

SLOT_SIZE: Final = 32
"""Inodes start at multiples of this; an inode number (nid) counts such slots."""

COMPACT_SIZE: Final = 32
"""Size of a compact inode."""

EXTENDED_SIZE: Final = 64
"""Size of an extended inode."""

BLOCK_SIZE: Final = 4096
"""The block size that is written: the only one Linux before 6.4 mounts."""

NULL_ADDRESS: Final = 0xFFFFFFFF
"""``EROFS_NULL_ADDR``: no block; in a chunk map, a hole."""

MAX_NAME: Final = 255
"""``EROFS_NAME_LEN``: bytes of a file name."""

MAX_TARGET: Final = 4095
"""Bytes of a symbolic link's target: Linux ``PATH_MAX`` less its NUL."""

MAX_PATH: Final = 4095
"""Bytes of a path below the root; bounds the depth too. Linux ``PATH_MAX`` less its NUL."""


class Compat(IntFlag):
    """``feature_compat``: bits a reader may ignore."""

    CHECKSUM = 0x01
    MTIME = 0x02
    PLAIN_XATTR_PREFIXES = 0x10


class Incompat(IntFlag):
    """``feature_incompat``: bits a reader must know; newer ones are not handled here."""

    LZ4_0PADDING = 0x01
    COMPRESSION_CONFIGS = 0x02
    CHUNKED_FILE = 0x04
    DEVICE_TABLE = 0x08
    ZTAILPACKING = 0x10
    FRAGMENTS = 0x20
    XATTR_PREFIXES = 0x40


class Algorithm(IntEnum):
    """What compressed data is compressed with (``Z_EROFS_COMPRESSION_*``)."""

    LZ4 = 0
    LZMA = 1
    DEFLATE = 2
    ZSTD = 3


class Layout(IntEnum):
    """Where an inode's data lies (``i_format`` bits 1 to 3)."""

    FLAT_PLAIN = 0
    COMPRESSED_FULL = 1
    FLAT_INLINE = 2
    COMPRESSED_COMPACT = 3
    CHUNK_BASED = 4

    @property
    def is_compressed(self) -> bool:
        """Whether the data goes through a compressor."""
        return self in (Layout.COMPRESSED_FULL, Layout.COMPRESSED_COMPACT)


_FILE_TYPES: Final = {
    stat.S_IFREG: 1,
    stat.S_IFDIR: 2,
    stat.S_IFCHR: 3,
    stat.S_IFBLK: 4,
    stat.S_IFIFO: 5,
    stat.S_IFSOCK: 6,
    stat.S_IFLNK: 7,
}


def file_type(mode: int) -> int:
    """The type number a directory entry carries for `mode`, 0 where there is none."""
    return _FILE_TYPES.get(stat.S_IFMT(mode), 0)


def round_up(number: int, step: int) -> int:
    """The least multiple of `step` that is not below `number`."""
    return -(-number // step) * step
