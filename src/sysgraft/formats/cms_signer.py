"""One signer of CMS SignedData: SignerInfo (RFC 5652 §5.3), and whether its signature holds.

Signers named by issuer and serial, SHA-2 with RSASSA-PKCS1-v1_5 or ECDSA. What else a signature
may hold depends on what it is about, and is given as `Rules`. It decides no trust: the caller
names the certificate to check a signer against. RSASSA-PSS and subject key identifiers are
refused always; neither systemd's signers nor those of EFI executables write them.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from sysgraft.errors import FormatError, UnsupportedError
from sysgraft.formats.cms_attributes import read_digest
from sysgraft.formats.cms_rules import WHAT
from sysgraft.formats.der import (
    DER_NULL,
    INTEGER,
    OCTET_STRING,
    SEQUENCE,
    SET,
    DerReader,
    algorithm_text,
    encode,
    encode_algorithm,
    encode_integer,
    encode_oid,
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

    from sysgraft.formats.cms_rules import Rules
    from sysgraft.formats.x509 import Certificate

VERSION: Final = encode_integer(1)
DATA: Final = encode_oid("1.2.840.113549.1.7.1")

SHA256: Final = encode_algorithm("2.16.840.1.101.3.4.2.1", DER_NULL)
# RFC 5754 §2: parameters absent, and NULL accepted. openssl smime writes NULL, openssl cms none.
DIGESTS: Final[Mapping[bytes, str]] = MappingProxyType(
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
"""AlgorithmIdentifiers, byte for byte, of the digests that are accepted."""
_OLD_DIGESTS: Final[Mapping[str, str]] = MappingProxyType(
    {"1.2.840.113549.2.5": "MD5", "1.3.14.3.2.26": "SHA-1"}
)
"""Digests that are named in messages, and accepted nowhere."""
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
        unsigned_attributes: what stands behind the signature, as a SET; None if nothing does.
    """

    issuer_der: bytes
    serial: int
    digest_der: bytes
    algorithm_der: bytes
    signature: bytes
    signed_attributes: bytes | None = None
    message_digest: bytes | None = None
    unsigned_attributes: bytes | None = None

    @property
    def issuer(self) -> str:
        """The issuer's name as text."""
        return name_text(self.issuer_der)

    @property
    def digest(self) -> str:
        """The digest's name as ``hashlib`` has it."""
        return DIGESTS[self.digest_der]

    @property
    def scheme(self) -> SignatureScheme:
        """Key type and digest of the signature."""
        if self.algorithm_der == RSA_ENCRYPTION:
            return SignatureScheme("rsa", self.digest)
        return SIGNATURE_SCHEMES[self.algorithm_der]

    def is_by(self, certificate: Certificate) -> bool:
        """Whether issuer and serial name this certificate."""
        return (self.issuer_der, self.serial) == (certificate.issuer_der, certificate.serial)


def read_signer(fields: DerReader, rules: Rules) -> SignerInfo:
    """Read the fields of one SignerInfo.

    Raises:
        UnsupportedError: it uses a feature outside the subset this module and the rules name.
        FormatError: it is no SignerInfo in DER.
    """
    # version, issuer and serial, digest, [0] attributes, algorithm, signature, [1] unsigned ones
    check_version(fields)
    issuer, serial = _read_identifier(fields.enter(SEQUENCE))
    digest = fields.take(SEQUENCE).raw
    if digest not in DIGESTS:
        oid = algorithm_text(digest)
        name = f"{_OLD_DIGESTS[oid]} ({oid})" if oid in _OLD_DIGESTS else oid
        raise UnsupportedError(
            f"{WHAT} uses the digest {name}; SHA-256, 384 and 512 are accepted",
        )
    attributes = fields.take_optional(CONTEXT_0)
    algorithm = fields.take(SEQUENCE).raw
    _check_algorithm(algorithm, DIGESTS[digest])
    signature = fields.take(OCTET_STRING).content
    unsigned = fields.take_optional(CONTEXT_1)
    if unsigned is not None and not rules.unsigned_attributes:
        raise UnsupportedError(f"{WHAT} has unsigned attributes")
    fields.finish()
    if attributes is None and rules.must_sign_attributes:
        raise UnsupportedError(f"{WHAT} has no signed attributes")
    signed = None if attributes is None else encode(SET, attributes.content)
    return SignerInfo(
        issuer_der=issuer,
        serial=serial,
        digest_der=digest,
        algorithm_der=algorithm,
        signature=signature,
        signed_attributes=signed,
        message_digest=None if signed is None else read_digest(signed, rules),
        unsigned_attributes=None if unsigned is None else encode(SET, unsigned.content),
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


def serialise_signer(signer: SignerInfo) -> bytes:
    """The DER SignerInfo, as it was read."""
    return encode(
        SEQUENCE,
        VERSION,
        encode(SEQUENCE, signer.issuer_der, encode_integer(signer.serial)),
        signer.digest_der,
        # RFC 5652 §5.4 signs them as an explicit SET.
        _retagged(CONTEXT_0, signer.signed_attributes),
        signer.algorithm_der,
        encode(OCTET_STRING, signer.signature),
        _retagged(CONTEXT_1, signer.unsigned_attributes),
    )


def _retagged(tag: int, attributes: bytes | None) -> bytes:
    """The contents of a SET under another tag; nothing for none."""
    if attributes is None:
        return b""
    return encode(tag, DerReader(attributes, WHAT).take(SET).content)


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
