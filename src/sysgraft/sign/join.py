r"""A root-hash signature made elsewhere: by openssl, a token, a signing service.

    printf %s ROOTHASH | openssl smime -sign -nocerts -noattr -binary -outform der \
        -inkey db.key -signer db.pem -out hash.p7s

It is verified before it is taken, so that no image leaves with a signature that does not hold.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sysgraft.errors import KeyMaterialError
from sysgraft.formats import cms, cms_signer, verity_signature
from sysgraft.sign.verify.roothash import signed_content

if TYPE_CHECKING:
    from sysgraft.formats.x509 import Certificate


def joined_partition(pkcs7: bytes, root_hash: bytes, certificate: Certificate) -> bytes:
    """The content of a verity-sig partition with this signature.

    Args:
        pkcs7: the detached signature, DER.
        root_hash: what it has to sign.
        certificate: who has to have signed it.

    Raises:
        FormatError: the signature cannot be read.
        KeyMaterialError: it is not this certificate's signature of this root hash.
    """
    signed = cms.parse(pkcs7)
    content = signed_content(root_hash)
    if signed.content is not None:
        raise KeyMaterialError("the signature holds what it signs; it has to be detached")
    for signer in signed.signers:
        if not cms_signer.find_signer(signer, [certificate]):
            raise KeyMaterialError("the signature was not made with this certificate")
        if not cms_signer.verify(signer, content, certificate):
            raise KeyMaterialError(
                "the signature is not one of this image's root hash",
                hint=f"sign these {len(content)} characters, without a newline: {content.decode()}",
            )
    return verity_signature.render(
        verity_signature.Signature(root_hash, pkcs7, certificate.fingerprint),
    )
