"""``ext verify`` says no to everything that should not be merged, and names the check."""

from __future__ import annotations

import datetime as dt
import json
from typing import TYPE_CHECKING, Any
from uuid import UUID

import pytest

from conftest import SigningPair
from sysgraft.base.blob import FileBlob
from sysgraft.cli.main import main
from sysgraft.formats import gpt
from sysgraft.formats.efivar import GLOBAL_VARIABLE, IMAGE_SECURITY_DATABASE
from sysgraft.formats.x509 import load_certificates
from sysgraft.testing.certificates import make_identity
from sysgraft.testing.efivars import certificate_list

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path


OWNER = UUID("77fa9abd-0359-4d32-bd60-28f4e78f784b")


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("source")
    firmware = root / "usr/lib/firmware"
    firmware.mkdir(parents=True)
    (firmware / "a.bin").write_bytes(bytes(range(256)) * 80)
    (firmware / "b.bin").write_bytes(b"second" * 9000)
    return root


def build(
    capsys: pytest.CaptureFixture[str],
    tree: Path,
    output: Path,
    *options: str,
    name: str = "fw",
    pair: SigningPair | None = None,
) -> Path:
    signing = ["--unsigned"]
    if pair is not None:
        signing = ["--private-key", str(pair.key), "--certificate", str(pair.certificate)]
    code = main(["ext", "build", name, str(tree), "--output", str(output), *options, *signing])
    assert code == 0, capsys.readouterr().err
    capsys.readouterr()
    kind = "confext" if "confext" in options else "sysext"
    return output / f"{name}.{kind}.raw"


def verify(
    capsys: pytest.CaptureFixture[str], image: Path, *options: str
) -> tuple[int, dict[str, Any]]:
    code = main(["ext", "verify", str(image), "--json", *options])
    captured = capsys.readouterr()
    document = json.loads(captured.out)
    assert document["schema"] == "sysgraft.ext.verify/1"
    (found,) = document["images"]
    assert document["ok"] is found["ok"] is (code == 0)
    found["statuses"] = {check["name"]: check["status"] for check in found["checks"]}
    found["reasons"] = {check["name"]: check["reason"] for check in found["checks"]}
    return code, found


@pytest.fixture
def image(
    capsys: pytest.CaptureFixture[str], tree: Path, tmp_path: Path, signing_pair: SigningPair
) -> Path:
    return build(capsys, tree, tmp_path / "out", pair=signing_pair)


def failing(found: dict[str, Any]) -> set[str]:
    return {name for name, status in found["statuses"].items() if status == "fail"}


def test_a_good_image_passes_every_check(
    capsys: pytest.CaptureFixture[str], image: Path, signing_pair: SigningPair
) -> None:
    code, found = verify(capsys, image, "--certificate", str(signing_pair.certificate))
    assert code == 0
    skipped = {name for name, status in found["statuses"].items() if status == "skipped"}
    assert skipped == {"revocation", "host-match"}
    assert failing(found) == set()


def test_no_trust_given_is_no_trust(capsys: pytest.CaptureFixture[str], image: Path) -> None:
    code, found = verify(capsys, image)
    assert code == 1
    assert failing(found) == {"trust"}
    assert found["statuses"]["signature"] == "ok"


def test_a_stranger_s_certificate_is_no_trust(
    capsys: pytest.CaptureFixture[str], image: Path, other_pair: SigningPair
) -> None:
    code, found = verify(capsys, image, "--certificate", str(other_pair.certificate))
    assert code == 1
    assert failing(found) == {"trust"}


def test_a_signature_by_the_wrong_key_fails(
    capsys: pytest.CaptureFixture[str],
    tree: Path,
    tmp_path: Path,
    other_pair: SigningPair,
    signing_pair: SigningPair,
) -> None:
    foreign = build(capsys, tree, tmp_path / "foreign", pair=other_pair)
    code, found = verify(capsys, foreign, "--certificate", str(signing_pair.certificate))
    assert code == 1
    assert failing(found) == {"trust"}


def test_without_its_certificate_a_signature_needs_the_right_one(
    capsys: pytest.CaptureFixture[str],
    tree: Path,
    tmp_path: Path,
    signing_pair: SigningPair,
    other_pair: SigningPair,
) -> None:
    bare = build(capsys, tree, tmp_path / "bare", "--nocerts", pair=signing_pair)
    code, found = verify(capsys, bare, "--certificate", str(signing_pair.certificate))
    assert code == 0
    code, found = verify(capsys, bare, "--certificate", str(other_pair.certificate))
    assert code == 1
    assert failing(found) == {"trust"}
    assert found["statuses"]["signature"] == "skipped"


def test_an_unsigned_image_fails_and_says_so(
    capsys: pytest.CaptureFixture[str], tree: Path, tmp_path: Path, signing_pair: SigningPair
) -> None:
    unsigned = build(capsys, tree, tmp_path / "unsigned")
    trust = ("--certificate", str(signing_pair.certificate))
    code, found = verify(capsys, unsigned, *trust)
    assert code == 1
    assert failing(found) == {"image-policy"}
    assert found["statuses"]["signature"] == found["statuses"]["trust"] == "skipped"
    policy = ("--image-policy", "root=verity+absent:usr=verity+absent")
    code, found = verify(capsys, unsigned, *policy)
    assert code == 1, "a required check that was skipped is not a pass"
    code, _ = verify(capsys, unsigned, *policy, "--allow-skip=signature", "--allow-skip=trust")
    assert code == 0


def test_another_name_for_the_file_fails(
    capsys: pytest.CaptureFixture[str], image: Path, signing_pair: SigningPair
) -> None:
    renamed = image.rename(image.with_name("other.sysext.raw"))
    code, found = verify(capsys, renamed, "--certificate", str(signing_pair.certificate))
    assert code == 1
    assert failing(found) == {"name"}


def test_a_version_behind_the_name_is_allowed_where_systemd_allows_it(
    capsys: pytest.CaptureFixture[str], image: Path, signing_pair: SigningPair
) -> None:
    renamed = image.rename(image.with_name("fw_1.2.sysext.raw"))
    trust = ("--certificate", str(signing_pair.certificate))
    assert verify(capsys, renamed, *trust)[0] == 0
    code, found = verify(capsys, renamed, *trust, "--systemd-version=255")
    assert code == 1
    assert failing(found) == {"name"}


@pytest.mark.parametrize(
    ("release", "host", "options", "good"),
    [
        ([], "ID=any\nVERSION_ID=1\n", [], True),
        (["ID=ubuntu", "VERSION_ID=24.04"], "ID=ubuntu\nVERSION_ID=24.04\n", [], True),
        (["ID=ubuntu", "VERSION_ID=24.04"], "ID=ubuntu\nVERSION_ID=22.04\n", [], False),
        (["ID=ubuntu", "VERSION_ID=24.04"], "ID=debian\nVERSION_ID=24.04\n", [], False),
        (["ID=ubuntu", "SYSEXT_LEVEL=1"], "ID=ubuntu\nSYSEXT_LEVEL=1\nVERSION_ID=9\n", [], True),
        ([], "ID=any\n", ["--arch", "arm64"], False),
        ([], "ID=any\n", ["--arch", "amd64"], True),
    ],
)
def test_the_host_has_to_match(
    capsys: pytest.CaptureFixture[str],
    tree: Path,
    tmp_path: Path,
    signing_pair: SigningPair,
    release: Sequence[str],
    host: str,
    options: Sequence[str],
    good: bool,
) -> None:
    fields = [f"--release={field}" for field in release]
    image = build(capsys, tree, tmp_path / "out", *fields, pair=signing_pair)
    os_release = tmp_path / "os-release"
    os_release.write_text(host)
    code, found = verify(
        capsys,
        image,
        "--certificate",
        str(signing_pair.certificate),
        "--os-release",
        str(os_release),
        *options,
    )
    assert (code == 0) is good
    assert failing(found) == (set() if good else {"host-match"})


def test_an_architecture_alone_is_compared(
    capsys: pytest.CaptureFixture[str], image: Path, signing_pair: SigningPair
) -> None:
    trust = ("--certificate", str(signing_pair.certificate))
    assert verify(capsys, image, *trust, "--arch=x86_64")[0] == 0
    code, found = verify(capsys, image, *trust, "--arch=arm64")
    assert code == 1
    assert failing(found) == {"host-match"}


def test_a_damaged_block_is_named_with_its_file(
    capsys: pytest.CaptureFixture[str], image: Path, signing_pair: SigningPair
) -> None:
    data = bytearray(image.read_bytes())
    place = data.index(b"secondsecond", 60_000)
    data[place] ^= 1
    image.write_bytes(data)
    code, found = verify(capsys, image, "--certificate", str(signing_pair.certificate))
    assert code == 1
    assert failing(found) == {"verity-tree"}
    reason = found["reasons"]["verity-tree"]
    assert "data partition" in reason
    assert "usr/lib/firmware/b.bin" in reason
    assert str((place - 20480) // 4096 * 4096) in reason


def test_a_rewritten_table_with_foreign_uuids_is_not_linked(
    capsys: pytest.CaptureFixture[str],
    image: Path,
    tmp_path: Path,
    signing_pair: SigningPair,
) -> None:
    """Somebody else's data under this signature: the swap a structural check does not see."""
    (tmp_path / "evil/usr/bin").mkdir(parents=True)
    (tmp_path / "evil/usr/bin/x").write_bytes(b"evil" * 26000)
    evil = build(capsys, tmp_path / "evil", tmp_path / "evil-out", pair=signing_pair)
    with image.open("rb") as good, evil.open("rb") as bad:
        table, other = gpt.parse(FileBlob(good)), gpt.parse(FileBlob(bad))
    source, target = table.partitions[2], other.partitions[2]
    signature = image.read_bytes()[source.offset : source.offset + source.size]
    data = bytearray(evil.read_bytes())
    data[target.offset : target.offset + target.size] = signature
    evil.write_bytes(data)
    code, found = verify(capsys, evil, "--certificate", str(signing_pair.certificate))
    assert code == 1
    assert failing(found) == {"root-hash-link", "verity-tree"}


def test_what_is_no_image_is_not_verified(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    for name, content in (("empty", b""), ("text", b"hello" * 99), ("zeros", bytes(1 << 20))):
        path = tmp_path / f"{name}.raw"
        path.write_bytes(content)
        code, found = verify(capsys, path)
        assert code == 1
        assert found["statuses"]["gpt"] == "fail"


def test_a_missing_file_is_an_error(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert main(["ext", "verify", str(tmp_path / "absent.raw")]) == 2
    assert capsys.readouterr().err.startswith("error: ")


def test_confexts_are_verified_too(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, signing_pair: SigningPair
) -> None:
    (tmp_path / "tree/etc/demo").mkdir(parents=True)
    (tmp_path / "tree/etc/demo/conf").write_text("x=1\n")
    image = build(
        capsys, tmp_path / "tree", tmp_path / "out", "--type", "confext", pair=signing_pair
    )
    code, found = verify(capsys, image, "--certificate", str(signing_pair.certificate))
    assert code == 0
    assert found["type"] == "confext"


def test_trust_from_a_folder_and_from_signature_lists(
    capsys: pytest.CaptureFixture[str], image: Path, tmp_path: Path, signing_pair: SigningPair
) -> None:
    folder = tmp_path / "verity.d"
    folder.mkdir()
    (folder / "db.crt").write_bytes(signing_pair.certificate.read_bytes())
    assert verify(capsys, image, "--cert-dir", str(folder))[0] == 0
    (folder / "db.crt").rename(folder / "db.pem")
    assert failing(verify(capsys, image, "--cert-dir", str(folder))[1]) == {"trust"}
    lists = tmp_path / "db.esl"
    lists.write_bytes(signature_list(signing_pair))
    assert verify(capsys, image, "--esl", str(lists))[0] == 0


def test_a_revoked_signer_fails(
    capsys: pytest.CaptureFixture[str],
    image: Path,
    tmp_path: Path,
    signing_pair: SigningPair,
    other_pair: SigningPair,
) -> None:
    trust = ("--certificate", str(signing_pair.certificate))
    dbx = tmp_path / "dbx.esl"
    dbx.write_bytes(signature_list(other_pair))
    code, found = verify(capsys, image, *trust, "--dbx", str(dbx))
    assert code == 0
    assert found["statuses"]["revocation"] == "ok"
    dbx.write_bytes(signature_list(signing_pair))
    code, found = verify(capsys, image, *trust, "--dbx", str(dbx))
    assert code == 1
    assert failing(found) == {"revocation"}


@pytest.mark.parametrize(("secure", "setup", "good"), [(1, 0, True), (0, 0, False), (1, 1, False)])
def test_firmware_trust_counts_only_when_enforced(
    capsys: pytest.CaptureFixture[str],
    image: Path,
    tmp_path: Path,
    signing_pair: SigningPair,
    secure: int,
    setup: int,
    good: bool,
) -> None:
    folder = tmp_path / "efivars"
    folder.mkdir()
    variables = {
        f"db-{IMAGE_SECURITY_DATABASE}": signature_list(signing_pair),
        f"SecureBoot-{GLOBAL_VARIABLE}": bytes([secure]),
        f"SetupMode-{GLOBAL_VARIABLE}": bytes([setup]),
    }
    for name, value in variables.items():
        attributes = b"\x27\0\0\0" if name.startswith("db") else b"\x06\0\0\0"
        (folder / name).write_bytes(attributes + value)
    code, found = verify(capsys, image, "--efivars", str(folder))
    assert (code == 0) is good
    assert failing(found) == (set() if good else {"trust"})


def test_an_expired_but_trusted_signer_passes_with_a_note(
    capsys: pytest.CaptureFixture[str], tree: Path, tmp_path: Path
) -> None:
    pair = expired_pair(tmp_path)
    image = build(capsys, tree, tmp_path / "out", pair=pair)
    code, found = verify(capsys, image, "--certificate", str(pair.certificate))
    assert code == 0
    assert any("expired" in note for note in found["notes"])


def signature_list(pair: SigningPair) -> bytes:
    (certificate,) = load_certificates(pair.certificate.read_bytes())
    return certificate_list(certificate.der, owner=OWNER)


def expired_pair(folder: Path) -> SigningPair:
    past = dt.datetime(2021, 1, 1, tzinfo=dt.UTC)
    identity = make_identity("expired signer", not_after=past)
    pair = SigningPair(folder / "expired.key", folder / "expired.crt")
    pair.key.write_bytes(identity.key_pem)
    pair.certificate.write_bytes(identity.certificate_pem)
    return pair
