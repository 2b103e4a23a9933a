"""EROFS images made by hand, to mislead a reader or to show it what mkfs.erofs does not make."""

from __future__ import annotations

import stat
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

from sysgraft.base.blob import BytesBlob
from sysgraft.formats.erofs.dirent import Entry, encode_directory
from sysgraft.formats.erofs.inode import DiskInode, encode_inode
from sysgraft.formats.erofs.ondisk import Layout
from sysgraft.formats.erofs.reader import Reader
from sysgraft.formats.erofs.superblock import Superblock, encode_superblock, seal_block

ID: Final = UUID("00112233-4455-6677-8899-aabbccddeeff")


def reseal(data: bytearray) -> None:
    seal_block(memoryview(data)[:4096])


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """An inode put at the start of block `position + 1`: number ``128 * (position + 1)``."""

    mode: int = stat.S_IFDIR | 0o755
    layout: Layout = Layout.FLAT_INLINE
    data: bytes = b""
    size: int | None = None
    union: int = 0xFFFFFFFF
    attributes: bytes = b""


def nid(position: int) -> int:
    return 128 * (position + 1)


def names(own: int, parent: int, *entries: tuple[bytes, int, int]) -> bytes:
    dots = [Entry(b".", nid(own), 2), Entry(b"..", nid(parent), 2)]
    return encode_directory(sorted([*dots, *(Entry(*e) for e in entries)], key=lambda e: e.name))


def make(
    *made: Made,
    extra: bytes = b"",
    incompat: int = 0,
    compression: int = 0,
    settings: bytes = b"",
    packed: int = 0,
    block_count: int = 0,
) -> bytearray:
    """An image of inodes made by hand, the root first; `extra` blocks follow.

    `compression` is the superblock's bitmap of algorithms, `settings` follow the superblock,
    `packed` is the number of the packed file, `block_count` what the image claims to have.
    """
    image = bytearray((len(made) + 1) * 4096) + extra
    for position, item in enumerate(made):
        disk = DiskInode(
            extended=True,
            layout=item.layout,
            mode=item.mode,
            nlink=1,
            size=len(item.data) if item.size is None else item.size,
            union=item.union,
            number=1,
            uid=0,
            gid=0,
            mtime=0,
            mtime_nsec=0,
            xattr_size=len(item.attributes),
        )
        head = encode_inode(disk) + item.attributes + item.data
        image[nid(position) * 32 : nid(position) * 32 + len(head)] = head
    superblock = Superblock(
        uuid=ID,
        block_count=block_count or len(image) // 4096,
        build_time=0,
        root_nid=nid(0),
        inode_count=len(made),
        feature_incompat=incompat,
        xattr_block=1,
        packed_nid=packed,
        algorithms=compression,
    )
    image[1024:1152] = encode_superblock(superblock)
    image[1152 : 1152 + len(settings)] = settings
    reseal(image)
    return image


def made_reader(*made: Made, **values: Any) -> Reader:
    return Reader(BytesBlob(bytes(make(*made, **values))))


FILE = stat.S_IFREG | 0o644
LINK = stat.S_IFLNK | 0o777
ONE_FILE = Made(data=names(0, 0, (b"f", nid(1), 1)))
ONE_LINK = Made(data=names(0, 0, (b"l", nid(1), 7)))
ONE_DIR = Made(data=names(0, 0, (b"d", nid(1), 2)))
