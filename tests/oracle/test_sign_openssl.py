"""Root-hash signatures against the openssl program: its bytes, its verdicts, its own signatures."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

import pytest

from sysgraft.errors import UnsupportedError
from sysgraft.formats import cms
from sysgraft.sign.keys import load_private_key
from sysgraft.sign.roothash import sign_root_hash
from sysgraft.sign.verify import trust
from sysgraft.sign.verify.roothash import RoothashVerdict, check_roothash_signature
from sysgraft.testing.certificates import NOW, Identity, KeyType, make_identity

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.oracle("openssl")

ROOT_HASH = bytes(range(200, 232))
SMIME = ("smime", "-sign", "-noattr", "-binary", "-outform", "der")
CMS = ("cms", "-sign", "-binary", "-outform", "der")


class Folder:
    """Files that openssl works on, and openssl."""

    def __init__(self, path: Path, identity: Identity) -> None:
        self.path = path
        self.identity = identity
        (path / "content").write_bytes(ROOT_HASH.hex().encode())
        (path / "key").write_bytes(identity.key_pem)
        (path / "crt").write_bytes(identity.certificate_pem)

    def openssl(self, *words: str, good: bool = True) -> bytes:
        done = subprocess.run(
            ["openssl", *words], cwd=self.path, capture_output=True, check=False, timeout=60
        )
        assert (done.returncode == 0) is good, done.stderr.decode()
        return done.stdout

    def sign(self, program: str, *options: str) -> bytes:
        # Options of the key (-keyopt) have to follow the signer that they are about.
        files = ("-in", "content", "-signer", "crt", "-inkey", "key", "-out", "p7s")
        self.openssl(program, *files, *options)
        return (self.path / "p7s").read_bytes()

    def verify(self, program: str, pkcs7: bytes, *, good: bool = True) -> None:
        """As systemd does: the signer's certificate is given, those inside are not looked at."""
        (self.path / "check").write_bytes(pkcs7)
        content = ("-in", "check", "-inform", "der", "-content", "content", "-binary")
        self.openssl(
            program, "-verify", "-nointern", "-noverify", "-certfile", "crt", *content, good=good
        )

    def ours(self, *, include_certificate: bool = True) -> bytes:
        return sign_root_hash(
            ROOT_HASH,
            load_private_key(self.identity.key_pem),
            self.identity.certificate,
            include_certificate=include_certificate,
        )

    def check(self, pkcs7: bytes, root_hash: bytes = ROOT_HASH) -> RoothashVerdict:
        store = trust.from_certificates((self.path / "crt").read_bytes(), "crt")
        return check_roothash_signature(pkcs7, root_hash, fingerprint=None, store=store, now=NOW)

    def accepts(self, pkcs7: bytes, root_hash: bytes = ROOT_HASH) -> bool:
        verdict = self.check(pkcs7, root_hash)
        return (verdict.signature.status, verdict.trust.status) == ("ok", "ok")


@pytest.mark.parametrize("kind", ["rsa-2048", "rsa-3072"])
def test_rsa_signatures_are_the_bytes_openssl_writes(tmp_path: Path, kind: KeyType) -> None:
    folder = Folder(tmp_path, make_identity(kind=kind))
    assert folder.ours(include_certificate=False) == folder.sign(*SMIME, "-nocerts")
    assert folder.ours(include_certificate=True) == folder.sign(*SMIME)


@pytest.mark.parametrize("kind", ["p256", "p384", "p521"])
def test_ec_signatures_differ_from_openssls_in_the_signature_alone(
    tmp_path: Path, kind: KeyType
) -> None:
    folder = Folder(tmp_path, make_identity(kind=kind))
    theirs, ours = cms.parse(folder.sign(*SMIME)), cms.parse(folder.ours())
    assert theirs.certificates == ours.certificates
    assert theirs.digests == ours.digests
    (their_signer,), (our_signer,) = theirs.signers, ours.signers
    assert their_signer.algorithm_der == our_signer.algorithm_der
    assert their_signer.digest_der == our_signer.digest_der


@pytest.mark.parametrize("kind", ["rsa-2048", "p256", "p384", "p521"])
@pytest.mark.parametrize("include_certificate", [True, False])
@pytest.mark.parametrize("program", ["smime", "cms"])
def test_openssl_verifies_our_signatures(
    tmp_path: Path, kind: KeyType, include_certificate: bool, program: str
) -> None:
    folder = Folder(tmp_path, make_identity(kind=kind))
    pkcs7 = folder.ours(include_certificate=include_certificate)
    folder.verify(program, pkcs7)
    (tmp_path / "content").write_bytes(ROOT_HASH.hex().upper().encode())
    folder.verify(program, pkcs7, good=False)


@pytest.mark.parametrize("kind", ["rsa-2048", "p256", "p384"])
@pytest.mark.parametrize("digest", ["sha256", "sha384", "sha512"])
@pytest.mark.parametrize(
    "words",
    [
        SMIME,
        (*SMIME, "-nocerts"),
        CMS,
        (*CMS, "-noattr"),
        (*CMS, "-nocerts"),
        (*CMS, "-nocerts", "-noattr"),
        ("smime", "-sign", "-binary", "-outform", "der"),
    ],
    ids=" ".join,
)
def test_openssls_signatures_are_read_and_verified(
    tmp_path: Path, kind: KeyType, digest: str, words: tuple[str, ...]
) -> None:
    folder = Folder(tmp_path, make_identity(kind=kind))
    pkcs7 = folder.sign(*words, "-md", digest)
    assert cms.serialise(cms.parse(pkcs7)) == pkcs7
    assert cms.parse(pkcs7).signers[0].digest == digest
    has_attributes = cms.parse(pkcs7).signers[0].signed_attributes is not None
    assert has_attributes == ("-noattr" not in words)
    assert folder.accepts(pkcs7)
    assert not folder.accepts(pkcs7, bytes(32))


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        ((*SMIME, "-md", "sha1"), "1.3.14.3.2.26"),
        ((*SMIME, "-md", "md5"), "1.2.840.113549.2.5"),
        ((*CMS, "-keyopt", "rsa_padding_mode:pss"), "RSASSA-PSS"),
        ((*CMS, "-keyid"), "version 3"),
    ],
)
def test_openssls_other_signatures_are_refused_by_name(
    tmp_path: Path, words: tuple[str, ...], reason: str
) -> None:
    folder = Folder(tmp_path, make_identity())
    if "-keyid" in words:
        folder.openssl(
            *("req", "-x509", "-key", "key", "-subj", "/CN=x", "-days", "9", "-out", "crt"),
            *("-addext", "subjectKeyIdentifier=hash"),
        )
    pkcs7 = folder.sign(*words)
    with pytest.raises(UnsupportedError, match=reason):
        cms.parse(pkcs7)
    assert not folder.accepts(pkcs7)


def test_a_signature_that_embeds_its_content_is_refused(tmp_path: Path) -> None:
    folder = Folder(tmp_path, make_identity())
    for words in ((*SMIME, "-nodetach"), (*CMS, "-nodetach")):
        pkcs7 = folder.sign(*words)
        assert cms.parse(pkcs7).content == ROOT_HASH.hex().encode()
        verdict = folder.check(pkcs7)
        assert verdict.signature.status == "fail"
        assert "detached" in verdict.signature.reason


def test_a_chain_inside_the_signature_is_passed_over(tmp_path: Path) -> None:
    root = make_identity("root")
    folder = Folder(tmp_path, make_identity("leaf", issuer=root))
    (tmp_path / "chain").write_bytes(root.certificate_pem)
    pkcs7 = folder.sign(*SMIME, "-certfile", "chain")
    assert len(cms.parse(pkcs7).certificates) == 2
    assert folder.accepts(pkcs7)
    folder.verify("smime", pkcs7)
    (tmp_path / "crt").write_bytes(root.certificate_pem)
    assert not folder.accepts(pkcs7)
    folder.verify("smime", pkcs7, good=False)


def test_an_expired_certificate_is_good_as_openssl_says(tmp_path: Path) -> None:
    identity = make_identity(not_after=NOW.replace(year=2021))
    folder = Folder(tmp_path, identity)
    pkcs7 = folder.ours()
    folder.verify("smime", pkcs7)
    assert folder.accepts(pkcs7)
    assert folder.check(pkcs7).notes == ("the signer's certificate expired on 2021-06-01",)


def test_of_namesakes_the_wrong_one_fails_as_openssl_says(tmp_path: Path) -> None:
    folder = Folder(tmp_path, make_identity())
    pkcs7 = folder.ours(include_certificate=False)
    namesake = make_identity(kind="rsa-3072")
    (tmp_path / "crt").write_bytes(namesake.certificate_pem)
    assert not folder.accepts(pkcs7)
    folder.verify("smime", pkcs7, good=False)
