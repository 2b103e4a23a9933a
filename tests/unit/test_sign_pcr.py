"""Signatures of PCR policies: what is signed, by whom, and what does not verify."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from typing import Final

import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from sysgraft.errors import KeyMaterialError
from sysgraft.formats.pcrsig import Entry
from sysgraft.sign import pcr
from sysgraft.sign.keys import load_private_key
from sysgraft.testing.certificates import make_identity

IDENTITY: Final = make_identity("pcr")
SIGNER: Final = load_private_key(IDENTITY.key_pem)
OTHER: Final = load_private_key(make_identity("other").key_pem)
# systemd-measure 262 policy-digest --policyref=initrd.
POLICY: Final = bytes.fromhex("c22af341d2137e3ddccea7b685d3fd1e0742b09cbd0524c544d50b95af928082")
WITH_REFERENCE: Final = POLICY + bytes.fromhex(
    "09e6c018d2c8c4903308613dd1b72484d57eadf12ec50ddc8f52e5accce470f2"
)
ENTRY: Final = Entry((11,), b"", POLICY)


def test_what_is_signed() -> None:
    assert pcr.to_sign(POLICY) == POLICY
    assert pcr.to_sign(POLICY, "initrd") == WITH_REFERENCE


def test_a_key_is_named_by_its_pkcs1_form() -> None:
    assert isinstance(IDENTITY.key, rsa.RSAPrivateKey)
    public = IDENTITY.key.public_key()
    der = public.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.PKCS1)
    assert pcr.fingerprint(SIGNER.key_der) == hashlib.sha256(der).digest()


@pytest.mark.parametrize("reference", ["", "initrd", "ä"])
def test_signatures_are_plain_rsa(reference: str) -> None:
    signed = pcr.sign_entry(replace(ENTRY, reference=reference), SIGNER)
    assert isinstance(IDENTITY.key, rsa.RSAPrivateKey)
    IDENTITY.key.public_key().verify(
        signed.signature, pcr.to_sign(POLICY, reference), padding.PKCS1v15(), hashes.SHA256()
    )
    assert signed.fingerprint == pcr.fingerprint(SIGNER.key_der)
    assert replace(signed, signature=b"", fingerprint=b"") == replace(ENTRY, reference=reference)
    assert pcr.verifies(signed, SIGNER.key_der)
    assert pcr.sign_entry(replace(ENTRY, reference=reference), SIGNER) == signed


def test_what_does_not_verify() -> None:
    signed = pcr.sign_entry(ENTRY, SIGNER)
    assert not pcr.verifies(signed, OTHER.key_der)
    assert not pcr.verifies(replace(signed, reference="initrd"), SIGNER.key_der)
    assert not pcr.verifies(replace(signed, policy=bytes(32)), SIGNER.key_der)
    for broken in (b"", b"x", signed.signature[:-1], signed.signature + b"\0", bytes(256)):
        assert not pcr.verifies(replace(signed, signature=broken), SIGNER.key_der)
    for at in (0, 100, 255):
        flipped = bytearray(signed.signature)
        flipped[at] ^= 1
        assert not pcr.verifies(replace(signed, signature=bytes(flipped)), SIGNER.key_der)


def test_keys_that_are_not_rsa_are_refused() -> None:
    identity = make_identity("curve", kind="p256")
    with pytest.raises(KeyMaterialError, match="RSA keys only"):
        pcr.sign_entry(ENTRY, load_private_key(identity.key_pem))
    with pytest.raises(KeyMaterialError):
        pcr.fingerprint(b"no key")


class _Liar:
    """A token that signs with another key than it shows."""

    kind = "rsa"
    key_der = SIGNER.key_der

    def sign(self, data: bytes) -> bytes:
        return OTHER.sign(data)


def test_a_signer_is_not_believed() -> None:
    with pytest.raises(KeyMaterialError, match="does not verify"):
        pcr.sign_entry(ENTRY, _Liar())  # type: ignore[arg-type]  # kind is a str to mypy
