"""The fixed part of an EROFS inode: 32 bytes (compact) or 64 (extended).

    compact  offset size field      extended  offset size field
                  0    2 i_format                  0    2 i_format
                  2    2 i_xattr_icount            2    2 i_xattr_icount
                  4    2 i_mode                    4    2 i_mode
                  6    2 i_nlink                   6    2 reserved
                  8    4 i_size                    8    8 i_size
                 12    4 i_mtime                  16    4 i_u
                 16    4 i_u                      20    4 i_ino
                 20    4 i_ino                    24    4 i_uid
                 24    2 i_uid                    28    4 i_gid
                 26    2 i_gid                    32    8 i_mtime
                 28    4 reserved                 40    4 i_mtime_nsec
                                                  44    4 i_nlink
                                                  48   16 reserved

``i_format``: bit 0 extended, bits 1 to 3 the `Layout`. ``i_u`` is the first data block of flat
data, the device number of a device node, or the chunk format. ``i_mtime`` of a compact inode adds
to the superblock's build time (always 0 before erofs-utils 1.9). What follows the fixed part
(attributes, inline data, chunk map) is not read here.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Final

from sysgraft.errors import FormatError, UnsupportedError
from sysgraft.formats.erofs.ondisk import COMPACT_SIZE, EXTENDED_SIZE, Layout, file_type

_COMPACT: Final = struct.Struct("<HHHHIIIIHHI")
_EXTENDED: Final = struct.Struct("<HHHHQIIIIqII16x")
_EXTENDED_BIT: Final = 1
_LAYOUT_MASK: Final = 7
_FORMAT_BITS: Final = 0xF

_ATTRIBUTE_HEADER: Final = 12  # struct erofs_xattr_ibody_header
_ATTRIBUTE_UNIT: Final = 4

NANOSECONDS: Final = 1_000_000_000
"""Nanoseconds of a second."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DiskInode:
    """The fixed part of an inode.

    Attributes:
        extended: whether it takes 64 bytes.
        layout: where the data lies.
        mode: type and permission bits.
        nlink: hard links.
        size: bytes of data.
        union: first data block, device number or chunk format (``i_u``).
        number: the 32-bit number ``stat`` shows.
        uid: owner.
        gid: group.
        mtime: modification time, seconds since the epoch.
        mtime_nsec: its nanoseconds.
        xattr_size: bytes of the attributes that follow.
    """

    extended: bool
    layout: Layout
    mode: int
    nlink: int
    size: int
    union: int
    number: int
    uid: int
    gid: int
    mtime: int
    mtime_nsec: int
    xattr_size: int

    @property
    def head_size(self) -> int:
        """Bytes of the fixed part and the attributes."""
        return (EXTENDED_SIZE if self.extended else COMPACT_SIZE) + self.xattr_size


def encode_inode(inode: DiskInode) -> bytes:
    """The fixed part as bytes; a compact one has no mtime, which is then the build time."""
    head = (
        inode.extended | inode.layout << 1,
        _attribute_count(inode.xattr_size),
        inode.mode,
    )
    if not inode.extended:
        tail = (inode.union, inode.number, inode.uid, inode.gid, 0)
        return _COMPACT.pack(*head, inode.nlink, inode.size, 0, *tail)
    body = (0, inode.size, inode.union, inode.number, inode.uid, inode.gid)
    return _EXTENDED.pack(*head, *body, inode.mtime, inode.mtime_nsec, inode.nlink)


def _attribute_count(size: int) -> int:
    return (size - _ATTRIBUTE_HEADER) // _ATTRIBUTE_UNIT + 1 if size else 0


def is_extended(start: bytes) -> bool:
    """Whether the inode whose first bytes are `start` takes 64 bytes instead of 32."""
    return bool(start[0] & _EXTENDED_BIT)


def decode_inode(data: bytes, *, base_time: int, base_nsec: int) -> DiskInode:
    """Parse the 32 or 64 bytes of an inode's fixed part.

    Args:
        data: exactly as many bytes as `is_extended` says.
        base_time: the superblock's build time, which compact inodes count from.
        base_nsec: its nanoseconds.

    Raises:
        UnsupportedError: the format bits name a newer kind of inode.
        FormatError: the mode or the time is impossible.
    """
    decode = _decode_extended if is_extended(data) else _decode_compact
    inode = decode(data, base_time, base_nsec)
    if not file_type(inode.mode):
        raise FormatError(f"no such file type: mode {inode.mode:#o}")
    if inode.mtime_nsec >= NANOSECONDS:
        raise FormatError(f"a time has {inode.mtime_nsec} nanoseconds")
    return inode


def _decode_compact(data: bytes, base_time: int, base_nsec: int) -> DiskInode:
    form, count, mode, nlink, size, mtime, union, number, uid, gid, _ = _COMPACT.unpack(data)
    return DiskInode(
        extended=False,
        layout=_layout(form),
        mode=mode,
        nlink=nlink,
        size=size,
        union=union,
        number=number,
        uid=uid,
        gid=gid,
        mtime=base_time + mtime,
        mtime_nsec=base_nsec,
        xattr_size=_attribute_size(count),
    )


def _decode_extended(data: bytes, _base_time: int, _base_nsec: int) -> DiskInode:
    fields = _EXTENDED.unpack(data)
    return DiskInode(
        extended=True,
        layout=_layout(fields[0]),
        mode=fields[2],
        nlink=fields[11],
        size=fields[4],
        union=fields[5],
        number=fields[6],
        uid=fields[7],
        gid=fields[8],
        mtime=fields[9],
        mtime_nsec=fields[10],
        xattr_size=_attribute_size(fields[1]),
    )


def _layout(form: int) -> Layout:
    number = form >> 1 & _LAYOUT_MASK
    if form & ~_FORMAT_BITS or number > Layout.CHUNK_BASED:
        raise UnsupportedError(f"unknown inode format {form:#x}")
    return Layout(number)


def _attribute_size(count: int) -> int:
    return _ATTRIBUTE_HEADER + (count - 1) * _ATTRIBUTE_UNIT if count else 0


def encode_device(device: tuple[int, int]) -> int:
    """A ``(major, minor)`` pair as Linux's ``new_encode_dev`` stores it.

    Raises:
        FormatError: the major number exceeds 12 bits or the minor 20.
    """
    major, minor = device
    if not (0 <= major < 1 << 12 and 0 <= minor < 1 << 20):
        raise FormatError(f"no such device number: {major}:{minor}")
    return minor & 0xFF | major << 8 | (minor & ~0xFF) << 12


def decode_device(number: int) -> tuple[int, int]:
    """The ``(major, minor)`` pair of a stored device number."""
    return number >> 8 & 0xFFF, number & 0xFF | number >> 12 & 0xFFF00
