"""Extended attributes of an EROFS inode: a header and entries right behind the fixed part.

    struct erofs_xattr_ibody_header      struct erofs_xattr_entry
      offset size field                    offset size field
           0    4 name filter                   0    1 e_name_len
           4    1 h_shared_count                1    1 e_name_index
           5    7 reserved                      2    2 e_value_size
          12  4*n shared attribute numbers      4      name, then value, then padding to 4 bytes

``e_name_index`` stands for the start of the name; bit 7 set means one of the image's own long
prefixes. A shared attribute is an entry elsewhere, at 4 times its number from the superblock's
``xattr_blkaddr``. Every attribute is written inline; the name filter is not written (0, its
feature bit unset). Finding entries in an image is `attributes`' work.
"""

from __future__ import annotations

import struct
from itertools import pairwise
from typing import TYPE_CHECKING, Final

from sysgraft.base.tree import printable
from sysgraft.errors import FormatError, LimitError, UnsupportedError
from sysgraft.formats.erofs.ondisk import round_up

if TYPE_CHECKING:
    from collections.abc import Sequence

HEADER_SIZE: Final = 12
"""Bytes of the header before any shared attribute number."""

ENTRY: Final = struct.Struct("<BBH")
"""Name length, name index, value size."""

UNIT: Final = 4
"""What entries are aligned to, shared numbers count in, and ``i_xattr_icount`` counts."""

LONG_PREFIX: Final = 0x80
"""Bit of the name index that selects a long prefix."""

MAX_BODY: Final = HEADER_SIZE + (0xFFFF - 1) * UNIT
"""Bytes of all attributes of an inode: as far as the 16-bit ``i_xattr_icount`` reaches."""

MAX_VALUE: Final = 0xFFFF
"""Bytes of a value: ``e_value_size`` has 16 bits."""

MAX_SUFFIX: Final = 0xFF
"""Bytes of a name after its prefix: ``e_name_len`` has 8 bits; Linux's XATTR_NAME_MAX too."""

# EROFS_XATTR_INDEX_*: 5 (Lustre) is defined but no Linux or erofs-utils gives it a prefix.
_PREFIXES: Final = {
    1: b"user.",
    2: b"system.posix_acl_access",
    3: b"system.posix_acl_default",
    4: b"trusted.",
    6: b"security.",
}
_WHOLE_NAMES: Final = (2, 3)


def encode_xattrs(xattrs: Sequence[tuple[bytes, bytes]]) -> bytes:
    """The attributes as they follow an inode, in order of their names; empty without any.

    Raises:
        FormatError: a name has no namespace EROFS knows, or appears twice.
        LimitError: a name, a value or all of them together are too long for the format.
    """
    if not xattrs:
        return b""
    ordered = sorted(xattrs)
    for (before, _), (after, _) in pairwise(ordered):
        if before == after:
            raise FormatError(f"the attribute {printable(after)} is there twice")
    body = bytes(HEADER_SIZE) + b"".join(_encode_entry(name, value) for name, value in ordered)
    if len(body) > MAX_BODY:
        raise LimitError(f"attributes of {len(body)} bytes; EROFS holds {MAX_BODY}")
    return body


def _encode_entry(name: bytes, value: bytes) -> bytes:
    index, suffix = _split_name(name)
    if len(suffix) > MAX_SUFFIX or len(value) > MAX_VALUE:
        raise LimitError(
            f"the attribute {printable(name[:64])} has a name of {len(name)} and a value of"
            f" {len(value)} bytes; EROFS holds {MAX_SUFFIX} and {MAX_VALUE}",
        )
    entry = ENTRY.pack(len(suffix), index, len(value)) + suffix + value
    return entry.ljust(round_up(len(entry), UNIT), b"\0")


def _split_name(name: bytes) -> tuple[int, bytes]:
    for index, prefix in _PREFIXES.items():
        suffix = name[len(prefix) :]
        if name.startswith(prefix) and bool(suffix) != (index in _WHOLE_NAMES):
            if b"\0" in suffix:
                break
            return index, suffix
    raise FormatError(f"EROFS has no namespace for the attribute {printable(name)}")


def entry_size(head: bytes) -> int:
    """Bytes of an entry's name and value, from its first four bytes."""
    name_length, _, value_size = ENTRY.unpack(head)
    return int(name_length + value_size)


def decode_entry(
    head: bytes,
    payload: bytes,
    long_prefixes: Sequence[bytes],
) -> tuple[bytes, bytes] | None:
    """The full name and the value of an entry; None for padding, which has index 0.

    Args:
        head: the entry's first four bytes.
        payload: the `entry_size` bytes that follow.
        long_prefixes: the image's own prefixes.

    Raises:
        UnsupportedError: the name index is not known.
        FormatError: the name is impossible.
    """
    name_length, index, _ = ENTRY.unpack(head)
    if index == 0:
        return None
    name = _prefix(index, long_prefixes) + payload[:name_length]
    if b"\0" in name:
        raise FormatError(f"no attribute can have this name: {printable(name)}")
    return name, payload[name_length:]


def _prefix(index: int, long_prefixes: Sequence[bytes]) -> bytes:
    if not index & LONG_PREFIX:
        return short_prefix(index)
    number = index & ~LONG_PREFIX
    if number >= len(long_prefixes):
        raise FormatError(f"an attribute uses prefix {number} of {len(long_prefixes)}")
    return long_prefixes[number]


def short_prefix(index: int) -> bytes:
    """The start of a name that `index` stands for.

    Raises:
        UnsupportedError: there is none.
    """
    if index not in _PREFIXES:
        raise UnsupportedError(f"unknown attribute namespace {index}")
    return _PREFIXES[index]
