"""What extensions say of a certificate's place in a chain (RFC 5280 §4.2).

An issuer needs basicConstraints and, if there is one, the right keyUsage; and no certificate may
have a critical extension that nobody evaluates. Of those that OpenSSL knows, and so firmware, an
issuer may have only what changes nothing: nameConstraints are not evaluated here, and an issuer
with critical ones is refused. It looks at no dates and no names.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from sysgraft.errors import FormatError
from sysgraft.formats.der import (
    BIT_STRING,
    INTEGER,
    OBJECT_IDENTIFIER,
    OCTET_STRING,
    SEQUENCE,
    DerReader,
    encode_oid,
    oid_text,
    open_der,
    read_integer,
)

if TYPE_CHECKING:
    from sysgraft.formats.x509 import Certificate

_WHAT: Final = "the certificate"
_BOOLEAN: Final = 0x01
_TRUE: Final = b"\xff"
_MAX_PATH: Final = 2
"""Bytes of a pathLenConstraint."""

# Context tags of TBSCertificate.
_VERSION: Final = 0xA0
_ISSUER_ID: Final = 0x81
_SUBJECT_ID: Final = 0x82
_EXTENSIONS: Final = 0xA3

_BASIC_CONSTRAINTS: Final = encode_oid("2.5.29.19")
_KEY_USAGE: Final = encode_oid("2.5.29.15")
_KEY_CERT_SIGN: Final = 0x04
"""Bit 5 of KeyUsage in its first byte."""
_HARMLESS: Final = frozenset(map(encode_oid, ("2.5.29.37", "2.5.29.32", "2.5.29.17")))
"""May be critical without changing anything for firmware, which takes every purpose: extended
key usage, policies, alternative names."""
_KNOWN: Final = _HARMLESS | frozenset(
    map(
        encode_oid,
        (
            *("2.5.29.15", "2.5.29.19", "2.5.29.30", "2.5.29.31", "2.5.29.33", "2.5.29.36"),
            *("2.5.29.54", "2.16.840.1.113730.1.1", "1.3.6.1.5.5.7.1.14"),
            "1.3.6.1.5.5.7.48.1.5",
        ),
    )
)
"""Critical extensions that OpenSSL does not refuse (X509_supported_extension): these three, key
usage, basic and name constraints, revocation lists, policy mappings and constraints, any policy,
Netscape's type, proxy certificates, and that OCSP need not be asked."""


@dataclass(frozen=True, slots=True)
class Issuing:
    """What a certificate says of its right to issue others.

    Attributes:
        problem: why it may not; empty if it may.
        path_length: how many certificates may be between it and the last one; None for any.
    """

    problem: str = ""
    path_length: int | None = None


def read_issuing(certificate: Certificate) -> Issuing:
    """What a certificate says of its right to issue others; whatever is broken denies it."""
    try:
        extensions = _read_extensions(certificate.tbs_der)
        return _judge(extensions, self_issued=certificate.issuer_der == certificate.subject_der)
    except FormatError as error:
        return Issuing(error.message)


def unknown_extension(certificate: Certificate) -> str:
    """Why firmware takes no signature of a certificate, be it trusted itself; empty if it does."""
    try:
        extensions = _read_extensions(certificate.tbs_der) or {}
    except FormatError as error:
        return error.message
    return _unknown(extensions, _KNOWN)


def _unknown(extensions: dict[bytes, tuple[bool, bytes]], known: frozenset[bytes]) -> str:
    for kind, (critical, _) in extensions.items():
        if critical and kind not in known:
            return f"its critical extension {oid_text(kind[2:])} is not evaluated"
    return ""


def _judge(extensions: dict[bytes, tuple[bool, bytes]] | None, *, self_issued: bool) -> Issuing:
    if extensions is None:
        # Version 1 has no extensions; OpenSSL, and with it firmware, takes such roots.
        return Issuing("" if self_issued else "it has no basicConstraints")
    unknown = _unknown(extensions, _HARMLESS | {_BASIC_CONSTRAINTS, _KEY_USAGE})
    if unknown:
        return Issuing(unknown)
    if _BASIC_CONSTRAINTS not in extensions:
        return Issuing("it has no basicConstraints")
    is_authority, path_length = _read_constraints(extensions[_BASIC_CONSTRAINTS][1])
    if not is_authority:
        return Issuing("its basicConstraints do not name it an authority")
    if _KEY_USAGE in extensions and not _may_sign(extensions[_KEY_USAGE][1]):
        return Issuing("its keyUsage has no keyCertSign")
    return Issuing(path_length=path_length)


def _read_extensions(tbs_der: bytes) -> dict[bytes, tuple[bool, bytes]] | None:
    """Whether each extension is critical, and its value; None for a certificate of version 1."""
    fields = open_der(tbs_der, _WHAT)
    version = fields.take_optional(_VERSION)
    fields.take(INTEGER)
    for _ in range(5):  # signature, issuer, validity, subject, subjectPublicKeyInfo
        fields.take(SEQUENCE)
    fields.take_optional(_ISSUER_ID)
    fields.take_optional(_SUBJECT_ID)
    explicit = fields.take_optional(_EXTENSIONS)
    fields.finish()
    if explicit is None:
        return None if version is None else {}
    found: dict[bytes, tuple[bool, bytes]] = {}
    for one in open_der(explicit.content, _WHAT).rest(SEQUENCE):
        extension = DerReader(one.content, _WHAT)
        kind = extension.take(OBJECT_IDENTIFIER).raw
        if kind in found:
            raise FormatError(f"it has the extension {oid_text(kind[2:])} twice")
        critical = extension.take_optional(_BOOLEAN)
        value = extension.take(OCTET_STRING).content
        extension.finish()
        found[kind] = critical is not None and critical.content != b"\0", value
    return found


def _read_constraints(value: bytes) -> tuple[bool, int | None]:
    """BasicConstraints ::= SEQUENCE { cA BOOLEAN DEFAULT FALSE, pathLenConstraint OPTIONAL }."""
    fields = open_der(value, _WHAT)
    authority = fields.take_optional(_BOOLEAN)
    length = fields.take_optional(INTEGER)
    fields.finish()
    if length is not None and len(length.content) > _MAX_PATH:
        raise FormatError("its pathLenConstraint is out of bounds")
    return (
        authority is not None and authority.content == _TRUE,
        None if length is None else max(0, read_integer(length, _WHAT)),
    )


def _may_sign(value: bytes) -> bool:
    reader = DerReader(value, _WHAT)
    bits = reader.take(BIT_STRING).content
    reader.finish()
    return len(bits) > 1 and bool(bits[1] & _KEY_CERT_SIGN)
