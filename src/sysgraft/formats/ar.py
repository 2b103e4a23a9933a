"""Unix ``ar`` archives, as Debian packages use them.

Format: ar(5), the "common" variant: short names, padded with spaces, with or without the slash
System V puts behind them. Nothing is read but the headers. It does not know name tables, symbol
tables or BSD's long names, which no package has.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from sysgraft.base.blob import SubBlob
from sysgraft.base.tree import printable
from sysgraft.errors import FormatError, LimitError, TruncatedError, UnsupportedError

if TYPE_CHECKING:
    from sysgraft.base.blob import Blob

MAGIC: Final = b"!<arch>\n"
"""The first bytes of every archive."""

MAX_MEMBERS: Final = 1000
"""Headers in one archive: a Debian package has three or four."""

_HEADER: Final = 60
_END: Final = b"`\n"


@dataclass(frozen=True, slots=True)
class Member:
    """One file of the archive.

    Attributes:
        name: its name, without padding and the slash behind it.
        content: its bytes.
    """

    name: bytes
    content: Blob


def read_members(archive: Blob) -> list[Member]:
    """All members, in order.

    Raises:
        FormatError: the archive breaks its format's rules.
    """
    if archive.size < len(MAGIC) or archive.read_at(0, len(MAGIC)) != MAGIC:
        raise FormatError("not an ar archive")
    members: list[Member] = []
    position = len(MAGIC)
    while position < archive.size:
        if len(members) == MAX_MEMBERS:
            raise LimitError(f"the ar archive has more than {MAX_MEMBERS} members")
        member = _member(archive, position)
        members.append(member)
        # Members begin at even offsets.
        position += _HEADER + member.content.size + member.content.size % 2
    return members


def _member(archive: Blob, position: int) -> Member:
    if position + _HEADER > archive.size:
        raise TruncatedError("the ar archive ends inside a header")
    # 0 name 16, 16 mtime 12, 28 uid 6, 34 gid 6, 40 mode 8, 48 size 10, 58 end 2
    header = archive.read_at(position, _HEADER)
    if header[58:60] != _END:
        raise FormatError(f"no ar header at byte {position}")
    name = _name(header[:16])
    size = _size(header[48:58], name)
    if position + _HEADER + size > archive.size:
        raise TruncatedError(f"the ar archive ends inside {printable(name)}")
    return Member(name, SubBlob(archive, position + _HEADER, size))


def _name(field: bytes) -> bytes:
    name = field.rstrip(b" ")
    if name.startswith((b"/", b"#1/")):
        raise UnsupportedError(f"ar archives with name tables are not read: {printable(name)}")
    name = name.removesuffix(b"/")
    if not name or b"\0" in name:
        raise FormatError(f"an ar member has no proper name: {printable(field)}")
    return name


def _size(field: bytes, name: bytes) -> int:
    digits = field.rstrip(b" ")
    if not digits or digits.strip(b"0123456789"):
        raise FormatError(f"the size of {printable(name)} is not a number: {printable(field)}")
    return int(digits)
