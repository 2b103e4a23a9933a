"""The name a TPM has for a public key, as systemd loads it to check signed policies.

A name is the number of a hash algorithm and the digest of the key's public area (TPM 2.0 Library
Part 1, "Names"; Part 2, "TPMT_PUBLIC"). It depends on more than the key: systemd marks it as one
that decrypts and signs, and tells the exponent even where it is the usual one
(``src/shared/tpm2-util.c``, ``tpm2_tpm2b_public_from_openssl_pkey``). Release 255 as
it first came told none for the usual exponent; secrets sealed by it have another policy. Signed
policies are of RSA keys only, so no other keys are handled.
"""

from __future__ import annotations

import hashlib
import struct
from typing import TYPE_CHECKING, Final

from sysgraft.errors import KeyMaterialError
from sysgraft.formats.public_key import load_public_key

if TYPE_CHECKING:
    from sysgraft.formats.public_key import PublicKey

MAX_MODULUS: Final = 512
"""Bytes of the modulus (TPM2_MAX_RSA_KEY_BYTES of tpm2-tss)."""

_RSA: Final = 0x0001
_SHA256: Final = 0x000B
_NULL: Final = 0x0010
# TPMA_OBJECT: userWithAuth, decrypt, sign.
_ATTRIBUTES: Final = 1 << 6 | 1 << 17 | 1 << 18
# TPMT_PUBLIC of an RSA key: type, nameAlg, objectAttributes, size of authPolicy (none), symmetric,
# scheme, keyBits, exponent, size of the modulus, then that.
_PUBLIC: Final = struct.Struct(">HHIHHHHIH")


def rsa_name(modulus: int, exponent: int) -> bytes:
    """The name of an RSA key, 34 bytes.

    Raises:
        KeyMaterialError: no TPM takes such a key.
    """
    size = (modulus.bit_length() + 7) // 8
    if modulus < 1 or size > MAX_MODULUS or not 0 < exponent < 2**32:
        raise KeyMaterialError("no TPM takes an RSA key of this size, or with this exponent")
    area = _PUBLIC.pack(_RSA, _SHA256, _ATTRIBUTES, 0, _NULL, _NULL, 8 * size, exponent, size)
    digest = hashlib.sha256(area + modulus.to_bytes(size, "big")).digest()
    return _SHA256.to_bytes(2, "big") + digest


def key_name(key_der: bytes) -> bytes:
    """The name of a key.

    Args:
        key_der: the SubjectPublicKeyInfo.

    Raises:
        KeyMaterialError: it cannot be read, is no RSA key, or one that no TPM takes.
    """
    return _name(load_public_key(key_der))


def pem_name(pem: bytes) -> bytes:
    """The name of a key in PEM, such as a LUKS2 token keeps; raises as `key_name` does."""
    from cryptography.exceptions import UnsupportedAlgorithm  # noqa: PLC0415 - slow to import
    from cryptography.hazmat.primitives import serialization  # noqa: PLC0415

    try:
        key = serialization.load_pem_public_key(pem)
    except (ValueError, UnsupportedAlgorithm) as error:
        raise KeyMaterialError("the public key cannot be read") from error
    return key_name(
        key.public_bytes(
            serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
        )
    )


def _name(key: PublicKey) -> bytes:
    from cryptography.hazmat.primitives.asymmetric import rsa  # noqa: PLC0415 - slow to import

    if not isinstance(key, rsa.RSAPublicKey):
        raise KeyMaterialError("the public key of signed policies is no RSA key")
    numbers = key.public_numbers()
    return rsa_name(numbers.n, numbers.e)
