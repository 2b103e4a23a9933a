"""Makes checksums right again, so that damage reaches what lies behind them.

Each function changes the bytes in place as far as the structure is still where it has to be, and
leaves alone what it does not find.
"""

from __future__ import annotations

import hashlib
import struct
import zlib
from typing import Final

from sysgraft.formats.crc32c import crc32c

_GPT: Final = b"EFI PART"
_SECTORS: Final = (512, 4096)
_MOST_ENTRIES: Final = 1 << 16
_EROFS: Final = 0xE0F5E1E2
_EROFS_AT: Final = 1024
_LUKS: Final = (b"LUKS\xba\xbe", b"SKUL\xba\xbe")
_DIGESTS: Final = {b"sha1", b"sha224", b"sha256", b"sha384", b"sha512"}


def gpt(data: bytearray) -> None:
    """Both headers and both arrays (UEFI 2.10 §5.3)."""
    for sector in _SECTORS:
        for at in {sector, len(data) - sector}:
            if at >= 0 and data[at : at + 8] == _GPT and at + 92 <= len(data):
                _gpt_header(data, at, sector)


def _gpt_header(data: bytearray, at: int, sector: int) -> None:
    size = struct.unpack_from("<I", data, at + 12)[0]
    place, count, each = struct.unpack_from("<QII", data, at + 72)
    start, length = place * sector, count * each
    if length <= _MOST_ENTRIES and start + length <= len(data):
        struct.pack_into("<I", data, at + 88, zlib.crc32(data[start : start + length]))
    if 92 <= size <= sector and at + size <= len(data):
        struct.pack_into("<I", data, at + 16, 0)
        struct.pack_into("<I", data, at + 16, zlib.crc32(data[at : at + size]))


def btrfs(data: bytearray) -> None:
    """Superblock and nodes of 4096 bytes of a small image, by the kind the superblock names."""
    start, size = 0x10000, 4096
    if data[start + 64 : start + 72] != b"_BHRfS_M" or len(data) < start + size:
        return
    kind = struct.unpack_from("<H", data, start + 0xC4)[0]
    for at in range(start, len(data) - size + 1, size):
        if at == start or data[at + 32 : at + 48] == data[start + 32 : start + 48]:
            data[at : at + 32] = _btrfs_digest(
                kind, bytes(data[at + 32 : at + size]), data[at + 4 : at + 32]
            )


def _btrfs_digest(kind: int, body: bytes, rest: bytes | bytearray) -> bytes:
    if kind == 2:
        return hashlib.sha256(body).digest()
    if kind == 3:
        return hashlib.blake2b(body, digest_size=32).digest()
    return struct.pack("<I", crc32c(body) ^ 0xFFFFFFFF) + rest


def erofs(data: bytearray) -> None:
    """The superblock of a bare file system (Linux, fs/erofs/super.c)."""
    _erofs_at(data, 0)


def _erofs_at(data: bytearray, start: int) -> None:
    at = start + _EROFS_AT
    if at + 128 > len(data) or struct.unpack_from("<I", data, at)[0] != _EROFS:
        return
    bits = data[at + 12]
    if not data[at + 8] & 1 or not 9 <= bits <= 16:
        return
    # From the superblock to the end of its block; small blocks are summed whole.
    length = (1 << bits) - (_EROFS_AT if 1 << bits > _EROFS_AT else 0)
    if at + length <= len(data):
        struct.pack_into("<I", data, at + 4, 0)
        struct.pack_into("<I", data, at + 4, crc32c(bytes(data[at : at + length])))


def image(data: bytearray) -> None:
    """A disk image: the partition tables, and the file system in the first partition."""
    for entry in range(1024, min(1024 + 4 * 128, len(data) - 40), 128):
        _erofs_at(data, 512 * struct.unpack_from("<Q", data, entry + 32)[0])
    gpt(data)


def tar(data: bytearray) -> None:
    """Headers of tar, where blocks look like one (POSIX, ustar)."""
    for at in range(0, len(data) - 511, 512):
        if data[at + 257 : at + 262] == b"ustar":
            data[at + 148 : at + 156] = b" " * 8
            data[at + 148 : at + 156] = b"%06o\0 " % sum(data[at : at + 512])


def cpio(data: bytearray) -> None:
    """Archives of cpio with sums (070702): the sum is over the content; few have one."""
    at = data.find(b"070702")
    while at >= 0 and at + 110 <= len(data):
        try:
            size = int(data[at + 54 : at + 62], 16)
            name = int(data[at + 94 : at + 102], 16)
        except ValueError:
            return
        start = at + (110 + name + 3) // 4 * 4
        total = sum(data[start : start + size]) & 0xFFFF_FFFF
        data[at + 102 : at + 110] = b"%08x" % total
        at = data.find(b"070702", at + 6)


def luks2(data: bytearray) -> None:
    """Both copies of a LUKS2 header (LUKS2 On-Disk Format Specification 1.1, §2.1)."""
    at = 0
    for magic in _LUKS:
        if not data.startswith(magic, at) or at + 4096 > len(data):
            return
        size = struct.unpack_from(">Q", data, at + 8)[0]
        name = bytes(data[at + 72 : at + 104]).rstrip(b"\0")
        if name in _DIGESTS and 4096 <= size <= len(data) - at:
            data[at + 448 : at + 512] = bytes(64)
            found = hashlib.new(name.decode(), data[at : at + size]).digest()
            data[at + 448 : at + 512] = found.ljust(64, b"\0")
        at += min(size, len(data))


def fat(data: bytearray) -> None:
    """The signature at the end of a boot sector."""
    if len(data) >= 512:
        data[510:512] = b"\x55\xaa"
