"""Key sets: what is in the folder, who signed what, and what is refused."""

from __future__ import annotations

import hashlib
import os
import stat
from datetime import UTC, datetime
from typing import TYPE_CHECKING
from uuid import UUID

import pytest

from executables import make_pe
from sysgraft.base.ids import default_seed
from sysgraft.build.keyset import (
    FILES,
    KeySetOptions,
    KeySetReport,
    custom_certificates,
    generate_keys,
)
from sysgraft.errors import InputError, KeyMaterialError, OutputError, UsageError
from sysgraft.formats import authvar, esl
from sysgraft.formats.signature_input import certificate_list, certificates_in, hash_list
from sysgraft.formats.x509 import parse_certificate
from sysgraft.sign.keys import load_private_key
from sysgraft.sign.pair import load_pair
from sysgraft.testing.certificates import make_identity

if TYPE_CHECKING:
    from pathlib import Path

TIME = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
OWNER = UUID("77fa9abd-0359-4d32-bd60-28f4e78f784b")
VENDOR = make_identity("a vendor")
HASH = hashlib.sha256(b"program").digest()
SIGNED_BY = {"PK": "PK", "KEK": "PK", "db": "KEK"}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, KeySetReport]:
    """A set with all there can be."""
    folder = tmp_path_factory.mktemp("made")
    (folder / "vendor.pem").write_bytes(VENDOR.certificate_pem)
    (folder / "vendor.esl").write_bytes(
        esl.serialise([certificate_list(VENDOR.certificate, OWNER)])
    )
    (folder / "revoked").write_text(f"{HASH.hex()}  old.efi\n")
    options = KeySetOptions(
        days=30,
        extension_key=True,
        kek_certificates=[str(folder / "vendor.pem")],
        db_certificates=[str(folder / "vendor.esl")],
        dbx=[str(folder / "revoked")],
        time=TIME,
    )
    return folder / "keys", generate_keys("test", str(folder / "keys"), options)


def lists_of(path: Path) -> tuple[esl.SignatureList, ...]:
    return esl.parse(path.read_bytes())


def test_the_folder_holds_all_files_there_can_be(made: tuple[Path, KeySetReport]) -> None:
    folder, report = made
    names = {path.name for path in folder.iterdir()}
    assert names == set(report.files) == FILES
    secret = {name for name in names if name.endswith(".key") or "private" in name}
    assert len(secret) == 5
    for path in folder.iterdir():
        expected = 0o600 if path.name in secret else 0o666 & ~current_umask()
        assert stat.S_IMODE(path.stat().st_mode) == expected, path.name
        assert (b"PRIVATE KEY" in path.read_bytes()) == (path.name in secret)


def current_umask() -> int:
    mask = os.umask(0o022)
    os.umask(mask)
    return mask


@pytest.mark.parametrize("name", ["PK", "KEK", "db", "extension"])
def test_key_and_certificate_belong_together(made: tuple[Path, KeySetReport], name: str) -> None:
    folder, report = made
    pair = load_pair(str(folder / f"{name}.key"), str(folder / f"{name}.pem"))
    certificate = pair.certificate
    assert certificate == report.identities[name].certificate
    assert certificate == parse_certificate((folder / f"{name}.der").read_bytes())
    assert certificate.subject == f"CN=test {name}"
    assert (certificate.not_before, certificate.not_after.day) == (TIME, 1)


def test_the_pcr_key_stands_apart(made: tuple[Path, KeySetReport]) -> None:
    folder, report = made
    key = load_private_key((folder / "tpm2-pcr-private.pem").read_bytes())
    assert key.key_der == report.pcr_key.signer.key_der
    assert (folder / "tpm2-pcr-public.pem").read_bytes() == report.pcr_key.public_pem
    keys = {each.certificate.key_der for each in report.identities.values()} | {key.key_der}
    assert len(keys) == 5


def test_databases_hold_own_and_further_entries(made: tuple[Path, KeySetReport]) -> None:
    folder, report = made
    own = {name: identity.certificate for name, identity in report.identities.items()}
    here = default_seed("test")
    assert report.owner == here
    vendor = VENDOR.certificate
    expected = {
        "PK": (certificate_list(own["PK"], here),),
        "KEK": (certificate_list(own["KEK"], here), certificate_list(vendor, here)),
        "db": (certificate_list(own["db"], here), certificate_list(vendor, OWNER)),
        "dbx": (hash_list((HASH,), here),),
    }
    assert report.databases == expected
    assert {name: lists_of(folder / f"{name}.esl") for name in expected} == expected


@pytest.mark.parametrize("name", ["PK", "KEK", "db", "dbx"])
def test_updates_are_signed_by_whom_firmware_asks(
    made: tuple[Path, KeySetReport], name: str
) -> None:
    folder, report = made
    update = authvar.parse((folder / f"{name}.auth").read_bytes())
    assert update.time == TIME
    assert update.value == (folder / f"{name}.esl").read_bytes()
    signer = SIGNED_BY.get(name, "KEK")
    verified = {
        label
        for label, identity in report.identities.items()
        if authvar.verify(update, authvar.database(name), identity.certificate)
    }
    assert verified == {signer}


def test_the_least_set_has_no_dbx_and_no_extension_key(tmp_path: Path) -> None:
    report = generate_keys("a", str(tmp_path / "keys"), KeySetOptions(owner=OWNER))
    assert {path.name for path in (tmp_path / "keys").iterdir()} == {
        name for name in FILES if not name.startswith(("dbx", "extension"))
    }
    assert report.owner == OWNER
    assert len(report.notes) == 2
    for name in ("PK", "KEK", "db"):
        (found,) = lists_of(tmp_path / f"keys/{name}.esl")
        assert found.signatures[0].owner == OWNER
        assert certificates_in((found,)) == (report.identities[name].certificate,)


def test_a_passphrase_encrypts_every_private_key(tmp_path: Path) -> None:
    options = KeySetOptions(extension_key=True, passphrase=b"open sesame")
    report = generate_keys("a", str(tmp_path / "keys"), options)
    assert report.encrypted
    assert "open sesame" not in repr(options)
    secrets = [path for path in (tmp_path / "keys").iterdir() if b"PRIVATE" in path.read_bytes()]
    assert len(secrets) == 5
    for path in secrets:
        load_private_key(path.read_bytes(), b"open sesame")
        with pytest.raises(KeyMaterialError, match="no passphrase"):
            load_private_key(path.read_bytes())


def test_a_program_may_be_revoked_or_trusted(tmp_path: Path) -> None:
    program = make_pe()
    (tmp_path / "old.efi").write_bytes(program)
    options = KeySetOptions(
        dbx=[str(tmp_path / "old.efi")], db_certificates=[str(tmp_path / "old.efi")]
    )
    report = generate_keys("a", str(tmp_path / "keys"), options)
    (revoked,) = report.databases["dbx"]
    assert revoked.type == esl.CERT_SHA256
    assert report.databases["db"][1] == revoked
    # The digest of an executable is not that of its bytes.
    assert revoked.signatures[0].data != hashlib.sha256(program).digest()


def test_an_existing_set_is_replaced_on_request_and_whole(tmp_path: Path) -> None:
    keys = str(tmp_path / "keys")
    first = generate_keys("a", keys, KeySetOptions(extension_key=True))
    with pytest.raises(OutputError, match="not empty"):
        generate_keys("a", keys)
    second = generate_keys("a", keys, KeySetOptions(replace=True))
    assert first.identities["PK"] != second.identities["PK"]
    assert {path.name for path in (tmp_path / "keys").iterdir()} == set(second.files)
    assert list(tmp_path.iterdir()) == [tmp_path / "keys"]


@pytest.fixture
def no_keys_made(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fail if a key is made: what can be refused is to be refused before that."""

    def refuse(*_: object, **__: object) -> None:
        pytest.fail("a key was made")

    monkeypatch.setattr("sysgraft.build.keyset.make_key", refuse)
    monkeypatch.setattr("sysgraft.build.keyset.make_identity", refuse)


@pytest.mark.usefixtures("no_keys_made")
@pytest.mark.parametrize("name", ["", "  ", "a\nb", "x" * 55, "x" * 62])
def test_names_that_do_not_fit_into_a_certificate_are_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(UsageError, match="name"):
        generate_keys(name, str(tmp_path / "keys"), KeySetOptions(extension_key=True))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.usefixtures("no_keys_made")
def test_other_files_are_never_lost(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("years of work")
    for replace in (False, True):
        with pytest.raises(OutputError, match=r"thesis\.tex"):
            generate_keys("a", str(tmp_path), KeySetOptions(replace=replace))
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


@pytest.mark.usefixtures("no_keys_made")
def test_further_entries_that_are_none_are_named(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("no certificate")
    (tmp_path / "hashes").write_text(HASH.hex())
    for options, error in (
        (KeySetOptions(db_certificates=[str(tmp_path / "text")]), InputError),
        (KeySetOptions(kek_certificates=[str(tmp_path / "absent")]), InputError),
        (KeySetOptions(dbx=[str(tmp_path)]), InputError),
        (KeySetOptions(kek_certificates=[str(tmp_path / "hashes")]), UsageError),
    ):
        with pytest.raises(error):
            generate_keys("a", str(tmp_path / "keys"), options)
    assert not (tmp_path / "keys").exists()


@pytest.mark.parametrize("options", [KeySetOptions(days=0), KeySetOptions(rsa_bits=1024)])
def test_keys_that_cannot_be_made_leave_nothing(tmp_path: Path, options: KeySetOptions) -> None:
    with pytest.raises(UsageError):
        generate_keys("a", str(tmp_path / "keys"), options)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_of_custom_certificates_has_db_or_kek(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="neither"):
        custom_certificates(str(tmp_path))
    (tmp_path / "db").write_bytes(b"")
    assert custom_certificates(str(tmp_path)) == ((), (str(tmp_path / "db"),))
    (tmp_path / "KEK").write_bytes(b"")
    both = ((str(tmp_path / "KEK"),), (str(tmp_path / "db"),))
    assert custom_certificates(str(tmp_path)) == both
