"""Keys in a token, with SoftHSM: what they sign is what the same keys in files sign."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pkcs11
import pytest

import softhsm
from command import signing, sysgraft
from sysgraft.errors import KeyMaterialError
from sysgraft.formats.public_key import SignatureScheme, verify_signature
from sysgraft.sign.keys import load_private_key
from sysgraft.sign.pair import load_certificate_file, load_pair, load_signer
from sysgraft.sign.pkcs11_session import MODULE_VARIABLE
from sysgraft.testing.certificates import Identity, KeyType, make_identity

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from conftest import SigningPair
    from softhsm import SoftHsm

pytestmark = pytest.mark.oracle("softhsm2-util", "pkcs11-tool")

PIN = softhsm.PIN.encode()
KINDS: dict[str, KeyType] = {"rsa": "rsa-2048", "p256": "p256", "p384": "p384"}
SIGNERS = {name: make_identity(f"{name} in a token", kind=kind) for name, kind in KINDS.items()}
TWIN = make_identity("a twin")
SHORT = make_identity("too short", kind="rsa-1024")
NUMBERS = {"rsa": "a1", "p256": "a2", "p384": "a3"}


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> SoftHsm:
    """Tokens: signers (three keys with their certificates), twins, keys only, empty."""
    hsm = softhsm.make(tmp_path_factory.mktemp("softhsm"))
    for label in ("signers", "twins", "bare", "empty"):
        hsm.add_token(label)
    for name, identity in SIGNERS.items():
        hsm.add_key("signers", identity, label=name, number=NUMBERS[name])
        hsm.add_certificate("signers", identity, label=name, number=NUMBERS[name])
    for number in ("01", "02"):
        hsm.add_key("twins", TWIN, label="twin", number=number)
    for number, identity in (("01", SIGNERS["p256"]), ("02", SIGNERS["rsa"]), ("03", SHORT)):
        hsm.add_key("bare", identity, label=f"key {number}", number=number)
        hsm.tool("bare", "--delete-object", "--type", "pubkey", "--id", number)
    return hsm


@pytest.fixture
def hsm(filled: SoftHsm) -> Iterator[SoftHsm]:
    with softhsm.in_this_process(filled):
        yield filled


def key_file(folder: Path, identity: Identity) -> tuple[str, str]:
    (folder / "signer.key").write_bytes(identity.key_pem)
    (folder / "signer.pem").write_bytes(identity.certificate_pem)
    return str(folder / "signer.key"), str(folder / "signer.pem")


# --- Signatures ----------------------------------------------------------------------------------


@pytest.mark.parametrize("data", [b"", b"data", bytes(100_000)])
def test_rsa_signatures_are_those_of_the_key_in_a_file(hsm: SoftHsm, data: bytes) -> None:
    key = load_signer(hsm.uri("token=signers;object=rsa"), PIN)
    assert (key.kind, key.key_der) == ("rsa", SIGNERS["rsa"].certificate.key_der)
    assert key.sign(data) == load_private_key(SIGNERS["rsa"].key_pem).sign(data)


@pytest.mark.parametrize("name", ["p256", "p384"])
def test_ec_signatures_verify(hsm: SoftHsm, name: str) -> None:
    key = load_signer(hsm.uri(f"token=signers;object={name}"), PIN)
    certificate = SIGNERS[name].certificate
    assert (key.kind, key.key_der) == ("ec", certificate.key_der)
    for number in range(8):
        data = b"data %d" % number
        scheme = SignatureScheme("ec", "sha256")
        assert verify_signature(certificate.load_public_key(), scheme, key.sign(data), data)


def test_a_token_that_cannot_hash_signs_a_digest(
    hsm: SoftHsm, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = load_signer(hsm.uri("token=signers;object=rsa"), PIN)
    slot = type(next(pkcs11.lib(str(softhsm.module())).get_tokens()).slot)

    class Poor(slot):  # type: ignore[misc, valid-type]
        def get_mechanisms(self) -> set[pkcs11.Mechanism]:
            return {pkcs11.Mechanism.RSA_PKCS}

    used = []
    inner = key._key  # type: ignore[attr-defined]

    class Key:
        session = type("S", (), {"token": type("T", (), {"slot": Poor.__new__(Poor)})})

        def __getitem__(self, name: pkcs11.Attribute) -> object:
            return inner[name]

        def sign(self, data: bytes, *, mechanism: pkcs11.Mechanism, pin: None) -> bytes:
            used.append(mechanism)
            made: bytes = inner.sign(data, mechanism=mechanism, pin=pin)
            return made

    monkeypatch.setattr(key, "_key", Key())
    assert key.sign(b"data") == load_private_key(SIGNERS["rsa"].key_pem).sign(b"data")
    assert used == [pkcs11.Mechanism.RSA_PKCS]


# --- Finding things ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "path",
    [
        "token=signers;object=rsa",
        "token=signers;id=%a1",
        "token=signers;object=rsa;id=%A1;type=private",
        "manufacturer=SoftHSM%20project;token=signers;object=rsa;model=SoftHSM%20v2",
        "library-manufacturer=SoftHSM;token=signers;object=rsa",
    ],
)
def test_a_key_is_found_by_what_the_uri_says(hsm: SoftHsm, path: str) -> None:
    assert load_signer(hsm.uri(path), PIN).key_der == SIGNERS["rsa"].certificate.key_der


def test_a_token_is_found_by_serial_and_slot(hsm: SoftHsm) -> None:
    tokens = {token.label: token for token in pkcs11.lib(str(softhsm.module())).get_tokens()}
    chosen = tokens["signers"]
    for path in (f"serial={chosen.serial.decode()}", f"slot-id={chosen.slot.slot_id}"):
        key = load_signer(hsm.uri(f"{path};object=rsa"), PIN)
        assert key.key_der == SIGNERS["rsa"].certificate.key_der
    with pytest.raises(KeyMaterialError, match="no such token"):
        load_signer(hsm.uri("slot-id=0;token=signers;object=rsa"), PIN)


@pytest.mark.usefixtures("hsm")
def test_the_module_may_be_named_by_its_folder_name_or_variable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = softhsm.module()
    (tmp_path / "another name.so").symlink_to(place)
    for query in (
        f"?module-path={place}",
        f"?module-path={place.parent}&module-name=softhsm2",
        f"?module-path={tmp_path}/another%20name.so",
        "?module-name=softhsm2",
    ):
        assert load_signer(f"pkcs11:token=signers;object=rsa{query}", PIN).kind == "rsa"
    monkeypatch.setenv(MODULE_VARIABLE, str(place))
    assert load_signer("pkcs11:token=signers;object=rsa", PIN).kind == "rsa"


@pytest.mark.parametrize(
    ("path", "message", "hint"),
    [
        ("token=nothing;object=rsa", "no such token", "tokens bare, empty, signers, twins"),
        ("object=rsa", "more than one token fits", "bare, empty, signers, twins"),
        ("token=signers;object=dsa", "no such private key", "object=p256;id=%a2"),
        ("token=signers;object=rsa;id=%a2", "no such private key", "object=rsa;id=%a1"),
        ("token=signers", "more than one private key", "object=rsa;id=%a1"),
        ("token=twins;object=twin", "more than one private key", "object=twin;id=%01"),
        ("token=empty;object=rsa", "no such private key", "shows no private key at all"),
        ("token=signers;object=rsa;type=cert", "not a private key", ""),
        ("token=bare;id=%03", "1024 bits; 2048 are needed", ""),
        ("token=bare;id=%01", "public half", "under the same identifier"),
    ],
)
def test_what_cannot_be_used_is_said_with_what_is_there(
    hsm: SoftHsm, path: str, message: str, hint: str
) -> None:
    uri = hsm.uri(path)
    with pytest.raises(KeyMaterialError, match=message) as caught:
        load_signer(uri, PIN)
    assert caught.value.file == uri
    assert hint in caught.value.hint


def test_an_rsa_key_tells_its_public_half_itself(hsm: SoftHsm) -> None:
    key = load_signer(hsm.uri("token=bare;id=%02"), PIN)
    assert key.key_der == SIGNERS["rsa"].certificate.key_der


def test_a_certificate_tells_the_public_half_of_an_ec_key(hsm: SoftHsm, tmp_path: Path) -> None:
    _, certificate = key_file(tmp_path, SIGNERS["p256"])
    pair = load_pair(hsm.uri("token=bare;id=%01"), certificate, passphrase=PIN)
    assert pair.key.sign(b"data")
    _, wrong = key_file(tmp_path, make_identity("another", kind="p256"))
    lying = load_pair(hsm.uri("token=bare;id=%01"), wrong, passphrase=PIN)
    with pytest.raises(KeyMaterialError, match="does not verify"):
        lying.key.sign(b"data")


# --- PINs ----------------------------------------------------------------------------------------


def test_the_pin_may_be_asked_for_or_in_a_file(hsm: SoftHsm, tmp_path: Path) -> None:
    def refuse() -> bytes:
        pytest.fail("asked")

    (tmp_path / "my pin").write_bytes(PIN + b"\n")
    place = str(tmp_path / "my pin").replace(" ", "%20")
    for source in (place, f"file:{place}", f"file://{place}".replace("%", "%25")):
        uri = hsm.uri("token=signers;object=rsa", f"pin-source={source}")
        assert load_signer(uri, refuse).kind == "rsa"
    assert load_signer(hsm.uri("token=signers;object=rsa"), lambda: PIN).kind == "rsa"


@pytest.mark.parametrize(
    ("pin", "message"),
    [
        (b"4321", "the PIN is wrong"),
        (b"", "the PIN is empty"),
        (b"\xff\xfe", "not UTF-8"),
        (None, "wants a PIN and none is given"),
    ],
)
def test_without_the_right_pin_there_is_no_key(
    hsm: SoftHsm, pin: bytes | None, message: str
) -> None:
    uri = hsm.uri("token=signers;object=rsa")
    with pytest.raises(KeyMaterialError, match=message) as caught:
        load_signer(uri, pin)
    assert caught.value.file == uri


def test_the_pin_is_tried_once(hsm: SoftHsm) -> None:
    asked = []

    def ask() -> bytes:
        asked.append(1)
        return b"4321"

    uri = hsm.uri("token=signers;object=rsa")
    with pytest.raises(KeyMaterialError, match="PIN is wrong"):
        load_pair(uri, uri, passphrase=ask)
    assert len(asked) == 1


def test_several_keys_of_one_token_are_used_side_by_side(hsm: SoftHsm) -> None:
    keys = [load_signer(hsm.uri(f"token=signers;object={name}"), PIN) for name in SIGNERS]
    for _ in range(2):
        for key, identity in zip(keys, SIGNERS.values(), strict=True):
            made = key.sign(b"data")
            scheme = SignatureScheme(key.kind, "sha256")
            public = identity.certificate.load_public_key()
            assert verify_signature(public, scheme, made, b"data")


# --- Certificates --------------------------------------------------------------------------------


def test_certificates_are_found_without_a_pin(hsm: SoftHsm) -> None:
    for name, identity in SIGNERS.items():
        found = load_certificate_file(hsm.uri(f"token=signers;object={name};type=cert"))
        assert found == identity.certificate


def test_a_pair_may_be_in_the_token_whole(hsm: SoftHsm) -> None:
    uri = hsm.uri("token=signers;object=rsa")
    pair = load_pair(uri, uri, passphrase=PIN)
    assert pair.certificate == SIGNERS["rsa"].certificate


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("token=signers;object=dsa", "no such certificate"),
        ("token=signers", "more than one certificate"),
        ("token=empty", "no such certificate"),
        ("token=signers;object=rsa;type=private", "not a certificate"),
    ],
)
@pytest.mark.parametrize("pin", [PIN, None])
def test_certificates_that_are_not_there_are_said(
    hsm: SoftHsm, path: str, message: str, pin: bytes | None
) -> None:
    with pytest.raises(KeyMaterialError, match=message):
        load_certificate_file(hsm.uri(path), pin)


def test_key_and_certificate_of_two_signers_are_refused(hsm: SoftHsm) -> None:
    key, certificate = (hsm.uri(f"token=signers;object={name}") for name in ("rsa", "p256"))
    with pytest.raises(KeyMaterialError, match="does not belong") as caught:
        load_pair(key, certificate, passphrase=PIN)
    assert caught.value.file == certificate


# --- The command line ----------------------------------------------------------------------------


def build(work: Path, sample_tree: Path, *options: str) -> bytes:
    done = sysgraft("ext", "build", "demo", sample_tree, f"--output={work}", "--force", *options)
    assert done.code == 0, done.err
    return (work / "demo.sysext.raw").read_bytes()


def test_an_image_signed_in_a_token_has_the_bytes_of_one_signed_with_the_file(
    hsm: SoftHsm, tmp_path: Path, sample_tree: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    key, certificate = key_file(tmp_path, SIGNERS["rsa"])
    here = build(tmp_path, sample_tree, "--private-key", key, "--certificate", certificate)
    uri = hsm.uri("token=signers;object=rsa")
    monkeypatch.setenv("SYSGRAFT_PASSPHRASE", softhsm.PIN)
    assert build(tmp_path, sample_tree, "--private-key", uri, "--certificate", certificate) == here
    monkeypatch.delenv("SYSGRAFT_PASSPHRASE")
    (tmp_path / "pin").write_text(softhsm.PIN)
    pin = ("--passphrase-file", str(tmp_path / "pin"))
    assert build(tmp_path, sample_tree, "--private-key", uri, "--certificate", uri, *pin) == here


def test_an_image_signed_with_an_ec_key_in_a_token_verifies(
    hsm: SoftHsm, tmp_path: Path, sample_tree: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, certificate = key_file(tmp_path, SIGNERS["p256"])
    monkeypatch.setenv("SYSGRAFT_PASSPHRASE", softhsm.PIN)
    uri = hsm.uri("token=signers;object=p256")
    build(tmp_path, sample_tree, "--private-key", uri, "--certificate", certificate)
    image = tmp_path / "demo.sysext.raw"
    assert sysgraft("ext", "verify", image, "--certificate", certificate).code == 0


def test_the_command_says_what_is_wrong_and_shows_no_pin(
    hsm: SoftHsm,
    tmp_path: Path,
    sample_tree: Path,
    signing_pair: SigningPair,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("SYSGRAFT_PASSPHRASE", "98765")
    uri = hsm.uri("token=signers;object=rsa")
    options = ("--private-key", uri, "--certificate", str(signing_pair.certificate))
    done = sysgraft("ext", "build", "demo", sample_tree, f"--output={tmp_path}", *options)
    assert (done.code, done.out) == (2, "")
    assert done.err.startswith(f"error: {uri}: the PIN is wrong")
    assert "98765" not in done.err
    assert not list(tmp_path.glob("*.raw"))
    assert signing(signing_pair)


def test_a_certificate_made_in_a_token_is_that_of_the_key_in_a_file(
    hsm: SoftHsm, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SYSGRAFT_PASSPHRASE", softhsm.PIN)
    key, _ = key_file(tmp_path, SIGNERS["rsa"])
    uris = {"file": key, "token": hsm.uri("token=signers;object=rsa")}
    for name, place in uris.items():
        options = ("--private-key", place, "--time", "0", "-o", str(tmp_path / name))
        done = sysgraft("keys", "certify", "in a token", *options)
        assert done.code == 0, done.err
    assert (tmp_path / "file").read_bytes() == (tmp_path / "token").read_bytes()
    curve = ("--private-key", hsm.uri("token=signers;object=p256"), "-o", str(tmp_path / "ec"))
    assert sysgraft("keys", "certify", "on a curve", *curve).code == 0
    certificate = load_certificate_file(str(tmp_path / "ec"))
    assert certificate.is_issued_by(certificate)


def test_an_update_signed_in_a_token_has_the_bytes_of_one_signed_with_the_file(
    hsm: SoftHsm, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SYSGRAFT_PASSPHRASE", softhsm.PIN)
    key, certificate = key_file(tmp_path, SIGNERS["rsa"])
    uri = hsm.uri("token=signers;object=rsa")
    for name, pair in (("file", (key, certificate)), ("token", (uri, uri))):
        signer = ("--private-key", pair[0], "--certificate", pair[1])
        output = ("--time", "0", "--output", str(tmp_path / name))
        done = sysgraft("keys", "sign", "db", certificate, *signer, *output)
        assert done.code == 0, done.err
    assert (tmp_path / "file").read_bytes() == (tmp_path / "token").read_bytes()


def test_a_fresh_process_does_the_same(filled: SoftHsm, tmp_path: Path, sample_tree: Path) -> None:
    key, certificate = key_file(tmp_path, SIGNERS["rsa"])
    here = build(tmp_path, sample_tree, "--private-key", key, "--certificate", certificate)
    (tmp_path / "pin").write_text(softhsm.PIN)
    uri = filled.uri("token=signers;id=%a1", f"pin-source={tmp_path}/pin")
    done = subprocess.run(
        [sys.executable, "-m", "sysgraft", "ext", "build", "demo", sample_tree, "--force",
         f"--output={tmp_path}", "--private-key", uri, "--certificate", certificate],
        env=filled.environment, capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert (done.returncode, os.environ.get("SOFTHSM2_CONF")) == (0, None), done.stderr
    assert (tmp_path / "demo.sysext.raw").read_bytes() == here
