"""The certificate table of an executable (Microsoft "PE Format", "Attribute Certificate Table").

A row of WIN_CERTIFICATE entries at the end of the file, which no signature covers. So nothing in
it may be anything but a signature or a zero: all lengths have to add up, padding has to be empty,
and entries of a kind that no firmware reads are refused. What the signatures say is read by
`sysgraft.formats.authenticode`.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from sysgraft.errors import FormatError, LimitError, TruncatedError, UnsupportedError

if TYPE_CHECKING:
    from collections.abc import Iterable

MAX_TABLE: Final = 1 << 20
"""Bytes of one table: a signature has 1 to 3 KiB, with a chain and a time stamp up to 20."""
MAX_ENTRIES: Final = 16
"""Signatures of one file; distributions use two at most."""
ALIGNMENT: Final = 8
"""Every entry begins at a multiple of this many bytes, and so does the table."""

# offset size  WIN_CERTIFICATE
#      0    4  dwLength: this header and the certificate, without padding
#      4    2  wRevision
#      6    2  wCertificateType
#      8       bCertificate
_HEADER: Final = struct.Struct("<IHH")
_REVISION: Final = 0x0200
PKCS_SIGNED_DATA: Final = 0x0002
"""WIN_CERT_TYPE_PKCS_SIGNED_DATA: the certificate is PKCS#7 SignedData."""
_EFI_GUID: Final = 0x0EF1
"""WIN_CERT_TYPE_EFI_GUID (UEFI §32.2.4): a GUID says what follows it."""
_PKCS7_GUID: Final = bytes.fromhex("9dd2af4adf68ee498aa9347d375665a7")
"""EFI_CERT_TYPE_PKCS7_GUID, 4aafd29d-68df-49ee-8aa9-347d375665a7."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One signature as it stands in the table.

    Attributes:
        data: all bytes of the entry behind its header.
        kind: wCertificateType.
    """

    data: bytes
    kind: int = PKCS_SIGNED_DATA

    @property
    def pkcs7(self) -> bytes:
        """The PKCS#7 structure, with zeros behind it where the signer counted padding in."""
        return self.data if self.kind == PKCS_SIGNED_DATA else self.data[len(_PKCS7_GUID) :]


def parse(table: bytes) -> tuple[Entry, ...]:
    """Read a certificate table.

    Raises:
        LimitError: more than `MAX_TABLE` bytes or `MAX_ENTRIES` entries.
        UnsupportedError: an entry is no PKCS#7 signature.
        FormatError: the lengths do not add up, or padding is not empty.
    """
    if len(table) > MAX_TABLE:
        raise LimitError(f"a certificate table of {len(table)} bytes; the limit is {MAX_TABLE}")
    entries: list[Entry] = []
    offset = 0
    while offset < len(table):
        if len(entries) == MAX_ENTRIES:
            raise LimitError(f"the certificate table has more than {MAX_ENTRIES} entries")
        entry, offset = _read_entry(table, offset)
        entries.append(entry)
    return tuple(entries)


def _read_entry(table: bytes, offset: int) -> tuple[Entry, int]:
    """The entry at `offset`, and where the next one begins."""
    left = len(table) - offset
    if left < _HEADER.size:
        raise TruncatedError(f"the certificate table ends inside the header at byte {offset}")
    length, revision, kind = _HEADER.unpack_from(table, offset)
    following = offset + aligned(length)
    if length <= _HEADER.size or following > len(table):
        raise FormatError(
            f"the signature at byte {offset} of the certificate table has a length of {length} "
            f"bytes, there are {left}"
        )
    if revision != _REVISION:
        raise UnsupportedError(f"the certificate table has an entry of revision {revision:#06x}")
    end = offset + length
    if any(table[end:following]):
        raise FormatError("the certificate table holds something behind a signature")
    entry = Entry(table[offset + _HEADER.size : end], kind)
    _check_kind(entry)
    return entry, following


def _check_kind(entry: Entry) -> None:
    if entry.kind == PKCS_SIGNED_DATA:
        return
    if entry.kind != _EFI_GUID:
        raise UnsupportedError(f"the certificate table has an entry of the type {entry.kind:#06x}")
    if not entry.data.startswith(_PKCS7_GUID):
        raise UnsupportedError("the certificate table has an entry that is no PKCS#7 signature")


def serialise(entries: Iterable[Entry]) -> bytes:
    """The certificate table; of anything `parse` returned, the bytes it was read from."""
    return b"".join(map(_serialise_entry, entries))


def _serialise_entry(entry: Entry) -> bytes:
    length = _HEADER.size + len(entry.data)
    header = _HEADER.pack(length, _REVISION, entry.kind)
    return (header + entry.data).ljust(aligned(length), b"\0")


def directory_entry(offset: int, size: int) -> bytes:
    """Data directory 4, which says where the table is; unlike others it names a file offset."""
    return struct.pack("<II", offset, size)


def aligned(length: int) -> int:
    """The next multiple of `ALIGNMENT`."""
    return -(-length // ALIGNMENT) * ALIGNMENT
