"""Signing, re-signing and unsigning leave the data alone and never sign what does not verify."""

from __future__ import annotations

import subprocess
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from command import signing, sysgraft
from sysgraft.base.blob import BytesBlob
from sysgraft.build.resign import root_hash_of
from sysgraft.errors import FormatError
from sysgraft.formats import gpt

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


# --- Tables of others ----------------------------------------------------------------------------


def with_slots(image: Path, *slots: int, count: int = 128) -> Path:
    """The image with its two partitions in other entries, of a table of `count`."""
    data = bytearray(image.read_bytes())
    table = gpt.parse(BytesBlob(bytes(data)))
    moved = [replace(part, index=slot) for part, slot in zip(table.partitions, slots, strict=True)]
    sectors = -(-count * 128 // 512)
    last = len(data) // 512 - 1
    table = replace(
        table, partitions=tuple(moved), entry_count=count, last_usable_lba=last - sectors - 1
    )
    data[: table.partitions[0].offset] = bytes(table.partitions[0].offset)
    for offset, piece in gpt.render(table, len(data)):
        data[offset : offset + len(piece)] = piece
    image.write_bytes(data)
    return image


@pytest.mark.parametrize(
    ("slots", "count", "added"),
    [((0, 1), 128, 2), ((3, 9), 128, 10), ((0, 127), 128, 1), ((1, 3), 4, 0)],
)
def test_the_signature_takes_a_free_entry(
    unsigned: Path, signing_pair: SigningPair, slots: tuple[int, int], count: int, added: int
) -> None:
    with_slots(unsigned, *slots, count=count)
    assert sysgraft("ext", "sign", unsigned, "--force", *signing(signing_pair)).code == 0
    parts = gpt.parse(BytesBlob(unsigned.read_bytes())).partitions
    assert {part.index for part in parts} == {*slots, added}
    assert next(part for part in parts if part.index == added).name == "root-x86-64-verity-sig"
    assert verifies(unsigned, signing_pair)


def test_a_full_table_is_refused(unsigned: Path, signing_pair: SigningPair) -> None:
    before = with_slots(unsigned, 0, 1, count=2).read_bytes()
    refused = sysgraft("ext", "sign", unsigned, "--force", *signing(signing_pair))
    assert refused.code == 2
    assert "no free entry for a signature, all 2 are used" in refused.err
    assert unsigned.read_bytes() == before


def test_without_dm_verity_there_is_nothing_to_sign(
    unsigned: Path, tmp_path: Path, signing_pair: SigningPair
) -> None:
    data = unsigned.read_bytes()
    table = gpt.parse(BytesBlob(data))
    root = table.partitions[0]
    bare = tmp_path / "bare.raw"
    bare.write_bytes(data[root.offset : root.offset + root.size])
    alone = bytearray(data)
    for offset, piece in gpt.render(replace(table, partitions=(root,)), len(data)):
        alone[offset : offset + len(piece)] = piece
    (tmp_path / "alone.raw").write_bytes(alone)
    for path, words in (
        (bare, "a bare erofs file system without a partition table"),
        (tmp_path / "alone.raw", "the image has a root partition alone"),
    ):
        refused = sysgraft("ext", "sign", path, "--force", *signing(signing_pair))
        assert refused.code == 2
        assert words in refused.err
        assert "hint: build a signed image" in refused.err
