"""What is in an initrd: its archives one behind the other, and the files of each.

Format: Linux Documentation/driver-api/early-userspace/buffer-format.rst and ``init/initramfs.c``.
An initrd is any number of ``newc`` archives, plain or compressed, with zeros between. It is read
once from its beginning, and contents are passed over: nothing of them is kept. LZ4 and LZO are not
read. Which of several files of one path the kernel keeps is not decided here.
"""

from __future__ import annotations

import stat
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NamedTuple

from sysgraft.base.blob import SubBlob
from sysgraft.base.tree import printable
from sysgraft.errors import FormatError, LimitError, TruncatedError, UnsupportedError
from sysgraft.formats import cpio_reader
from sysgraft.formats.allowance import Allowance
from sysgraft.formats.compression import HEAD_SIZE, Compression, Decompressor, detect
from sysgraft.formats.cpio import HEADER, MAX_PATH, TRAILER
from sysgraft.formats.stream import CHUNK, BlobSource

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sysgraft.base.blob import Blob
    from sysgraft.formats.stream import ByteSource

MAX_PARTS: Final = 100
"""Archives of one initrd, those that are compressed alike and behind one another counted once."""

ALIGNMENT: Final = 4
"""Where the kernel looks for a plain archive, at multiples of this."""

_NOT_READ: Final = {b"\x02\x21\x4c\x18": "LZ4", b"\x04\x22\x4d\x18": "LZ4", b"\x89LZO": "LZO"}


class Entry(NamedTuple):
    """An entry of an archive.

    Attributes:
        path: below the root, without leading slashes and dots; empty for the root itself.
        mode: type and permission bits, as in ``st_mode``.
        size: bytes of its content; of hard links only one has it.
    """

    path: bytes
    mode: int
    size: int

    @property
    def is_file(self) -> bool:
        """Whether it is a regular file."""
        return stat.S_ISREG(self.mode)


@dataclass(frozen=True, slots=True)
class Part:
    """One archive, or several of one kind.

    Attributes:
        offset: where it begins in the initrd.
        size: bytes of it in the initrd, zeros behind it too.
        compression: how it is compressed.
        plain_size: bytes of it once it is decompressed.
        entries: in their order, trailers not among them.
    """

    offset: int
    size: int
    compression: Compression
    plain_size: int
    entries: tuple[Entry, ...]


def parts(blob: Blob, allowance: Allowance | None = None) -> Iterator[Part]:
    """The archives of an initrd.

    Args:
        blob: the initrd.
        allowance: how much may be decompressed in all; its own, with the default limits, if None.

    Raises:
        FormatError: it is none, or an archive breaks its format's rules.
        LimitError: it has too many archives or entries, or grows too much.
        UnsupportedError: it is compressed as is not known here.
    """
    allowance = allowance or Allowance()
    offset = count = entries = 0
    while offset < blob.size:
        count += 1
        if count > MAX_PARTS:
            raise LimitError(f"an initrd of more than {MAX_PARTS} parts")
        rest = SubBlob(blob, offset, blob.size - offset)
        part = _part(rest, offset, allowance, cpio_reader.MAX_ENTRIES - entries)
        yield part
        entries += len(part.entries)
        offset += part.size
    if not count:
        raise FormatError("not an initrd: it is empty")


def unknown(head: bytes, offset: int) -> FormatError:
    """The error for what begins at a place of an initrd and cannot be read."""
    name = next((name for magic, name in _NOT_READ.items() if head.startswith(magic)), "")
    if name:
        return UnsupportedError(
            f"from byte {offset} on the initrd is compressed with {name}, which is not read",
            hint="compress it anew with zstd, xz or gzip",
        )
    return FormatError(
        f"not an initrd: at byte {offset} begins neither a cpio archive nor one that is "
        "compressed as is known here"
    )


def _part(rest: Blob, offset: int, allowance: Allowance, room: int) -> Part:
    head = rest.read_at(0, min(rest.size, HEAD_SIZE))
    kind = detect(head)
    if kind is not Compression.NONE:
        return _compressed(rest, offset, kind, allowance, room)
    size = cpio_reader.plain_size(rest)
    if not size or offset % ALIGNMENT:
        raise unknown(head, offset)
    cursor = _Cursor(BlobSource(SubBlob(rest, 0, size)))
    return Part(offset, size, kind, size, tuple(_entries(cursor, room)))


def _compressed(
    rest: Blob, offset: int, kind: Compression, allowance: Allowance, room: int
) -> Part:
    stream = Decompressor(BlobSource(rest), kind, allowance, alone=True)
    cursor = _Cursor(stream)
    entries = tuple(_entries(cursor, room))
    return Part(offset, stream.consumed, kind, cursor.position, entries)


def _entries(cursor: _Cursor, room: int) -> Iterator[Entry]:
    """The entries of archives behind one another, which have to fill what `cursor` reads."""
    is_open = False
    count = 0
    while cursor.pass_zeros():
        count += 1
        if count > room:
            raise LimitError(f"the initrd has more than {cpio_reader.MAX_ENTRIES} entries")
        name, mode, size = _header(cursor)
        is_open = name != TRAILER
        if is_open:
            yield Entry(_clean(name), mode, size if stat.S_ISREG(mode) else 0)
        cursor.skip(size)
        cursor.align()
    if is_open:
        raise TruncatedError(f"the cpio archive has no trailer at byte {cursor.position}")


def _header(cursor: _Cursor) -> tuple[bytes, int, int]:
    """Name, mode and size of the entry that begins here."""
    start = cursor.position
    if start % ALIGNMENT:
        raise FormatError(f"the cpio entry at byte {start} is not aligned to 4 bytes")
    fields = cpio_reader.parse_header(cursor.exactly(HEADER), start)
    mode, size, name_size = fields[1], fields[6], fields[11]
    if not 1 < name_size <= MAX_PATH + 1:
        raise LimitError(f"a name of {name_size} bytes in the cpio entry at byte {start}")
    name = cursor.exactly(name_size)
    if name.find(b"\0") != name_size - 1:
        raise FormatError(f"the name of the cpio entry at byte {start} does not end with a NUL")
    cursor.align()
    return name[:-1], mode, size


def _clean(name: bytes) -> bytes:
    steps = [step for step in name.split(b"/") if step not in (b"", b".")]
    if b".." in steps:
        raise FormatError(f"a path in the initrd leads out of it: {printable(name)}")
    return b"/".join(steps)


class _Cursor:
    """A source with a place in it; a piece of it is held, so that zeros can be passed over."""

    def __init__(self, source: ByteSource) -> None:
        self._source = source
        self._held = b""
        self._at = 0
        self.position = 0

    def exactly(self, length: int) -> bytes:
        """The next bytes; raises `TruncatedError` where there are not enough."""
        if self._at + length > len(self._held):
            rest = self._held[self._at :]
            self._held, self._at = rest + self._source.read(max(CHUNK, length) - len(rest)), 0
        data = self._held[self._at : self._at + length]
        self._moved(len(data))
        if len(data) < length:
            raise TruncatedError(f"the cpio archive ends at byte {self.position}")
        return data

    def skip(self, length: int) -> None:
        """Pass over bytes that have to be there."""
        inside = min(length, len(self._held) - self._at)
        self._moved(inside)
        left = length - inside
        if left and self._source.skip(left) < left:
            raise TruncatedError(f"the cpio archive ends inside an entry of {length} bytes")
        self.position += left

    def align(self) -> None:
        """Pass over what is missing to a multiple of 4; at the end it may be left out."""
        for _ in range(-self.position % ALIGNMENT):
            if self._ensure():
                self._moved(1)

    def pass_zeros(self) -> bool:
        """Whether anything comes behind the zeros that are here."""
        while self._ensure():
            if self._held[self._at]:
                return True
            rest = self._held[self._at :]
            self._moved(len(rest) - len(rest.lstrip(b"\0")))
        return False

    def _ensure(self) -> bool:
        """Whether there is a byte."""
        if self._at == len(self._held):
            self._held, self._at = self._source.read(CHUNK), 0
        return self._at < len(self._held)

    def _moved(self, count: int) -> None:
        self._at += count
        self.position += count
