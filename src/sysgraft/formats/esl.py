"""EFI signature lists: what PK, KEK, db and dbx hold (UEFI 2.10 §32.4.1, EFI_SIGNATURE_LIST).

Reads and writes the lists; what a dbx revokes is told by `sysgraft.formats.revocations`. It does
not read the signed form in which variables are updated (`sysgraft.formats.authvar`).
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Final, NamedTuple
from uuid import UUID

from sysgraft.errors import FormatError, LimitError, TruncatedError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

MAX_SIGNATURE_LISTS: Final = 4 << 20
"""Bytes of all lists of one variable; the largest dbx in use has about 24 KiB."""
MAX_SIGNATURES: Final = 1 << 16
"""Entries of one variable; the largest dbx in use has about 450."""

CERT_X509: Final = UUID("a5c059a1-94e4-4aa7-87b5-ab155c2bf072")
CERT_SHA1: Final = UUID("826ca512-cf10-4ac9-b187-be01496631bd")
CERT_SHA224: Final = UUID("0b6e5233-a65c-44c9-9407-d9ab83bfc8bd")
CERT_SHA256: Final = UUID("c1c41626-504c-4092-aca9-41f936934328")
CERT_SHA384: Final = UUID("ff3e5307-9fd0-48c9-85f1-8ad56c701e01")
CERT_SHA512: Final = UUID("093e0fae-a6c4-4f50-9f1b-d41e2b89c19a")
CERT_X509_SHA256: Final = UUID("3bd2a492-96c0-4079-b420-fcf98ef103ed")
CERT_X509_SHA384: Final = UUID("7076876e-80c2-4ee6-aad2-28b349a6865b")
CERT_X509_SHA512: Final = UUID("446dbf63-2502-4cda-bcfa-2465d2b0fe9d")

# offset size  EFI_SIGNATURE_LIST
#      0   16  SignatureType
#     16    4  SignatureListSize: this header and all that follows
#     20    4  SignatureHeaderSize
#     24    4  SignatureSize: of each entry, its owner included
#     28       SignatureHeader, then entries: SignatureOwner (16 bytes), SignatureData
_HEADER: Final = struct.Struct("<16sIII")
_OWNER: Final = 16
EFI_TIME: Final = 16
"""A hash of the signed part of a certificate is followed by the time of its revocation."""
TBS_DIGESTS: Final[Mapping[UUID, str]] = MappingProxyType(
    {CERT_X509_SHA256: "sha256", CERT_X509_SHA384: "sha384", CERT_X509_SHA512: "sha512"},
)
"""Types of entries that are such hashes, as `hashlib` calls them."""
IMAGE_DIGESTS: Final[Mapping[UUID, str]] = MappingProxyType(
    {
        CERT_SHA1: "sha1",
        CERT_SHA224: "sha224",
        CERT_SHA256: "sha256",
        CERT_SHA384: "sha384",
        CERT_SHA512: "sha512",
    }
)
"""Types of entries that are digests of programs, as `hashlib` calls them."""
_DATA_SIZES: Final[Mapping[UUID, int]] = MappingProxyType(
    {
        CERT_SHA1: 20,
        CERT_SHA224: 28,
        CERT_SHA256: 32,
        CERT_SHA384: 48,
        CERT_SHA512: 64,
        CERT_X509_SHA256: 32 + EFI_TIME,
        CERT_X509_SHA384: 48 + EFI_TIME,
        CERT_X509_SHA512: 64 + EFI_TIME,
    },
)


class Signature(NamedTuple):
    """One entry (EFI_SIGNATURE_DATA): its owner, and a certificate, a hash or other data."""

    owner: UUID
    data: bytes


@dataclass(frozen=True, slots=True)
class SignatureList:
    """Entries of one type and size.

    Attributes:
        type: what the entries are, such as `CERT_X509`.
        signatures: the entries; all have data of the same length.
        header: the type's own header; empty for all types of the specification.
    """

    type: UUID
    signatures: tuple[Signature, ...]
    header: bytes = b""


def parse(data: bytes) -> tuple[SignatureList, ...]:
    """Read the value of a signature database variable; lists of unknown type are kept as read.

    Raises:
        LimitError: more than `MAX_SIGNATURE_LISTS` bytes or `MAX_SIGNATURES` entries.
        FormatError: a size does not fit.
    """
    if len(data) > MAX_SIGNATURE_LISTS:
        raise LimitError(
            f"signature lists of {len(data)} bytes; the limit is {MAX_SIGNATURE_LISTS}"
        )
    lists: list[SignatureList] = []
    count = offset = 0
    while offset < len(data):
        found, offset = _read_list(data, offset, MAX_SIGNATURES - count)
        count += len(found.signatures)
        lists.append(found)
    return tuple(lists)


def _read_list(data: bytes, offset: int, room: int) -> tuple[SignatureList, int]:
    if len(data) - offset < _HEADER.size:
        raise TruncatedError(f"the signature list at byte {offset} ends inside its header")
    kind_bytes, list_size, header_size, size = _HEADER.unpack_from(data, offset)
    kind = UUID(bytes_le=kind_bytes)
    _check_sizes(kind, header_size, size, offset)
    if list_size > len(data) - offset:
        raise TruncatedError(
            f"the signature list at byte {offset} says {list_size} bytes where "
            f"{len(data) - offset} are",
        )
    start = offset + _HEADER.size + header_size
    end = offset + list_size
    if start > end or (end - start) % size:
        raise FormatError(f"the signature list at byte {offset} is no whole number of entries")
    if (end - start) // size > room:
        raise LimitError(f"the signature lists have more than {MAX_SIGNATURES} entries")
    entries = tuple(_read_entry(data[at : at + size]) for at in range(start, end, size))
    return SignatureList(kind, entries, data[offset + _HEADER.size : start]), end


def _check_sizes(kind: UUID, header_size: int, size: int, offset: int) -> None:
    expected = _DATA_SIZES.get(kind, size - _OWNER)
    if size <= _OWNER or size != expected + _OWNER:
        raise FormatError(
            f"the signature list at byte {offset} has entries of {size} bytes, "
            f"which its type {kind} cannot have",
        )
    if header_size and (kind in _DATA_SIZES or kind == CERT_X509):
        raise FormatError(f"the signature list at byte {offset} has a header; its type has none")


def _read_entry(data: bytes) -> Signature:
    return Signature(UUID(bytes_le=data[:_OWNER]), data[_OWNER:])


def serialise(lists: Iterable[SignatureList]) -> bytes:
    """The value of a signature database variable: the bytes that `parse` read.

    Only a list without entries is left out: it could not say how long its entries are.

    Raises:
        FormatError: the entries of a list differ in length.
    """
    return b"".join(_serialise_list(each) for each in lists if each.signatures)


def _serialise_list(signatures: SignatureList) -> bytes:
    entries = [each.owner.bytes_le + each.data for each in signatures.signatures]
    size = len(entries[0])
    if any(len(each) != size for each in entries):
        raise FormatError("the entries of one signature list must have one length")
    body = signatures.header + b"".join(entries)
    return (
        _HEADER.pack(
            signatures.type.bytes_le,
            _HEADER.size + len(body),
            len(signatures.header),
            size,
        )
        + body
    )


def image_digests(lists: Iterable[SignatureList]) -> Iterable[tuple[str, bytes]]:
    """The digests of programs in these lists, each with its name."""
    for one in lists:
        name = IMAGE_DIGESTS.get(one.type)
        if name is not None:
            yield from ((name, entry.data) for entry in one.signatures)
