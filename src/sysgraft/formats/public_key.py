"""Public keys (SubjectPublicKeyInfo, RFC 5280 §4.1.2.7) and the signatures they verify.

Which AlgorithmIdentifiers are accepted, byte for byte, and the one place where a signature is held
against a key: RSASSA-PKCS1-v1_5 (RFC 8017) and ECDSA (RFC 5758) over SHA-2. Whose key it is, and
whether to trust it, is not known here.
"""

from __future__ import annotations

from functools import lru_cache
from types import MappingProxyType
from typing import TYPE_CHECKING, Final, Literal, NamedTuple, TypeAlias

from sysgraft.errors import KeyMaterialError
from sysgraft.formats.der import DER_NULL, encode_algorithm

if TYPE_CHECKING:
    from collections.abc import Mapping

    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

    PublicKey: TypeAlias = RSAPublicKey | EllipticCurvePublicKey

KeyKind: TypeAlias = Literal["rsa", "ec"]


class SignatureScheme(NamedTuple):
    """How a signature is made: RSASSA-PKCS1-v1_5 or ECDSA, over this digest."""

    key: KeyKind
    digest: str


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


@lru_cache(maxsize=16)
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
