"""PE32+ executables: what EFI stubs, kernels, UKIs and addons are (Microsoft "PE Format").

Reads the headers and the section table of a 64-bit image and says where everything is; the rest
of the file is left to blobs. Bounds are checked, so that every section and the certificate table
lie inside the file. It reads no imports, symbols, relocations or resources, and no 32-bit images
(PE32). Writing is `sysgraft.formats.pe_image`, signatures are `sysgraft.formats.authenticode`.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from sysgraft.base.blob import BytesBlob, PaddedBlob, SubBlob
from sysgraft.base.tree import printable
from sysgraft.errors import FormatError, LimitError, TruncatedError, UnsupportedError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sysgraft.base.blob import Blob

MAX_SIZE: Final = 0xFFFF_FFFF
"""Bytes of one file: every offset in the headers has 32 bits."""
MAX_HEADERS: Final = 1 << 20
"""Bytes of all headers; with `MAX_SECTIONS` entries the section table has 40 KiB."""
MAX_SECTIONS: Final = 1024
"""Sections of one image: a stub has about ten, a UKI with device trees some hundred more."""

MACHINES: Final[Mapping[int, str]] = MappingProxyType(
    {
        0x014C: "x86",
        0x01C4: "arm",
        0x5032: "riscv32",
        0x5064: "riscv64",
        0x6232: "loongarch32",
        0x6264: "loongarch64",
        0x8664: "x86-64",
        0xAA64: "arm64",
    }
)
"""IMAGE_FILE_MACHINE_… ("Machine Types") with systemd's names of the architectures."""

EFI_APPLICATION: Final = 10
"""IMAGE_SUBSYSTEM_EFI_APPLICATION."""

# Section flags ("Section Flags").
CODE: Final = 0x20
INITIALIZED_DATA: Final = 0x40
UNINITIALIZED_DATA: Final = 0x80
EXECUTE: Final = 0x2000_0000
READ: Final = 0x4000_0000
WRITE: Final = 0x8000_0000

# offset size  MS-DOS header
#      0    2  "MZ"
#   0x3c    4  where "PE\0\0" is
DOS_HEADER: Final = 0x40
_PE_POINTER: Final = 0x3C

# offset size  COFF header, behind the signature
#      0    2  Machine
#      2    2  NumberOfSections
#      4    4  TimeDateStamp
#      8    4  PointerToSymbolTable
#     12    4  NumberOfSymbols
#     16    2  SizeOfOptionalHeader
#     18    2  Characteristics
COFF: Final = struct.Struct("<HHIIIHH")
SIGNATURE: Final = b"PE\0\0"

# offset size  optional header, PE32+
#      0    2  Magic, 0x20b
#      4    4  SizeOfCode
#      8    4  SizeOfInitializedData
#     16    4  AddressOfEntryPoint
#     24    8  ImageBase
#     32    4  SectionAlignment
#     36    4  FileAlignment
#     56    4  SizeOfImage
#     60    4  SizeOfHeaders
#     64    4  CheckSum
#     68    2  Subsystem
#    108    4  NumberOfRvaAndSizes
#    112    8  for each data directory: address, size
MAGIC_PE32_PLUS: Final = 0x20B
_MAGIC_PE32: Final = 0x10B
SIZE_OF_INITIALIZED_DATA: Final = 8
SIZE_OF_IMAGE: Final = 56
SIZE_OF_HEADERS: Final = 60
CHECKSUM: Final = 64
DIRECTORIES: Final = 112
_SECURITY: Final = 4
"""IMAGE_DIRECTORY_ENTRY_SECURITY; its address is an offset in the file."""
_MAX_DIRECTORIES: Final = 16

# offset size  section header
#      0    8  Name, padded with NULs
#      8    4  VirtualSize
#     12    4  VirtualAddress
#     16    4  SizeOfRawData
#     20    4  PointerToRawData
#     24   12  relocations and line numbers, not used in images
#     36    4  Characteristics
SECTION: Final = struct.Struct("<8sIIII12xI")

_ALIGNMENT_MAX: Final = 64 << 20
"""Largest alignment accepted; 4096 is usual, arm64 has 65536."""


@dataclass(frozen=True, slots=True)
class Section:
    """One section.

    Attributes:
        name: up to 8 characters; escaped where it is not ASCII.
        virtual_address: where it is loaded, relative to the image's base.
        virtual_size: its length in bytes there; the UKI specification measures this many.
        offset: where its raw data are in the file.
        raw_size: their length in bytes, rounded up to the file alignment.
        characteristics: flags.
    """

    name: str
    virtual_address: int
    virtual_size: int
    offset: int
    raw_size: int
    characteristics: int = INITIALIZED_DATA | READ

    @property
    def end(self) -> int:
        """Where its raw data end in the file."""
        return self.offset + self.raw_size

    def __bytes__(self) -> bytes:
        """The section header."""
        return SECTION.pack(
            self.name.encode("ascii"),
            self.virtual_size,
            self.virtual_address,
            self.raw_size,
            self.offset,
            self.characteristics,
        )


@dataclass(frozen=True, slots=True)
class Image:
    """What the headers of an image say.

    Attributes:
        machine: IMAGE_FILE_MACHINE_….
        timestamp: TimeDateStamp, seconds since the epoch or a hash.
        subsystem: 10 for EFI applications.
        section_alignment: of addresses, in bytes.
        file_alignment: of raw data, in bytes.
        size_of_image: bytes from the base to the end of the last section, rounded up.
        size_of_headers: bytes of all headers, rounded up.
        checksum: the checksum stored in the header.
        optional_offset: where the optional header is in the file.
        table_offset: where the section table is in the file.
        security_offset: where data directory 4 is in the file; 0 if the header has none.
        security: offset and size of the certificate table, zeros if there is none.
        sections: in the order of the table.
        size: of the whole file in bytes.
    """

    machine: int
    timestamp: int
    subsystem: int
    section_alignment: int
    file_alignment: int
    size_of_image: int
    size_of_headers: int
    checksum: int
    optional_offset: int
    table_offset: int
    security_offset: int
    security: tuple[int, int]
    sections: tuple[Section, ...]
    size: int

    @property
    def checksum_offset(self) -> int:
        """Where the field CheckSum is in the file."""
        return self.optional_offset + CHECKSUM

    @property
    def architecture(self) -> str | None:
        """The architecture as systemd calls it, None if it has no name here."""
        return MACHINES.get(self.machine)

    def find(self, name: str) -> Section | None:
        """The first section of that name."""
        return next((each for each in self.sections if each.name == name), None)


def looks_like_pe(head: bytes) -> bool:
    """Whether a file that begins with `head` may be an executable for EFI."""
    return head.startswith(b"MZ")


def parse(blob: Blob) -> Image:
    """Read the headers of an image.

    Raises:
        TruncatedError: the file ends inside its headers, a section or the certificate table.
        LimitError: more than `MAX_SECTIONS`, or more bytes than 32 bits can count.
        UnsupportedError: it is a 32-bit image.
        FormatError: it is no image, or its headers contradict each other.
    """
    if blob.size > MAX_SIZE:
        raise LimitError(f"an executable of {blob.size} bytes; the limit is {MAX_SIZE}")
    start = _find_signature(blob)
    coff_at = start + len(SIGNATURE)
    machine, count, timestamp, _, _, optional_size, _ = COFF.unpack(
        blob.read_at(coff_at, COFF.size)
    )
    if count > MAX_SECTIONS:
        raise LimitError(f"the executable has {count} sections; the limit is {MAX_SECTIONS}")
    optional_at = coff_at + COFF.size
    optional = blob.read_at(optional_at, optional_size)
    table_at = optional_at + optional_size
    return _read_image(
        blob,
        optional,
        machine=machine,
        timestamp=timestamp,
        optional_offset=optional_at,
        sections=_read_sections(blob, table_at, count),
    )


def _find_signature(blob: Blob) -> int:
    if blob.size < DOS_HEADER or not looks_like_pe(blob.read_at(0, 2)):
        raise FormatError("not an EFI executable: it does not begin with an MS-DOS header")
    start = int.from_bytes(blob.read_at(_PE_POINTER, 4), "little")
    if start + len(SIGNATURE) > min(blob.size, MAX_HEADERS):
        raise FormatError(f"the executable's header would be at byte {start}")
    if blob.read_at(start, len(SIGNATURE)) != SIGNATURE:
        raise FormatError("not an EFI executable: there is no PE signature")
    return start


def _read_image(
    blob: Blob,
    optional: bytes,
    *,
    machine: int,
    timestamp: int,
    optional_offset: int,
    sections: tuple[Section, ...],
) -> Image:
    _check_magic(optional)
    section_alignment, file_alignment = struct.unpack_from("<II", optional, 32)
    size_of_image, size_of_headers, checksum, subsystem = struct.unpack_from("<IIIH", optional, 56)
    table_offset = optional_offset + len(optional)
    security_offset, security = _read_security(blob, optional, optional_offset)
    image = Image(
        machine=machine,
        timestamp=timestamp,
        subsystem=subsystem,
        section_alignment=section_alignment,
        file_alignment=file_alignment,
        size_of_image=size_of_image,
        size_of_headers=size_of_headers,
        checksum=checksum,
        optional_offset=optional_offset,
        table_offset=table_offset,
        security_offset=security_offset,
        security=security,
        sections=sections,
        size=blob.size,
    )
    _check(image)
    return image


def _check_magic(optional: bytes) -> None:
    if len(optional) < DIRECTORIES:
        raise TruncatedError(f"the executable's optional header has {len(optional)} bytes")
    magic = int.from_bytes(optional[:2], "little")
    if magic == _MAGIC_PE32:
        raise UnsupportedError("a 32-bit executable (PE32); 64-bit ones (PE32+) are handled")
    if magic != MAGIC_PE32_PLUS:
        raise FormatError(f"the executable's optional header has the magic {magic:#x}")


def _read_security(
    blob: Blob, optional: bytes, optional_offset: int
) -> tuple[int, tuple[int, int]]:
    """Where directory 4 is, and what it says; both zero where the header has no room for it."""
    (count,) = struct.unpack_from("<I", optional, DIRECTORIES - 4)
    if count > _MAX_DIRECTORIES or DIRECTORIES + 8 * count > len(optional):
        raise FormatError(f"the executable's optional header has no room for {count} directories")
    if count <= _SECURITY:
        return 0, (0, 0)
    at = DIRECTORIES + 8 * _SECURITY
    offset, size = struct.unpack_from("<II", optional, at)
    if size and offset + size > blob.size:
        raise TruncatedError(
            f"the certificate table would end at byte {offset + size}, there are {blob.size}"
        )
    return optional_offset + at, (offset, size) if size else (0, 0)


def _read_sections(blob: Blob, table_offset: int, count: int) -> tuple[Section, ...]:
    table = blob.read_at(table_offset, SECTION.size * count)
    return tuple(_read_section(blob, fields) for fields in SECTION.iter_unpack(table))


def _read_section(blob: Blob, fields: tuple[bytes, int, int, int, int, int]) -> Section:
    name, virtual_size, virtual_address, raw_size, offset, characteristics = fields
    text = printable(name.rstrip(b"\0"))
    if raw_size and offset + raw_size > blob.size:
        raise TruncatedError(
            f"the section {text} would end at byte {offset + raw_size}, there are {blob.size}"
        )
    if virtual_address + max(virtual_size, raw_size) > MAX_SIZE:
        raise FormatError(f"the section {text} is loaded beyond 4 GiB")
    return Section(text, virtual_address, virtual_size, offset, raw_size, characteristics)


def _check(image: Image) -> None:
    for name, alignment in (
        ("section", image.section_alignment),
        ("file", image.file_alignment),
    ):
        if not 0 < alignment <= _ALIGNMENT_MAX or alignment & (alignment - 1):
            raise FormatError(f"the executable's {name} alignment is {alignment}")
    table_end = image.table_offset + SECTION.size * len(image.sections)
    if not table_end <= image.size_of_headers <= min(image.size, MAX_HEADERS):
        raise FormatError(
            f"the executable says its headers have {image.size_of_headers} bytes; "
            f"the section table ends at {table_end}, the file at {image.size}"
        )


def section_blob(blob: Blob, section: Section) -> Blob:
    """What is in memory where a section is loaded: VirtualSize bytes, zeros behind raw data."""
    stored = min(section.virtual_size, section.raw_size)
    base = SubBlob(blob, section.offset, stored) if stored else BytesBlob(b"")
    return base if stored == section.virtual_size else PaddedBlob(base, section.virtual_size)
