"""Throw-away keys and certificates: made in memory, worth nothing outside of tests.

Keys are new in every process and kept for its life, since making RSA keys is slow. Dates are
fixed, so that no test depends on the day it runs.
"""

from __future__ import annotations

import functools
import hashlib
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final, Literal, TypeAlias

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from sysgraft.formats.x509 import Certificate, parse_certificate

if TYPE_CHECKING:
    from collections.abc import Mapping

KeyType: TypeAlias = Literal[
    "rsa-2048", "rsa-3072", "rsa-1024", "p256", "p384", "p521", "secp256k1", "ed25519"
]
_Key: TypeAlias = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey

NOT_BEFORE: Final = datetime(2020, 1, 1, tzinfo=UTC)
NOT_AFTER: Final = datetime(2120, 1, 1, tzinfo=UTC)
NOW: Final = datetime(2026, 6, 1, tzinfo=UTC)
"""A time at which certificates with the default dates are valid."""

_CURVES: Final[Mapping[str, ec.EllipticCurve]] = {
    "p256": ec.SECP256R1(),
    "p384": ec.SECP384R1(),
    "p521": ec.SECP521R1(),
    "secp256k1": ec.SECP256K1(),
}


@dataclass(frozen=True, slots=True)
class Identity:
    """A private key and a certificate for it."""

    key: _Key
    certificate: Certificate

    @property
    def certificate_pem(self) -> bytes:
        """The certificate as PEM."""
        loaded = x509.load_der_x509_certificate(self.certificate.der)
        return loaded.public_bytes(serialization.Encoding.PEM)

    @property
    def key_pem(self) -> bytes:
        """The private key as PEM, PKCS#8, not encrypted."""
        return self.encode_key()

    def encode_key(
        self,
        *,
        passphrase: bytes = b"",
        pem: bool = True,
        traditional: bool = False,
    ) -> bytes:
        """The private key as PEM or DER, PKCS#8 or traditional, encrypted if there is a phrase."""
        return self.key.private_bytes(
            serialization.Encoding.PEM if pem else serialization.Encoding.DER,
            serialization.PrivateFormat.TraditionalOpenSSL
            if traditional
            else serialization.PrivateFormat.PKCS8,
            serialization.BestAvailableEncryption(passphrase)
            if passphrase
            else serialization.NoEncryption(),
        )


@functools.cache
def make_key(kind: KeyType = "rsa-2048", label: str = "") -> _Key:
    """A private key; the same one for the same arguments within one process."""
    del label  # Only tells keys apart.
    if kind == "ed25519":
        return ed25519.Ed25519PrivateKey.generate()
    if kind in _CURVES:
        return ec.generate_private_key(_CURVES[kind])
    return rsa.generate_private_key(public_exponent=65537, key_size=int(kind.removeprefix("rsa-")))


def make_identity(
    name: str = "test signer",
    *,
    kind: KeyType = "rsa-2048",
    issuer: Identity | None = None,
    serial: int | None = None,
    not_before: datetime = NOT_BEFORE,
    not_after: datetime = NOT_AFTER,
) -> Identity:
    """A key and its certificate, signed by `issuer` or by itself.

    Args:
        name: common name of the subject; it also chooses the key.
        kind: the key's type.
        issuer: whose key signs the certificate.
        serial: serial number; None takes one that depends on `name` alone.
        not_before: start of validity.
        not_after: end of validity.
    """
    key = make_key(kind, name)
    signer = issuer.key if issuer else key
    subject = _name(name)
    builder = x509.CertificateBuilder(
        issuer_name=_subject(issuer.certificate) if issuer else subject,
        subject_name=subject,
        public_key=key.public_key(),
        serial_number=_serial(name) if serial is None else serial,
        not_valid_before=not_before,
        not_valid_after=not_after,
    )
    digest = None if isinstance(signer, ed25519.Ed25519PrivateKey) else hashes.SHA256()
    certificate = builder.sign(signer, digest)
    der = certificate.public_bytes(serialization.Encoding.DER)
    return Identity(key, parse_certificate(der))


def _serial(name: str) -> int:
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big") | 1


def _name(common_name: str) -> x509.Name:
    return x509.Name(
        [
            x509.NameAttribute(x509.NameOID.ORGANIZATION_NAME, "sysgraft tests"),
            x509.NameAttribute(x509.NameOID.COMMON_NAME, common_name),
        ],
    )


def _subject(certificate: Certificate) -> x509.Name:
    return x509.load_der_x509_certificate(certificate.der).subject
