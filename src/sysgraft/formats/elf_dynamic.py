"""ELF programs and libraries: which loader they start with, and which libraries they need.

System V ABI, "Program Header" and "Dynamic Section" (chapter 5 of the gABI): 32 and 64 bits, both
byte orders. Reads the program headers and what they lead to, as a loader does; section headers,
symbols and relocations are not looked at. It says what a file asks for, not where that is.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Final, NamedTuple

from sysgraft.errors import FormatError, LimitError, UnsupportedError
from sysgraft.formats.elf import IDENT_SIZE, identity, read_bytes

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sysgraft.base.blob import Blob

MAX_SEGMENTS: Final = 1024
"""Program headers of a file; programs have some ten."""
MAX_ENTRIES: Final = 1 << 14
"""Entries of a dynamic section; libraries have some thirty."""
MAX_STRINGS: Final = 64 << 20
"""Bytes of a table of strings, which has the names of all symbols too."""
MAX_STRING: Final = 4096
"""Bytes of one name or list of folders: the longest path of Linux."""

# e_phoff, e_phentsize and e_phnum of the file header, and what is between.
_HEADERS: Final = {32: "12xI10xHH", 64: "16xQ14xHH"}
# p_type, p_offset, p_vaddr and p_filesz, which 64 bits have in another order.
_SEGMENTS: Final = {32: "IIIxxxxI12x", 64: "IxxxxQQ8xQ16x"}
_ENTRIES: Final = {32: "iI", 64: "qQ"}  # d_tag, d_val
_MANY: Final = 0xFFFF  # PN_XNUM: the number is elsewhere
_LOAD, _DYNAMIC, _INTERPRETER = 1, 2, 3  # PT_LOAD, PT_DYNAMIC, PT_INTERP
_END, _NEEDED, _STRINGS, _STRINGS_SIZE = 0, 1, 5, 10  # DT_NULL, DT_NEEDED, DT_STRTAB, DT_STRSZ
_NAME, _RPATH, _RUNPATH = 14, 15, 29  # DT_SONAME, DT_RPATH, DT_RUNPATH


class Dynamic(NamedTuple):
    """What a loader is told; a file without a dynamic section says nothing.

    Attributes:
        interpreter: path of the loader; empty for a library.
        name: what others call the library; empty where it has no name.
        needed: names of libraries, in the order they are loaded.
        rpath: where to look for them first, if there is no `runpath`.
        runpath: where to look for them before the system's folders.
    """

    interpreter: str = ""
    name: str = ""
    needed: tuple[str, ...] = ()
    rpath: tuple[str, ...] = ()
    runpath: tuple[str, ...] = ()


class _Segment(NamedTuple):
    kind: int
    offset: int
    address: int
    size: int


def read_dynamic(blob: Blob) -> Dynamic:
    """What a program or library asks of the loader.

    Raises:
        LimitError: a table or a name is too large.
        UnsupportedError: another class or byte order than those of the ABI, or more segments than
            its header can tell.
        FormatError: it is no ELF file, or damaged.
    """
    bits, order = identity(read_bytes(blob, 0, IDENT_SIZE))
    segments = _segments(blob, bits, order)
    interpreter = next((each for each in segments if each.kind == _INTERPRETER), None)
    loader = _loader(blob, interpreter) if interpreter else ""
    dynamic = next((each for each in segments if each.kind == _DYNAMIC), None)
    if dynamic is None:
        return Dynamic(interpreter=loader)
    entries = list(_entries(blob, dynamic, struct.Struct(order + _ENTRIES[bits])))
    strings = _Strings(blob, segments, dict(entries))
    return Dynamic(
        interpreter=loader,
        name=next(strings.of(entries, _NAME), ""),
        needed=tuple(strings.of(entries, _NEEDED)),
        rpath=_folders(next(strings.of(entries, _RPATH), "")),
        runpath=_folders(next(strings.of(entries, _RUNPATH), "")),
    )


def _segments(blob: Blob, bits: int, order: str) -> list[_Segment]:
    header = struct.Struct(order + _HEADERS[bits])
    start, size, count = header.unpack(read_bytes(blob, IDENT_SIZE, header.size))
    layout = struct.Struct(order + _SEGMENTS[bits])
    if count == _MANY:
        raise UnsupportedError(f"an ELF file with {_MANY} segments or more")
    if count > MAX_SEGMENTS:
        raise LimitError(f"an ELF file with {count} segments, the limit is {MAX_SEGMENTS}")
    if count and size != layout.size:
        raise FormatError(f"ELF program headers of {size} bytes instead of {layout.size}")
    table = read_bytes(blob, start, count * layout.size)
    return [_Segment(*each) for each in layout.iter_unpack(table)]


def _loader(blob: Blob, segment: _Segment) -> str:
    if segment.size > MAX_STRING:
        raise LimitError(f"an ELF loader's path of {segment.size} bytes")
    return _text(read_bytes(blob, segment.offset, segment.size).partition(b"\0")[0])


def _entries(blob: Blob, segment: _Segment, layout: struct.Struct) -> Iterator[tuple[int, int]]:
    """Tags and values, up to the end mark."""
    count = segment.size // layout.size
    if count > MAX_ENTRIES:
        raise LimitError(f"an ELF dynamic section of {count} entries, the limit is {MAX_ENTRIES}")
    for tag, value in layout.iter_unpack(read_bytes(blob, segment.offset, count * layout.size)):
        if tag == _END:
            return
        yield tag, value


class _Strings:
    """The table of strings that a dynamic section names by its address in memory."""

    def __init__(self, blob: Blob, segments: list[_Segment], entries: dict[int, int]) -> None:
        self._blob = blob
        self._size = entries.get(_STRINGS_SIZE, 0)
        if self._size > MAX_STRINGS:
            raise LimitError(f"ELF strings of {self._size} bytes, the limit is {MAX_STRINGS}")
        self._start = _place(segments, entries.get(_STRINGS, 0), self._size)

    def of(self, entries: list[tuple[int, int]], wanted: int) -> Iterator[str]:
        """The strings of all entries with a tag."""
        return (self._at(value) for tag, value in entries if tag == wanted)

    def _at(self, offset: int) -> str:
        length = min(MAX_STRING + 1, self._size - offset)
        if length <= 0:
            raise FormatError("an ELF name outside of the table of strings")
        data, end, _ = read_bytes(self._blob, self._start + offset, length).partition(b"\0")
        if not end:
            raise LimitError(f"an ELF name without an end in {length} bytes")
        return _text(data)


def _place(segments: list[_Segment], address: int, size: int) -> int:
    """Where in the file the bytes are that are in memory at an address."""
    for each in segments:
        if each.kind == _LOAD and 0 <= address - each.address <= each.size - size:
            return each.offset + address - each.address
    raise FormatError("ELF strings outside of all segments")


def _folders(text: str) -> tuple[str, ...]:
    return tuple(filter(None, text.split(":")))


def _text(data: bytes) -> str:
    """A path as the system has it."""
    return data.decode("utf-8", "surrogateescape")
