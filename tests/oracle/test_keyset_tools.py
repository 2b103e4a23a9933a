"""Key sets as other programs see them: openssl, efitools, sbsigntool, virt-firmware."""

from __future__ import annotations

import json
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import UUID

import pytest

from executables import make_pe
from sysgraft.build.enrolment import enroll_store
from sysgraft.build.keyset import KeySetOptions, generate_keys
from sysgraft.host import ovmf_vars

if TYPE_CHECKING:
    from conftest import Debian13

OWNER = UUID("77fa9abd-0359-4d32-bd60-28f4e78f784b")
TIME = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
# Console scripts of the Python package virt-firmware, which the tests' environment has.
VIRT_FW_VARS = Path(sys.executable).parent / "virt-fw-vars"
VIRT_FW_DUMP = Path(sys.executable).parent / "virt-fw-dump"


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A key set with a dbx."""
    folder = tmp_path_factory.mktemp("set")
    (folder / "revoked.efi").write_bytes(make_pe())
    options = KeySetOptions(
        owner=OWNER, time=TIME, extension_key=True, dbx=[str(folder / "revoked.efi")]
    )
    generate_keys("test", str(folder / "keys"), options)
    return folder / "keys"


def run(*argv: str | Path, cwd: Path) -> str:
    done = subprocess.run(
        argv, cwd=cwd, capture_output=True, text=True, check=False, timeout=60, env={"TZ": "UTC"}
    )
    assert done.returncode == 0, f"{argv}: {done.stdout}{done.stderr}"
    return done.stdout + done.stderr


@pytest.mark.oracle("openssl")
@pytest.mark.parametrize("name", ["PK", "KEK", "db", "extension"])
def test_openssl_reads_keys_and_certificates(keys: Path, name: str) -> None:
    public = run("openssl", "pkey", "-in", f"{name}.key", "-pubout", cwd=keys)
    assert run("openssl", "x509", "-in", f"{name}.pem", "-noout", "-pubkey", cwd=keys) == public
    run("openssl", "verify", "-check_ss_sig", "-CAfile", f"{name}.pem", f"{name}.pem", cwd=keys)
    text = run(
        "openssl", "x509", "-in", f"{name}.der", "-inform", "der", "-noout", "-text", cwd=keys
    )
    assert f"Subject: CN = test {name}" in text
    assert "CA:FALSE" in text


@pytest.mark.oracle("openssl")
def test_openssl_reads_the_pcr_keys(keys: Path) -> None:
    public = run("openssl", "pkey", "-in", "tpm2-pcr-private.pem", "-pubout", cwd=keys)
    assert public == (keys / "tpm2-pcr-public.pem").read_text()


@pytest.mark.oracle("openssl")
def test_openssl_decrypts_keys_with_their_passphrase(tmp_path: Path) -> None:
    generate_keys("test", str(tmp_path / "keys"), KeySetOptions(passphrase=b"open"))
    for name in ("PK.key", "tpm2-pcr-private.pem"):
        path = str(tmp_path / "keys" / name)
        run("openssl", "pkey", "-in", path, "-passin", "pass:open", "-noout", cwd=tmp_path)


@pytest.mark.oracle("cert-to-efi-sig-list", "sbsiglist")
@pytest.mark.parametrize("name", ["PK", "KEK", "db"])
def test_signature_lists_have_the_bytes_of_efitools_and_sbsigntool(
    keys: Path, name: str, tmp_path: Path
) -> None:
    ours = (keys / f"{name}.esl").read_bytes()
    out = tmp_path / "out"
    run("cert-to-efi-sig-list", "-g", str(OWNER), f"{name}.pem", out, cwd=keys)
    assert out.read_bytes() == ours
    options = ("--owner", str(OWNER), "--type", "x509", "--output", out)
    run("sbsiglist", *options, f"{name}.der", cwd=keys)
    assert out.read_bytes() == ours


@pytest.mark.oracle("sign-efi-sig-list")
@pytest.mark.parametrize(
    ("name", "signer"), [("PK", "PK"), ("KEK", "PK"), ("db", "KEK"), ("dbx", "KEK")]
)
def test_signed_updates_have_the_bytes_of_efitools(
    keys: Path, name: str, signer: str, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    signing = ("-k", f"{signer}.key", "-c", f"{signer}.pem", "-t", f"{TIME:%Y-%m-%d %H:%M:%S}")
    run("sign-efi-sig-list", *signing, name, f"{name}.esl", out, cwd=keys)
    assert out.read_bytes() == (keys / f"{name}.auth").read_bytes()


@pytest.mark.oracle("hash-to-efi-sig-list")
def test_a_programs_hash_is_that_of_efitools(keys: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    run("hash-to-efi-sig-list", "../revoked.efi", out, cwd=keys)
    # Type, sizes; the owner, which efitools leaves empty; the hash.
    theirs, ours = out.read_bytes(), (keys / "dbx.esl").read_bytes()
    assert (theirs[:28], theirs[44:]) == (ours[:28], ours[44:])


@pytest.mark.oracle("sbsign", "sbverify")
def test_programs_signed_with_db_verify(keys: Path, tmp_path: Path) -> None:
    (tmp_path / "a.efi").write_bytes(make_pe())
    signing = ("--key", keys / "db.key", "--cert", keys / "db.pem")
    run("sbsign", *signing, "--output", "signed.efi", "a.efi", cwd=tmp_path)
    assert "OK" in run("sbverify", "--cert", keys / "db.pem", "signed.efi", cwd=tmp_path)


@pytest.mark.oracle("debian-13")
def test_systemd_measures_and_signs_with_the_pcr_key(keys: Path, debian13: Debian13) -> None:
    done = debian13.run(
        ["/usr/lib/systemd/systemd-measure", "sign", "--linux=/mnt/tpm2-pcr-public.pem",
         "--private-key=/mnt/tpm2-pcr-private.pem", "--public-key=/mnt/tpm2-pcr-public.pem",
         "--bank=sha256"],
        binds={keys: "/mnt"},
    )  # fmt: skip
    assert json.loads(done.stdout).keys() == {"sha256"}


# --- Variable stores -----------------------------------------------------------------------------


def variables(store: Path) -> dict[str, dict[str, Any]]:
    """What virt-firmware reads in a store."""
    out = store.with_suffix(".json")
    run(VIRT_FW_VARS, "--input", store, "--output-json", out, cwd=store.parent)
    found = json.loads(out.read_text())["variables"]
    return {each["name"]: each for each in found}


def template() -> str:
    path = next((path for path in ovmf_vars.TEMPLATES if Path(path).exists()), "")
    if not path:
        pytest.skip("no OVMF is installed (Debian package ovmf)")
    return path


def test_a_store_holds_the_very_databases(keys: Path, tmp_path: Path) -> None:
    store = tmp_path / "vars.fd"
    report = enroll_store(str(keys), str(store), template=template())
    assert report.time == TIME
    assert store.stat().st_size == Path(template()).stat().st_size
    found = variables(store)
    for name in ("PK", "KEK", "db", "dbx"):
        assert bytes.fromhex(found[name]["data"]) == (keys / f"{name}.esl").read_bytes()
        assert bytes.fromhex(found[name]["time"]) == (keys / f"{name}.auth").read_bytes()[:16]
        assert found[name]["attr"] == 0x27
    assert (found["SecureBootEnable"]["data"], found["CustomMode"]["data"]) == ("01", "00")
    dumped = run(VIRT_FW_DUMP, "--input", store, cwd=tmp_path)
    assert "name=SecureBootEnable" in dumped
    assert "bool: ON" in dumped


def test_the_same_keys_give_the_same_store(keys: Path, tmp_path: Path) -> None:
    for name in ("one", "two"):
        enroll_store(str(keys), str(tmp_path / name), template=template())
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()


def test_a_store_is_made_from_certificates_too(keys: Path, tmp_path: Path) -> None:
    store = tmp_path / "vars.fd"
    ovmf_vars.enroll(
        template(),
        str(store),
        pk=str(keys / "PK.pem"),
        kek=[str(keys / "KEK.der"), str(keys / "KEK.pem")],
        db=[str(keys / "db.auth"), str(keys / "extension.pem")],
        owner=OWNER,
    )
    found = variables(store)
    assert bytes.fromhex(found["KEK"]["data"]) == (keys / "KEK.esl").read_bytes()
    value = bytes.fromhex(found["db"]["data"])
    assert value.startswith((keys / "db.esl").read_bytes())
    assert value.endswith((keys / "extension.der").read_bytes())
    assert "dbx" not in found


def test_what_the_template_holds_stays(keys: Path, tmp_path: Path) -> None:
    first, second = tmp_path / "first.fd", tmp_path / "second.fd"
    run(VIRT_FW_VARS, "--input", template(), "--set-true", "ShimDebug", "--output", first,
        cwd=tmp_path)  # fmt: skip
    enroll_store(str(keys), str(second), template=str(first))
    assert variables(first)["ShimDebug"] == variables(second)["ShimDebug"]
