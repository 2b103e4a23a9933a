"""Signed updates of EFI variables against efitools and sbsigntool."""

from __future__ import annotations

import subprocess
from datetime import UTC, datetime
from typing import TYPE_CHECKING
from uuid import UUID

import pytest

from sysgraft.formats import authvar, esl
from sysgraft.formats.signature_input import read_entries
from sysgraft.sign.authvar import sign_update
from sysgraft.sign.keys import load_private_key
from sysgraft.testing.certificates import make_identity

if TYPE_CHECKING:
    from pathlib import Path

OWNER = UUID("77fa9abd-0359-4d32-bd60-28f4e78f784b")
TIME = datetime(2026, 1, 2, 13, 4, 5, tzinfo=UTC)
SIGNER = make_identity("an update's signer")
NEW = make_identity("a new member")
KEY = load_private_key(SIGNER.key_pem)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Our files: signer.key, signer.pem, new.pem, new.der, new.esl."""
    (tmp_path / "signer.key").write_bytes(SIGNER.key_pem)
    (tmp_path / "signer.pem").write_bytes(SIGNER.certificate_pem)
    (tmp_path / "new.pem").write_bytes(NEW.certificate_pem)
    (tmp_path / "new.der").write_bytes(NEW.certificate.der)
    (tmp_path / "new.esl").write_bytes(value())
    return tmp_path


def value() -> bytes:
    return esl.serialise(read_entries(NEW.certificate_pem, OWNER))


def ours(name: str, *, append: bool = False, time: datetime | None = TIME) -> bytes:
    target = authvar.database(name, append=append)
    update = sign_update(target, value(), key=KEY, certificate=SIGNER.certificate, time=time)
    return authvar.serialise(update)


def run(folder: Path, *words: str, variables: dict[str, str] | None = None) -> bytes:
    """The file ``out`` that a program leaves."""
    environment = {"PATH": "/usr/bin:/bin", "TZ": "UTC", **(variables or {})}
    argv = [*words] if "out" in words else [*words, "out"]
    subprocess.run(argv, cwd=folder, capture_output=True, check=True, env=environment, timeout=60)
    return (folder / "out").read_bytes()


def theirs(folder: Path, name: str, *options: str) -> bytes:
    keys = ("-k", "signer.key", "-c", "signer.pem")
    return run(folder, "sign-efi-sig-list", *options, *keys, name, "new.esl")


@pytest.mark.oracle("sign-efi-sig-list")
@pytest.mark.parametrize("name", ["PK", "KEK", "db", "dbx"])
def test_an_update_has_the_bytes_of_efitools(folder: Path, name: str) -> None:
    assert ours(name) == theirs(folder, name, "-t", f"{TIME:%Y-%m-%d %H:%M:%S}")


@pytest.mark.oracle("sign-efi-sig-list")
def test_an_update_that_appends_has_the_bytes_of_efitools(folder: Path) -> None:
    when = f"{TIME:%Y-%m-%d %H:%M:%S}"
    assert ours("dbx", append=True) == theirs(folder, "dbx", "-a", "-t", when)
    assert ours("dbx", append=True, time=None) == theirs(folder, "dbx", "-a")


@pytest.mark.oracle("sign-efi-sig-list")
def test_what_efitools_sign_is_read_and_verified(folder: Path) -> None:
    data = theirs(folder, "KEK", "-t", "2020-02-29 23:59:59")
    update = authvar.parse(data)
    assert authvar.serialise(update) == data
    assert (update.time, update.value) == (datetime(2020, 2, 29, 23, 59, 59, tzinfo=UTC), value())
    assert authvar.verify(update, authvar.database("KEK"), SIGNER.certificate)
    assert not authvar.verify(update, authvar.database("PK"), SIGNER.certificate)


@pytest.mark.oracle("sign-efi-sig-list")
def test_what_is_signed_is_what_efitools_would_sign(folder: Path) -> None:
    bundle = theirs(folder, "db", "-o", "-t", f"{TIME:%Y-%m-%d %H:%M:%S}")
    assert authvar.signed_content(authvar.database("db"), TIME, value()) == bundle


@pytest.mark.oracle("sbvarsign")
@pytest.mark.parametrize("name", ["PK", "db"])
def test_what_sbvarsign_signs_is_verified(folder: Path, name: str) -> None:
    attributes = "NON_VOLATILE,BOOTSERVICE_ACCESS,RUNTIME_ACCESS"
    keys = ("--key", "signer.key", "--cert", "signer.pem", "--attr", attributes)
    data = run(folder, "sbvarsign", *keys, "--output", "out", name, "new.esl")
    update = authvar.parse(data)
    assert update.value == value()
    assert authvar.verify(update, authvar.database(name), SIGNER.certificate)
    assert not authvar.verify(update, authvar.database(name), NEW.certificate)


@pytest.mark.oracle("sbsiglist", "cert-to-efi-sig-list")
def test_lists_of_certificates_have_the_bytes_of_both_tools(folder: Path) -> None:
    assert value() == run(folder, "cert-to-efi-sig-list", "-g", str(OWNER), "new.pem")
    options = ("--owner", str(OWNER), "--type", "x509", "--output", "out", "new.der")
    assert value() == run(folder, "sbsiglist", *options)


@pytest.mark.oracle("sbsiglist")
def test_a_list_of_hashes_has_the_bytes_of_sbsiglist(folder: Path) -> None:
    (folder / "hash").write_bytes(bytes(range(32)))
    options = ("--owner", str(OWNER), "--type", "sha256", "--output", "out", "hash")
    theirs = run(folder, "sbsiglist", *options)
    assert esl.serialise(read_entries(bytes(range(32)).hex().encode() + b"\n", OWNER)) == theirs
