"""One signer of CMS SignedData: SignerInfo (RFC 5652 §5.3), and whether its signature holds.

Signers named by issuer and serial, SHA-2 with RSASSA-PKCS1-v1_5 or ECDSA, with or without signed
attributes. It decides no trust: the caller names the certificate to check a signer against.
RSASSA-PSS, subject key identifiers and unsigned attributes are refused; systemd's signers write
none of them.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from sysgraft.errors import FormatError, UnsupportedError
from sysgraft.formats.der import (
    DER_NULL,
    INTEGER,
    OBJECT_IDENTIFIER,
    OCTET_STRING,
    SEQUENCE,
    SET,
    DerReader,
    algorithm_text,
    encode,
    encode_algorithm,
    encode_integer,
    encode_oid,
    open_der,
    read_integer,
)
from sysgraft.formats.public_key import (
    RSA_ENCRYPTION,
    SIGNATURE_SCHEMES,
    SignatureScheme,
    verify_signature,
)
from sysgraft.formats.x509 import name_text, read_serial

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from sysgraft.formats.x509 import Certificate

WHAT: Final = "the PKCS#7 signature"

VERSION: Final = encode_integer(1)
DATA: Final = encode_oid("1.2.840.113549.1.7.1")
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

# Context tags of SignedData and SignerInfo: [0] and [1], constructed.
CONTEXT_0: Final = 0xA0
CONTEXT_1: Final = 0xA1


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


def read_signer(fields: DerReader) -> SignerInfo:
    """Read the fields of one SignerInfo.

    Raises:
        UnsupportedError: it uses a feature outside the subset this module names.
        FormatError: it is no SignerInfo in DER.
    """
    # version, issuer and serial, digest, [0] attributes, algorithm, signature, [1] unsigned ones
    check_version(fields)
    issuer, serial = _read_identifier(fields.enter(SEQUENCE))
    digest = fields.take(SEQUENCE).raw
    if digest not in _DIGESTS:
        raise UnsupportedError(
            f"{WHAT} uses the digest {algorithm_text(digest)}; SHA-256, 384 and 512 are accepted",
        )
    attributes = fields.take_optional(CONTEXT_0)
    algorithm = fields.take(SEQUENCE).raw
    _check_algorithm(algorithm, _DIGESTS[digest])
    signature = fields.take(OCTET_STRING).content
    if fields.next_tag == CONTEXT_1:
        raise UnsupportedError(f"{WHAT} has unsigned attributes")
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
    serial = read_serial(fields.take(INTEGER), WHAT)
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
            f"{WHAT} uses the algorithm {name}; RSA PKCS #1 v1.5 and ECDSA are accepted",
        )
    if scheme.digest != digest:
        raise FormatError(f"{WHAT} names two digests, {digest} and {scheme.digest}")


def check_version(fields: DerReader) -> None:
    """Raise `UnsupportedError` unless the next value is version 1, the one of SignedData too."""
    version = fields.take(INTEGER)
    if version.raw == VERSION:
        return
    if len(version.content) != 1:
        raise FormatError(f"{WHAT} has a version of {len(version.content)} bytes")
    raise UnsupportedError(f"{WHAT} has version {read_integer(version, WHAT)}, not 1")


def _read_attributes(signed: bytes) -> bytes:
    """The messageDigest among signed attributes, RFC 5652 §5.3 and §11.1, §11.2."""
    found: dict[bytes, list[bytes]] = {}
    for attribute in open_der(signed, WHAT, SET).rest(SEQUENCE):
        fields = DerReader(attribute.content, WHAT)
        kind = fields.take(OBJECT_IDENTIFIER).raw
        found.setdefault(kind, []).append(fields.take(SET).content)
        fields.finish()
    if found.get(_CONTENT_TYPE) != [DATA]:
        raise FormatError(f"{WHAT} has signed attributes without the content type data")
    digests = found.get(_MESSAGE_DIGEST, [])
    if len(digests) != 1:
        raise FormatError(f"{WHAT} has signed attributes without one message digest")
    values = DerReader(digests[0], WHAT)
    digest = values.take(OCTET_STRING).content
    values.finish()
    return digest


def serialise_signer(signer: SignerInfo) -> bytes:
    """The DER SignerInfo, as it was read."""
    attributes = b""
    if signer.signed_attributes is not None:
        # The same contents under [0]: RFC 5652 §5.4 signs them as an explicit SET.
        inside = DerReader(signer.signed_attributes, WHAT).take(SET).content
        attributes = encode(CONTEXT_0, inside)
    return encode(
        SEQUENCE,
        VERSION,
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
