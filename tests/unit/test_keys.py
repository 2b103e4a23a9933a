"""Loading private keys and certificates, and saying what is wrong with them."""

from __future__ import annotations

import pytest

from sysgraft.errors import KeyMaterialError, UsageError
from sysgraft.formats import public_key
from sysgraft.sign.keys import MAX_KEY, check_pair, load_certificate, load_private_key
from sysgraft.sign.source import resolve
from sysgraft.testing.certificates import KeyType, make_identity

GOOD: tuple[KeyType, ...] = ("rsa-2048", "p256", "p384", "p521")


@pytest.mark.parametrize("kind", GOOD)
@pytest.mark.parametrize("pem", [True, False])
@pytest.mark.parametrize("traditional", [True, False])
def test_keys_are_read_in_every_form(kind: KeyType, pem: bool, traditional: bool) -> None:
    identity = make_identity(kind=kind)
    key = load_private_key(identity.encode_key(pem=pem, traditional=traditional))
    assert key.kind == ("rsa" if kind == "rsa-2048" else "ec")
    assert key.key_der == identity.certificate.key_der
    check_pair(key, identity.certificate)


@pytest.mark.parametrize("kind", GOOD)
def test_signatures_are_good_and_always_the_same(kind: KeyType) -> None:
    identity = make_identity(kind=kind)
    key = load_private_key(identity.key_pem)
    made = key.sign(b"data")
    scheme = public_key.SignatureScheme(key.kind, "sha256")
    public = identity.certificate.load_public_key()
    assert made == load_private_key(identity.key_pem).sign(b"data")
    assert public_key.verify_signature(public, scheme, made, b"data")
    assert not public_key.verify_signature(public, scheme, made, b"Data")


def test_ec_signatures_use_the_nonce_of_rfc_6979() -> None:
    # RFC 6979 appendix A.2.5: P-256, SHA-256, message "sample".
    from cryptography.hazmat.primitives.asymmetric import ec  # noqa: PLC0415
    from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature  # noqa: PLC0415

    from sysgraft.sign.keys import PrivateKey  # noqa: PLC0415

    secret = 0xC9AFA9D845BA75166B5C215767B1D6934E50C3DB36E89B127B8A622B120F6721
    key = PrivateKey(ec.derive_private_key(secret, ec.SECP256R1()))
    assert decode_dss_signature(key.sign(b"sample")) == (
        0xEFD48B2AACB6A8FD1140DD9CD45E81D69D2C877B56AAF991C34D0EA84EAF3716,
        0xF7CB1C942D657C41D436C7A1B6E29F65F3E900DBB9AFF4064DC4AB2F843ACDA8,
    )


@pytest.mark.parametrize(("pem", "traditional"), [(True, False), (False, False), (True, True)])
def test_encrypted_keys_need_their_passphrase(pem: bool, traditional: bool) -> None:
    identity = make_identity()
    data = identity.encode_key(passphrase=b"open", pem=pem, traditional=traditional)
    assert load_private_key(data, b"open").key_der == identity.certificate.key_der
    assert load_private_key(data, lambda: b"open").key_der == identity.certificate.key_der
    with pytest.raises(KeyMaterialError, match="encrypted and no passphrase") as caught:
        load_private_key(data)
    assert caught.value.hint
    with pytest.raises(KeyMaterialError, match="passphrase is wrong"):
        load_private_key(data, b"shut")
    with pytest.raises(KeyMaterialError, match="passphrase of the private key is empty"):
        load_private_key(data, b"")


def test_nobody_is_asked_for_the_passphrase_of_an_open_key() -> None:
    def ask() -> bytes:
        pytest.fail("asked")

    load_private_key(make_identity().key_pem, ask)
    load_private_key(make_identity().key_pem, b"not needed")


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("ed25519", "Edwards"),
        ("rsa-1024", "1024 bits; 2048 are needed"),
        ("secp256k1", "secp256k1 is not one of"),
    ],
)
def test_keys_that_systemd_could_not_verify_are_refused(kind: KeyType, message: str) -> None:
    with pytest.raises(KeyMaterialError, match=message):
        load_private_key(make_identity(kind=kind).key_pem)


def test_an_x25519_key_is_refused() -> None:
    from cryptography.hazmat.primitives import serialization  # noqa: PLC0415
    from cryptography.hazmat.primitives.asymmetric import x25519  # noqa: PLC0415

    data = x25519.X25519PrivateKey.generate().private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    with pytest.raises(KeyMaterialError, match="neither RSA nor EC"):
        load_private_key(data)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"hello",
        b"\x30\x80",
        b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n",
        b"-----BEGIN PRIVATE KEY-----",
        bytes(MAX_KEY + 1),
    ],
)
@pytest.mark.parametrize("passphrase", [None, b"x"])
def test_what_is_no_key_is_refused(data: bytes, passphrase: bytes | None) -> None:
    with pytest.raises(KeyMaterialError):
        load_private_key(data, passphrase)


def test_certificate_and_key_are_not_taken_for_each_other() -> None:
    identity = make_identity()
    with pytest.raises(KeyMaterialError):
        load_private_key(identity.certificate_pem)
    with pytest.raises(KeyMaterialError):
        load_certificate(identity.key_pem)


def test_a_certificate_is_read_from_pem_der_and_the_head_of_a_bundle() -> None:
    identity, other = make_identity(), make_identity("issuer")
    for data in (
        identity.certificate.der,
        identity.certificate_pem,
        identity.certificate_pem + other.certificate_pem,
    ):
        assert load_certificate(data) == identity.certificate
    with pytest.raises(KeyMaterialError):
        load_certificate(make_identity(kind="ed25519").certificate.der)


def test_a_pair_that_does_not_match_is_refused() -> None:
    key = load_private_key(make_identity().key_pem)
    for other in (make_identity("other"), make_identity(kind="p256")):
        with pytest.raises(KeyMaterialError, match="does not belong to the certificate of CN="):
            check_pair(key, other.certificate)


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("db.key", "db.key"),
        ("/keys/db.key", "/keys/db.key"),
        ("file:db.key", "db.key"),
        ("file:/keys/db.key", "/keys/db.key"),
        ("file:///keys/my%20db.key", "/keys/my db.key"),
        ("FILE://localhost/k", "/k"),
        ("a:b.pem", "a:b.pem"),
        ("C:\\db.key", "C:\\db.key"),
    ],
)
def test_a_source_is_a_path_or_a_file_uri(text: str, path: str) -> None:
    source = resolve(text)
    assert (source.kind, source.path) == ("file", path)


@pytest.mark.parametrize("text", ["", "file:", "file://host/k", "file://", "file:a%00b"])
def test_sources_that_name_no_file_here_are_refused(text: str) -> None:
    with pytest.raises(UsageError):
        resolve(text)


def test_a_token_is_a_source_but_no_file() -> None:
    source = resolve("PKCS11:token=x;object=y")
    assert (source.kind, source.name) == ("pkcs11", "PKCS11:token=x;object=y")
    with pytest.raises(KeyMaterialError, match="cannot be used here") as caught:
        _ = source.path
    assert caught.value.file == source.name
