"""Headers of tape archives: one entry from its header block and what was said before it.

Spec: POSIX.1-2017, ``pax``, "ustar Interchange Format" and "pax Interchange Format"; GNU tar
manual, "Basic Tar Format". Where common readers disagree on what bytes mean (data behind an entry
that has none, headers that contradict each other, global pax headers that change entries), it
refuses. It does not find the headers (see `sysgraft.formats.tar`).
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import Final

from sysgraft.base.tree import printable
from sysgraft.errors import FormatError, LimitError, TruncatedError, UnsupportedError
from sysgraft.formats import tar_fields as fields

BLOCK: Final = 512
"""Bytes of a header; data is padded to a multiple of it."""

ZEROS: Final = bytes(BLOCK)
"""The block that marks the end."""

_CHECKSUM: Final = slice(148, 156)
_REPACK: Final = "pack it again without --sparse and --listed-incremental"


class Kind(enum.Enum):
    """What an entry is."""

    FILE = "file"
    HARD_LINK = "hard link"
    SYMLINK = "symbolic link"
    CHARACTER_DEVICE = "character device"
    BLOCK_DEVICE = "block device"
    DIRECTORY = "directory"
    FIFO = "FIFO"


@dataclass(frozen=True, slots=True)
class Member:
    """One entry.

    Attributes:
        name: the path as it stands in the archive.
        kind: what it is.
        mode: permission bits, 0 to 0o7777.
        uid: owner.
        gid: group.
        mtime: seconds since the epoch, may be negative.
        mtime_nsec: nanoseconds, 0 to 999,999,999.
        size: bytes of data; 0 for all but files.
        linkname: target of a symbolic link, or path of the file a hard link names.
        xattrs: extended attributes, sorted by name.
        rdev: ``(major, minor)`` of a device.
        data_offset: where the data begins, counted from the archive's first byte.
    """

    name: bytes
    kind: Kind
    mode: int
    uid: int
    gid: int
    mtime: int
    mtime_nsec: int
    size: int
    linkname: bytes
    xattrs: tuple[tuple[bytes, bytes], ...]
    rdev: tuple[int, int]
    data_offset: int


_KINDS: Final = {
    b"0": Kind.FILE,
    b"\0": Kind.FILE,
    b"7": Kind.FILE,  # "contiguous": a hint no system heeds
    b"1": Kind.HARD_LINK,
    b"2": Kind.SYMLINK,
    b"3": Kind.CHARACTER_DEVICE,
    b"4": Kind.BLOCK_DEVICE,
    b"5": Kind.DIRECTORY,
    b"6": Kind.FIFO,
}
_UNSUPPORTED: Final = {
    b"S": "GNU sparse files",
    b"D": "GNU incremental archives",
    b"M": "GNU multi-volume archives",
    b"A": "Solaris access control lists",
}
# pax keys that carry nothing this reader's callers need.
_HARMLESS_GLOBALS: Final = (b"comment", b"hdrcharset", b"charset")


def looks_like_tar(head: bytes) -> bool:
    """Whether `head` begins with a tar header or is the start of an empty archive."""
    block = head[:BLOCK]
    if len(block) < BLOCK:
        return False
    return block == ZEROS or checksum_holds(block)


def checksum_holds(header: bytes) -> bool:
    """Whether the header's checksum is the sum of its bytes, its own field counted as spaces."""
    stated = header[_CHECKSUM].strip(b" \0")
    if not stated or stated.strip(b"01234567"):
        return False
    return int(stated, 8) == sum(header) - sum(header[_CHECKSUM]) + 8 * ord(" ")


class Extras:
    """What the headers before an entry say about it."""

    __slots__ = ("long", "pax")

    def __init__(self) -> None:
        self.pax: dict[bytes, bytes] = {}
        self.long: dict[bytes, bytes] = {}

    def set_pax(self, records: dict[bytes, bytes]) -> None:
        """Take up a pax header."""
        if self.pax or self.long:
            raise FormatError("an entry has two extended headers")
        if any(key.startswith((b"GNU.sparse.", b"SCHILY.realsize")) for key in records):
            raise UnsupportedError("sparse files in archives are not read", hint=_REPACK)
        # An empty value takes a key back (POSIX); extended attributes may be empty.
        self.pax = {key: value for key, value in records.items() if value or b".xattr." in key}

    def set_long(self, flag: bytes, name: bytes) -> None:
        """Take up a GNU long name (``L``) or link target (``K``)."""
        if self.pax or flag in self.long:
            raise FormatError("an entry has two extended headers")
        self.long[flag] = name

    def unused(self) -> list[bytes]:
        """Keys of pax records that this reader does nothing with."""
        return [key for key in self.pax if not _is_used(key)]

    def refuse_orphans(self) -> None:
        """Raise if the archive ends here."""
        if self.pax or self.long:
            raise TruncatedError("the archive ends behind an extended header, before its entry")


_USED: Final = (b"path", b"linkpath", b"size", b"uid", b"gid", b"mtime")
# Known and rightly passed over: names of owners, other times, what star and libarchive add.
_PASSED: Final = (
    *_HARMLESS_GLOBALS,
    *(b"uname", b"gname", b"atime", b"ctime"),
    *(b"LIBARCHIVE.creationtime", b"SCHILY.dev", b"SCHILY.ino", b"SCHILY.nlink"),
)


def _is_used(key: bytes) -> bool:
    return (
        key in _USED or key in _PASSED or key.startswith((b"SCHILY.xattr.", b"LIBARCHIVE.xattr."))
    )


def check_global(records: dict[bytes, bytes]) -> None:
    """Refuse a global pax header that would change entries."""
    for key in records:
        if key not in _HARMLESS_GLOBALS:
            raise UnsupportedError(
                f"a global pax header sets {printable(key[:40])}; readers disagree on what that "
                "does",
            )


def member(header: bytes, extras: Extras, data_offset: int) -> Member:
    """The entry that `header` and the `extras` before it describe.

    Raises:
        FormatError: they break the rules or contradict each other.
    """
    records = extras.pax
    name = records.get(b"path") or extras.long.get(b"L") or _header_name(header)
    kind = _kind(header, name)
    mtime, nsec = _mtime(header, records)
    return Member(
        name=_checked_name(name),
        kind=kind,
        mode=fields.number(header[100:108], "the mode") & 0o7777,
        uid=_owner(header[108:116], records.get(b"uid")),
        gid=_owner(header[116:124], records.get(b"gid")),
        mtime=mtime,
        mtime_nsec=nsec,
        size=_member_size(header, records, kind, name),
        linkname=_link(header, extras, kind, name),
        xattrs=fields.pax_xattrs(records) if records else (),
        rdev=_device(header, kind),
        data_offset=data_offset,
    )


def _header_name(header: bytes) -> bytes:
    name = fields.text(header[:100])
    # Only POSIX archives have a prefix: GNU tar keeps times and sparse maps in that place.
    prefix = fields.text(header[345:500]) if header[257:263] == b"ustar\0" else b""
    return prefix + b"/" + name if prefix else name


def _checked_name(name: bytes) -> bytes:
    if len(name) > fields.MAX_NAME:
        raise LimitError(f"a name of {len(name)} bytes, at most {fields.MAX_NAME} are allowed")
    if not name or b"\0" in name:
        raise FormatError("an entry has no name, or one with a NUL in it")
    return name


def _kind(header: bytes, name: bytes) -> Kind:
    flag = header[156:157]
    kind = _KINDS.get(flag)
    if kind is None:
        what = _UNSUPPORTED.get(flag, f"entries of type {printable(flag)!r}")
        raise UnsupportedError(f"{what} are not read: {printable(name)}", hint=_REPACK)
    if kind is Kind.FILE and name.endswith(b"/"):
        # Archives from before 1988 mark directories only by the slash.
        if flag != b"\0":
            raise FormatError(f"a regular file with the name of a directory: {printable(name)}")
        return Kind.DIRECTORY
    return kind


def data_size(header: bytes) -> int:
    """The size field."""
    return fields.bounded(
        fields.number(header[124:136], "the size"), fields.MAX_NUMBER, "a size of"
    )


def _member_size(header: bytes, records: dict[bytes, bytes], kind: Kind, name: bytes) -> int:
    size = data_size(header)
    if b"size" in records:
        stated = fields.pax_number(records[b"size"], "a size")
        size = fields.bounded(stated, fields.MAX_NUMBER, "a size of")
    if size and kind is not Kind.FILE:
        raise FormatError(
            f"a {kind.value} of {size} bytes, readers disagree on what follows: {printable(name)}",
        )
    return size


def _owner(field: bytes, override: bytes | None) -> int:
    if override is not None:
        return fields.bounded(fields.pax_number(override, "an owner"), fields.MAX_ID, "owner")
    return fields.bounded(fields.number(field, "an owner"), fields.MAX_ID, "owner")


def _mtime(header: bytes, records: dict[bytes, bytes]) -> tuple[int, int]:
    if b"mtime" in records:
        seconds, nsec = fields.pax_time(records[b"mtime"])
    else:
        seconds, nsec = fields.number(header[136:148], "the time"), 0
    fields.bounded(abs(seconds), fields.MAX_NUMBER, "a time of")
    return seconds, nsec


def _link(header: bytes, extras: Extras, kind: Kind, name: bytes) -> bytes:
    if kind not in (Kind.HARD_LINK, Kind.SYMLINK):
        return b""
    target = extras.pax.get(b"linkpath") or extras.long.get(b"K") or fields.text(header[157:257])
    if not target or b"\0" in target:
        raise FormatError(f"a {kind.value} without a target: {printable(name)}")
    if len(target) >= fields.MAX_NAME:
        raise LimitError(f"a link target of {len(target)} bytes: {printable(name)}")
    return target


def _device(header: bytes, kind: Kind) -> tuple[int, int]:
    if kind not in (Kind.CHARACTER_DEVICE, Kind.BLOCK_DEVICE):
        return (0, 0)
    major = fields.number(header[329:337], "a device number")
    minor = fields.number(header[337:345], "a device number")
    limit = 2**32 - 1  # the kernel's dev_t; only 0:0 matters to us
    return (
        fields.bounded(major, limit, "device number"),
        fields.bounded(minor, limit, "device number"),
    )
