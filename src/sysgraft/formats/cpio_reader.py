"""Reads cpio archives in the ``newc`` form, as initrds hold them: several, with zeros between.

Format: Linux Documentation/driver-api/early-userspace/buffer-format.rst and ``init/initramfs.c``;
the checksummed form (``070702``) is read and its checksums are not looked at. Entries come in
order, their data stays where it is. It decompresses nothing: `plain_size` says where compressed
archives may begin. Hard links are not joined, and paths are given as they are stored.
"""

from __future__ import annotations

import struct
from binascii import Error as NotHexadecimal
from binascii import unhexlify
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from sysgraft.base.blob import SubBlob
from sysgraft.base.tree import printable
from sysgraft.errors import FormatError, LimitError, TruncatedError, UnsupportedError
from sysgraft.formats.cpio import HEADER, MAGIC, MAX_PATH, TRAILER

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sysgraft.base.blob import Blob

MAX_ENTRIES: Final = 500_000
"""Entries of all archives together: a large distribution has about 500,000 files."""

_MAGICS: Final = (MAGIC, b"070702")
_FIELDS: Final = struct.Struct(">13I")
# Zeros are looked for in growing steps: mostly there are none, sometimes megabytes.
_STEPS: Final = (16, 64 << 10)


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry of an archive, its trailer not among them.

    Attributes:
        name: its path as stored; leading slashes and dots are kept.
        number: the inode number. Within an archive, entries of one type that share it and have
            two or more `links` are one file, and only one of them needs to carry its data.
        mode: type and permission bits, as in ``st_mode``.
        uid: owner.
        gid: group.
        links: hard links.
        mtime: modification time in seconds since the epoch, UTC.
        device: ``(major, minor)`` of a device node.
        data: a file's content or a symbolic link's target.
        archive: which of the archives it is in, from 0.
    """

    name: bytes
    number: int
    mode: int
    uid: int
    gid: int
    links: int
    mtime: int
    device: tuple[int, int]
    data: Blob
    archive: int


def entries(blob: Blob) -> Iterator[Entry]:
    """The entries of all archives in `blob`, which may lie behind one another.

    Raises:
        FormatError: an archive breaks its format's rules.
        TruncatedError: the last one has no end.
        LimitError: there are more than `MAX_ENTRIES`, or a name is too long.
        UnsupportedError: what follows is no plain archive.
    """
    end, is_open = 0, False
    for entry, behind in _walk(blob):
        end, is_open = behind, entry.name != TRAILER
        if is_open:
            yield entry
    end = _skip_zeros(blob, end)
    if is_open:
        raise TruncatedError(f"the cpio archive has no trailer at byte {end}")
    if end < blob.size:
        raise UnsupportedError(f"at byte {end} begins what is no plain cpio archive")


def plain_size(blob: Blob) -> int:
    """How many bytes at the beginning are plain archives and zeros; 0 if none are.

    Raises:
        FormatError: an archive breaks its format's rules; also by its subclasses.
    """
    end = 0
    for _, behind in _walk(blob):
        end = behind
    return _skip_zeros(blob, end)


def _walk(blob: Blob) -> Iterator[tuple[Entry, int]]:
    """Each entry, trailers too, and where it ends; stops before what begins with no digit 0."""
    archive = count = position = 0
    while (position := _skip_zeros(blob, position)) < blob.size:
        if blob.read_at(position, 1) != b"0":
            return
        count += 1
        if count > MAX_ENTRIES:
            raise LimitError(f"the cpio archive has more than {MAX_ENTRIES} entries")
        entry, position = _read(blob, position, archive)
        archive += entry.name == TRAILER
        yield entry, position


def _skip_zeros(blob: Blob, position: int) -> int:
    step, largest = _STEPS
    while position < blob.size:
        block = blob.read_at(position, min(step, blob.size - position))
        behind = block.lstrip(b"\0")
        position += len(block) - len(behind)
        if behind:
            break
        step = largest
    return position


def _read(blob: Blob, position: int, archive: int) -> tuple[Entry, int]:
    """The entry at `position`, and where the next can begin."""
    fields = _fields(blob, position)
    number, mode, uid, gid, links, mtime, size, _, _, major, minor, name_size, _ = fields
    if name_size < 2:
        raise FormatError(f"the cpio entry at byte {position} has no name")
    if name_size > MAX_PATH + 1:
        raise LimitError(f"a name of {name_size - 1} bytes in the cpio entry at byte {position}")
    start = position + HEADER
    name = _part(blob, start, name_size, position).read_at(0, name_size)
    if name.find(b"\0") != name_size - 1:
        raise FormatError(f"the name of the cpio entry at byte {position} does not end with a NUL")
    start += name_size
    start += -start % 4
    entry = Entry(
        name=name[:-1],
        number=number,
        mode=mode,
        uid=uid,
        gid=gid,
        links=links,
        mtime=mtime,
        device=(major, minor),
        data=_part(blob, start, size, position),
        archive=archive,
    )
    return entry, min(start + size + -(start + size) % 4, blob.size)


def _fields(blob: Blob, position: int) -> tuple[int, ...]:
    if position % 4:
        raise FormatError(f"the cpio entry at byte {position} is not aligned to 4 bytes")
    return parse_header(_part(blob, position, HEADER, position).read_at(0, HEADER), position)


def parse_header(header: bytes, position: int) -> tuple[int, ...]:
    """The 13 numbers of an entry's header, in the order they are listed in `formats.cpio`.

    Args:
        header: its `HEADER` bytes.
        position: where in the archive it is, for messages.

    Raises:
        FormatError: it is none.
    """
    if not header.startswith(_MAGICS):
        raise FormatError(f"no newc header at byte {position}: {printable(header[:6])}")
    try:
        return _FIELDS.unpack(unhexlify(header[len(MAGIC) :]))
    except NotHexadecimal:
        raise FormatError(f"the cpio header at byte {position} has no proper numbers") from None


def _part(blob: Blob, start: int, size: int, entry: int) -> Blob:
    if start + size > blob.size:
        raise TruncatedError(f"the cpio archive ends inside the entry at byte {entry}")
    return SubBlob(blob, start, size)
