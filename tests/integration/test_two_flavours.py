"""``ext build --also-unsigned``: one build, one image for each kind of node."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from command import signing, sysgraft
from sysgraft.build import extension
from sysgraft.host.files import cannot_write

if TYPE_CHECKING:
    from pathlib import Path

    from conftest import SigningPair


@pytest.mark.parametrize("options", [(), ("--type", "confext", "--include-path", "/usr")])
def test_both_are_what_builds_of_their_own_give(
    sample_tree: Path, tmp_path: Path, signing_pair: SigningPair, options: tuple[str, ...]
) -> None:
    build = ("ext", "build", "fw", str(sample_tree), *options)
    both = sysgraft(
        *build, f"--output={tmp_path}/both", "--also-unsigned", "--json", *signing(signing_pair)
    )
    assert both.code == 0, both.err
    assert sysgraft(*build, f"--output={tmp_path}/s", *signing(signing_pair)).code == 0
    assert sysgraft(*build, f"--output={tmp_path}/u", "--unsigned").code == 0
    (name,) = [path.name for path in (tmp_path / "s").iterdir()]
    assert (tmp_path / "both" / name).read_bytes() == (tmp_path / "s" / name).read_bytes()
    unsigned = tmp_path / "both/unsigned" / name
    assert unsigned.read_bytes() == (tmp_path / "u" / name).read_bytes()
    assert both.document["unsigned"] == {"file": str(unsigned), "size": unsigned.stat().st_size}
    assert both.document["signed"] is True
    assert len(list((tmp_path / "both").rglob("*"))) == 3


def test_each_passes_where_it_is_meant_for(
    sample_tree: Path, tmp_path: Path, signing_pair: SigningPair
) -> None:
    build = ("ext", "build", "fw", sample_tree, "--output", tmp_path, "--also-unsigned")
    done = sysgraft(*build, *signing(signing_pair))
    assert "unsigned/fw.sysext.raw  (the same without its signature)" in done.out
    # Kairos' policies for nodes with Trusted Boot and for others.
    trusted = ("--image-policy", "root=signed+absent:usr=signed+absent")
    others = ("--image-policy", "root=verity+absent:usr=verity+absent")
    signed, unsigned = tmp_path / "fw.sysext.raw", tmp_path / "unsigned/fw.sysext.raw"
    certificate = ("--certificate", signing_pair.certificate)
    assert sysgraft("ext", "verify", signed, *trusted, *certificate).code == 0
    assert sysgraft("ext", "verify", unsigned, *trusted, *certificate).code == 1
    loose = ("--allow-skip", "signature", "--allow-skip", "trust")
    assert sysgraft("ext", "verify", unsigned, *others, *loose).code == 0


def test_what_makes_no_sense_is_refused(sample_tree: Path, tmp_path: Path) -> None:
    build = ("ext", "build", "fw", sample_tree, f"--output={tmp_path}/out", "--also-unsigned")
    refused = sysgraft(*build, "--unsigned")
    assert refused.code == 2
    assert "exclude each other" in refused.err
    assert sysgraft(*build).code == 2
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("taken", ["fw.sysext.raw", "unsigned/fw.sysext.raw"])
def test_neither_comes_if_one_is_there(
    sample_tree: Path, tmp_path: Path, signing_pair: SigningPair, taken: str
) -> None:
    old = tmp_path / "out" / taken
    old.parent.mkdir(parents=True)
    old.write_bytes(b"old")
    build = ("ext", "build", "fw", sample_tree, f"--output={tmp_path}/out", "--also-unsigned")
    refused = sysgraft(*build, *signing(signing_pair))
    assert refused.code == 2
    assert str(old) in refused.err
    assert [path for path in (tmp_path / "out").rglob("*") if path.is_file()] == [old]
    assert sysgraft(*build, "--force", *signing(signing_pair)).code == 0
    assert old.stat().st_size > 3


def test_a_copy_that_cannot_be_written_leaves_nothing(
    sample_tree: Path,
    tmp_path: Path,
    signing_pair: SigningPair,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def full(*_: object) -> int:
        raise cannot_write(OSError(28, "No space left on device"))

    monkeypatch.setattr(extension, "copy_unsigned", full)
    build = ("ext", "build", "fw", sample_tree, f"--output={tmp_path}/out", "--also-unsigned")
    refused = sysgraft(*build, *signing(signing_pair))
    assert refused.code == 2
    assert f"{tmp_path}/out/unsigned/fw.sysext.raw" in refused.err
    assert not (tmp_path / "out").exists()
