"""Every single bit of a root-hash signature counts."""

from __future__ import annotations

import pytest

from sysgraft.sign.keys import load_private_key
from sysgraft.sign.roothash import sign_root_hash
from sysgraft.sign.verify import trust
from sysgraft.sign.verify.roothash import check_roothash_signature
from sysgraft.testing.certificates import NOW, KeyType, make_identity

ROOT_HASH = bytes(range(100, 132))


def is_good(pkcs7: bytes, root_hash: bytes, store: trust.TrustStore) -> bool:
    verdict = check_roothash_signature(pkcs7, root_hash, fingerprint=None, store=store, now=NOW)
    return (verdict.signature.status, verdict.trust.status) == ("ok", "ok")


@pytest.mark.parametrize("kind", ["rsa-2048", "p256"])
@pytest.mark.parametrize("include_certificate", [True, False])
def test_each_flipped_bit_of_a_signature_is_detected(
    kind: KeyType, include_certificate: bool
) -> None:
    identity = make_identity(kind=kind)
    store = trust.from_certificates(identity.certificate.der, "db.pem")
    pkcs7 = sign_root_hash(
        ROOT_HASH,
        load_private_key(identity.key_pem),
        identity.certificate,
        include_certificate=include_certificate,
    )
    assert is_good(pkcs7, ROOT_HASH, store)
    undetected = []
    for bit in range(len(pkcs7) * 8):
        flipped = bytearray(pkcs7)
        flipped[bit // 8] ^= 1 << bit % 8
        if is_good(bytes(flipped), ROOT_HASH, store):
            undetected.append(bit)
    assert undetected == []


def test_each_flipped_bit_of_the_root_hash_is_detected() -> None:
    identity = make_identity()
    store = trust.from_certificates(identity.certificate.der, "db.pem")
    pkcs7 = sign_root_hash(ROOT_HASH, load_private_key(identity.key_pem), identity.certificate)
    for bit in range(len(ROOT_HASH) * 8):
        flipped = bytearray(ROOT_HASH)
        flipped[bit // 8] ^= 1 << bit % 8
        assert not is_good(pkcs7, bytes(flipped), store)
