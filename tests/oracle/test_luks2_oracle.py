"""LUKS2 headers of cryptsetup: what it wrote is read, in either copy."""

from __future__ import annotations

import json
import os
import subprocess
from typing import TYPE_CHECKING, Final

import pytest

from luks2_kit import TPM2_TOKEN, copy, metadata
from sysgraft.base.blob import FileBlob
from sysgraft.formats import luks2
from sysgraft.formats.luks2 import Header, OtherToken, Segment, Tpm2Token

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.oracle("cryptsetup")

RECOVERY: Final = {"type": "systemd-recovery", "keyslots": ["0"]}


def cryptsetup(*argv: str | Path, data: str = "") -> str:
    path = f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/sbin"
    done = subprocess.run(
        ["cryptsetup", *argv],
        input=data,
        capture_output=True,
        text=True,
        check=False,
        env={"PATH": path},
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def make(folder: Path, *options: str) -> Path:
    """A volume with a TPM's token and one of a recovery key."""
    path, key = folder / "volume", folder / "key"
    with path.open("wb") as file:
        file.truncate(40 << 20)
    key.write_bytes(b"password")
    cheap = ("--pbkdf", "pbkdf2", "--pbkdf-force-iterations", "1000", "--key-file", str(key))
    cryptsetup("luksFormat", "-q", "--type", "luks2", *cheap, "--label", "data", *options, path)
    for fields in ({**TPM2_TOKEN, "keyslots": ["0"]}, RECOVERY):
        cryptsetup("token", "import", path, data=json.dumps(fields))
    return path


def parse(path: Path) -> Header:
    with path.open("rb") as file:
        return luks2.parse(FileBlob(file))


def test_what_cryptsetup_wrote(tmp_path: Path) -> None:
    path = make(tmp_path)
    found = parse(path)
    assert found.uuid == cryptsetup("luksUUID", path).strip()
    assert (found.label, found.is_secondary, found.keyslots) == ("data", False, (0,))
    assert found.segments == (Segment(0, "crypt", 16 << 20, None, "aes-xts-plain64"),)
    tpm2, recovery = found.tokens
    assert tpm2 == Tpm2Token(0, (0,), (4, 7), "sha256", (b"\xab" * 32,), 1)
    assert recovery == OtherToken(1, (0,), "systemd-recovery")
    theirs = json.loads(cryptsetup("luksDump", "--dump-json-metadata", path))
    assert [str(each.number) for each in found.tokens] == list(theirs["tokens"])


@pytest.mark.parametrize("size", [16, 64, 4096])
@pytest.mark.parametrize("hash_name", ["sha256", "sha512"])
def test_either_copy_is_as_good(tmp_path: Path, size: int, hash_name: str) -> None:
    path = make(tmp_path, "--hash", hash_name, "--luks2-metadata-size", f"{size}k")
    whole = parse(path)
    assert whole.size == size << 10
    with path.open("r+b") as file:
        file.write(bytes(4096))
    second = parse(path)
    assert second.is_secondary
    assert (second.seqid, second.tokens, second.uuid) == (whole.seqid, whole.tokens, whole.uuid)
    # cryptsetup comes to the same end, and repairs the first copy.
    assert cryptsetup("luksUUID", path).strip() == second.uuid
    cryptsetup("token", "remove", "--token-id", "1", path)
    assert [each.number for each in parse(path).tokens] == [0]
    assert not parse(path).is_secondary


def test_cryptsetup_reads_what_the_tests_make(tmp_path: Path) -> None:
    path = make(tmp_path)
    theirs = json.loads(cryptsetup("luksDump", "--dump-json-metadata", path))
    ours = copy({**metadata(), **theirs}, seqid=100, label=b"made by hand")
    with path.open("r+b") as file:
        file.write(ours)
    assert "made by hand" in cryptsetup("luksDump", path)
    assert (parse(path).label, parse(path).seqid) == ("made by hand", 100)
