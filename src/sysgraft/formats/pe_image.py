"""Lays out an executable anew: a stub's sections, some of them replaced, and further ones.

    layout = plan(stub_blob, pe.parse(stub_blob), [NewSection(".cmdline", 12), …])

gives the headers as bytes and says where every section's data go; the caller writes both, and so
never holds a section in memory (Microsoft "PE Format"). Data directories are left as they are, a
symbol table is dropped, and a signed stub is refused, since its signature would no longer hold.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from sysgraft.errors import FormatError, LimitError
from sysgraft.formats import pe

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sysgraft.base.blob import Blob

_PAGE: Final = 4096
"""Least alignment of new sections in memory: stubs start a kernel where it was loaded."""
_NX_COMPAT: Final = 0x0100
"""IMAGE_DLLCHARACTERISTICS_NX_COMPAT."""
_DLL_CHARACTERISTICS: Final = 70
"""Where DllCharacteristics is in the optional header."""
_LOCAL_SYMBOLS_STRIPPED: Final = 0x0008
"""IMAGE_FILE_LOCAL_SYMS_STRIPPED."""
_DEBUG_DIRECTORY: Final = 6
"""IMAGE_DIRECTORY_ENTRY_DEBUG; what it names holds offsets in the file."""


@dataclass(frozen=True, slots=True)
class NewSection:
    """A section to add, or to put in the place of one of that name in the stub.

    Attributes:
        name: at most 8 ASCII characters.
        size: of its content in bytes.
        characteristics: flags.
    """

    name: str
    size: int
    characteristics: int = pe.INITIALIZED_DATA | pe.READ


@dataclass(frozen=True, slots=True)
class Placed:
    """Where a section's data go.

    Attributes:
        section: as the new headers have it.
        stub_section: the section of the stub whose data it has, None if they are new.
        number: which of the new sections it is, None if it is the stub's.
    """

    section: pe.Section
    stub_section: pe.Section | None = None
    number: int | None = None


@dataclass(frozen=True, slots=True)
class Layout:
    """A new executable.

    Attributes:
        header: all headers up to the first section's data; CheckSum is zero.
        placed: all sections in the order of their data, without gaps between them.
        size: of the file in bytes.
        checksum_offset: where the field CheckSum is.
        security_offset: where data directory 4 is.
    """

    header: bytes
    placed: tuple[Placed, ...]
    size: int
    checksum_offset: int
    security_offset: int


def align(value: int, alignment: int) -> int:
    """The next multiple of a power of two."""
    return -(-value // alignment) * alignment


def nx_compatible(blob: Blob, image: pe.Image) -> bool:
    """Whether an executable says that it never runs what it can write."""
    flags = blob.read_at(image.optional_offset + _DLL_CHARACTERISTICS, 2)
    return bool(int.from_bytes(flags, "little") & _NX_COMPAT)


def plan(
    blob: Blob, stub: pe.Image, new: Sequence[NewSection], *, nx_compat: bool = True
) -> Layout:
    """Lay out `stub` with further sections.

    A new section takes the place of the stub's first one of that name if it fits there in memory
    (as ``.sbat`` does), else it is refused. All other new ones follow in their order.

    Args:
        blob: the stub.
        stub: its headers.
        new: what to add.
        nx_compat: whether the flag NX_COMPAT stays if the stub has it.

    Raises:
        FormatError: the stub is signed, or there is no room.
        LimitError: the file or the image in memory would exceed 4 GiB.
    """
    if stub.security != (0, 0):
        raise FormatError(
            "the stub is signed, adding sections would break the signature",
            hint="take the unsigned stub; sign the result",
        )
    if not stub.security_offset:
        raise FormatError("the stub's headers have no room for a signature")
    own = _Own(stub, new)
    header_size = _header_size(blob, stub, len(stub.sections) + len(own.added))
    placed = _place(stub, own, header_size)
    end = max(header_size, max((one.section.end for one in placed), default=0))
    top = max(one.section.virtual_address + one.section.virtual_size for one in placed)
    if end > pe.MAX_SIZE or top > pe.MAX_SIZE:
        raise LimitError("the executable would exceed 4 GiB, which its headers cannot express")
    header = _render(blob, stub, placed, header_size, nx_compat=nx_compat)
    return Layout(header, tuple(placed), end, stub.checksum_offset, stub.security_offset)


class _Own:
    """Which new sections replace the stub's, and which are added."""

    def __init__(self, stub: pe.Image, new: Sequence[NewSection]) -> None:
        self.new = new
        names = [section.name for section in stub.sections]
        self.replacing: dict[int, int] = {}
        self.added: list[int] = []
        for number, section in enumerate(new):
            at = names.index(section.name) if section.name in names else None
            if at is None or at in self.replacing:
                self.added.append(number)
            else:
                self.replacing[at] = number


def _header_size(blob: Blob, stub: pe.Image, count: int) -> int:
    """Bytes for all headers: as many as before where the table still fits."""
    needed = stub.table_offset + pe.SECTION.size * count
    size = align(max(stub.size_of_headers, needed), stub.file_alignment)
    first = min((section.virtual_address for section in stub.sections), default=size)
    if size > first:
        raise FormatError(
            f"the stub has no room for {count} sections",
            hint="join fewer profiles, or take a stub of a newer systemd",
        )
    moves = any(one.raw_size and one.offset < size for one in stub.sections)
    if moves and _has_debug_directory(blob, stub):
        raise FormatError(f"the stub's headers have no room for {count} sections")
    return size


def _has_debug_directory(blob: Blob, stub: pe.Image) -> bool:
    optional = blob.read_at(stub.optional_offset, stub.table_offset - stub.optional_offset)
    at = pe.DIRECTORIES + 8 * _DEBUG_DIRECTORY
    return len(optional) >= at + 8 and any(optional[at : at + 8])


def _place(stub: pe.Image, own: _Own, header_size: int) -> list[Placed]:
    """All sections, their data one behind the other from the end of the headers."""
    offset = header_size
    placed: list[Placed] = []
    order = sorted(range(len(stub.sections)), key=lambda at: stub.sections[at].offset)
    kept = dict.fromkeys(order)
    results: dict[int, Placed] = {}
    for at in kept:
        results[at] = _place_own(stub, at, own, offset)
        offset = max(offset, results[at].section.end)
    placed = [results[at] for at in range(len(stub.sections))]
    address = max((s.virtual_address + s.virtual_size for s in stub.sections), default=header_size)
    for number in own.added:
        section = own.new[number]
        address = align(address, max(stub.section_alignment, _PAGE))
        raw_size = align(section.size, stub.file_alignment)
        made = pe.Section(
            section.name, address, section.size, offset, raw_size, section.characteristics
        )
        placed.append(Placed(made, number=number))
        offset += raw_size
        address += section.size
    return placed


def _place_own(stub: pe.Image, at: int, own: _Own, offset: int) -> Placed:
    """One of the stub's sections, with its own data or new ones."""
    old = stub.sections[at]
    number = own.replacing.get(at)
    if number is None:
        raw_size = align(old.raw_size, stub.file_alignment)
        where = offset if raw_size else 0
        return Placed(replace(old, offset=where, raw_size=raw_size), stub_section=old)
    size = own.new[number].size
    above = [s.virtual_address for s in stub.sections if s.virtual_address > old.virtual_address]
    if above and old.virtual_address + size > min(above):
        raise FormatError(
            f"the stub has no room for {size} bytes in its section {old.name}",
            hint="take a stub of a newer systemd",
        )
    raw_size = align(size, stub.file_alignment)
    made = replace(old, virtual_size=size, offset=offset, raw_size=raw_size)
    return Placed(made, number=number)


def _render(
    blob: Blob, stub: pe.Image, placed: Sequence[Placed], header_size: int, *, nx_compat: bool
) -> bytes:
    header = bytearray(blob.read_at(0, stub.table_offset).ljust(header_size, b"\0"))
    coff = stub.optional_offset - pe.COFF.size
    fields = list(pe.COFF.unpack_from(header, coff))
    fields[1] = len(placed)
    if fields[3]:
        fields[3:5] = 0, 0
        fields[6] |= _LOCAL_SYMBOLS_STRIPPED
    pe.COFF.pack_into(header, coff, *fields)
    optional = stub.optional_offset
    added = sum(one.section.virtual_size for one in placed if one.stub_section is None)
    (data_size,) = struct.unpack_from("<I", header, optional + pe.SIZE_OF_INITIALIZED_DATA)
    last = max(one.section.virtual_address + one.section.virtual_size for one in placed)
    for at, value in (
        (pe.SIZE_OF_INITIALIZED_DATA, min(data_size + added, pe.MAX_SIZE)),
        (pe.SIZE_OF_IMAGE, align(last, max(stub.section_alignment, _PAGE))),
        (pe.SIZE_OF_HEADERS, header_size),
        (pe.CHECKSUM, 0),
    ):
        struct.pack_into("<I", header, optional + at, value)
    if not nx_compat:
        flags = int.from_bytes(header[optional + _DLL_CHARACTERISTICS :][:2], "little")
        struct.pack_into("<H", header, optional + _DLL_CHARACTERISTICS, flags & ~_NX_COMPAT)
    table = b"".join(bytes(one.section) for one in placed)
    header[stub.table_offset : stub.table_offset + len(table)] = table
    return bytes(header)
