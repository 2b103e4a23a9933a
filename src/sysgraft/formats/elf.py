"""ELF files: what one section holds.

System V ABI, "Object Files" (chapter 4 of the gABI): 32 and 64 bits, both byte orders, and extended
section numbering. Reads the section headers and one section's bytes; symbols and relocations are
not looked at, and nothing is written. Program headers are read by `sysgraft.formats.elf_dynamic`.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Final, NamedTuple

from sysgraft.errors import FormatError, LimitError, TruncatedError, UnsupportedError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sysgraft.base.blob import Blob

MAX_SECTIONS: Final = 1 << 16
"""Section headers of a file; kernel modules with one for each function have some thousands."""
MAX_NAMES: Final = 16 << 20
"""Bytes of all section names."""
IDENT_SIZE: Final = 16
"""Bytes of ``e_ident``, with which every file begins."""

_MAGIC: Final = b"\x7fELF"
_CLASSES: Final = {1: 32, 2: 64}  # EI_CLASS
_ORDERS: Final = {1: "<", 2: ">"}  # EI_DATA
# e_shoff, e_shentsize, e_shnum and e_shstrndx of the file header, and what is between.
_HEADERS: Final = {32: "HHIIII4xHHHHHH", 64: "HHIQQQ4xHHHHHH"}
# sh_name, sh_type, sh_flags, sh_addr, sh_offset, sh_size, sh_link.
_SECTIONS: Final = {32: "IIIIIII12x", 64: "IIQQQQI20x"}
_NO_BITS: Final = 8  # SHT_NOBITS: takes no place in the file
_EXTENDED: Final = 0xFFFF  # SHN_XINDEX: the index is in sh_link of section 0


class _Section(NamedTuple):
    name: int
    kind: int
    flags: int
    address: int
    offset: int
    size: int
    link: int


# e_machine, bits and byte order of the architectures that Linux has modules for.
_ARCHITECTURES: Final = {
    (62, 64, "<"): "x86-64",
    (3, 32, "<"): "x86",
    (183, 64, "<"): "arm64",
    (40, 32, "<"): "arm",
    (243, 64, "<"): "riscv64",
    (243, 32, "<"): "riscv32",
    (258, 64, "<"): "loongarch64",
    (21, 64, "<"): "ppc64-le",
    (21, 64, ">"): "ppc64",
    (20, 32, ">"): "ppc",
    (22, 64, ">"): "s390x",
    (8, 64, "<"): "mips64-le",
    (8, 64, ">"): "mips64",
    (8, 32, "<"): "mips-le",
    (8, 32, ">"): "mips",
    (15, 32, ">"): "parisc",
}


def architecture(blob: Blob) -> str:
    """Systemd's name of the machine a file is for; empty for one that is not in the table.

    Raises:
        UnsupportedError: another class or byte order than those of the ABI.
        FormatError: it is no ELF file.
    """
    bits, order = identity(read_bytes(blob, 0, IDENT_SIZE))
    (machine,) = struct.unpack(order + "H", read_bytes(blob, IDENT_SIZE + 2, 2))
    return _ARCHITECTURES.get((machine, bits, order), "")


def is_elf(head: bytes) -> bool:
    """Whether a file that begins with `head` says it is ELF."""
    return head.startswith(_MAGIC)


def read_section(blob: Blob, name: bytes, *, max_size: int) -> bytes | None:
    """The bytes of the first section called `name`; None where there is none.

    Args:
        blob: the file.
        name: such as ``.modinfo``.
        max_size: bytes the section may have.

    Raises:
        LimitError: the section, or what leads to it, is too large.
        UnsupportedError: another class or byte order than those of the ABI.
        FormatError: it is no ELF file, or damaged.
    """
    sections, names = _sections(blob)
    wanted = name + b"\0"
    for section in sections:
        if not names.startswith(wanted, section.name) or section.kind == _NO_BITS:
            continue
        if section.size > max_size:
            raise LimitError(f"an ELF section of {section.size} bytes, the limit is {max_size}")
        return read_bytes(blob, section.offset, section.size)
    return None


def _sections(blob: Blob) -> tuple[Iterator[_Section], bytes]:
    """All sections, and the table of their names."""
    bits, order = identity(read_bytes(blob, 0, IDENT_SIZE))
    header = struct.Struct(order + _HEADERS[bits])
    fields = header.unpack(read_bytes(blob, IDENT_SIZE, header.size))
    start, size, count, names = fields[5], *fields[-3:]
    layout = struct.Struct(order + _SECTIONS[bits])
    if not start:
        return iter(()), b""
    if size != layout.size:
        raise FormatError(f"ELF section headers of {size} bytes instead of {layout.size}")
    first = _Section(*layout.unpack(read_bytes(blob, start, size)))
    count = count or first.size
    names = first.link if names == _EXTENDED else names
    if count > MAX_SECTIONS:
        raise LimitError(f"an ELF file with {count} sections, the limit is {MAX_SECTIONS}")
    if names >= count:
        raise FormatError("an ELF file without a table of section names")
    table = read_bytes(blob, start, count * size)
    found = _Section(*layout.unpack_from(table, names * size))
    if found.size > MAX_NAMES:
        raise LimitError(f"ELF section names of {found.size} bytes, the limit is {MAX_NAMES}")
    sections = (_Section(*each) for each in layout.iter_unpack(table))
    return sections, read_bytes(blob, found.offset, found.size)


def identity(ident: bytes) -> tuple[int, str]:
    """Bits and byte order, the latter as `struct` has it.

    Args:
        ident: the first `IDENT_SIZE` bytes of a file.

    Raises:
        UnsupportedError: another class or byte order than those of the ABI.
        FormatError: it is no ELF file.
    """
    if not is_elf(ident):
        raise FormatError("not an ELF file")
    if ident[4] not in _CLASSES or ident[5] not in _ORDERS:
        raise UnsupportedError(f"an ELF file of class {ident[4]} and byte order {ident[5]}")
    return _CLASSES[ident[4]], _ORDERS[ident[5]]


def read_bytes(blob: Blob, offset: int, length: int) -> bytes:
    """A part of a file; raises `TruncatedError` where the file ends before it."""
    if offset + length > blob.size:
        raise TruncatedError(
            f"an ELF file that needs bytes {offset}..{offset + length} and has {blob.size}",
        )
    return blob.read_at(offset, length)
