"""PE32+ executables: what EFI stubs, kernels, UKIs and addons are (Microsoft "PE Format").

    image = pe.parse(blob)
    section = image.find(".cmdline")

says where everything is; contents are left to blobs. Bounds are checked, so that every section
and the certificate table lie inside the file. It reads no imports, symbols, relocations or
resources. The headers' fields are in `sysgraft.formats.pe_headers`; writing is
`sysgraft.formats.pe_image`, signatures are `sysgraft.formats.authenticode`.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from sysgraft.base.blob import BytesBlob, PaddedBlob, SubBlob
from sysgraft.base.tree import printable
from sysgraft.errors import FormatError, LimitError, TruncatedError
from sysgraft.formats import pe_headers
from sysgraft.formats.pe_headers import MAX_HEADERS, MAX_SECTIONS, Headers, looks_like_pe

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sysgraft.base.blob import Blob

__all__ = [
    "CODE",
    "EFI_APPLICATION",
    "INITIALIZED_DATA",
    "MACHINES",
    "MAX_HEADERS",
    "MAX_SECTIONS",
    "MAX_SIZE",
    "READ",
    "SECTION",
    "Image",
    "Section",
    "looks_like_pe",
    "parse",
    "section_blob",
]

MAX_SIZE: Final = 0xFFFF_FFFF
"""Bytes of one file, and of an image in memory: all numbers in the headers have 32 bits."""

MACHINES: Final[Mapping[int, str]] = MappingProxyType(
    {
        0x014C: "x86",
        0x01C2: "arm",
        0x01C4: "arm",
        0x5032: "riscv32",
        0x5064: "riscv64",
        0x6232: "loongarch32",
        0x6264: "loongarch64",
        0x8664: "x86-64",
        0xAA64: "arm64",
    }
)
"""IMAGE_FILE_MACHINE_… ("Machine Types") with systemd's names of the architectures; UEFI 2.10
§2.3.5.1 gives ARM 0x1c2 (mixed ARM and Thumb), linkers give 0x1c4 (Thumb-2)."""

EFI_APPLICATION: Final = 10
"""IMAGE_SUBSYSTEM_EFI_APPLICATION."""

# Section flags ("Section Flags", IMAGE_SCN_…).
CODE: Final = 0x20
INITIALIZED_DATA: Final = 0x40
READ: Final = 0x4000_0000

# offset size  section header
#      0    8  Name, padded with NULs
#      8    4  VirtualSize
#     12    4  VirtualAddress
#     16    4  SizeOfRawData
#     20    4  PointerToRawData
#     24   12  relocations and line numbers, not used in images
#     36    4  Characteristics
SECTION: Final = struct.Struct("<8sIIII12xI")
_NAME: Final = 8


@dataclass(frozen=True, slots=True)
class Section:
    """One section.

    Attributes:
        name: up to 8 characters; escaped where they cannot be shown.
        virtual_address: where it is loaded, relative to the image's base.
        virtual_size: its length in bytes there; the UKI specification measures this many.
        offset: where its raw data are in the file; means nothing without any.
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

    @property
    def memory_end(self) -> int:
        """Where it ends in memory; without a VirtualSize all raw data are loaded (EDK II)."""
        return self.virtual_address + (self.virtual_size or self.raw_size)

    def __bytes__(self) -> bytes:
        """The section header.

        Raises:
            FormatError: the name is not what a header can hold.
        """
        # A backslash may stand for something that was escaped, and would come back as another name.
        if not self.name.isascii() or len(self.name) > _NAME or "\\" in self.name:
            raise FormatError(
                f"no section can be called {self.name}: "
                f"at most {_NAME} ASCII characters and no backslash"
            )
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
        return self.optional_offset + pe_headers.CHECKSUM

    @property
    def architecture(self) -> str | None:
        """The architecture as systemd calls it, None if it has no name here."""
        return MACHINES.get(self.machine)

    def find(self, name: str) -> Section | None:
        """The first section of that name."""
        return next((each for each in self.sections if each.name == name), None)


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
    headers = pe_headers.read_headers(blob)
    section_alignment, file_alignment = headers.alignments
    image = Image(
        machine=headers.coff.machine,
        timestamp=headers.coff.timestamp,
        subsystem=headers.subsystem,
        section_alignment=section_alignment,
        file_alignment=file_alignment,
        size_of_image=headers.field(pe_headers.SIZE_OF_IMAGE),
        size_of_headers=headers.field(pe_headers.SIZE_OF_HEADERS),
        checksum=headers.field(pe_headers.CHECKSUM),
        optional_offset=headers.optional_offset,
        table_offset=headers.table_offset,
        security_offset=headers.directory_offset(pe_headers.SECURITY),
        security=_read_security(blob, headers),
        sections=_read_sections(blob, headers),
        size=blob.size,
    )
    _check_header_size(image)
    return image


def _read_security(blob: Blob, headers: Headers) -> tuple[int, int]:
    offset, size = headers.directory(pe_headers.SECURITY)
    if offset + size > blob.size:
        raise TruncatedError(
            f"the certificate table would end at byte {offset + size}, there are {blob.size}"
        )
    return offset, size


def _read_sections(blob: Blob, headers: Headers) -> tuple[Section, ...]:
    table = blob.read_at(headers.table_offset, SECTION.size * headers.coff.sections)
    return tuple(_read_section(blob, fields) for fields in SECTION.iter_unpack(table))


def _read_section(blob: Blob, fields: tuple[bytes, int, int, int, int, int]) -> Section:
    name, virtual_size, virtual_address, raw_size, offset, characteristics = fields
    text = _read_name(name)
    if raw_size and offset + raw_size > blob.size:
        raise TruncatedError(
            f"the section {text} would end at byte {offset + raw_size}, there are {blob.size}"
        )
    if virtual_address + max(virtual_size, raw_size) > MAX_SIZE:
        raise FormatError(f"the section {text} is loaded beyond 4 GiB")
    return Section(text, virtual_address, virtual_size, offset, raw_size, characteristics)


def _read_name(name: bytes) -> str:
    """A name; systemd-stub stops at the first NUL, others compare all eight bytes."""
    text, _, rest = name.partition(b"\0")
    if rest.strip(b"\0"):
        raise FormatError(f"the section {printable(text)} has a name that goes on behind a NUL")
    return printable(text)


def _check_header_size(image: Image) -> None:
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
