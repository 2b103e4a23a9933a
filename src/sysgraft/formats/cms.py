"""CMS SignedData (RFC 5652 §5), which is PKCS#7 signedData (RFC 2315 §9) under its newer name.

Reads and writes the subset that signs a root hash: version 1, content type data, signers named
by issuer and serial, SHA-2 with RSASSA-PKCS1-v1_5 or ECDSA. Whatever is read is written back as
the same bytes, so nothing in a signature goes unseen. It decides no trust: the caller names the
certificate to check a signer against. RSASSA-PSS, subject key identifiers, revocation lists and
unsigned attributes are refused; systemd's signers write none of them.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from sysgraft.errors import FormatError, LimitError, UnsupportedError
from sysgraft.formats.x509 import (
    DER_NULL,
    INTEGER,
    OBJECT_IDENTIFIER,
    OCTET_STRING,
    RSA_ENCRYPTION,
    SEQUENCE,
    SET,
    SIGNATURE_SCHEMES,
    DerReader,
    SignatureScheme,
    algorithm_text,
    encode,
    encode_algorithm,
    encode_integer,
    encode_oid,
    name_text,
    open_der,
    read_integer,
    read_serial,
    verify_signature,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from sysgraft.formats.x509 import Certificate

MAX_SIGNED_DATA: Final = 64 << 10
"""Bytes in one signature. With a certificate it has about 1.2 KiB; systemd takes 16 KiB."""
MAX_CERTIFICATES: Final = 16
"""Certificates in one signature: room for a chain, which nothing here walks."""
MAX_SIGNERS: Final = 16
"""Signers of one signature; more than two have not been seen."""

_VERSION: Final = encode_integer(1)
_SIGNED_DATA: Final = encode_oid("1.2.840.113549.1.7.2")
_DATA: Final = encode_oid("1.2.840.113549.1.7.1")
_CONTENT_TYPE: Final = encode_oid("1.2.840.113549.1.9.3")
_MESSAGE_DIGEST: Final = encode_oid("1.2.840.113549.1.9.4")

SHA256: Final = encode_algorithm("2.16.840.1.101.3.4.2.1", DER_NULL)
# RFC 5754 §2: parameters absent, and NULL accepted. openssl smime writes NULL, openssl cms none.
_DIGESTS: Final[Mapping[bytes, str]] = MappingProxyType(
    {
        encode_algorithm(dotted, *parameters): name
        for dotted, name in (
            ("2.16.840.1.101.3.4.2.1", "sha256"),
            ("2.16.840.1.101.3.4.2.2", "sha384"),
            ("2.16.840.1.101.3.4.2.3", "sha512"),
        )
        for parameters in ((), (DER_NULL,))
    },
)
_RSASSA_PSS: Final = "1.2.840.113549.1.1.10"
_WHAT: Final = "the PKCS#7 signature"

# Context tags of SignedData and SignerInfo: [0] and [1], constructed.
_CONTEXT_0: Final = 0xA0
_CONTEXT_1: Final = 0xA1


@dataclass(frozen=True, slots=True)
class SignerInfo:
    """One signer's statement.

    Attributes:
        issuer_der: the name of the issuer of the signer's certificate, as encoded.
        serial: the serial number of that certificate.
        digest_der: AlgorithmIdentifier of the digest.
        algorithm_der: AlgorithmIdentifier of the signature.
        signature: the signature itself.
        signed_attributes: what is signed instead of the content, as the SET it is signed as;
            None if the content itself is signed.
        message_digest: the content's digest that the attributes hold, None without attributes.
    """

    issuer_der: bytes
    serial: int
    digest_der: bytes
    algorithm_der: bytes
    signature: bytes
    signed_attributes: bytes | None = None
    message_digest: bytes | None = None

    @property
    def issuer(self) -> str:
        """The issuer's name as text."""
        return name_text(self.issuer_der)

    @property
    def digest(self) -> str:
        """The digest's name as ``hashlib`` has it."""
        return _DIGESTS[self.digest_der]

    @property
    def scheme(self) -> SignatureScheme:
        """Key type and digest of the signature."""
        if self.algorithm_der == RSA_ENCRYPTION:
            return SignatureScheme("rsa", self.digest)
        return SIGNATURE_SCHEMES[self.algorithm_der]

    def is_by(self, certificate: Certificate) -> bool:
        """Whether issuer and serial name this certificate."""
        return (self.issuer_der, self.serial) == (certificate.issuer_der, certificate.serial)


@dataclass(frozen=True, slots=True)
class SignedData:
    """A signature with all its signers.

    Attributes:
        digests: AlgorithmIdentifiers of all digests used.
        signers: at least one.
        certificates: in DER; certificates inside a signature prove nothing.
        content: what is signed, None if it is detached.
    """

    digests: tuple[bytes, ...]
    signers: tuple[SignerInfo, ...]
    certificates: tuple[bytes, ...] = ()
    content: bytes | None = None


def parse(der: bytes) -> SignedData:
    """Read a ContentInfo that holds SignedData.

    Raises:
        LimitError: it is longer than `MAX_SIGNED_DATA`, or has too many certificates or signers.
        UnsupportedError: it uses a feature outside the subset this module names.
        FormatError: it is not SignedData in DER.
    """
    if len(der) > MAX_SIGNED_DATA:
        raise LimitError(f"{_WHAT} has {len(der)} bytes; the limit is {MAX_SIGNED_DATA}")
    # ContentInfo ::= SEQUENCE { contentType, content [0] EXPLICIT }
    outer = open_der(der, _WHAT)
    if outer.take(OBJECT_IDENTIFIER).raw != _SIGNED_DATA:
        raise FormatError(f"{_WHAT} does not hold SignedData")
    explicit = outer.enter(_CONTEXT_0)
    outer.finish()
    fields = explicit.enter(SEQUENCE)
    explicit.finish()
    return _read_signed_data(fields)


def _read_signed_data(fields: DerReader) -> SignedData:
    """SignedData: version, digests SET, content info, [0] certificates, [1] CRLs, signers SET."""
    _check_version(fields)
    digests = tuple(each.raw for each in fields.enter(SET).rest(SEQUENCE))
    content = _read_content(fields.enter(SEQUENCE))
    certificates = _read_certificates(fields)
    if fields.next_tag == _CONTEXT_1:
        raise UnsupportedError(f"{_WHAT} holds revocation lists")
    signer_set = fields.enter(SET)
    fields.finish()
    signers = tuple(
        _read_signer(DerReader(one.content, _WHAT)) for one in signer_set.rest(SEQUENCE)
    )
    if not signers:
        raise FormatError(f"{_WHAT} has no signer")
    if len(signers) > MAX_SIGNERS:
        raise LimitError(f"{_WHAT} has {len(signers)} signers; the limit is {MAX_SIGNERS}")
    _check_digests(digests, signers)
    return SignedData(digests, signers, certificates, content)


def _check_version(fields: DerReader) -> None:
    version = fields.take(INTEGER)
    if version.raw == _VERSION:
        return
    if len(version.content) != 1:
        raise FormatError(f"{_WHAT} has a version of {len(version.content)} bytes")
    raise UnsupportedError(f"{_WHAT} has version {read_integer(version, _WHAT)}, not 1")


def _read_content(fields: DerReader) -> bytes | None:
    """EncapsulatedContentInfo: type and, unless it is detached, [0] with an OCTET STRING."""
    if fields.take(OBJECT_IDENTIFIER).raw != _DATA:
        raise UnsupportedError(f"{_WHAT} is about a content type other than data")
    if fields.next_tag is None:
        return None
    explicit = fields.enter(_CONTEXT_0)
    fields.finish()
    content = explicit.take(OCTET_STRING).content
    explicit.finish()
    return content


def _read_certificates(fields: DerReader) -> tuple[bytes, ...]:
    if fields.next_tag != _CONTEXT_0:
        return ()
    certificates = tuple(each.raw for each in fields.enter(_CONTEXT_0).rest(SEQUENCE))
    if not certificates:
        raise FormatError(f"{_WHAT} has an empty set of certificates")
    if len(certificates) > MAX_CERTIFICATES:
        raise LimitError(
            f"{_WHAT} holds {len(certificates)} certificates; the limit is {MAX_CERTIFICATES}",
        )
    return certificates


def _read_signer(fields: DerReader) -> SignerInfo:
    """SignerInfo: version, issuer and serial, digest, [0] attributes, algorithm, signature, [1]."""
    _check_version(fields)
    issuer, serial = _read_identifier(fields.enter(SEQUENCE))
    digest = fields.take(SEQUENCE).raw
    if digest not in _DIGESTS:
        raise UnsupportedError(
            f"{_WHAT} uses the digest {algorithm_text(digest)}; SHA-256, 384 and 512 are accepted",
        )
    attributes = fields.take_optional(_CONTEXT_0)
    algorithm = fields.take(SEQUENCE).raw
    _check_algorithm(algorithm, _DIGESTS[digest])
    signature = fields.take(OCTET_STRING).content
    if fields.next_tag == _CONTEXT_1:
        raise UnsupportedError(f"{_WHAT} has unsigned attributes")
    fields.finish()
    signed = None if attributes is None else encode(SET, attributes.content)
    return SignerInfo(
        issuer_der=issuer,
        serial=serial,
        digest_der=digest,
        algorithm_der=algorithm,
        signature=signature,
        signed_attributes=signed,
        message_digest=None if signed is None else _read_attributes(signed),
    )


def _read_identifier(fields: DerReader) -> tuple[bytes, int]:
    """IssuerAndSerialNumber."""
    issuer = fields.take(SEQUENCE).raw
    serial = read_serial(fields.take(INTEGER), _WHAT)
    fields.finish()
    name_text(issuer)
    return issuer, serial


def _check_algorithm(algorithm: bytes, digest: str) -> None:
    if algorithm == RSA_ENCRYPTION:
        return
    scheme = SIGNATURE_SCHEMES.get(algorithm)
    if scheme is None:
        oid = algorithm_text(algorithm)
        name = f"RSASSA-PSS ({oid})" if oid == _RSASSA_PSS else oid
        raise UnsupportedError(
            f"{_WHAT} uses the algorithm {name}; RSA PKCS #1 v1.5 and ECDSA are accepted",
        )
    if scheme.digest != digest:
        raise FormatError(f"{_WHAT} names two digests, {digest} and {scheme.digest}")


def _check_digests(digests: tuple[bytes, ...], signers: tuple[SignerInfo, ...]) -> None:
    """Nothing signs the list of digests, so it has to say exactly what the signers say."""
    if len(set(digests)) != len(digests) or set(digests) != {each.digest_der for each in signers}:
        raise FormatError(f"{_WHAT} lists other digests than its signers use")


def _read_attributes(signed: bytes) -> bytes:
    """The messageDigest among signed attributes, RFC 5652 §5.3 and §11.1, §11.2."""
    found: dict[bytes, list[bytes]] = {}
    for attribute in open_der(signed, _WHAT, SET).rest(SEQUENCE):
        fields = DerReader(attribute.content, _WHAT)
        kind = fields.take(OBJECT_IDENTIFIER).raw
        found.setdefault(kind, []).append(fields.take(SET).content)
        fields.finish()
    if found.get(_CONTENT_TYPE) != [_DATA]:
        raise FormatError(f"{_WHAT} has signed attributes without the content type data")
    digests = found.get(_MESSAGE_DIGEST, [])
    if len(digests) != 1:
        raise FormatError(f"{_WHAT} has signed attributes without one message digest")
    values = DerReader(digests[0], _WHAT)
    digest = values.take(OCTET_STRING).content
    values.finish()
    return digest


def serialise(signed: SignedData) -> bytes:
    """The DER ContentInfo; of anything `parse` returned, the bytes it was read from."""
    content = () if signed.content is None else (encode(OCTET_STRING, signed.content),)
    fields = [
        _VERSION,
        encode(SET, *signed.digests),
        encode(SEQUENCE, _DATA, *(encode(_CONTEXT_0, each) for each in content)),
    ]
    if signed.certificates:
        fields.append(encode(_CONTEXT_0, *signed.certificates))
    fields.append(encode(SET, *map(_serialise_signer, signed.signers)))
    return encode(SEQUENCE, _SIGNED_DATA, encode(_CONTEXT_0, encode(SEQUENCE, *fields)))


def _serialise_signer(signer: SignerInfo) -> bytes:
    attributes = b""
    if signer.signed_attributes is not None:
        # The same contents under [0]: RFC 5652 §5.4 signs them as an explicit SET.
        inside = DerReader(signer.signed_attributes, _WHAT).take(SET).content
        attributes = encode(_CONTEXT_0, inside)
    return encode(
        SEQUENCE,
        _VERSION,
        encode(SEQUENCE, signer.issuer_der, encode_integer(signer.serial)),
        signer.digest_der,
        attributes,
        signer.algorithm_der,
        encode(OCTET_STRING, signer.signature),
    )


def find_signer(signer: SignerInfo, certificates: Iterable[Certificate]) -> tuple[Certificate, ...]:
    """The certificates that issuer and serial name, in the order given.

    This is how OpenSSL's PKCS7_verify looks for a signer; no chain, date or usage is looked at.
    """
    return tuple(each for each in certificates if signer.is_by(each))


def verify(signer: SignerInfo, content: bytes, certificate: Certificate) -> bool:
    """Whether `signer` signed `content` with this certificate's key (RFC 5652 §5.6).

    Raises:
        KeyMaterialError: the certificate's key cannot be used.
    """
    signed = content
    if signer.signed_attributes is not None:
        if signer.message_digest != hashlib.new(signer.digest, content).digest():
            return False
        signed = signer.signed_attributes
    key = certificate.load_public_key()
    return verify_signature(key, signer.scheme, signer.signature, signed)
