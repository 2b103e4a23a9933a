"""UKIs signed with keys in a token: the same files as with the same keys in files."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

import softhsm
from sysgraft.testing.certificates import make_identity
from uki_kit import Kit, make_kit, pcr_signatures, section

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from softhsm import SoftHsm

pytestmark = pytest.mark.oracle("softhsm2-util", "pkcs11-tool")

DB, PCR = make_identity("db in a token"), make_identity("PCR policies in a token")


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> SoftHsm:
    hsm = softhsm.make(tmp_path_factory.mktemp("softhsm"))
    hsm.add_token("boot")
    for name, identity, number in (("db", DB, "d1"), ("pcr", PCR, "d2")):
        hsm.add_key("boot", identity, label=name, number=number)
        hsm.add_certificate("boot", identity, label=name, number=number)
    return hsm


@pytest.fixture
def hsm(filled: SoftHsm) -> Iterator[SoftHsm]:
    with softhsm.in_this_process(filled):
        yield filled


@pytest.fixture
def kit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Kit:
    kit = make_kit(tmp_path / "kit", monkeypatch)
    for name, identity in (("db", DB), ("pcr", PCR)):
        kit.file(f"{name}.key", identity.key_pem)
        kit.file(f"{name}.crt", identity.certificate_pem)
    kit.file("pin", softhsm.PIN)
    return kit


def in_files(kit: Kit) -> Path:
    return kit.build(
        "files.efi",
        f"--secureboot-private-key={kit.folder}/db.key",
        f"--secureboot-certificate={kit.folder}/db.crt",
        f"--pcr-private-key={kit.folder}/pcr.key",
    )


@pytest.mark.parametrize("half", ["--pcr-certificate", "--pcr-public-key"])
def test_keys_and_certificates_in_a_token(kit: Kit, hsm: SoftHsm, half: str) -> None:
    db, pcr = hsm.uri("token=boot;object=db"), hsm.uri("token=boot;object=pcr")
    uki = kit.build(
        "token.efi",
        f"--secureboot-private-key={db}",
        f"--secureboot-certificate={db}",
        f"--pcr-private-key={pcr}",
        f"{half}={pcr}",
        f"--passphrase-file={kit.folder}/pin",
        "--signing-provider=pkcs11",
    )
    assert uki.read_bytes() == in_files(kit).read_bytes()
    assert section(uki, ".pcrpkey").startswith(b"-----BEGIN PUBLIC KEY-----\n")


def test_a_key_in_a_token_with_its_certificate_in_a_file(kit: Kit, hsm: SoftHsm) -> None:
    uki = kit.build(
        "token.efi",
        f"--secureboot-private-key={hsm.uri('token=boot;object=db')}",
        f"--secureboot-certificate={kit.folder}/db.crt",
        f"--pcr-private-key={hsm.uri('token=boot;object=pcr')}",
        f"--pcr-passphrase-file={kit.folder}/pin",
        f"--passphrase-file={kit.folder}/pin",
    )
    assert uki.read_bytes() == in_files(kit).read_bytes()


def test_a_certificate_in_a_token_names_who_signs_elsewhere(kit: Kit, hsm: SoftHsm) -> None:
    pcr = hsm.uri("token=boot;object=pcr")
    result = kit.run("--policy-digest", f"--pcr-certificate={pcr}", "-o", kit.folder / "x.efi")
    assert result.code == 0, result.err
    named = {each["pkfp"] for each in pcr_signatures(kit.folder / "x.efi")[0]["sha256"]}
    by_key = {each["pkfp"] for each in pcr_signatures(in_files(kit))[0]["sha256"]}
    assert named == by_key


def test_a_wrong_pin_leaves_nothing(kit: Kit, hsm: SoftHsm) -> None:
    pin = kit.file("wrong", "9999")
    result = kit.run(
        f"--pcr-private-key={hsm.uri('token=boot;object=pcr')}",
        f"--passphrase-file={pin}",
        "-o",
        kit.folder / "x.efi",
    )
    assert result.code == 2
    assert "9999" not in result.err
    assert not (kit.folder / "x.efi").exists()
