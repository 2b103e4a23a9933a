"""Reading a key and its certificate from files."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

import pytest

from sysgraft.base.blob import BytesBlob
from sysgraft.errors import InputError, KeyMaterialError, LimitError, UsageError
from sysgraft.formats import cms, verity_signature
from sysgraft.formats.x509 import MAX_BUNDLE
from sysgraft.sign.keys import MAX_KEY
from sysgraft.sign.pair import load_certificate_file, load_pair, load_signer
from sysgraft.sign.verify.roothash import check_roothash_signature
from sysgraft.sign.verify.trust import from_certificates
from sysgraft.testing.certificates import NOW, Identity, KeyType, make_identity

if TYPE_CHECKING:
    from pathlib import Path

ROOT_HASH = bytes(range(32))


def write(folder: Path, identity: Identity, *, key: bytes = b"") -> tuple[str, str]:
    """The paths of a key and a certificate in files."""
    folder.mkdir(exist_ok=True)
    (folder / "db.key").write_bytes(key or identity.key_pem)
    (folder / "db.pem").write_bytes(identity.certificate_pem)
    return str(folder / "db.key"), str(folder / "db.pem")


@pytest.mark.parametrize("kind", ["rsa-2048", "p256"])
@pytest.mark.parametrize("include_certificate", [True, False])
def test_a_pair_makes_signatures_that_verify(
    tmp_path: Path, kind: KeyType, include_certificate: bool
) -> None:
    identity = make_identity(kind=kind)
    pair = load_pair(*write(tmp_path, identity), include_certificate=include_certificate)
    found = verity_signature.parse(BytesBlob(pair.signature_partition(ROOT_HASH)))
    assert found.root_hash == ROOT_HASH
    assert found.fingerprint == identity.certificate.fingerprint
    assert bool(cms.parse(found.pkcs7).certificates) == include_certificate
    verdict = check_roothash_signature(
        found.pkcs7,
        ROOT_HASH,
        fingerprint=found.fingerprint,
        store=from_certificates(identity.certificate_pem, "db.pem"),
        now=NOW,
    )
    assert (verdict.signature.status, verdict.trust.status) == ("ok", "ok")


def test_paths_may_be_file_uris(tmp_path: Path) -> None:
    identity = make_identity()
    key, certificate = write(tmp_path / "a b", identity)
    pair = load_pair(*("file://" + path.replace(" ", "%20") for path in (key, certificate)))
    assert pair.certificate == identity.certificate


@pytest.mark.parametrize("kind", ["rsa-2048", "p256"])
def test_key_and_certificate_of_two_signers_are_refused(tmp_path: Path, kind: KeyType) -> None:
    key, _ = write(tmp_path / "one", make_identity())
    _, certificate = write(tmp_path / "two", make_identity("other", kind=kind))
    with pytest.raises(KeyMaterialError, match="does not belong") as caught:
        load_pair(key, certificate)
    assert caught.value.file == certificate


def test_key_and_certificate_in_each_others_place_are_refused(tmp_path: Path) -> None:
    key, certificate = write(tmp_path, make_identity())
    with pytest.raises(KeyMaterialError, match="not a private key") as caught:
        load_pair(certificate, key)
    assert caught.value.file == certificate


def test_an_encrypted_key_opens_with_its_passphrase_only(tmp_path: Path) -> None:
    identity = make_identity()
    paths = write(tmp_path, identity, key=identity.encode_key(passphrase=b"open"))
    load = functools.partial(load_pair, *paths)
    assert load(passphrase=b"open").key.key_der == identity.certificate.key_der
    for wrong, message in ((None, "no passphrase is given"), (b"shut", "passphrase is wrong")):
        with pytest.raises(KeyMaterialError, match=message) as caught:
            load(passphrase=wrong)
        assert caught.value.file == paths[0]


@pytest.mark.parametrize("missing", [0, 1])
def test_a_missing_file_is_named(tmp_path: Path, missing: int) -> None:
    paths = list(write(tmp_path, make_identity()))
    paths[missing] = str(tmp_path / "absent")
    with pytest.raises(InputError, match="No such file") as caught:
        load_pair(*paths)
    assert caught.value.file == paths[missing]


@pytest.mark.parametrize(("name", "limit"), [("db.key", MAX_KEY), ("db.pem", MAX_BUNDLE)])
def test_files_too_large_to_be_keys_are_not_read(tmp_path: Path, name: str, limit: int) -> None:
    paths = write(tmp_path, make_identity())
    (tmp_path / name).write_bytes(bytes(limit + 1))
    with pytest.raises(LimitError, match="too large") as caught:
        load_pair(*paths)
    assert caught.value.file == str(tmp_path / name)


def test_empty_paths_are_refused(tmp_path: Path) -> None:
    key, certificate = write(tmp_path, make_identity())
    for pair in (("", certificate), (key, ""), (key, "file:")):
        with pytest.raises(UsageError, match=r"empty|no path"):
            load_pair(*pair)


def test_a_key_may_be_loaded_without_a_certificate(tmp_path: Path) -> None:
    identity = make_identity()
    key, _ = write(tmp_path, identity, key=identity.encode_key(passphrase=b"open"))
    assert load_signer(key, b"open").key_der == identity.certificate.key_der
    assert load_signer(f"file:{key}", lambda: b"open").kind == "rsa"
    with pytest.raises(KeyMaterialError, match="no passphrase") as caught:
        load_signer(key)
    assert caught.value.file == key


def test_a_certificate_file_holds_pem_or_der_and_nothing_else(tmp_path: Path) -> None:
    identity = make_identity()
    path = tmp_path / "db"
    for data in (identity.certificate_pem, identity.certificate.der):
        path.write_bytes(data)
        assert load_certificate_file(str(path)) == identity.certificate
    for data in (b"", identity.key_pem, identity.certificate.der[:-1]):
        path.write_bytes(data)
        with pytest.raises(KeyMaterialError) as caught:
            load_certificate_file(str(path))
        assert caught.value.file == str(path)
