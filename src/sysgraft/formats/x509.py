"""X.509 certificates, RFC 5280 §4.1.

Reads what the trust decision needs: issuer, serial, validity, the key, the signed part. Names are
compared as bytes, as written, and shown as RFC 4514 writes them. It builds no chains, looks at no
extensions. The encoding is in `sysgraft.formats.der`, the key in
`sysgraft.formats.public_key`.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final, NamedTuple

from sysgraft.base.tree import printable
from sysgraft.errors import FormatError, LimitError
from sysgraft.formats.der import (
    BIT_STRING,
    GENERALIZED_TIME,
    INTEGER,
    OBJECT_IDENTIFIER,
    SEQUENCE,
    SET,
    UTC_TIME,
    DerReader,
    encode_oid,
    oid_text,
    open_der,
    read_integer,
)
from sysgraft.formats.public_key import SIGNATURE_SCHEMES, load_public_key, verify_signature

if TYPE_CHECKING:
    from sysgraft.formats.der import Element
    from sysgraft.formats.public_key import PublicKey

MAX_CERTIFICATE: Final = 64 << 10
"""Bytes in one certificate: real ones have 1 to 4 KiB."""
MAX_BUNDLE: Final = 1 << 20
"""Bytes in a PEM bundle: four times what a distribution's whole list of authorities takes."""
MAX_NAME: Final = 4 << 10
"""Bytes of one name: a dozen attributes at the 64 characters that RFC 5280 appendix A.1 allows."""
MAX_SERIAL: Final = 64
"""Bytes of a serial number: three times what RFC 5280 §4.1.2.2 allows."""

# RFC 4514 §3; emailAddress as OpenSSL calls it.
_NAME_TYPES: Final = {
    encode_oid(dotted): name
    for dotted, name in (
        ("2.5.4.3", "CN"),
        ("2.5.4.6", "C"),
        ("2.5.4.7", "L"),
        ("2.5.4.8", "ST"),
        ("2.5.4.9", "STREET"),
        ("2.5.4.10", "O"),
        ("2.5.4.11", "OU"),
        ("0.9.2342.19200300.100.1.1", "UID"),
        ("0.9.2342.19200300.100.1.25", "DC"),
        ("1.2.840.113549.1.9.1", "emailAddress"),
    )
}
_STRING_CODECS: Final = {
    0x0C: "utf-8",
    0x13: "ascii",
    0x14: "latin-1",
    0x16: "ascii",
    0x1C: "utf-32-be",
    0x1E: "utf-16-be",
}
"""UTF8, Printable, Teletex, IA5, Universal and BMPString."""
_PEM: Final = re.compile(
    rb"-----BEGIN CERTIFICATE-----([A-Za-z0-9+/=\s]*)-----END CERTIFICATE-----"
)
_PEM_START: Final = b"-----BEGIN CERTIFICATE-----"
_WHAT: Final = "the certificate"


class Certificate(NamedTuple):
    """An X.509 certificate.

    Attributes:
        der: the whole certificate as it stood.
        tbs_der: the part that its issuer signed.
        serial: the serial number; with the issuer's name it identifies the certificate.
        issuer_der: the issuer's name as encoded.
        subject_der: the name of the key's owner as encoded.
        not_before: start of validity, UTC.
        not_after: end of validity, UTC.
        key_der: SubjectPublicKeyInfo.
        algorithm_der: AlgorithmIdentifier of the issuer's signature.
        signature: the issuer's signature.
    """

    der: bytes
    tbs_der: bytes
    serial: int
    issuer_der: bytes
    subject_der: bytes
    not_before: datetime
    not_after: datetime
    key_der: bytes
    algorithm_der: bytes
    signature: bytes

    @property
    def issuer(self) -> str:
        """The issuer's name as text."""
        return name_text(self.issuer_der)

    @property
    def subject(self) -> str:
        """The owner's name as text."""
        return name_text(self.subject_der)

    @property
    def fingerprint(self) -> bytes:
        """SHA-256 of the certificate, 32 bytes."""
        return hashlib.sha256(self.der).digest()

    def load_public_key(self) -> PublicKey:
        """The key, ready to check signatures with.

        Raises:
            KeyMaterialError: it is neither RSA nor EC, or is broken.
        """
        return load_public_key(self.key_der)

    def is_issued_by(self, issuer: Certificate) -> bool | None:
        """Whether `issuer` signed this one; None if the name fits and the scheme is unknown.

        Raises:
            KeyMaterialError: the issuer's key cannot be used.
        """
        return self.issuer_der == issuer.subject_der and self.is_signed_by(issuer)

    def is_signed_by(self, issuer: Certificate) -> bool | None:
        """Whether the key of `issuer` signed this one, whatever the names; raises likewise."""
        scheme = SIGNATURE_SCHEMES.get(self.algorithm_der)
        if scheme is None:
            return None
        return verify_signature(issuer.load_public_key(), scheme, self.signature, self.tbs_der)


def read_serial(element: Element, what: str) -> int:
    """The value of a serial number.

    Raises:
        LimitError: it is longer than `MAX_SERIAL`, too long to show to anybody.
        FormatError: it is not in its shortest form.
    """
    if len(element.content) > MAX_SERIAL:
        raise LimitError(f"{what} has a serial number of {len(element.content)} bytes")
    return read_integer(element, what)


def parse_certificate(der: bytes) -> Certificate:
    """Read one certificate.

    Raises:
        LimitError: it is longer than `MAX_CERTIFICATE`.
        FormatError: it is not a certificate in DER.
    """
    if len(der) > MAX_CERTIFICATE:
        raise LimitError(f"a certificate of {len(der)} bytes; the limit is {MAX_CERTIFICATE}")
    # Certificate ::= SEQUENCE { tbsCertificate, signatureAlgorithm, signature }
    outer = open_der(der, _WHAT)
    tbs = outer.take(SEQUENCE)
    algorithm = outer.take(SEQUENCE)
    signature = outer.take(BIT_STRING)
    outer.finish()
    certificate = _read_certificate(der, tbs, algorithm, signature)
    for name in (certificate.issuer_der, certificate.subject_der):
        name_text(name)
    return certificate


def _read_certificate(
    der: bytes, tbs: Element, algorithm: Element, signature: Element
) -> Certificate:
    # TBSCertificate ::= SEQUENCE { [0] version OPTIONAL, serialNumber, signature, issuer,
    #   validity, subject, subjectPublicKeyInfo, … }; what follows is not looked at.
    fields = DerReader(tbs.content, _WHAT)
    fields.take_optional(0xA0)
    serial = read_serial(fields.take(INTEGER), _WHAT)
    fields.take(SEQUENCE)
    issuer = fields.take(SEQUENCE)
    validity = fields.enter(SEQUENCE)
    certificate = Certificate(
        der=der,
        tbs_der=tbs.raw,
        serial=serial,
        issuer_der=issuer.raw,
        not_before=_read_time(validity),
        not_after=_read_time(validity),
        subject_der=fields.take(SEQUENCE).raw,
        key_der=fields.take(SEQUENCE).raw,
        algorithm_der=algorithm.raw,
        signature=_read_bits(signature),
    )
    validity.finish()
    return certificate


def load_certificates(data: bytes) -> tuple[Certificate, ...]:
    """Read a certificate in DER, or all certificates of a PEM text, in their order.

    Raises:
        LimitError: more than `MAX_BUNDLE` bytes, or a certificate above `MAX_CERTIFICATE`.
        FormatError: there is no certificate, or one is broken.
    """
    if len(data) > MAX_BUNDLE:
        raise LimitError(f"certificates of {len(data)} bytes; the limit is {MAX_BUNDLE}")
    if data[:1] == bytes((SEQUENCE,)):
        return (parse_certificate(data),)
    texts: list[bytes] = _PEM.findall(data)
    if len(texts) != data.count(_PEM_START):
        raise FormatError("a PEM certificate has no end, or is not base64")
    if not texts:
        raise FormatError("neither a PEM nor a DER certificate")
    return tuple(parse_certificate(_decode_base64(text)) for text in texts)


def serial_text(serial: int) -> str:
    """A serial number in hex, whole bytes, as OpenSSL shows it but in lower case."""
    digits = f"{serial:x}"
    return digits.zfill(len(digits) + len(digits) % 2)


def name_text(name_der: bytes) -> str:
    """A Name as RFC 4514 writes it, the most specific part first, safe for a terminal.

    Raises:
        LimitError: it is longer than `MAX_NAME`.
        FormatError: it is not a Name in DER.
    """
    if len(name_der) > MAX_NAME:
        raise LimitError(f"a name of {len(name_der)} bytes; the limit is {MAX_NAME}")
    what = "a name in the certificate"
    # RDNSequence ::= SEQUENCE OF SET OF SEQUENCE { type OBJECT IDENTIFIER, value ANY }
    parts = [
        "+".join(
            _attribute_text(each.content, what)
            for each in DerReader(rdn.content, what).rest(SEQUENCE)
        )
        for rdn in open_der(name_der, what).rest(SET)
    ]
    return ",".join(reversed(parts))


def _attribute_text(content: bytes, what: str) -> str:
    fields = DerReader(content, what)
    kind = fields.take(OBJECT_IDENTIFIER)
    value = fields.take_any()
    fields.finish()
    codec = _STRING_CODECS.get(value.tag)
    name = _NAME_TYPES.get(kind.raw)
    if codec is None or name is None:
        return f"{name or oid_text(kind.content)}=#{value.raw.hex()}"
    return f"{name}={_escape(value.content.decode(codec, 'replace'))}"


def _escape(text: str) -> str:
    escaped = re.sub(r'([,+"\\<>;]|^[# ]| $)', r"\\\1", text)
    return printable(escaped.encode("utf-8", "replace"))


def _read_time(fields: DerReader) -> datetime:
    """A Time, RFC 5280 §4.1.2.5: to the second, in UTC; two-digit years are 1950 to 2049."""
    element = fields.take_any()
    text = element.content
    if element.tag == UTC_TIME and len(text) == 13:
        text = (b"20" if text < b"50" else b"19") + text
    elif element.tag != GENERALIZED_TIME:
        raise FormatError("the certificate's validity has no time")
    if not re.fullmatch(rb"[0-9]{14}Z", text):
        raise FormatError(f"the certificate's validity is not in UTC: {printable(text)}")
    digits = text.decode("ascii")
    try:
        return datetime.fromisoformat(f"{digits[:8]}T{digits[8:]}").astimezone(UTC)
    except ValueError as error:
        raise FormatError(f"the certificate's validity is no date: {digits}") from error


def _read_bits(element: Element) -> bytes:
    if element.content[:1] != b"\0":
        raise FormatError("the certificate's signature is not whole bytes")
    return element.content[1:]


def _decode_base64(text: bytes) -> bytes:
    try:
        return base64.b64decode(b"".join(text.split()), validate=True)
    except binascii.Error as error:
        raise FormatError(f"a PEM certificate is not base64: {error}") from error
