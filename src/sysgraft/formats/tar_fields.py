"""Fields of tar headers: numbers, strings, pax records.

Spec: POSIX.1-2017, ``pax``, "ustar Interchange Format" and "pax Extended Header"; GNU tar manual,
"Extensions to the Archive Format" (base-256 numbers). It does not know which header a field
belongs to (see `sysgraft.formats.tar`).
"""

from __future__ import annotations

import base64
import binascii
import re
from typing import Final
from urllib.parse import unquote_to_bytes

from sysgraft.base.tree import printable
from sysgraft.errors import FormatError, LimitError

MAX_NAME: Final = 4096
"""Bytes of a path or link target: Linux' PATH_MAX."""

MAX_NUMBER: Final = 2**63 - 1
"""Largest size or time: what Linux' off_t and time_t hold."""

MAX_ID: Final = 2**32 - 2
"""Largest owner: Linux' uid_t, less the value that means "none"."""

MAX_XATTR_NAME: Final = 255
"""Bytes of an extended attribute's name: Linux' XATTR_NAME_MAX."""

MAX_XATTR_VALUE: Final = 65536
"""Bytes of an extended attribute's value: Linux' XATTR_SIZE_MAX."""

_DECIMAL: Final = re.compile(rb"[0-9]{1,19}")
_TIME: Final = re.compile(rb"(-?)([0-9]{1,19})(?:\.([0-9]*))?")
_LENGTH_DIGITS: Final = 8  # a record's own length, at most the size of a whole pax header
_SCHILY: Final = b"SCHILY.xattr."
_LIBARCHIVE: Final = b"LIBARCHIVE.xattr."


def text(field: bytes) -> bytes:
    """A string field: up to its first NUL."""
    return field.partition(b"\0")[0]


def number(field: bytes, what: str) -> int:
    """A number field, in octal digits or in base 256.

    Raises:
        FormatError: it is neither.
    """
    if field[0] & 0x80:
        return _base256(field)
    digits = field.strip(b" \0")
    if not digits:
        return 0
    # isdigit first: int() takes signs and underscores too.
    if not digits.isdigit() or b"8" in digits or b"9" in digits:
        raise FormatError(f"{what} is not an octal number: {printable(field)}")
    return int(digits, 8)


def _base256(field: bytes) -> int:
    """Two's complement, big-endian; the highest bit only marks the encoding."""
    bits = 8 * len(field) - 1
    value = int.from_bytes(field, "big") & ((1 << bits) - 1)
    return value - (1 << bits) if value >> (bits - 1) else value


def bounded(value: int, limit: int, what: str) -> int:
    """`value`, if it lies in 0 … `limit`.

    Raises:
        FormatError: it does not.
    """
    if not 0 <= value <= limit:
        raise FormatError(f"{what} {value} is outside 0 to {limit}")
    return value


def pax_records(data: bytes) -> dict[bytes, bytes]:
    """The records of one pax header; the last of several with one key counts.

    Raises:
        FormatError: a record's length, ``=`` or newline is not where it must be.
    """
    # %d <space> key "=" value "\n": the number is the length of the record with all of that.
    records: dict[bytes, bytes] = {}
    start = 0
    while start < len(data):
        space = data.find(b" ", start, start + _LENGTH_DIGITS)
        if space < 0 or not _DECIMAL.fullmatch(data, start, space):
            raise FormatError("a pax record does not begin with its length")
        end = start + int(data[start:space])
        key, equals, value = data[space + 1 : end - 1].partition(b"=")
        if end > len(data) or end <= space or data[end - 1 : end] != b"\n" or not (key and equals):
            raise FormatError("a pax record is not a length, a key and a value")
        records[key] = value
        start = end
    return records


def pax_number(value: bytes, what: str) -> int:
    """A decimal number.

    Raises:
        FormatError: it is not one.
    """
    if not _DECIMAL.fullmatch(value):
        raise FormatError(f"{what} is not a decimal number: {printable(value[:40])}")
    return int(value)


def pax_time(value: bytes) -> tuple[int, int]:
    """Seconds since the epoch, rounded down, and nanoseconds.

    Raises:
        FormatError: it is not a decimal number with an optional fraction.
    """
    match = _TIME.fullmatch(value)
    if match is None:
        raise FormatError(f"a time is not a decimal number: {printable(value[:40])}")
    total = int(match[2]) * 10**9 + int((match[3] or b"")[:9].ljust(9, b"0"))
    return divmod(-total if match[1] else total, 10**9)


def pax_xattrs(records: dict[bytes, bytes]) -> tuple[tuple[bytes, bytes], ...]:
    """Extended attributes, sorted by name.

    star's records hold the plain value; libarchive's hold URL-encoded names and Base64 values
    and usually come beside star's, which then count.

    Raises:
        FormatError: a name or value cannot be one.
        LimitError: a name or value is longer than Linux allows.
    """
    found: dict[bytes, bytes] = {}
    for key, value in records.items():
        if key.startswith(_SCHILY):
            found[key.removeprefix(_SCHILY)] = value
        elif key.startswith(_LIBARCHIVE):
            name = unquote_to_bytes(key.removeprefix(_LIBARCHIVE))
            found.setdefault(name, _base64(value))
    return tuple((name, _checked_xattr(name, found[name])) for name in sorted(found))


def _base64(value: bytes) -> bytes:
    try:
        return base64.b64decode(value + b"=" * (-len(value) % 4), validate=True)
    except binascii.Error as error:
        raise FormatError("the value of an extended attribute is not Base64") from error


def _checked_xattr(name: bytes, value: bytes) -> bytes:
    if b"\0" in name or b"." not in name.strip(b"."):
        raise FormatError(f"not the name of an extended attribute: {printable(name[:80])}")
    if len(name) > MAX_XATTR_NAME or len(value) > MAX_XATTR_VALUE:
        raise LimitError(
            f"an extended attribute's name is {len(name)} and its value {len(value)} bytes long, "
            f"Linux allows {MAX_XATTR_NAME} and {MAX_XATTR_VALUE}",
        )
    return value
