"""Sign a new value of an EFI variable: the ``.auth`` file that a firmware takes.

The bytes are those of ``sign-efi-sig-list`` (efitools) for the same RSA key, certificate and time:
SignedData without a ContentInfo, with the signer's certificate and without attributes. How the
file is built, and how a signature is checked, is in `sysgraft.formats.authvar`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sysgraft.errors import KeyMaterialError
from sysgraft.formats import authvar, cms, cms_signer
from sysgraft.formats.der import encode_algorithm
from sysgraft.formats.public_key import RSA_ENCRYPTION
from sysgraft.sign.keys import check_pair

if TYPE_CHECKING:
    from datetime import datetime

    from sysgraft.formats.x509 import Certificate
    from sysgraft.sign.keys import Signer

_ALGORITHMS: Final = {"rsa": RSA_ENCRYPTION, "ec": encode_algorithm("1.2.840.10045.4.3.2")}
"""What OpenSSL writes for SHA-256: rsaEncryption, and ecdsa-with-SHA256 (RFC 5758 §3.2)."""


def sign_update(
    target: authvar.Target,
    value: bytes,
    *,
    key: Signer,
    certificate: Certificate,
    time: datetime | None,
) -> authvar.SignedUpdate:
    """Sign a variable's new value.

    Args:
        target: the variable, and whether the value is added to what it holds.
        value: signature lists for PK, KEK, db and dbx; empty to delete the variable.
        key: the private key; of PK for PK and KEK, of PK or a KEK for db and dbx.
        certificate: its certificate.
        time: of the update, to the second. Firmware takes a replacement only if it is later than
            the one before; None is for updates that append.

    Raises:
        KeyMaterialError: key and certificate do not belong together, or signing fails.
    """
    check_pair(key, certificate)
    signer = cms_signer.SignerInfo(
        issuer_der=certificate.issuer_der,
        serial=certificate.serial,
        digest_der=cms_signer.SHA256,
        algorithm_der=_ALGORITHMS[key.kind],
        signature=key.sign(authvar.signed_content(target, time, value)),
    )
    signed = cms.SignedData((cms_signer.SHA256,), (signer,), (certificate.der,))
    signature = authvar.without_content_info(cms.serialise(signed))
    update = authvar.SignedUpdate(time, signature, value)
    # A token may answer with anything; nothing unproven goes to a firmware.
    if not authvar.verify(update, target, certificate):
        raise KeyMaterialError("the key made a signature that its certificate does not verify")
    return update
