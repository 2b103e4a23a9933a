"""Sign a new value of an EFI variable: the ``.auth`` file that a firmware takes.

The bytes are those of ``sign-efi-sig-list`` (efitools) for the same RSA key, certificate and time:
SignedData without a ContentInfo, with the signer's certificate and without attributes. How the
file is built, and how a signature is checked, is in `sysgraft.formats.authvar`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sysgraft.formats import authvar, cms, cms_signer
from sysgraft.sign.keys import check_pair
from sysgraft.sign.signer_info import sign_content

if TYPE_CHECKING:
    from datetime import datetime

    from sysgraft.formats.x509 import Certificate
    from sysgraft.sign.keys import Signer


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
    signer = sign_content(authvar.signed_content(target, time, value), key, certificate)
    signed = cms.SignedData((cms_signer.SHA256,), (signer,), (certificate.der,))
    return authvar.SignedUpdate(time, authvar.without_content_info(cms.serialise(signed)), value)
