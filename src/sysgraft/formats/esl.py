"""EFI signature lists: what PK, KEK, db and dbx hold (UEFI 2.10 §32.4.1, EFI_SIGNATURE_LIST).

Reads and writes the lists, and answers whether a dbx revokes a certificate. It does not read the
signed form in which variables are updated (EFI_VARIABLE_AUTHENTICATION_2, ``.auth`` files).
"""

from __future__ import annotations

import hashlib
import struct
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Final, Self
from uuid import UUID

from sysgraft.errors import FormatError, KeyMaterialError, LimitError, TruncatedError
from sysgraft.formats.x509 import parse_certificate

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from sysgraft.formats.x509 import Certificate

MAX_SIGNATURE_LISTS: Final = 4 << 20
"""Bytes of all lists of one variable; the largest dbx in use has about 24 KiB."""
MAX_SIGNATURES: Final = 1 << 16
"""Entries of one variable; the largest dbx in use has about 450."""
MAX_ISSUERS: Final = 8
"""Issuers climbed from a certificate to a revoked one: chains in use have one to three."""

CERT_X509: Final = UUID("a5c059a1-94e4-4aa7-87b5-ab155c2bf072")
CERT_SHA256: Final = UUID("c1c41626-504c-4092-aca9-41f936934328")
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
# A hash of the signed part of a certificate is followed by EFI_TIME, the time of revocation.
_EFI_TIME: Final = 16
_TBS_DIGESTS: Final[Mapping[UUID, str]] = MappingProxyType(
    {CERT_X509_SHA256: "sha256", CERT_X509_SHA384: "sha384", CERT_X509_SHA512: "sha512"},
)
_DATA_SIZES: Final[Mapping[UUID, int]] = MappingProxyType(
    {
        CERT_SHA256: 32,
        CERT_X509_SHA256: 32 + _EFI_TIME,
        CERT_X509_SHA384: 48 + _EFI_TIME,
        CERT_X509_SHA512: 64 + _EFI_TIME,
    },
)


@dataclass(frozen=True, slots=True)
class Signature:
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


@dataclass(frozen=True, slots=True)
class Revocations:
    """What a dbx revokes, prepared for questions about certificates.

    Attributes:
        certificates: revoked certificates that can be read; what they issued is revoked too.
        ders: all revoked certificates as bytes, the unreadable ones too.
        hashes: SHA-256 entries. Firmware takes them for hashes of programs; a certificate whose
            own hash is there counts as revoked, since that can only make us stricter.
        tbs_hashes: hashes of the signed part of certificates, by digest name. Their time of
            revocation is not looked at: no time in a signature could be trusted against it.
    """

    certificates: tuple[Certificate, ...] = ()
    ders: frozenset[bytes] = frozenset()
    hashes: frozenset[bytes] = frozenset()
    tbs_hashes: frozenset[tuple[str, bytes]] = frozenset()

    @classmethod
    def from_lists(cls, lists: Iterable[SignatureList]) -> Self:
        """What these lists, the value of a dbx, revoke."""
        found = tuple(lists)
        ders = [one.data for each in found if each.type == CERT_X509 for one in each.signatures]
        return cls(
            certificates=tuple(_readable(ders)),
            ders=frozenset(ders),
            hashes=frozenset(
                one.data for each in found if each.type == CERT_SHA256 for one in each.signatures
            ),
            tbs_hashes=frozenset(
                (digest, one.data[:-_EFI_TIME])
                for each in found
                if (digest := _TBS_DIGESTS.get(each.type))
                for one in each.signatures
            ),
        )

    def __or__(self, other: Revocations) -> Revocations:
        """What either revokes."""
        return Revocations(
            self.certificates + other.certificates,
            self.ders | other.ders,
            self.hashes | other.hashes,
            self.tbs_hashes | other.tbs_hashes,
        )

    @property
    def count(self) -> int:
        """The number of different entries that can concern a certificate."""
        return len(self.ders) + len(self.hashes) + len(self.tbs_hashes)

    def is_revoked(self, certificate: Certificate, known: Sequence[Certificate] = ()) -> str | None:
        """Why the certificate, or one it descends from, is revoked; None if none is.

        Args:
            certificate: the one in question.
            known: certificates that may be its issuers, or theirs: with them, a revoked root is
                found above an intermediate that no dbx names. `MAX_ISSUERS` levels are climbed.
        """
        level = [certificate]
        seen = {certificate.der}
        for _ in range(MAX_ISSUERS + 1):
            for each in level:
                reason = self._own_reason(each)
                if reason:
                    above = f"{each.subject}, above it, is revoked: "
                    return reason if each is certificate else above + reason
            # Each certificate once: issuers may go in a circle.
            issuers = {
                above.der: above
                for above in known
                if above.der not in seen and any(_may_have_issued(above, each) for each in level)
            }
            seen |= issuers.keys()
            level = list(issuers.values())
        return None

    def _own_reason(self, certificate: Certificate) -> str | None:
        """Why the certificate itself or its issuer is revoked."""
        if certificate.der in self.ders:
            return "dbx holds this certificate"
        if certificate.fingerprint in self.hashes:
            return "dbx holds the certificate's SHA-256"
        for digest in _TBS_DIGESTS.values():
            if (digest, hashlib.new(digest, certificate.tbs_der).digest()) in self.tbs_hashes:
                return f"dbx holds the {digest} of the certificate's signed part"
        return next(filter(None, (_issued(certificate, each) for each in self.certificates)), None)


def _readable(ders: Iterable[bytes]) -> Iterable[Certificate]:
    for der in ders:
        try:
            yield parse_certificate(der)
        except FormatError:
            # Its bytes still count; only what it might have issued cannot be told.
            continue


def _issued(certificate: Certificate, revoked: Certificate) -> str | None:
    """Why `certificate` falls with `revoked`; what cannot be checked counts as issued by it."""
    issued = _is_issued_by(certificate, revoked)
    if issued is False:
        return None
    doubt = "" if issued else " (by its name; the signature cannot be checked)"
    return f"dbx holds its issuer, {revoked.subject}{doubt}"


def _may_have_issued(issuer: Certificate, certificate: Certificate) -> bool:
    return _is_issued_by(certificate, issuer) is not False


def _is_issued_by(certificate: Certificate, issuer: Certificate) -> bool | None:
    """None if only the name says so, and the signature cannot be checked."""
    try:
        return certificate.is_issued_by(issuer)
    except KeyMaterialError:
        return None
