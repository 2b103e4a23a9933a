"""New RSA keys, and how keys and certificates are written.

Secure Boot knows RSA everywhere and elliptic curves hardly anywhere, and TPMs check policies of
RSA keys with 2048 bits; so nothing else is made here. Keys of other kinds can be used.
"""

from __future__ import annotations

import base64
import textwrap
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from sysgraft.errors import UsageError
from sysgraft.sign.keys import PrivateKey
from sysgraft.sign.self_signed import self_signed

if TYPE_CHECKING:
    from datetime import datetime

    from sysgraft.formats.x509 import Certificate

RSA_BITS: Final = (2048, 3072, 4096)
"""Sizes to choose from. All firmware takes 2048; some takes nothing longer."""
_EXPONENT: Final = 65537


@dataclass(frozen=True, slots=True)
class NewKey:
    """A private key that was just made.

    Attributes:
        signer: what signs with it.
        private_pem: the key as PKCS#8 in PEM, encrypted if a passphrase was given.
        bits: the length of its modulus.
    """

    signer: PrivateKey
    private_pem: bytes
    bits: int

    @property
    def public_pem(self) -> bytes:
        """Its public half as SubjectPublicKeyInfo in PEM."""
        return pem("PUBLIC KEY", self.signer.key_der)


@dataclass(frozen=True, slots=True)
class Identity:
    """A new key and the certificate it signed for itself."""

    key: NewKey
    certificate: Certificate


def make_key(bits: int, *, passphrase: bytes = b"") -> NewKey:
    """A new RSA key.

    Args:
        bits: one of `RSA_BITS`.
        passphrase: encrypts the key (PBES2, AES-256); without one it is not encrypted.

    Raises:
        UsageError: the size is none to choose from.
    """
    from cryptography.hazmat.primitives import serialization as forms  # noqa: PLC0415 - slow
    from cryptography.hazmat.primitives.asymmetric import rsa  # noqa: PLC0415

    if bits not in RSA_BITS:
        raise UsageError(f"no RSA keys of {bits} bits are made, but of {RSA_BITS}")
    key = rsa.generate_private_key(public_exponent=_EXPONENT, key_size=bits)
    encryption: forms.KeySerializationEncryption = forms.NoEncryption()
    if passphrase:
        encryption = forms.BestAvailableEncryption(passphrase)
    private = key.private_bytes(forms.Encoding.PEM, forms.PrivateFormat.PKCS8, encryption)
    return NewKey(PrivateKey(key), private, bits)


def make_identity(
    common_name: str, *, bits: int, time: datetime, days: int, passphrase: bytes = b""
) -> Identity:
    """A new RSA key with a certificate.

    Args:
        common_name: whom the certificate names.
        bits: one of `RSA_BITS`.
        time: when the certificate begins to be valid.
        days: for how long it is.
        passphrase: see `make_key`.

    Raises:
        UsageError: a name, size or duration that is not possible.
    """
    key = make_key(bits, passphrase=passphrase)
    return Identity(key, self_signed(key.signer, common_name, time=time, days=days))


def pem(label: str, der: bytes) -> bytes:
    """DER as PEM (RFC 7468)."""
    text = "\n".join(textwrap.wrap(base64.b64encode(der).decode(), 64))
    return f"-----BEGIN {label}-----\n{text}\n-----END {label}-----\n".encode()
