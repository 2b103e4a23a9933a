"""Lays out an executable anew: a stub's sections, some of them replaced, and further ones.

    layout = plan(stub_blob, pe.parse(stub_blob), [NewSection(".cmdline", 12), …])

gives the headers as bytes and says where every section's data go; the caller writes both, and so
never holds a section in memory (Microsoft "PE Format"). The file is ukify's, byte for byte, unless
ukify has no room for it, or lets .sbat overlap what follows in memory (with stubs of systemd 252).
Data directories stay as they are, a symbol table is dropped, a signed stub is refused.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from sysgraft.errors import FormatError, LimitError
from sysgraft.formats import pe, pe_headers
from sysgraft.formats.pe_layout import layout_problem

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sysgraft.base.blob import Blob

_PAGE: Final = 4096
"""Least alignment of new sections in memory: stubs start a kernel where it was loaded."""
_NX_COMPAT: Final = 0x0100
"""IMAGE_DLLCHARACTERISTICS_NX_COMPAT."""
_LOCAL_SYMBOLS_STRIPPED: Final = 0x0008
"""IMAGE_FILE_LOCAL_SYMS_STRIPPED."""
_MOVABLE: Final = (".sbat",)
"""Sections of the stub that no program looks for in memory: shim reads them from the file."""


@dataclass(frozen=True, slots=True)
class NewSection:
    """A section to add, or to put in the place of one of that name in the stub.

    Attributes:
        name: at most 8 ASCII characters.
        size: of its content in bytes.
        characteristics: flags; where it replaces one of the stub, that one's count.
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
        placed: all sections as in the table. Their data follow the headers and each other, ordered
            by their offsets, without gaps.
        size: of the file in bytes.
        checksum_offset: where the field CheckSum is.
        security_offset: where data directory 4 is.
    """

    header: bytes
    placed: tuple[Placed, ...]
    size: int
    checksum_offset: int
    security_offset: int


@dataclass(frozen=True, slots=True)
class _Entry:
    """An entry of the new table before it has a place: the stub's section, or what replaces it."""

    old: pe.Section
    number: int | None = None


@dataclass(frozen=True, slots=True)
class _Sizes:
    """Bytes of the headers, of the file and of the image in memory."""

    headers: int
    file: int
    image: int


def align(value: int, alignment: int) -> int:
    """The next multiple of `alignment`."""
    return -(-value // alignment) * alignment


def nx_compatible(blob: Blob, image: pe.Image) -> bool:
    """Whether an executable says that it never runs what it can write."""
    at = image.optional_offset + pe_headers.DLL_CHARACTERISTICS
    return bool(int.from_bytes(blob.read_at(at, 2), "little") & _NX_COMPAT)


def plan(
    blob: Blob, stub: pe.Image, new: Sequence[NewSection], *, nx_compat: bool = True
) -> Layout:
    """Lay out `stub` with further sections.

    A new section takes the place of the stub's first one of that name, if it fits there in memory.
    A ``.sbat`` that does not fit is moved: all new sections that replace none follow the stub's,
    in their order.

    Args:
        blob: the stub.
        stub: its headers.
        new: what to add.
        nx_compat: whether the flag NX_COMPAT stays if the stub has it.

    Raises:
        FormatError: the stub is signed or laid out in a way it cannot keep, or there is no room.
        LimitError: the file or the image in memory would exceed 4 GiB, or have too many sections.
    """
    headers = pe_headers.read_headers(blob)
    _check_stub(stub, headers)
    kept, added = _match(stub, new)
    header_size = _header_size(stub, len(kept) + len(added))
    placed = _place_kept(stub, kept, new, header_size)
    _check_moved(placed, headers)
    placed += _place_added(stub, placed, [(number, new[number]) for number in added], header_size)
    sizes = _measure(stub, placed, header_size)
    changes = _changes(headers, sizes, placed[len(kept) :], nx_compat=nx_compat)
    return Layout(
        header=_render(blob, headers, placed, changes, header_size),
        placed=tuple(placed),
        size=sizes.file,
        checksum_offset=stub.checksum_offset,
        security_offset=stub.security_offset,
    )


def _check_stub(stub: pe.Image, headers: pe_headers.Headers) -> None:
    if stub.security != (0, 0):
        raise FormatError(
            "the stub is signed, adding sections would break the signature",
            hint="take the unsigned stub; sign the result",
        )
    if not stub.security_offset:
        raise FormatError("the stub's headers have no room for a signature")
    problem = layout_problem(stub)
    if problem:
        raise FormatError(f"the stub cannot be added to: {problem}")
    end = max((one.end for one in stub.sections if one.raw_size), default=stub.size_of_headers)
    if end != stub.size and headers.coff.symbols_offset < end:
        raise FormatError(f"the stub has {stub.size - end} bytes behind its last section")


def _match(stub: pe.Image, new: Sequence[NewSection]) -> tuple[list[_Entry], list[int]]:
    """The stub's entries of the table, and the numbers of the new sections that come behind."""
    waiting: dict[str, list[int]] = {}
    for number, section in enumerate(new):
        waiting.setdefault(section.name, []).append(number)
    kept: list[_Entry] = []
    for old in stub.sections:
        numbers = waiting.get(old.name, [])
        if not numbers:
            kept.append(_Entry(old))
        elif new[numbers[0]].size <= _room(stub, old):
            kept.append(_Entry(old, numbers.pop(0)))
        elif old.name not in _MOVABLE:
            raise FormatError(
                f"the stub has no room for {new[numbers[0]].size} bytes in its section {old.name}",
                hint="give the section another name",
            )
    return kept, sorted(number for numbers in waiting.values() for number in numbers)


def _room(stub: pe.Image, section: pe.Section) -> int:
    """How long a section of the stub can be in memory."""
    start = section.virtual_address
    above = [one.virtual_address for one in stub.sections if one.virtual_address > start]
    return min(above, default=pe.MAX_SIZE) - start


def _header_size(stub: pe.Image, count: int) -> int:
    """Bytes for all headers: as many as before where the table still fits."""
    if count > pe.MAX_SECTIONS:
        raise LimitError(f"the executable would have {count} sections, more than {pe.MAX_SECTIONS}")
    needed = stub.table_offset + pe.SECTION.size * count
    size = align(max(stub.size_of_headers, needed), stub.file_alignment)
    if size > min((one.virtual_address for one in stub.sections), default=size):
        raise FormatError(
            f"the stub has no room for {count} sections",
            hint="leave some out (profiles, devicetrees), or take a stub of a newer systemd",
        )
    return size


def _place_kept(
    stub: pe.Image, kept: Sequence[_Entry], new: Sequence[NewSection], offset: int
) -> list[Placed]:
    """The stub's sections: addresses as they were, data in their old order from `offset` on."""
    placed: dict[_Entry, Placed] = {}
    for entry in sorted(kept, key=lambda each: each.old.offset):
        size = 0 if entry.number is None else new[entry.number].size
        raw_size = align(max(size, entry.old.raw_size), stub.file_alignment)
        section = replace(entry.old, offset=offset if raw_size else 0, raw_size=raw_size)
        if entry.number is None:
            placed[entry] = Placed(section, stub_section=entry.old)
        else:
            placed[entry] = Placed(replace(section, virtual_size=size), number=entry.number)
        offset += raw_size
    return [placed[entry] for entry in kept]


def _check_moved(placed: Sequence[Placed], headers: pe_headers.Headers) -> None:
    """Debug directories hold offsets in the file, which nobody would adjust."""
    moved = any(
        one.stub_section is not None
        and one.section.raw_size
        and one.section.offset != one.stub_section.offset
        for one in placed
    )
    if moved and headers.directory(pe_headers.DEBUG) != (0, 0):
        raise FormatError("the stub's sections would have to move, but it has a debug directory")


def _place_added(
    stub: pe.Image,
    kept: Sequence[Placed],
    added: Sequence[tuple[int, NewSection]],
    header_size: int,
) -> list[Placed]:
    """New sections behind all others, in the file and in memory."""
    offset = max((one.section.end for one in kept), default=header_size)
    address = max((one.section.memory_end for one in kept), default=header_size)
    placed: list[Placed] = []
    for number, one in added:
        address = align(address, max(stub.section_alignment, _PAGE))
        raw_size = align(one.size, stub.file_alignment)
        section = pe.Section(one.name, address, one.size, offset, raw_size, one.characteristics)
        placed.append(Placed(section, number=number))
        offset += raw_size
        address += one.size
    return placed


def _measure(stub: pe.Image, placed: Sequence[Placed], header_size: int) -> _Sizes:
    """How large it all is; the headers count where nothing is behind them."""
    file = max((one.section.end for one in placed), default=0)
    top = max((one.section.memory_end for one in placed), default=0)
    image = align(max(top, header_size), max(stub.section_alignment, _PAGE))
    if max(file, image) > pe.MAX_SIZE:
        raise LimitError("the executable would exceed 4 GiB, which its headers cannot express")
    return _Sizes(header_size, max(file, header_size), image)


def _changes(
    headers: pe_headers.Headers, sizes: _Sizes, added: Sequence[Placed], *, nx_compat: bool
) -> dict[int, bytes]:
    """What changes in the optional header, by the fields' offsets in it."""
    data = headers.field(pe_headers.SIZE_OF_INITIALIZED_DATA)
    data += sum(one.section.virtual_size for one in added)
    flags = headers.dll_characteristics & (0xFFFF if nx_compat else ~_NX_COMPAT)
    return {
        pe_headers.SIZE_OF_INITIALIZED_DATA: min(data, pe.MAX_SIZE).to_bytes(4, "little"),
        pe_headers.SIZE_OF_IMAGE: sizes.image.to_bytes(4, "little"),
        pe_headers.SIZE_OF_HEADERS: sizes.headers.to_bytes(4, "little"),
        pe_headers.CHECKSUM: bytes(4),
        pe_headers.DLL_CHARACTERISTICS: flags.to_bytes(2, "little"),
    }


def _render(
    blob: Blob,
    headers: pe_headers.Headers,
    placed: Sequence[Placed],
    changes: Mapping[int, bytes],
    size: int,
) -> bytes:
    """The stub's headers with a new table and new fields."""
    coff = headers.coff._replace(sections=len(placed))
    if coff.symbols_offset:
        flags = coff.characteristics | _LOCAL_SYMBOLS_STRIPPED
        coff = coff._replace(symbols_offset=0, symbols=0, characteristics=flags)
    header = bytearray(blob.read_at(0, headers.table_offset))
    header[headers.coff_offset : headers.optional_offset] = bytes(coff)
    for at, value in changes.items():
        start = headers.optional_offset + at
        header[start : start + len(value)] = value
    table = b"".join(bytes(one.section) for one in placed)
    return bytes(header + table).ljust(size, b"\0")
