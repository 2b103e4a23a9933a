"""Making root-hash signatures."""

from __future__ import annotations

import pytest
from cryptography import x509 as reference
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding, pkcs7

from sysgraft.errors import KeyMaterialError
from sysgraft.formats import cms
from sysgraft.sign.keys import PrivateKey, load_private_key
from sysgraft.sign.roothash import sign_root_hash
from sysgraft.testing.certificates import KeyType, make_identity

ROOT_HASH = bytes(range(32))


@pytest.mark.parametrize("kind", ["rsa-2048", "rsa-3072", "p256", "p384", "p521"])
@pytest.mark.parametrize("include_certificate", [True, False])
def test_the_same_arguments_give_the_same_bytes(kind: KeyType, include_certificate: bool) -> None:
    identity = make_identity(kind=kind)
    made = [
        sign_root_hash(
            ROOT_HASH,
            load_private_key(identity.key_pem),
            identity.certificate,
            include_certificate=include_certificate,
        )
        for _ in range(2)
    ]
    assert made[0] == made[1]
    certificates = cms.parse(made[0]).certificates
    assert certificates == ((identity.certificate.der,) if include_certificate else ())


@pytest.mark.parametrize("include_certificate", [True, False])
def test_rsa_gives_the_bytes_of_an_independent_builder(include_certificate: bool) -> None:
    identity = make_identity()
    options = [
        pkcs7.PKCS7Options.Binary,
        pkcs7.PKCS7Options.DetachedSignature,
        pkcs7.PKCS7Options.NoAttributes,
    ]
    if not include_certificate:
        options.append(pkcs7.PKCS7Options.NoCerts)
    certificate = reference.load_der_x509_certificate(identity.certificate.der)
    theirs = (
        pkcs7.PKCS7SignatureBuilder()
        .set_data(ROOT_HASH.hex().encode())
        .add_signer(certificate, identity.key, hashes.SHA256())  # type: ignore[arg-type]
        .sign(Encoding.DER, options)
    )
    ours = sign_root_hash(
        ROOT_HASH,
        load_private_key(identity.key_pem),
        identity.certificate,
        include_certificate=include_certificate,
    )
    assert ours == theirs


def test_a_key_of_another_certificate_is_refused() -> None:
    key = load_private_key(make_identity("other").key_pem)
    with pytest.raises(KeyMaterialError, match="does not belong"):
        sign_root_hash(ROOT_HASH, key, make_identity().certificate)


class Broken(PrivateKey):
    """A token that answers with a signature of something else."""

    __slots__ = ()

    def sign(self, data: bytes) -> bytes:
        return super().sign(data + b"\n")


def test_a_signature_that_does_not_verify_is_never_returned() -> None:
    identity = make_identity()
    key = Broken(identity.key)  # type: ignore[arg-type]  # an RSA key, by its type
    with pytest.raises(KeyMaterialError, match="does not verify"):
        sign_root_hash(ROOT_HASH, key, identity.certificate)
