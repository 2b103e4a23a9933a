"""Private keys and certificates to sign with.

Code that signs depends on the `Signer` protocol alone, so that a key may be in a file, a
token or a service. Here is the one for files; it takes contents, not paths. The one for tokens is
in `sysgraft.sign.pkcs11`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final, Protocol, TypeAlias

from sysgraft.errors import FormatError, KeyMaterialError
from sysgraft.formats.public_key import load_public_key
from sysgraft.formats.x509 import load_certificates

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

    from sysgraft.formats.public_key import KeyKind, PublicKey
    from sysgraft.formats.x509 import Certificate

    SupportedKey: TypeAlias = RSAPrivateKey | EllipticCurvePrivateKey

Passphrase: TypeAlias = bytes | Callable[[], bytes] | None
"""A passphrase or PIN, or what asks for it, called only if the key is encrypted or in a token."""

MAX_KEY: Final = 64 << 10
"""Bytes in a key file; an RSA key of 16384 bits has 13 KiB."""
MIN_RSA_BITS: Final = 2048
"""NIST SP 800-131A rev. 2 §3: shorter RSA keys may not sign."""
CURVES: Final = ("secp256r1", "secp384r1", "secp521r1")
"""P-256, P-384 and P-521, the curves of FIPS 186-5 that OpenSSL and the kernel both take."""


class Signer(Protocol):
    """A private key that can sign, wherever it is."""

    @property
    def kind(self) -> KeyKind:
        """Its type."""

    @property
    def key_der(self) -> bytes:
        """Its public half as SubjectPublicKeyInfo, as a certificate holds it."""

    def sign(self, data: bytes) -> bytes:
        """A signature over the SHA-256 of `data`, the same one every time.

        RSASSA-PKCS1-v1_5 for RSA; for EC an Ecdsa-Sig-Value in DER with the nonce of RFC 6979.
        An EC key in a token is the exception: most tokens choose a nonce of their own.

        Raises:
            KeyMaterialError: the key cannot sign.
        """


class PrivateKey:
    """A private key held in memory; never shows its private half."""

    __slots__ = ("_key",)

    def __init__(self, key: SupportedKey) -> None:
        self._key = key

    @property
    def kind(self) -> KeyKind:
        """See `Signer.kind`."""
        from cryptography.hazmat.primitives.asymmetric import rsa  # noqa: PLC0415 - slow to import

        return "rsa" if isinstance(self._key, rsa.RSAPrivateKey) else "ec"

    @property
    def key_der(self) -> bytes:
        """See `Signer.key_der`."""
        from cryptography.hazmat.primitives import serialization  # noqa: PLC0415 - slow to import

        return self._key.public_key().public_bytes(
            serialization.Encoding.DER,
            serialization.PublicFormat.SubjectPublicKeyInfo,
        )

    def sign(self, data: bytes) -> bytes:
        """See `Signer.sign`."""
        from cryptography.exceptions import UnsupportedAlgorithm  # noqa: PLC0415 - slow to import
        from cryptography.hazmat.primitives import hashes  # noqa: PLC0415
        from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa  # noqa: PLC0415

        if isinstance(self._key, rsa.RSAPrivateKey):
            return self._key.sign(data, padding.PKCS1v15(), hashes.SHA256())
        try:
            scheme = ec.ECDSA(hashes.SHA256(), deterministic_signing=True)
        except UnsupportedAlgorithm as error:
            raise KeyMaterialError(
                "this build of OpenSSL cannot make reproducible EC signatures (RFC 6979)",
                hint="use OpenSSL 3.2 or newer, or an RSA key",
            ) from error
        return self._key.sign(data, scheme)


def load_private_key(data: bytes, passphrase: Passphrase = None) -> PrivateKey:
    """Read a private key: PEM or DER, PKCS#8 or traditional, encrypted or not.

    Raises:
        KeyMaterialError: it is no usable key, or the passphrase is missing or wrong.
    """
    if len(data) > MAX_KEY:
        raise KeyMaterialError(f"no private key: more than {MAX_KEY} bytes")
    key = _load(data, None)
    if key is not None:
        return PrivateKey(_usable(key))
    if passphrase is None:
        raise KeyMaterialError(
            "the private key is encrypted and no passphrase is given",
            hint="give it with --passphrase-file or the environment variable that option names",
        )
    secret = passphrase() if callable(passphrase) else passphrase
    key = _load(data, secret) if secret else None
    if key is None:
        raise KeyMaterialError("the passphrase of the private key is empty")
    return PrivateKey(_usable(key))


def _load(data: bytes, secret: bytes | None) -> object | None:
    """The key, whatever its type; None if it is encrypted and there is no secret."""
    from cryptography.exceptions import UnsupportedAlgorithm  # noqa: PLC0415 - slow to import
    from cryptography.hazmat.primitives import serialization  # noqa: PLC0415

    is_pem = b"-----BEGIN" in data
    load = serialization.load_pem_private_key if is_pem else serialization.load_der_private_key
    try:
        return load(data, secret)
    except TypeError as error:
        # The library's way to say that key and secret do not fit: encrypted, yet no secret.
        if secret is None:
            return None
        raise KeyMaterialError("the private key cannot be read with a passphrase") from error
    except UnsupportedAlgorithm as error:
        raise KeyMaterialError("the private key's type or encryption is not supported") from error
    except ValueError as error:
        if secret is None:
            raise KeyMaterialError("not a private key in PEM or DER") from error
        raise KeyMaterialError(
            "the private key cannot be decrypted: the passphrase is wrong, or the file is damaged",
        ) from error


def _usable(key: object) -> SupportedKey:
    from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa  # noqa: PLC0415

    if isinstance(key, rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey):
        check_strength(key.public_key())
        return key
    if isinstance(key, ed25519.Ed25519PrivateKey | ed448.Ed448PrivateKey):
        raise KeyMaterialError(
            "an Edwards-curve key cannot sign: OpenSSL's PKCS#7, which systemd checks with, "
            "knows no such signatures",
            hint="use an RSA key of 2048 bits or more, or an EC key on P-256",
        )
    raise KeyMaterialError("the private key is neither RSA nor EC")


def check_strength(key: PublicKey) -> None:
    """Raise `KeyMaterialError` if RSA is too short, or the curve one that not all take."""
    from cryptography.hazmat.primitives.asymmetric import rsa  # noqa: PLC0415 - slow to import

    if isinstance(key, rsa.RSAPublicKey):
        if key.key_size < MIN_RSA_BITS:
            raise KeyMaterialError(f"an RSA key of {key.key_size} bits; {MIN_RSA_BITS} are needed")
    elif key.curve.name not in CURVES:
        raise KeyMaterialError(f"the curve {key.curve.name} is not one of {', '.join(CURVES)}")


def load_certificate(data: bytes) -> Certificate:
    """Read the signer's certificate, PEM or DER; of a bundle the first, as OpenSSL takes it.

    Raises:
        KeyMaterialError: it is none, or its key is of another type than RSA and EC.
    """
    try:
        certificate = load_certificates(data)[0]
    except FormatError as error:
        raise KeyMaterialError(error.message, hint="give an X.509 certificate") from error
    certificate.load_public_key()
    return certificate


def check_pair(key: Signer, certificate: Certificate) -> None:
    """Raise `KeyMaterialError` unless the certificate is about this key."""
    if _normal_form(key.key_der) != _normal_form(certificate.key_der):
        raise KeyMaterialError(
            f"the private key does not belong to the certificate of {certificate.subject}",
            hint="give the certificate that was made for this key",
        )


def _normal_form(key_der: bytes) -> bytes:
    """The key in one encoding: certificates may hold compressed points or lack parameters."""
    from cryptography.hazmat.primitives import serialization  # noqa: PLC0415 - slow to import

    return load_public_key(key_der).public_bytes(
        serialization.Encoding.DER,
        serialization.PublicFormat.SubjectPublicKeyInfo,
    )
