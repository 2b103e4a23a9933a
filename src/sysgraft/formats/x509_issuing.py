"""What extensions say of a certificate's place in a chain (RFC 5280 §4.2).

An issuer needs basicConstraints and, if there is one, the right keyUsage; and no certificate may
have a critical extension that nobody evaluates. Of those that OpenSSL knows, and so firmware, an
issuer may have only what changes nothing: nameConstraints are not evaluated here, and an issuer
that has any is refused. So is, at either place, a certificate that OpenSSL takes for invalid as
soon as it looks at it. It looks at no dates, and at names only where an extension holds one.
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
from sysgraft.formats.x509_names import same_name

if TYPE_CHECKING:
    from collections.abc import Iterator

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
_SUBJECT_KEY: Final = encode_oid("2.5.29.14")
_AUTHORITY_KEY: Final = encode_oid("2.5.29.35")
_NAME_CONSTRAINTS: Final = encode_oid("2.5.29.30")
_PROXY: Final = encode_oid("1.3.6.1.5.5.7.1.14")
_HARMLESS: Final = frozenset(map(encode_oid, ("2.5.29.37", "2.5.29.32", "2.5.29.17")))
"""May be critical without changing anything for firmware, which takes every purpose: extended
key usage, policies, alternative names."""
_KNOWN: Final = (
    _HARMLESS
    | {_BASIC_CONSTRAINTS, _KEY_USAGE, _NAME_CONSTRAINTS}
    | frozenset(
        map(
            encode_oid,
            (
                *("2.5.29.31", "2.5.29.33", "2.5.29.36", "2.5.29.54"),
                *("2.16.840.1.113730.1.1", "1.3.6.1.5.5.7.48.1.5"),
            ),
        )
    )
)
"""Critical extensions that OpenSSL does not refuse (X509_supported_extension): these three, key
usage, basic and name constraints, revocation lists, policy mappings and constraints, any policy,
Netscape's type, and that OCSP need not be asked. It knows proxy certificates too, and refuses them
unless told otherwise, critical or not."""
# AuthorityKeyIdentifier ::= SEQUENCE { [0] keyIdentifier, [1] authorityCertIssuer GeneralNames,
#   [2] authorityCertSerialNumber }, all optional; a directoryName is [4] EXPLICIT Name.
_AUTHORITY_KEY_ID: Final = 0x80
_AUTHORITY_ISSUER: Final = 0xA1
_AUTHORITY_SERIAL: Final = 0x82
_DIRECTORY_NAME: Final = 0xA4
_SEQUENCES: Final = (
    *map(encode_oid, ("2.5.29.17", "2.5.29.37", "2.5.29.31")),
    *(_NAME_CONSTRAINTS, _AUTHORITY_KEY),
)
"""Extensions whose value is a SEQUENCE; OpenSSL reads them whoever has them, and refuses a
certificate where it cannot (ossl_x509v3_cache_extensions)."""

_Extensions = dict[bytes, tuple[bool, bytes]]
"""Whether each is critical, and its value."""


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
        extensions = _read_extensions(certificate)
        return _judge(extensions, self_issued=certificate.issuer_der == certificate.subject_der)
    except FormatError as error:
        return Issuing(error.message)


def signer_problem(certificate: Certificate) -> str:
    """Why firmware takes no signature of a certificate, be it trusted itself; empty if it does."""
    try:
        extensions = _read_extensions(certificate) or {}
        _check_values(extensions)
    except FormatError as error:
        return error.message
    return _unknown(extensions, _KNOWN)


def contradiction(certificate: Certificate, issuer: Certificate) -> str:
    """Why `issuer` is not the one that the certificate's authorityKeyIdentifier means.

    Empty if it may be; nothing is said where one of the two has no identifier.
    """
    try:
        value = (_read_extensions(certificate) or {}).get(_AUTHORITY_KEY)
        own = (_read_extensions(issuer) or {}).get(_SUBJECT_KEY)
        if value is None:
            return ""
        return _compare(open_der(value[1], _WHAT), own[1] if own else None, issuer)
    except FormatError as error:
        return error.message


def _compare(meant: DerReader, own: bytes | None, issuer: Certificate) -> str:
    key = meant.take_optional(_AUTHORITY_KEY_ID)
    names = meant.take_optional(_AUTHORITY_ISSUER)
    serial = meant.take_optional(_AUTHORITY_SERIAL)
    meant.finish()
    if key and own is not None and _octets(own) != key.content:
        return "its authorityKeyIdentifier names another key"
    if serial and int.from_bytes(serial.content, "big", signed=True) != issuer.serial:
        return "its authorityKeyIdentifier names another serial number"
    for each in _directory_names(names.content if names else b""):
        if not same_name(each, issuer.issuer_der):
            return "its authorityKeyIdentifier names another certificate"
    return ""


def _directory_names(names: bytes) -> Iterator[bytes]:
    reader = DerReader(names, _WHAT)
    while reader.next_tag is not None:
        name = reader.take_any()
        if name.tag == _DIRECTORY_NAME:
            yield name.content


def _octets(value: bytes) -> bytes:
    reader = DerReader(value, _WHAT)
    content = reader.take(OCTET_STRING).content
    reader.finish()
    return content


def _unknown(extensions: _Extensions, known: frozenset[bytes]) -> str:
    if _PROXY in extensions:
        return "it is a proxy certificate"
    for kind, (critical, _) in extensions.items():
        if critical and kind not in known:
            return f"its critical extension {oid_text(kind[2:])} is not evaluated"
    return ""


def _judge(extensions: _Extensions | None, *, self_issued: bool) -> Issuing:
    if extensions is None:
        # Version 1 has no extensions; OpenSSL, and with it firmware, takes such roots.
        return Issuing("" if self_issued else "it has no basicConstraints")
    _check_values(extensions)
    problem = _unknown(extensions, _HARMLESS | {_BASIC_CONSTRAINTS, _KEY_USAGE, _NAME_CONSTRAINTS})
    if problem:
        return Issuing(problem)
    if _NAME_CONSTRAINTS in extensions:
        return Issuing("its nameConstraints are not evaluated")
    if _KEY_USAGE in extensions and not _may_sign(extensions[_KEY_USAGE][1]):
        return Issuing("its keyUsage has no keyCertSign")
    return _judge_constraints(extensions)


def _judge_constraints(extensions: _Extensions) -> Issuing:
    if _BASIC_CONSTRAINTS not in extensions:
        return Issuing("it has no basicConstraints")
    is_authority, path_length = _read_constraints(extensions[_BASIC_CONSTRAINTS][1])
    if not is_authority:
        return Issuing("its basicConstraints do not name it an authority")
    return Issuing(path_length=path_length)


def _check_values(extensions: _Extensions) -> None:
    """Raise `FormatError` for extensions that make OpenSSL refuse a certificate at either place."""
    for kind in _SEQUENCES:
        if kind in extensions:
            open_der(extensions[kind][1], _WHAT)
    if _SUBJECT_KEY in extensions:
        _octets(extensions[_SUBJECT_KEY][1])
    if _BASIC_CONSTRAINTS in extensions:
        _read_constraints(extensions[_BASIC_CONSTRAINTS][1])
    if _KEY_USAGE in extensions:
        _may_sign(extensions[_KEY_USAGE][1])


def _read_extensions(certificate: Certificate) -> _Extensions | None:
    """What a certificate has; None for one of version 1.

    Raises:
        FormatError: they are broken, or the algorithm that was signed is not the one outside.
    """
    fields = open_der(certificate.tbs_der, _WHAT)
    version = fields.take_optional(_VERSION)
    fields.take(INTEGER)
    if fields.take(SEQUENCE).raw != certificate.algorithm_der:
        # RFC 5280 §4.1.1.2; X509_verify of OpenSSL.
        raise FormatError("it names two signature algorithms")
    for _ in range(4):  # issuer, validity, subject, subjectPublicKeyInfo
        fields.take(SEQUENCE)
    fields.take_optional(_ISSUER_ID)
    fields.take_optional(_SUBJECT_ID)
    explicit = fields.take_optional(_EXTENSIONS)
    fields.finish()
    if explicit is None:
        return None if version is None else {}
    found: _Extensions = {}
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
    path_length = None if length is None else read_integer(length, _WHAT)
    if path_length is not None and path_length < 0:
        raise FormatError("its pathLenConstraint is negative")
    return authority is not None and authority.content == _TRUE, path_length


def _may_sign(value: bytes) -> bool:
    reader = DerReader(value, _WHAT)
    bits = reader.take(BIT_STRING).content
    reader.finish()
    if not any(bits[1:]):
        raise FormatError("its keyUsage allows nothing")
    return bool(bits[1] & _KEY_CERT_SIGN)
