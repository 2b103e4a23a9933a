"""The signature of a dm-verity root hash, as systemd and the kernel check it.

PKCS#7 signedData without attributes, detached, over the root hash as lower-case hex without a
newline: for RSA the bytes of ``openssl smime -sign -noattr -binary -outform der``, and with the
certificate those that systemd-repart writes. The twin is `sysgraft.sign.verify.roothash`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sysgraft.formats import cms, cms_signer
from sysgraft.sign.keys import check_pair
from sysgraft.sign.signer_info import sign_content
from sysgraft.sign.verify.roothash import signed_content

if TYPE_CHECKING:
    from sysgraft.formats.x509 import Certificate
    from sysgraft.sign.keys import Signer


def sign_root_hash(
    root_hash: bytes,
    key: Signer,
    certificate: Certificate,
    *,
    include_certificate: bool = True,
) -> bytes:
    """Sign a root hash.

    Args:
        root_hash: the root of the hash tree, as bytes.
        key: the signer's private key.
        certificate: the signer's certificate.
        include_certificate: whether the signature holds it, as systemd-repart's do. Without it
            (``openssl -nocerts``) only who has the certificate can tell who signed.

    Returns:
        The PKCS#7 signature in DER, the same for the same arguments.

    Raises:
        KeyMaterialError: key and certificate do not belong together, or signing fails.
    """
    check_pair(key, certificate)
    content = signed_content(root_hash)
    signer = sign_content(content, key, certificate)
    certificates = (certificate.der,) if include_certificate else ()
    return cms.serialise(cms.SignedData((cms_signer.SHA256,), (signer,), certificates))
