"""The headers of a PE32+ image up to its section table (Microsoft "PE Format").

Where they are, what their fields mean, and the rules without which no firmware starts a program
(EDK II, PeCoffLoaderGetPeHeader). 32-bit images (PE32) are told apart and refused. Sections and
the image as a whole are `sysgraft.formats.pe`.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NamedTuple

from sysgraft.errors import FormatError, LimitError, TruncatedError, UnsupportedError

if TYPE_CHECKING:
    from sysgraft.base.blob import Blob

MAX_HEADERS: Final = 1 << 20
"""Bytes of all headers; with `MAX_SECTIONS` entries the section table has 40 KiB."""
MAX_SECTIONS: Final = 1024
"""Sections of one image: a stub has about ten, a UKI with device trees some hundred more."""
_ALIGNMENT_MAX: Final = 64 << 20
"""Largest alignment accepted; 4096 is usual, arm64 has 65536."""

# offset size  MS-DOS header
#      0    2  "MZ"
#   0x3c    4  where "PE\0\0" is
_DOS_MAGIC: Final = b"MZ"
_DOS_HEADER: Final = 0x40
_PE_POINTER: Final = 0x3C
_SIGNATURE: Final = b"PE\0\0"

# offset size  COFF header, behind the signature
#      0    2  Machine
#      2    2  NumberOfSections
#      4    4  TimeDateStamp
#      8    4  PointerToSymbolTable
#     12    4  NumberOfSymbols
#     16    2  SizeOfOptionalHeader
#     18    2  Characteristics
_COFF: Final = struct.Struct("<HHIIIHH")

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
#     70    2  DllCharacteristics
#    108    4  NumberOfRvaAndSizes
#    112    8  for each data directory: address, size
_MAGIC_PE32_PLUS: Final = 0x20B
_MAGIC_PE32: Final = 0x10B
SIZE_OF_INITIALIZED_DATA: Final = 8
_SECTION_ALIGNMENT: Final = 32
SIZE_OF_IMAGE: Final = 56
SIZE_OF_HEADERS: Final = 60
CHECKSUM: Final = 64
DLL_CHARACTERISTICS: Final = 70
_DIRECTORY_COUNT: Final = 108
_DIRECTORIES: Final = 112
_DIRECTORY: Final = struct.Struct("<II")
_MAX_DIRECTORIES: Final = 16

SECURITY: Final = 4
"""IMAGE_DIRECTORY_ENTRY_SECURITY; its address is an offset in the file."""
DEBUG: Final = 6
"""IMAGE_DIRECTORY_ENTRY_DEBUG; what it points to holds offsets in the file."""


class Coff(NamedTuple):
    """The COFF header, field by field."""

    machine: int
    sections: int
    timestamp: int
    symbols_offset: int
    symbols: int
    optional_size: int
    characteristics: int

    def __bytes__(self) -> bytes:
        return _COFF.pack(*self)


COFF_SIZE: Final = _COFF.size


@dataclass(frozen=True, slots=True)
class Headers:
    """The COFF header and the optional header.

    Attributes:
        coff: the first.
        optional: the second, as it is.
        optional_offset: where it is in the file.
    """

    coff: Coff
    optional: bytes
    optional_offset: int

    @property
    def coff_offset(self) -> int:
        """Where the COFF header is in the file."""
        return self.optional_offset - COFF_SIZE

    @property
    def table_offset(self) -> int:
        """Where the section table is in the file."""
        return self.optional_offset + len(self.optional)

    @property
    def alignments(self) -> tuple[int, int]:
        """Of sections in memory and of their data in the file, in bytes."""
        section, file = struct.unpack_from("<II", self.optional, _SECTION_ALIGNMENT)
        return section, file

    @property
    def subsystem(self) -> int:
        """IMAGE_SUBSYSTEM_…."""
        return int.from_bytes(self.optional[68:70], "little")

    @property
    def dll_characteristics(self) -> int:
        """IMAGE_DLLCHARACTERISTICS_…."""
        return int.from_bytes(self.optional[DLL_CHARACTERISTICS:][:2], "little")

    def field(self, offset: int) -> int:
        """A field of four bytes of the optional header."""
        return int.from_bytes(self.optional[offset : offset + 4], "little")

    def directory_offset(self, number: int) -> int:
        """Where a data directory is in the file; 0 if the header has no room for it."""
        if number >= self.field(_DIRECTORY_COUNT):
            return 0
        return self.optional_offset + _DIRECTORIES + _DIRECTORY.size * number

    def directory(self, number: int) -> tuple[int, int]:
        """Address and size of what a data directory points to, zeros if there is nothing."""
        at = self.directory_offset(number)
        if not at:
            return 0, 0
        address, size = _DIRECTORY.unpack_from(self.optional, at - self.optional_offset)
        return (address, size) if size else (0, 0)


def looks_like_pe(head: bytes) -> bool:
    """Whether a file that begins with `head` may be an executable for EFI."""
    return head.startswith(_DOS_MAGIC)


def read_headers(blob: Blob) -> Headers:
    """Read and check all headers in front of the section table.

    Raises:
        TruncatedError: the file ends inside them.
        LimitError: more than `MAX_SECTIONS`.
        UnsupportedError: it is a 32-bit image.
        FormatError: it is no image, or its headers contradict each other.
    """
    coff_at = _find_signature(blob) + len(_SIGNATURE)
    coff = Coff(*_COFF.unpack(blob.read_at(coff_at, _COFF.size)))
    if coff.sections > MAX_SECTIONS:
        raise LimitError(
            f"the executable has {coff.sections} sections; the limit is {MAX_SECTIONS}"
        )
    optional_at = coff_at + _COFF.size
    optional = blob.read_at(optional_at, coff.optional_size)
    _check_magic(optional)
    headers = Headers(coff, optional, optional_at)
    _check_directories(headers)
    _check_alignments(headers)
    return headers


def _find_signature(blob: Blob) -> int:
    if blob.size < _DOS_HEADER or not looks_like_pe(blob.read_at(0, len(_DOS_MAGIC))):
        raise FormatError("not an EFI executable: it does not begin with an MS-DOS header")
    start = int.from_bytes(blob.read_at(_PE_POINTER, 4), "little")
    if not _DOS_HEADER <= start <= min(blob.size, MAX_HEADERS) - len(_SIGNATURE):
        raise FormatError(f"the executable's header would be at byte {start}")
    if blob.read_at(start, len(_SIGNATURE)) != _SIGNATURE:
        raise FormatError("not an EFI executable: there is no PE signature")
    return start


def _check_magic(optional: bytes) -> None:
    magic = int.from_bytes(optional[:2], "little")
    if magic == _MAGIC_PE32:
        raise UnsupportedError("a 32-bit executable (PE32); 64-bit ones (PE32+) are handled")
    if len(optional) >= 2 and magic != _MAGIC_PE32_PLUS:
        raise FormatError(f"the executable's optional header has the magic {magic:#x}")
    if len(optional) < _DIRECTORIES:
        raise TruncatedError(f"the executable's optional header has {len(optional)} bytes")


def _check_directories(headers: Headers) -> None:
    count = headers.field(_DIRECTORY_COUNT)
    wanted = _DIRECTORIES + _DIRECTORY.size * count
    if count > _MAX_DIRECTORIES or wanted != len(headers.optional):
        raise FormatError(
            f"the executable's optional header has {len(headers.optional)} bytes, "
            f"with {count} directories it should have {wanted}"
        )


def _check_alignments(headers: Headers) -> None:
    for name, alignment in zip(("section", "file"), headers.alignments, strict=True):
        if not 0 < alignment <= _ALIGNMENT_MAX or alignment & (alignment - 1):
            raise FormatError(f"the executable's {name} alignment is {alignment}")
