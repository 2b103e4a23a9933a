"""Signatures made elsewhere are taken only if they hold."""

from __future__ import annotations

import dataclasses
import json

import pytest

from sysgraft.errors import FormatError, KeyMaterialError
from sysgraft.formats import cms
from sysgraft.sign.join import joined_partition
from sysgraft.sign.keys import load_private_key
from sysgraft.sign.pair import SigningPair
from sysgraft.sign.roothash import sign_root_hash
from sysgraft.testing.certificates import Identity, KeyType, make_identity

ROOT_HASH = bytes(range(32))


def signed(identity: Identity, root_hash: bytes = ROOT_HASH, *, certificate: bool = True) -> bytes:
    key = load_private_key(identity.key_pem)
    return sign_root_hash(root_hash, key, identity.certificate, include_certificate=certificate)


@pytest.mark.parametrize("kind", ["rsa-2048", "p256"])
@pytest.mark.parametrize("certificate", [True, False])
def test_a_good_signature_gives_the_partition_our_own_key_would(
    kind: KeyType, certificate: bool
) -> None:
    identity = make_identity(kind=kind)
    pair = SigningPair(load_private_key(identity.key_pem), identity.certificate, certificate)
    content = joined_partition(
        signed(identity, certificate=certificate), ROOT_HASH, identity.certificate
    )
    assert content == pair.signature_partition(ROOT_HASH)


def test_the_partition_names_root_hash_and_signer() -> None:
    identity = make_identity()
    content = joined_partition(signed(identity), ROOT_HASH, identity.certificate)
    said = json.loads(content.rstrip(b"\0"))
    assert said["rootHash"] == ROOT_HASH.hex()
    assert said["certificateFingerprint"] == identity.certificate.fingerprint.hex()


def test_a_signature_of_another_root_hash_is_refused_and_says_what_to_sign() -> None:
    identity = make_identity()
    with pytest.raises(KeyMaterialError, match="not one of this image's root hash") as caught:
        joined_partition(signed(identity, bytes(32)), ROOT_HASH, identity.certificate)
    assert ROOT_HASH.hex() in caught.value.hint
    assert "64 characters" in caught.value.hint


def test_a_signature_by_somebody_else_is_refused() -> None:
    with pytest.raises(KeyMaterialError, match="not made with this certificate"):
        joined_partition(signed(make_identity("other")), ROOT_HASH, make_identity().certificate)


def test_a_signature_by_a_namesake_with_another_key_is_refused() -> None:
    rsa, ec = make_identity(), make_identity(kind="p256")
    with pytest.raises(KeyMaterialError, match="not one of this image's root hash"):
        joined_partition(signed(ec), ROOT_HASH, rsa.certificate)


def test_an_attached_signature_is_refused() -> None:
    identity = make_identity()
    detached = cms.parse(signed(identity))
    attached = dataclasses.replace(detached, content=ROOT_HASH.hex().encode())
    with pytest.raises(KeyMaterialError, match="has to be detached"):
        joined_partition(cms.serialise(attached), ROOT_HASH, identity.certificate)


@pytest.mark.parametrize("own_first", [True, False])
def test_a_second_signer_is_refused_wherever_it_stands(own_first: bool) -> None:
    own, other = make_identity(), make_identity("other")
    parts = [cms.parse(signed(each)).signers[0] for each in (own, other)]
    joint = dataclasses.replace(
        cms.parse(signed(own)), signers=tuple(parts if own_first else reversed(parts))
    )
    with pytest.raises(KeyMaterialError, match="not made with this certificate"):
        joined_partition(cms.serialise(joint), ROOT_HASH, own.certificate)


@pytest.mark.parametrize("cut", [0, 1, 100, -1])
def test_what_is_no_signature_is_refused(cut: int) -> None:
    identity = make_identity()
    with pytest.raises(FormatError):
        joined_partition(signed(identity)[:cut], ROOT_HASH, identity.certificate)


def test_a_signature_in_pem_is_refused() -> None:
    with pytest.raises(FormatError):
        joined_partition(b"-----BEGIN PKCS7-----\nAAAA\n", ROOT_HASH, make_identity().certificate)
