"""Headers of RPM packages: numbered values, strings and lists in one structure.

Format: RPM v4 and v6 package format, "Header structure": an introduction, an index of 16-byte
entries, and a store the entries point into. A package has two, for signatures and for everything
else; both are one region (``HEADERSIGNATURES``, ``HEADERIMMUTABLE``) whose trailer ends the store.
As rpm does, entries are held to the order of the store, so that none overlaps another. Values
nobody asks for are not decoded. What the tags mean is `sysgraft.formats.rpm`'s.
"""

from __future__ import annotations

import enum
import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from sysgraft.errors import FormatError, LimitError, TruncatedError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sysgraft.base.blob import Blob

LEAD_MAGIC: Final = b"\xed\xab\xee\xdb"
"""The first bytes of every package, before its headers."""

MAX_INDEX: Final = 0xFFFF
"""Entries of one header: rpm's own limit, ``HEADER_TAGS_MAX``."""

MAX_STORE: Final = 64 << 20
"""Bytes of one header's store. rpm allows 256 MiB; a package of 200,000 files takes some 30."""

_MAGIC: Final = b"\x8e\xad\xe8\x01"
_INTRODUCTION: Final = struct.Struct(">4s4xII")
_ENTRY: Final = struct.Struct(">IIiI")
_FIRST_TAG: Final = 100  # HEADER_I18NTABLE: what is below belongs to regions


class Region(enum.IntEnum):
    """Which header: the tag of its region."""

    SIGNATURES = 62
    IMMUTABLE = 63


class _Type(enum.IntEnum):
    CHAR = 1
    INT8 = 2
    INT16 = 3
    INT32 = 4
    INT64 = 5
    STRING = 6
    BIN = 7
    STRING_ARRAY = 8
    I18N_STRING = 9


_WIDTHS: Final = {
    _Type.CHAR: 1,
    _Type.INT8: 1,
    _Type.INT16: 2,
    _Type.INT32: 4,
    _Type.INT64: 8,
    _Type.BIN: 1,
}
_CODES: Final = {_Type.INT8: "B", _Type.INT16: "H", _Type.INT32: "I", _Type.INT64: "Q"}
_LISTS: Final = (_Type.STRING_ARRAY, _Type.I18N_STRING)


@dataclass(frozen=True, slots=True)
class _Value:
    """An entry of the index: its type, how many, and where in the store its bytes can be."""

    type: _Type
    count: int
    start: int
    end: int


class Header:
    """One header.

    Attributes:
        raw: its bytes, as digests in the signature header cover them.
    """

    def __init__(self, raw: bytes, store: int, values: Mapping[int, _Value]) -> None:
        self.raw = raw
        self._store = store
        self._values = values

    def __contains__(self, tag: int) -> bool:
        return tag in self._values

    def text(self, tag: int) -> bytes | None:
        """The string of a tag, the first of a list; None if there is none.

        Raises:
            FormatError: it is no string.
        """
        value = self._values.get(tag)
        if value is None:
            return None
        if value.type is not _Type.STRING:
            return self.texts(tag)[0]
        text, end, _ = self._piece(value).partition(b"\0")
        if not end:
            raise FormatError(f"the string of tag {tag} has no end")
        return text

    def texts(self, tag: int) -> list[bytes]:
        """The strings of a tag; empty if there are none.

        Raises:
            FormatError: it is no list of strings.
        """
        value = self._values.get(tag)
        if value is None:
            return []
        if value.type not in _LISTS:
            raise FormatError(f"tag {tag} is no list of strings")
        piece = self._piece(value)
        if piece.count(b"\0") < value.count:
            raise FormatError(f"tag {tag} has fewer strings than it states")
        return piece.split(b"\0", value.count)[: value.count]

    def numbers(self, tag: int) -> tuple[int, ...]:
        """The unsigned numbers of a tag; empty if there are none.

        Raises:
            FormatError: it holds no numbers.
        """
        value = self._values.get(tag)
        if value is None:
            return ()
        code = _CODES.get(value.type)
        if code is None:
            raise FormatError(f"tag {tag} holds no numbers")
        piece = self._piece(value)[: value.count * _WIDTHS[value.type]]
        return struct.unpack(f">{value.count}{code}", piece)

    def _piece(self, value: _Value) -> bytes:
        return self.raw[self._store + value.start : self._store + value.end]


def read_header(blob: Blob, offset: int, region: Region) -> Header:
    """The header at `offset`.

    Raises:
        FormatError: it breaks the rules of its format.
        TruncatedError: the blob ends inside it.
        LimitError: it is larger than `MAX_INDEX` and `MAX_STORE` allow.
    """
    try:
        head = blob.read_at(offset, _INTRODUCTION.size)
        magic, count, store = _INTRODUCTION.unpack(head)
        if magic != _MAGIC:
            raise FormatError(f"no package header at byte {offset}")
        _check_size(count, store)
        raw = blob.read_at(offset, _INTRODUCTION.size + count * _ENTRY.size + store)
    except TruncatedError as error:
        raise TruncatedError(f"the package ends inside the header at byte {offset}") from error
    return Header(raw, len(raw) - store, _values(raw, count, region))


def _check_size(count: int, store: int) -> None:
    if count > MAX_INDEX:
        raise LimitError(f"a header with {count} entries, {MAX_INDEX} are allowed")
    if store > MAX_STORE:
        raise LimitError(f"a header with {store} bytes of values, {MAX_STORE} are allowed")
    if not count:
        raise FormatError("a header without entries")


def _values(raw: bytes, count: int, region: Region) -> dict[int, _Value]:
    """The index, checked; the region's own entry is not among them."""
    end = _check_region(raw, count, region)
    entries = [
        _ENTRY.unpack_from(raw, _INTRODUCTION.size + number * _ENTRY.size)
        for number in range(1, count)
    ]
    # Where each one's bytes end at the latest: where the next begins. The last is held to the end
    # of the values, so that by and by all are.
    limits = [offset for _, _, offset, _ in entries[1:]] + [end]
    values: dict[int, _Value] = {}
    for (tag, kind, offset, length), limit in zip(entries, limits, strict=True):
        if tag < _FIRST_TAG or tag in values:
            raise FormatError(f"tag {tag} comes twice or where it must not")
        values[tag] = _value(tag, kind, length, offset=offset, room=limit - offset)
    return values


def _check_region(raw: bytes, count: int, region: Region) -> int:
    """Where the values end: the region covers the whole header, its trailer ends the store."""
    index = count * _ENTRY.size
    end = len(raw) - _INTRODUCTION.size - index - _ENTRY.size
    first = _ENTRY.unpack_from(raw, _INTRODUCTION.size)
    if end < 0 or first != (region, _Type.BIN, end, _ENTRY.size):
        raise FormatError("the header's region does not cover all of it")
    trailer = _ENTRY.unpack_from(raw, len(raw) - _ENTRY.size)
    if trailer != (region, _Type.BIN, -index, _ENTRY.size):
        raise FormatError("the trailer of the header's region is damaged")
    return end


def _value(tag: int, kind: int, count: int, *, offset: int, room: int) -> _Value:
    """The value at `offset` of the store, which has `room` bytes up to the next one."""
    try:
        of_type = _Type(kind)
    except ValueError:
        raise FormatError(f"tag {tag} has the unknown type {kind}") from None
    # A string takes a byte at least, so this bounds lists too.
    width = _WIDTHS.get(of_type, 1)
    if not count or offset < 0 or offset % width or count * width > room:
        raise FormatError(f"the values of tag {tag} are not where they can be")
    if of_type is _Type.STRING and count != 1:
        raise FormatError(f"tag {tag} is one string and states {count}")
    return _Value(of_type, count, offset, offset + room)
