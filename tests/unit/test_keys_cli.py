"""``sysgraft keys``: what the verbs print, write and refuse."""

from __future__ import annotations

import json
import stat
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from jsonschema import Draft202012Validator

from command import Result, sysgraft
from executables import make_pe
from sysgraft.formats import authvar, esl
from sysgraft.formats.signature_input import certificates_in
from sysgraft.formats.x509 import load_certificates
from sysgraft.sign.keys import load_private_key
from sysgraft.testing.certificates import make_identity

if TYPE_CHECKING:
    from collections.abc import Sequence

SCHEMAS = Path(__file__).parents[2] / "docs/reference/schemas"
TIME = "2026-01-02T03:04:05Z"
VENDOR = make_identity("a vendor")


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("SYSGRAFT_PASSPHRASE", "SOURCE_DATE_EPOCH"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A key set."""
    folder = tmp_path_factory.mktemp("set") / "keys"
    assert generate(folder).code == 0
    return folder


def generate(folder: Path, *options: str | Path) -> Result:
    return sysgraft("keys", "generate", "test", "-o", folder, "--time", TIME, *options)


def document(verb: str, *words: str | Path) -> dict[str, Any]:
    """What a verb prints with ``--json``, held to its schema."""
    done = sysgraft("keys", verb, *words, "--json")
    assert done.code == 0, done.err
    schema = json.loads((SCHEMAS / f"sysgraft.keys.{verb}-1.json").read_text())
    Draft202012Validator(schema).validate(done.document)
    assert next(iter(done.document)) == "schema"
    return done.document


def signing(keys: Path, name: str) -> Sequence[str]:
    return ("--private-key", str(keys / f"{name}.key"), "--certificate", str(keys / f"{name}.pem"))


# --- generate ------------------------------------------------------------------------------------


def test_generate_says_what_it_made(tmp_path: Path) -> None:
    done = generate(tmp_path / "keys", "--extension-key", "-e", "365")
    assert done.code == 0
    first, *rows = done.out.splitlines()
    assert first == f"{tmp_path}/keys  (20 files, private keys not encrypted)"
    assert [row.split()[0] for row in rows] == ["PK", "KEK", "db", "PCR", "extensions"]
    assert "CN=test KEK, until 2027-01-02, SHA-256 " in rows[1]
    assert "Microsoft" in done.err
    assert "not encrypted" in done.err


def test_generate_in_json(tmp_path: Path) -> None:
    (tmp_path / "vendor.der").write_bytes(VENDOR.certificate.der)
    (tmp_path / "old.efi").write_bytes(make_pe())
    owner = "77fa9abd-0359-4d32-bd60-28f4e78f784b"
    found = document(
        "generate", "test", "--output", tmp_path / "keys", "--owner", owner, "--time", TIME,
        "--db-certificate", tmp_path / "vendor.der", "--kek-certificate", tmp_path / "vendor.der",
        "--dbx", tmp_path / "old.efi", "--extension-key", "--expiration-in-days", "1",
        "--rsa-bits", "3072",
    )  # fmt: skip
    assert (found["owner"], found["time"], found["encrypted"]) == (owner, TIME, False)
    assert [each["name"] for each in found["keys"]] == ["PK", "KEK", "db", "extension"]
    assert {each["rsaBits"] for each in found["keys"]} == {3072}
    assert {each["notAfter"] for each in found["keys"]} == {"2026-01-03T03:04:05Z"}
    databases = {each["name"]: each for each in found["databases"]}
    assert [each["subject"] for each in databases["db"]["certificates"]] == [
        "CN=test db",
        VENDOR.certificate.subject,
    ]
    assert (databases["dbx"]["hashes"], databases["dbx"]["entries"]) == (1, 1)
    assert databases["dbx"]["certificates"] == []
    assert found["files"] == sorted(path.name for path in (tmp_path / "keys").iterdir())
    names = {each["fingerprint"] for each in found["keys"]} | {found["pcrKey"]["fingerprint"]}
    assert len(names) == 5


def test_auroraboots_options_are_taken(tmp_path: Path) -> None:
    custom = tmp_path / "custom"
    custom.mkdir()
    entry = esl.Signature(esl.CERT_X509, VENDOR.certificate.der)
    lists = esl.serialise([esl.SignatureList(esl.CERT_X509, (entry,))])
    for name in ("db", "KEK"):
        (custom / name).write_bytes(lists)
    options = ("-e", "30", "--custom-cert-dir", custom, "-o", tmp_path / "keys")
    assert sysgraft("keys", "generate", "mine", *options).code == 0
    for name in ("db", "KEK"):
        found = esl.parse((tmp_path / f"keys/{name}.esl").read_bytes())
        assert certificates_in(found)[1] == VENDOR.certificate
        assert found[1].signatures[0].owner == esl.CERT_X509


@pytest.mark.parametrize("where", ["file", "variable"])
def test_a_passphrase_encrypts(tmp_path: Path, where: str, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "secret").write_text("open sesame\n")
    monkeypatch.setenv("SYSGRAFT_PASSPHRASE", "open sesame" if where == "variable" else "other")
    options = ("--passphrase-file", tmp_path / "secret") if where == "file" else ()
    done = generate(tmp_path / "keys", *options)
    assert "private keys encrypted" in done.out
    assert "open sesame" not in done.out + done.err
    data = (tmp_path / "keys/db.key").read_bytes()
    assert load_private_key(data, b"open sesame").kind == "rsa"


def test_the_time_may_come_from_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "86400")
    assert sysgraft("keys", "generate", "test", "-o", tmp_path / "a").code == 0
    update = authvar.parse((tmp_path / "a/PK.auth").read_bytes())
    assert f"{update.time:%F %T}" == "1970-01-02 00:00:00"
    for text, shown in (
        ("0", "1970-01-01 00:00:00"),
        ("2026-01-02", "2026-01-02 00:00:00"),
        ("2026-01-02T03:04:05+02:00", "2026-01-02 01:04:05"),
    ):
        done = sysgraft("keys", "generate", "t", "-o", tmp_path / "b", "--time", text, "--force")
        assert done.code == 0
        update = authvar.parse((tmp_path / "b/PK.auth").read_bytes())
        assert f"{update.time:%F %T}" == shown


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--time", "yesterday"), "--time wants a time"),
        (("--time", "9" * 30), "are no time"),
        (("--owner", "me"), "--owner wants a UUID"),
        (("-e", "0"), "valid for 1 to 36500 days"),
        (("--db-certificate", "absent.pem"), "absent.pem"),
        (("--custom-cert-dir", "."), "neither a file db nor a file KEK"),
        (("--passphrase-file", "/dev/null"), "passphrase is empty"),
    ],
)
def test_what_generate_refuses(
    tmp_path: Path, options: Sequence[str], message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    done = sysgraft("keys", "generate", "test", *options)
    assert (done.code, done.out) == (2, "")
    assert message in done.err
    assert list(tmp_path.iterdir()) == []


def test_generate_replaces_only_with_force(tmp_path: Path) -> None:
    folder = tmp_path / "keys"
    assert generate(folder).code == 0
    before = (folder / "PK.key").read_bytes()
    done = generate(folder)
    assert (done.code, (folder / "PK.key").read_bytes()) == (2, before)
    assert "hint: use --force" in done.err
    assert generate(folder, "--force").code == 0
    assert (folder / "PK.key").read_bytes() != before


def test_an_interrupted_generate_leaves_nothing(tmp_path: Path) -> None:
    code = (
        "import os, signal, sys\n"
        "from sysgraft.host import output_folder\n"
        "real = output_folder._write_all\n"
        "def write_all(*arguments):\n"
        "    real(*arguments)\n"
        "    os.kill(os.getpid(), signal.SIGTERM)\n"
        "output_folder._write_all = write_all\n"
        "from sysgraft.cli.main import entry\n"
        f"sys.argv = ['sysgraft', 'keys', 'generate', 'a', '-o', {str(tmp_path / 'keys')!r}]\n"
        "entry()\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=False)
    assert done.returncode == 128 + 15, done.stderr
    assert list(tmp_path.iterdir()) == []


# --- sign ----------------------------------------------------------------------------------------


def test_sign_makes_an_update_that_revokes(keys: Path, tmp_path: Path) -> None:
    (tmp_path / "old.efi").write_bytes(make_pe())
    output = tmp_path / "dbx.auth"
    options = (*signing(keys, "KEK"), "--append", "--time", TIME, "-o", str(output))
    done = sysgraft("keys", "sign", "dbx", tmp_path / "old.efi", *options)
    assert done.code == 0, done.err
    assert done.out.splitlines() == [
        f"{output}  (adds to dbx, signed by CN=test KEK)",
        "  dbx  1 SHA-256 hash",
    ]
    update = authvar.parse(output.read_bytes())
    signer = load_certificates((keys / "KEK.pem").read_bytes())[0]
    assert authvar.verify(update, authvar.database("dbx", append=True), signer)
    assert not authvar.verify(update, authvar.database("dbx"), signer)


def test_sign_in_json(keys: Path, tmp_path: Path) -> None:
    (tmp_path / "new.pem").write_bytes(VENDOR.certificate_pem)
    options = (*signing(keys, "KEK"), "--output", f"{tmp_path}/db.auth", "--time", TIME)
    found = document("sign", "db", keys / "db.esl", tmp_path / "new.pem", *options)
    assert (found["append"], found["time"]) == (False, TIME)
    assert found["signer"]["subject"] == "CN=test KEK"
    subjects = [each["subject"] for each in found["database"]["certificates"]]
    assert subjects == ["CN=test db", VENDOR.certificate.subject]


def test_sign_empties_a_database(keys: Path, tmp_path: Path) -> None:
    output = tmp_path / "noPK.auth"
    done = sysgraft("keys", "sign", "PK", *signing(keys, "PK"), "-o", output)
    assert done.code == 0, done.err
    assert "nothing" in done.out
    assert authvar.parse(output.read_bytes()).value == b""


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("dbx", "--append"), "nothing is given to add"),
        (("PK", "PK.pem", "KEK.pem"), "PK holds one certificate"),
        (("PK", "PK.pem", "--append"), "PK holds one certificate"),
        (("KEK", "hashes"), "KEK holds certificates"),
        (("db", "PK.key"), "PK.key"),
        (("db", "db.pem", "--time", "soon"), "--time wants"),
    ],
)
def test_what_sign_refuses(keys: Path, tmp_path: Path, words: Sequence[str], message: str) -> None:
    (tmp_path / "hashes").write_text("00" * 32)
    places = {path.name: path for path in (*keys.iterdir(), tmp_path / "hashes")}
    output = tmp_path / "out.auth"
    found = [places.get(word, word) for word in words]
    done = sysgraft("keys", "sign", *found, *signing(keys, "PK"), "-o", output)
    assert (done.code, output.exists()) == (2, False)
    assert message in done.err


def test_sign_replaces_only_with_force(keys: Path, tmp_path: Path) -> None:
    output = tmp_path / "db.auth"
    output.write_text("before")
    words = ("keys", "sign", "db", f"{keys}/db.pem", *signing(keys, "KEK"), "-o", str(output))
    assert sysgraft(*words).code == 2
    assert output.read_text() == "before"
    assert sysgraft(*words, "--force").code == 0
    assert output.read_text(errors="replace") != "before"


# --- certify -------------------------------------------------------------------------------------


def test_certify_names_a_key(keys: Path, tmp_path: Path) -> None:
    output = tmp_path / "new.pem"
    words = ("a name", "--private-key", keys / "db.key", "--time", TIME, "-o", output)
    found = document("certify", *words)
    assert (found["subject"], found["notBefore"]) == ("CN=a name", TIME)
    (certificate,) = load_certificates(output.read_bytes())
    assert certificate.key_der == load_private_key((keys / "db.key").read_bytes()).key_der
    first = output.read_bytes()
    done = sysgraft("keys", "certify", *words, "--force")
    assert done.out.startswith(f"{output}  (CN=a name, until 2035-12-31, SHA-256 ")
    assert output.read_bytes() == first
    assert sysgraft("keys", "certify", *words).code == 2


def test_certify_takes_encrypted_keys(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.key").write_bytes(VENDOR.encode_key(passphrase=b"open"))
    words = ("a", "--private-key", tmp_path / "a.key", "-o", tmp_path / "a.pem")
    monkeypatch.setenv("SYSGRAFT_PASSPHRASE", "shut")
    assert sysgraft("keys", "certify", *words).code == 2
    monkeypatch.setenv("SYSGRAFT_PASSPHRASE", "open")
    assert sysgraft("keys", "certify", *words).code == 0


# --- enroll-vars ---------------------------------------------------------------------------------


def test_keys_are_put_onto_an_esp(keys: Path, tmp_path: Path) -> None:
    found = document("enroll-vars", keys, "--esp", tmp_path)
    assert found["store"] is None
    place = tmp_path / "loader/keys/auto"
    assert found["esp"]["files"] == [f"{place}/{name}.auth" for name in ("PK", "KEK", "db")]
    assert found["esp"]["time"] == TIME
    for path in place.iterdir():
        assert path.read_bytes() == (keys / path.name).read_bytes()
    assert len(list(place.iterdir())) == 3
    done = sysgraft("keys", "enroll-vars", keys, "--esp", tmp_path)
    assert (done.code, "the file exists" in done.err) == (2, True)
    done = sysgraft("keys", "enroll-vars", keys, "--esp", tmp_path, "--force")
    assert done.out.splitlines() == found["esp"]["files"]


def test_an_esp_gets_all_or_nothing(keys: Path, tmp_path: Path) -> None:
    place = tmp_path / "loader/keys/auto"
    place.mkdir(parents=True)
    (place / "db.auth").write_text("mine")
    assert sysgraft("keys", "enroll-vars", keys, "--esp", tmp_path).code == 2
    assert [path.name for path in place.iterdir()] == ["db.auth"]
    assert (place / "db.auth").read_text() == "mine"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ((), "give --output, --esp or both"),
        (("--template", "a", "--esp", "."), "--template goes with --output"),
        (("--esp", "absent"), "there is no such folder"),
        (("--output", "new.fd", "--template", "absent"), "cannot read the variable store"),
        (("--output", "old.fd", "--template", "empty.fd"), "the file exists"),
        (("--output", "new.fd", "--template", "empty.fd"), "empty.fd: not a variable store"),
        (("--output", "new.fd", "--template", "qcow2.fd"), "convert it with qemu-img"),
        (("--output", "new.fd", "--template", "hollow.fd"), "virt-fw-vars failed"),
    ],
)
def test_what_enroll_refuses(
    keys: Path,
    tmp_path: Path,
    options: Sequence[str],
    message: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "old.fd").write_text("old")
    (tmp_path / "empty.fd").write_bytes(b"")
    (tmp_path / "qcow2.fd").write_bytes(b"QFI\xfb")
    (tmp_path / "hollow.fd").write_bytes(bytes(40) + b"_FVH")
    before = sorted(tmp_path.iterdir())
    done = sysgraft("keys", "enroll-vars", keys, *options)
    assert (done.code, done.out) == (2, "")
    assert message in done.err
    assert sorted(tmp_path.iterdir()) == before
    assert (tmp_path / "old.fd").read_text() == "old"


@pytest.mark.parametrize(("missing", "option"), [("db.auth", "--esp"), ("PK", "--output")])
def test_a_folder_without_a_key_is_named(
    keys: Path, tmp_path: Path, missing: str, option: str
) -> None:
    part = tmp_path / "part"
    part.mkdir()
    for path in keys.iterdir():
        if not path.name.startswith(missing):
            (part / path.name).write_bytes(path.read_bytes())
    done = sysgraft("keys", "enroll-vars", part, option, tmp_path)
    assert done.code == 2
    assert f"the folder has no {missing.removesuffix('.auth')}." in done.err


def test_an_update_that_is_none_is_named(keys: Path, tmp_path: Path) -> None:
    part = tmp_path / "part"
    part.mkdir()
    for path in keys.iterdir():
        (part / path.name).write_bytes(path.read_bytes())
    (part / "KEK.auth").write_text("text")
    for options in (("--esp", tmp_path), ("--output", tmp_path / "a.fd")):
        done = sysgraft("keys", "enroll-vars", part, *options)
        assert done.code == 2
        assert "KEK.auth: " in done.err
    assert list(tmp_path.iterdir()) == [part]


def test_without_virt_fw_vars_its_package_is_named(
    keys: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sysgraft.host.ovmf_vars.shutil.which", lambda *_, **__: None)
    (tmp_path / "a.fd").write_bytes(bytes(40) + b"_FVH")
    words = ("--template", tmp_path / "a.fd", "--output", tmp_path / "b.fd")
    done = sysgraft("keys", "enroll-vars", keys, *words)
    assert done.code == 2
    assert "hint: install the Python package virt-firmware" in done.err


def test_without_a_template_the_option_is_named(
    keys: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sysgraft.host.ovmf_vars.TEMPLATES", (str(tmp_path / "absent"),))
    done = sysgraft("keys", "enroll-vars", keys, "--output", tmp_path / "b.fd")
    assert (done.code, "--template" in done.err) == (2, True)


def test_a_store_is_told_of(keys: Path, tmp_path: Path) -> None:
    template = Path("/usr/share/OVMF/OVMF_VARS_4M.fd")
    if not template.exists():
        pytest.skip("no OVMF is installed (Debian package ovmf)")
    store = tmp_path / "vars.fd"
    found = document("enroll-vars", keys, "--output", store, "--template", template)
    assert (found["esp"], found["store"]["time"]) == (None, TIME)
    assert [each["name"] for each in found["store"]["databases"]] == ["PK", "KEK", "db"]
    done = sysgraft("keys", "enroll-vars", keys, "--output", store, "--force")
    assert done.out.startswith(f"{store}  (Secure Boot on, made from ")
    assert stat.S_ISREG(store.stat().st_mode)
