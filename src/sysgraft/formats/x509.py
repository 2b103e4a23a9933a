"""X.509 certificates (RFC 5280 §4.1), and the DER (ITU-T X.690 §8, §10) they are made of.

The DER half also serves `sysgraft.formats.cms`. The certificate half reads what the trust
decision needs: issuer, serial, validity, the key, the signed part. Names are compared as bytes,
as written. It builds no chains and does not look at extensions.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from types import MappingProxyType
from typing import TYPE_CHECKING, Final, Literal, TypeAlias

from sysgraft.base.tree import printable
from sysgraft.errors import FormatError, KeyMaterialError, LimitError, TruncatedError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

    PublicKey: TypeAlias = RSAPublicKey | EllipticCurvePublicKey

# X.680 §8.4 universal tags, with the constructed bit (0x20) where DER sets it.
INTEGER: Final = 0x02
BIT_STRING: Final = 0x03
OCTET_STRING: Final = 0x04
NULL: Final = 0x05
OBJECT_IDENTIFIER: Final = 0x06
UTC_TIME: Final = 0x17
GENERALIZED_TIME: Final = 0x18
SEQUENCE: Final = 0x30
SET: Final = 0x31

MAX_CERTIFICATE: Final = 64 << 10
"""Bytes in one certificate: real ones have 1 to 4 KiB."""
MAX_BUNDLE: Final = 1 << 20
"""Bytes in a PEM bundle: four times what a distribution's whole list of authorities takes."""
MAX_NAME: Final = 4 << 10
"""Bytes of one name: a dozen attributes at the 64 characters that RFC 5280 appendix A.1 allows."""
MAX_SERIAL: Final = 64
"""Bytes of a serial number: three times what RFC 5280 §4.1.2.2 allows."""
_MAX_OID: Final = 64
"""Bytes of an object identifier worth spelling out; longer ones are shown in hex."""


@dataclass(frozen=True, slots=True)
class Element:
    """One DER value: its tag byte, its contents, and both with the length as they stood."""

    tag: int
    content: bytes
    raw: bytes


class DerReader:
    """Reads DER values one after the other, refusing every encoding that is not the shortest."""

    __slots__ = ("_data", "_offset", "_what")

    def __init__(self, data: bytes, what: str) -> None:
        self._data = data
        self._offset = 0
        self._what = what

    @property
    def next_tag(self) -> int | None:
        """The tag of the next value, None at the end."""
        return self._data[self._offset] if self._offset < len(self._data) else None

    def take(self, tag: int) -> Element:
        """The next value, which must have this tag.

        Raises:
            FormatError: it has another tag, or its length is not DER.
            TruncatedError: the data ends before it does.
        """
        found = self.next_tag
        if found is None:
            raise TruncatedError(f"{self._what} ends where tag 0x{tag:02x} is due")
        if found != tag:
            raise FormatError(f"{self._what} has tag 0x{found:02x} where 0x{tag:02x} is due")
        return self._advance()

    def take_any(self) -> Element:
        """The next value, whatever its tag; raises like `take`."""
        if self.next_tag is None:
            raise TruncatedError(f"{self._what} ends where a value is due")
        return self._advance()

    def take_optional(self, tag: int) -> Element | None:
        """The next value if it has this tag; raises like `take`."""
        return self._advance() if self.next_tag == tag else None

    def enter(self, tag: int) -> DerReader:
        """A reader of what is inside the next value; raises like `take`."""
        return DerReader(self.take(tag).content, self._what)

    def rest(self, tag: int) -> Iterator[Element]:
        """All further values, each with this tag; raises like `take`."""
        while self.next_tag is not None:
            yield self.take(tag)

    def finish(self) -> None:
        """Raise `FormatError` if anything is left."""
        left = len(self._data) - self._offset
        if left:
            raise FormatError(f"{self._what} has {left} bytes more than its structure")

    def _advance(self) -> Element:
        start = self._offset
        length, content = self._length(start + 1)
        end = content + length
        if end > len(self._data):
            raise TruncatedError(
                f"{self._what} has a value of {length} bytes where {len(self._data) - content} are",
            )
        if self._data[start] & 0x1F == 0x1F:
            raise FormatError(f"{self._what} has a tag of several bytes")
        self._offset = end
        return Element(self._data[start], self._data[content:end], self._data[start:end])

    def _length(self, offset: int) -> tuple[int, int]:
        """A length and where the contents start: X.690 §8.1.3, in the only form DER allows."""
        first = self._data[offset : offset + 1]
        if not first:
            raise TruncatedError(f"{self._what} ends inside a length")
        if first[0] < 0x80:
            return first[0], offset + 1
        count = first[0] & 0x7F
        # Four bytes would describe 16 MiB and more; nothing here may be that long.
        if not 1 <= count <= 3:
            raise FormatError(f"{self._what} has a length that is not DER, or beyond 16 MiB")
        field = self._data[offset + 1 : offset + 1 + count]
        if len(field) != count:
            raise TruncatedError(f"{self._what} ends inside a length")
        length = int.from_bytes(field, "big")
        if field[0] == 0 or length < 0x80:
            raise FormatError(f"{self._what} has a length that is not DER")
        return length, offset + 1 + count


def open_der(data: bytes, what: str, tag: int = SEQUENCE) -> DerReader:
    """A reader of what is inside `data`, which must be one value and nothing after it.

    Raises:
        FormatError: it is something else; `what` names it in the message.
    """
    outer = DerReader(data, what)
    inner = outer.enter(tag)
    outer.finish()
    return inner


def read_integer(element: Element, what: str) -> int:
    """The value of an INTEGER; raises `FormatError` unless it is in its shortest form."""
    value = int.from_bytes(element.content, "big", signed=True)
    if encode_integer(value) != element.raw:
        raise FormatError(f"{what} has an integer that is not DER")
    return value


def read_serial(element: Element, what: str) -> int:
    """The value of a serial number.

    Raises:
        LimitError: it is longer than `MAX_SERIAL`, too long to show to anybody.
        FormatError: it is not in its shortest form.
    """
    if len(element.content) > MAX_SERIAL:
        raise LimitError(f"{what} has a serial number of {len(element.content)} bytes")
    return read_integer(element, what)


def encode(tag: int, *parts: bytes) -> bytes:
    """The DER value with this tag and contents."""
    content = b"".join(parts)
    if len(content) < 0x80:
        return bytes((tag, len(content))) + content
    length = len(content).to_bytes((len(content).bit_length() + 7) // 8, "big")
    return bytes((tag, 0x80 | len(length))) + length + content


def encode_integer(value: int) -> bytes:
    """The DER INTEGER of a number."""
    bits = (value if value >= 0 else ~value).bit_length()
    return encode(INTEGER, value.to_bytes(bits // 8 + 1, "big", signed=True))


def encode_oid(dotted: str) -> bytes:
    """The DER OBJECT IDENTIFIER written ``1.2.840…``."""
    first, second, *others = map(int, dotted.split("."))
    content = bytearray()
    for arc in (first * 40 + second, *others):
        groups = range((max(arc.bit_length(), 1) - 1) // 7, -1, -1)
        content += bytes((arc >> 7 * n & 0x7F) | (0x80 if n else 0) for n in groups)
    return encode(OBJECT_IDENTIFIER, bytes(content))


def encode_algorithm(dotted: str, *parameters: bytes) -> bytes:
    """The DER AlgorithmIdentifier (RFC 5280 §4.1.1.2)."""
    return encode(SEQUENCE, encode_oid(dotted), *parameters)


KeyKind: TypeAlias = Literal["rsa", "ec"]


@dataclass(frozen=True, slots=True)
class SignatureScheme:
    """How a signature is made: RSASSA-PKCS1-v1_5 or ECDSA, over this digest."""

    key: KeyKind
    digest: str


DER_NULL: Final = encode(NULL)
RSA_ENCRYPTION: Final = encode_algorithm("1.2.840.113549.1.1.1", DER_NULL)
# RFC 8017 appendix A.2.4 (parameters NULL) and RFC 5758 §3.2 (parameters absent).
SIGNATURE_SCHEMES: Final[Mapping[bytes, SignatureScheme]] = MappingProxyType(
    {
        encode_algorithm("1.2.840.113549.1.1.11", DER_NULL): SignatureScheme("rsa", "sha256"),
        encode_algorithm("1.2.840.113549.1.1.12", DER_NULL): SignatureScheme("rsa", "sha384"),
        encode_algorithm("1.2.840.113549.1.1.13", DER_NULL): SignatureScheme("rsa", "sha512"),
        encode_algorithm("1.2.840.10045.4.3.2"): SignatureScheme("ec", "sha256"),
        encode_algorithm("1.2.840.10045.4.3.3"): SignatureScheme("ec", "sha384"),
        encode_algorithm("1.2.840.10045.4.3.4"): SignatureScheme("ec", "sha512"),
    },
)
"""AlgorithmIdentifiers, byte for byte, of the schemes that are accepted."""

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


@dataclass(frozen=True, slots=True)
class Certificate:
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
        if self.issuer_der != issuer.subject_der:
            return False
        scheme = SIGNATURE_SCHEMES.get(self.algorithm_der)
        if scheme is None:
            return None
        return verify_signature(issuer.load_public_key(), scheme, self.signature, self.tbs_der)


def parse_certificate(der: bytes) -> Certificate:
    """Read one certificate.

    Raises:
        LimitError: it is longer than `MAX_CERTIFICATE`.
        FormatError: it is not a certificate in DER.
    """
    if len(der) > MAX_CERTIFICATE:
        raise LimitError(f"a certificate of {len(der)} bytes; the limit is {MAX_CERTIFICATE}")
    what = "the certificate"
    # Certificate ::= SEQUENCE { tbsCertificate, signatureAlgorithm, signature }
    outer = open_der(der, what)
    tbs = outer.take(SEQUENCE)
    algorithm = outer.take(SEQUENCE)
    signature = outer.take(BIT_STRING)
    outer.finish()
    # TBSCertificate ::= SEQUENCE { [0] version OPTIONAL, serialNumber, signature, issuer,
    #   validity, subject, subjectPublicKeyInfo, … }; what follows is not looked at.
    fields = DerReader(tbs.content, what)
    fields.take_optional(0xA0)
    serial = read_serial(fields.take(INTEGER), what)
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
    for name in (certificate.issuer_der, certificate.subject_der):
        name_text(name)
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


def load_public_key(key_der: bytes) -> PublicKey:
    """Read a SubjectPublicKeyInfo.

    Raises:
        KeyMaterialError: it is neither RSA nor EC, or is broken.
    """
    from cryptography.exceptions import UnsupportedAlgorithm  # noqa: PLC0415 - slow to import
    from cryptography.hazmat.primitives.asymmetric import ec, rsa  # noqa: PLC0415
    from cryptography.hazmat.primitives.serialization import load_der_public_key  # noqa: PLC0415

    try:
        key = load_der_public_key(key_der)
    except (ValueError, UnsupportedAlgorithm) as error:
        raise KeyMaterialError("the certificate's public key cannot be read") from error
    if not isinstance(key, rsa.RSAPublicKey | ec.EllipticCurvePublicKey):
        raise KeyMaterialError("the certificate's public key is neither RSA nor EC")
    return key


def verify_signature(
    key: PublicKey,
    scheme: SignatureScheme,
    signature: bytes,
    data: bytes,
) -> bool:
    """Whether `signature` is over `data` and by this key; False too if key and scheme differ."""
    from cryptography.exceptions import InvalidSignature  # noqa: PLC0415 - slow to import
    from cryptography.hazmat.primitives import hashes  # noqa: PLC0415
    from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa  # noqa: PLC0415

    digests = {"sha256": hashes.SHA256(), "sha384": hashes.SHA384(), "sha512": hashes.SHA512()}
    algorithm = digests[scheme.digest]
    try:
        if isinstance(key, rsa.RSAPublicKey) and scheme.key == "rsa":
            key.verify(signature, data, padding.PKCS1v15(), algorithm)
            return True
        if isinstance(key, ec.EllipticCurvePublicKey) and scheme.key == "ec":
            key.verify(signature, data, ec.ECDSA(algorithm))
            return True
    except InvalidSignature:
        pass
    return False


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


def algorithm_text(algorithm_der: bytes) -> str:
    """The object identifier of an AlgorithmIdentifier, for messages.

    Raises:
        FormatError: it is not one in DER.
    """
    fields = open_der(algorithm_der, "an algorithm identifier")
    return _oid_text(fields.take(OBJECT_IDENTIFIER).content)


def _attribute_text(content: bytes, what: str) -> str:
    fields = DerReader(content, what)
    kind = fields.take(OBJECT_IDENTIFIER)
    value = fields.take_any()
    fields.finish()
    codec = _STRING_CODECS.get(value.tag)
    name = _NAME_TYPES.get(kind.raw)
    if codec is None or name is None:
        return f"{name or _oid_text(kind.content)}=#{value.raw.hex()}"
    return f"{name}={_escape(value.content.decode(codec, 'replace'))}"


def _escape(text: str) -> str:
    escaped = re.sub(r'([,+"\\<>;]|^[# ]| $)', r"\\\1", text)
    return printable(escaped.encode("utf-8", "replace"))


def _oid_text(content: bytes) -> str:
    if not content or len(content) > _MAX_OID:
        return "oid-" + content.hex()
    arcs = [0]
    for byte in content:
        arcs[-1] = arcs[-1] << 7 | byte & 0x7F
        if byte < 0x80:
            arcs.append(0)
    first = min(arcs[0] // 40, 2)
    return ".".join(map(str, (first, arcs[0] - first * 40, *arcs[1:-1])))


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
