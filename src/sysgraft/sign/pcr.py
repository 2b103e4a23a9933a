"""Signatures of PCR policies, as systemd-measure makes and systemd-cryptsetup uses them.

RSASSA-PKCS1-v1_5 with SHA-256 over the policy's digest; with a reference, over the digest and the
SHA-256 of the reference (TPM2_PolicyAuthorize, policyRef). systemd takes RSA keys only, and for
every bank SHA-256 only; what systemd-measure made for other banks before release 260 is refused.
"""

from __future__ import annotations

import hashlib
from dataclasses import replace
from typing import TYPE_CHECKING

from sysgraft.errors import KeyMaterialError
from sysgraft.formats.public_key import SignatureScheme, load_public_key, verify_signature

if TYPE_CHECKING:
    from sysgraft.formats.pcrsig import Entry
    from sysgraft.sign.keys import Signer


def fingerprint(key_der: bytes) -> bytes:
    """How signature files name a key: SHA-256 of the PKCS #1 RSAPublicKey in DER.

    Args:
        key_der: the SubjectPublicKeyInfo.

    Raises:
        KeyMaterialError: it is no RSA key.
    """
    from cryptography.hazmat.primitives import serialization  # noqa: PLC0415 - slow to import
    from cryptography.hazmat.primitives.asymmetric import rsa  # noqa: PLC0415

    key = load_public_key(key_der)
    if not isinstance(key, rsa.RSAPublicKey):
        raise KeyMaterialError(
            "PCR policies are signed with RSA keys only",
            hint="systemd-cryptsetup asks the TPM to verify RSASSA signatures and no others",
        )
    return hashlib.sha256(
        key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.PKCS1)
    ).digest()


def to_sign(policy: bytes, reference: str = "") -> bytes:
    """The bytes whose SHA-256 is signed."""
    if not reference:
        return policy
    return policy + hashlib.sha256(reference.encode("utf-8")).digest()


def sign_entry(entry: Entry, signer: Signer) -> Entry:
    """The entry with its signature and the key's fingerprint.

    Raises:
        KeyMaterialError: the key is no RSA key, cannot sign, or signs something else.
    """
    name = fingerprint(signer.key_der)
    signature = signer.sign(to_sign(entry.policy, entry.reference))
    signed = replace(entry, signature=signature, fingerprint=name)
    if not verifies(signed, signer.key_der):
        raise KeyMaterialError("the PCR signing key made a signature that does not verify")
    return signed


def verifies(entry: Entry, key_der: bytes) -> bool:
    """Whether an entry's signature is by this key (SubjectPublicKeyInfo)."""
    key = load_public_key(key_der)
    data = to_sign(entry.policy, entry.reference)
    return verify_signature(key, SignatureScheme("rsa", "sha256"), entry.signature, data)
