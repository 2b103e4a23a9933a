"""Signing, re-signing and unsigning leave the data alone and never sign what does not verify."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

import pytest

from command import signing, sysgraft
from sysgraft.build.resign import root_hash_of
from sysgraft.errors import FormatError

if TYPE_CHECKING:
    from pathlib import Path

    from conftest import SigningPair


@pytest.fixture
def unsigned(sample_tree: Path, tmp_path: Path) -> Path:
    result = sysgraft("ext", "build", "fw", sample_tree, "--output", tmp_path / "u", "--unsigned")
    assert result.code == 0, result.err
    return tmp_path / "u/fw.sysext.raw"


@pytest.fixture
def signed(sample_tree: Path, tmp_path: Path, signing_pair: SigningPair) -> Path:
    argv = ("ext", "build", "fw", str(sample_tree), "--output", str(tmp_path / "s"))
    assert sysgraft(*argv, *signing(signing_pair)).code == 0
    return tmp_path / "s/fw.sysext.raw"


def verifies(image: Path, pair: SigningPair) -> bool:
    return sysgraft("ext", "verify", image, "--certificate", pair.certificate).code == 0


def test_signing_later_gives_the_bytes_of_signing_at_once(
    unsigned: Path, signed: Path, signing_pair: SigningPair
) -> None:
    argv = ("ext", "sign", str(unsigned), "--force", *signing(signing_pair))
    assert sysgraft(*argv).code == 0
    assert unsigned.read_bytes() == signed.read_bytes()


def test_unsigning_gives_the_bytes_of_never_signing(unsigned: Path, signed: Path) -> None:
    result = sysgraft("ext", "unsign", signed, "--force", "--json")
    assert result.code == 0
    assert result.document["signed"] is False
    assert unsigned.read_bytes() == signed.read_bytes()


def test_an_exchanged_signature(
    signed: Path, tmp_path: Path, signing_pair: SigningPair, other_pair: SigningPair
) -> None:
    (tmp_path / "new").mkdir()
    target = tmp_path / "new/fw.sysext.raw"
    assert sysgraft("ext", "sign", signed, "--output", target, *signing(other_pair)).code == 0
    assert verifies(target, other_pair)
    assert not verifies(target, signing_pair)
    assert verifies(signed, signing_pair), "the original is as it was"


def test_in_place_needs_force(signed: Path, other_pair: SigningPair) -> None:
    before = signed.read_bytes()
    refused = sysgraft("ext", "sign", signed, *signing(other_pair))
    assert refused.code == 2
    assert "--force" in refused.err
    assert signed.read_bytes() == before


def test_damaged_data_is_never_signed(unsigned: Path, signing_pair: SigningPair) -> None:
    data = bytearray(unsigned.read_bytes())
    data[40_000] ^= 1
    unsigned.write_bytes(data)
    refused = sysgraft("ext", "sign", unsigned, "--force", *signing(signing_pair))
    assert refused.code == 2
    assert "does not match" in refused.err
    assert unsigned.read_bytes() == data


def test_the_root_hash_to_sign_is_recomputed(unsigned: Path) -> None:
    claimed = sysgraft("ext", "inspect", unsigned, "--json").document["rootHash"]
    assert root_hash_of(unsigned).hex() == claimed
    data = bytearray(unsigned.read_bytes())
    data[40_000] ^= 1
    unsigned.write_bytes(data)
    with pytest.raises(FormatError, match="does not match"):
        root_hash_of(unsigned)


def test_unsigning_the_unsigned_is_refused(unsigned: Path) -> None:
    assert sysgraft("ext", "unsign", unsigned, "--force").code == 2


@pytest.mark.oracle("openssl")
def test_a_signature_by_the_openssl_recipe_is_joined(
    unsigned: Path, tmp_path: Path, signing_pair: SigningPair, other_pair: SigningPair
) -> None:
    root_hash = sysgraft("ext", "inspect", unsigned, "--json").document["rootHash"]
    (tmp_path / "hash").write_text(root_hash)
    recipe = ["smime", "-sign", "-nocerts", "-noattr", "-binary", "-outform", "der"]
    paths = ["-in", str(tmp_path / "hash"), "-out", str(tmp_path / "p7s")]
    keys = ["-inkey", str(signing_pair.key), "-signer", str(signing_pair.certificate)]
    subprocess.run(["openssl", *recipe, *keys, *paths], check=True, capture_output=True)
    join = ("ext", "sign", unsigned, "--force", "--join-signature", tmp_path / "p7s")
    refused = sysgraft(*join, "--certificate", other_pair.certificate)
    assert refused.code == 2
    assert sysgraft(*join, "--certificate", signing_pair.certificate).code == 0
    assert verifies(unsigned, signing_pair)
