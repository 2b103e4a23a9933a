"""The Authenticode signature of an EFI executable, as firmware, shim and systemd check it.

PKCS#7 SignedData over the digest of the executable, with the signer's certificate inside, since
firmware takes it from there. It is what sbsign and systemd-sbsign write, less two signed
attributes: the time, which would make every signature another one, and S/MIME capabilities, which
mean nothing here. The twin is `sysgraft.sign.verify.authenticode`.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from sysgraft.errors import UsageError
from sysgraft.formats import authenticode, cms, cms_attributes, cms_signer
from sysgraft.sign.keys import check_pair
from sysgraft.sign.signer_info import sign_content

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sysgraft.formats.authenticode import ImageDigest
    from sysgraft.formats.x509 import Certificate
    from sysgraft.sign.keys import Signer


def sign(
    digest: ImageDigest,
    key: Signer,
    certificate: Certificate,
    *,
    chain: Sequence[Certificate] = (),
    attributes: Sequence[bytes] = (),
) -> bytes:
    """Sign the digest of an executable.

    How long the signature will be is not known before: ECDSA signatures differ in length. But
    neither its length nor its place are part of the digest, so both can be entered afterwards.

    Args:
        digest: what `sysgraft.formats.authenticode_digest` found; SHA-256.
        key: the signer's private key.
        certificate: the signer's certificate.
        chain: certificates above it, for firmware that trusts only a root.
        attributes: further attributes to sign, in DER, such as a signing time.

    Returns:
        The PKCS#7 signature in DER, the same for the same arguments.

    Raises:
        UsageError: the digest is no SHA-256, which is all that signers make.
        KeyMaterialError: key and certificate do not belong together, or signing fails.
    """
    if digest.algorithm != "sha256":
        raise UsageError(f"a {digest.algorithm} of an executable cannot be signed, only a sha256")
    check_pair(key, certificate)
    content = authenticode.content_for(digest.value)
    message_digest = hashlib.sha256(content).digest()
    signed = cms_attributes.signed_attributes(
        authenticode.SPC_INDIRECT_DATA, message_digest, *attributes
    )
    signer = sign_content(
        content, key, certificate, signed_attributes=signed, message_digest=message_digest
    )
    certificates = dict.fromkeys((certificate.der, *(each.der for each in chain)))
    return cms.serialise(
        cms.SignedData(
            (cms_signer.SHA256,), (signer,), tuple(certificates), content, authenticode.RULES
        )
    )
