"""The one signer of a CMS signature that sysgraft makes (RFC 5652 §5.3): SHA-256, proven at once.

What is around it differs, and is not here: see `roothash`, `authenticode` and `authvar` beside it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sysgraft.errors import KeyMaterialError
from sysgraft.formats import cms_signer
from sysgraft.formats.der import encode_algorithm
from sysgraft.formats.public_key import RSA_ENCRYPTION

if TYPE_CHECKING:
    from sysgraft.formats.x509 import Certificate
    from sysgraft.sign.keys import Signer

_ALGORITHMS: Final = {"rsa": RSA_ENCRYPTION, "ec": encode_algorithm("1.2.840.10045.4.3.2")}
"""What OpenSSL writes for SHA-256: rsaEncryption, and ecdsa-with-SHA256 (RFC 5758 §3.2)."""


def sign_content(
    content: bytes,
    key: Signer,
    certificate: Certificate,
    *,
    signed_attributes: bytes | None = None,
    message_digest: bytes | None = None,
) -> cms_signer.SignerInfo:
    """Sign content, or the attributes that hold its digest.

    Args:
        content: what the signature is for.
        key: the signer's private key, which belongs to the certificate.
        certificate: the signer's certificate.
        signed_attributes: what is signed instead of the content, as a SET.
        message_digest: the content's SHA-256 that the attributes hold.

    Raises:
        KeyMaterialError: signing fails, or what came of it does not verify.
    """
    signer = cms_signer.SignerInfo(
        issuer_der=certificate.issuer_der,
        serial=certificate.serial,
        digest_der=cms_signer.SHA256,
        algorithm_der=_ALGORITHMS[key.kind],
        signature=key.sign(content if signed_attributes is None else signed_attributes),
        signed_attributes=signed_attributes,
        message_digest=message_digest,
    )
    # A token or service may answer with anything; nothing unproven leaves here.
    if not cms_signer.verify(signer, content, certificate):
        raise KeyMaterialError("the key made a signature that its certificate does not verify")
    return signer
