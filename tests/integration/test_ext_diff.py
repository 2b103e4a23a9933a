"""``sysgraft ext diff``: what is different between two images, and what could not be compared."""

from __future__ import annotations

import shutil
import tarfile
from typing import TYPE_CHECKING, Any

import pytest

from command import sysgraft
from golden_images import golden
from sysgraft.base.blob import BytesBlob
from sysgraft.formats import gpt
from sysgraft.image import difference
from sysgraft.image.difference import compare_images

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from conftest import SigningPair

FIRMWARE = "usr/lib/firmware/demo"


def build(tree: Path, folder: str, *words: str) -> Path:
    output = tree.parent / folder
    output.mkdir()
    signing = words if any("key" in word for word in words) else (*words, "--unsigned")
    done = sysgraft("ext", "build", "demo", tree, "--output", output, *signing)
    assert done.code == 0, done.err
    return output / "demo.sysext.raw"


def signed_by(pair: SigningPair) -> Sequence[str]:
    return (f"--private-key={pair.key}", f"--certificate={pair.certificate}")


def diff(old: Path, new: Path) -> dict[str, Any]:
    done = sysgraft("ext", "diff", old, new, "--json")
    assert done.code == (0 if done.document["same"] else 1)
    return done.document


def changed(document: dict[str, Any]) -> dict[str, tuple[str, list[str]]]:
    return {each["path"]: (each["status"], each["what"]) for each in document["files"]}


def facts(document: dict[str, Any]) -> set[str]:
    return {each["name"] for each in document["facts"]}


def test_an_image_is_no_different_from_its_copy(sample_tree: Path) -> None:
    old = build(sample_tree, "old")
    new = shutil.copy(old, sample_tree.parent / "copy.raw")
    assert sysgraft("ext", "diff", old, new).out == "no difference\n"


def test_every_kind_of_change_is_told(sample_tree: Path) -> None:
    old = build(sample_tree, "old", "--release=ID=debian", "--release=VERSION_ID=1")
    folder = sample_tree / FIRMWARE
    (folder / "large.bin").write_bytes(bytes(range(251)) * 999 + b"x" * 251)
    (folder / "block.bin").write_bytes(b"")
    (folder / "empty.bin").chmod(0o600)
    (folder / "alias.bin").unlink()
    (folder / "alias.bin").symlink_to("large.bin")
    (folder / "same.bin").unlink()
    (folder / "new.bin").write_bytes(b"new")
    (sample_tree / "usr/bin/demo").unlink()
    (sample_tree / "usr/bin/demo").mkdir()
    new = build(sample_tree, "new", "--release=ID=debian", "--release=VERSION_ID=2")
    document = diff(old, new)
    release = "usr/lib/extension-release.d/extension-release.demo"
    assert changed(document) == {
        f"/{FIRMWARE}/alias.bin": ("changed", ["target"]),
        f"/{FIRMWARE}/block.bin": ("changed", ["size", "content"]),
        f"/{FIRMWARE}/empty.bin": ("changed", ["mode"]),
        f"/{FIRMWARE}/large.bin": ("changed", ["content"]),
        f"/{FIRMWARE}/new.bin": ("added", []),
        f"/{FIRMWARE}/same.bin": ("removed", []),
        "/usr/bin/demo": ("changed", ["type"]),
        f"/{release}": ("changed", ["content"]),
        f"/{release}.sysext": ("changed", ["content"]),
    }
    names = ("demo", "demo.sysext")
    assert facts(document) == {*(f"release {name} VERSION_ID" for name in names), "root hash"}
    text = sysgraft("ext", "diff", old, new).out
    assert "9 files: 7 changed, 1 added, 1 removed" in text
    assert "-> small.bin is now -> large.bin" in text


def test_owners_and_attributes_are_compared_and_times_are_not(tmp_path: Path) -> None:
    images = []
    for number, name in enumerate(("old", "new")):
        archive = tmp_path / f"{name}.tar"
        with tarfile.open(archive, "w", format=tarfile.PAX_FORMAT) as file:
            for path in ("usr/owned", "usr/noted", "usr/dated"):
                member = tarfile.TarInfo(path)
                member.uid = number if path == "usr/owned" else 0
                member.mtime = 10 + number
                value = f"{number if path == 'usr/noted' else 0}"
                member.pax_headers = {"SCHILY.xattr.user.note": value}
                file.addfile(member)
        images.append(build(archive, name, "--source-date-epoch=100"))
    assert changed(diff(*images)) == {
        "/usr/noted": ("changed", ["attributes"]),
        "/usr/owned": ("changed", ["owner"]),
    }
    assert "0:0 -> 1:0" in sysgraft("ext", "diff", *images).out


def test_who_signed_is_compared(
    sample_tree: Path, signing_pair: SigningPair, other_pair: SigningPair
) -> None:
    images = [build(sample_tree, "plain")]
    for name, pair in (("one", signing_pair), ("other", other_pair)):
        images.append(build(sample_tree, name, *signed_by(pair)))
    assert facts(diff(images[0], images[1])) == {"partitions", "signed by"}
    assert facts(diff(images[1], images[2])) == {"signed by"}


@pytest.mark.parametrize("first", ["sysext-257", "sysext-257-lz4hc", "sysext-252-squashfs"])
def test_images_of_other_tools_are_compared(first: str, tmp_path: Path) -> None:
    """systemd-repart of 252, 257 and 262, from one folder; one of them compressed."""
    document = diff(golden(first, tmp_path), golden("sysext-262", tmp_path))
    assert document["notCompared"] == []
    assert {path: what for path, (_, what) in changed(document).items()} == {"/": ["attributes"]}


@pytest.mark.usefixtures("without_squashfs")
def test_what_cannot_be_read_is_not_called_the_same(tmp_path: Path) -> None:
    image = golden("sysext-252-squashfs", tmp_path)
    document = diff(image, image)
    assert document["notCompared"] != []
    assert document["facts"] == document["files"] == []
    assert "not compared: " in sysgraft("ext", "diff", image, image).out


def test_content_behind_hard_links_is_read_once(
    sample_tree: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(40):
        (sample_tree / FIRMWARE / f"link{number}").hardlink_to(sample_tree / FIRMWARE / "large.bin")
    image = build(sample_tree, "old")
    monkeypatch.setattr(difference, "MAX_COMPARED", 300_000)
    assert compare_images(image, image).is_same
    monkeypatch.setattr(difference, "MAX_COMPARED", 250_000)
    (refused,) = compare_images(image, image).not_compared
    assert "more than 250000 bytes of content" in refused.reason


def test_a_damaged_file_system_is_not_called_the_same(sample_tree: Path) -> None:
    image = build(sample_tree, "old")
    data = bytearray(image.read_bytes())
    start = gpt.parse(BytesBlob(bytes(data))).partitions[0].offset
    data[start + 1024 + 4096 : start + 1024 + 8192] = b"\xff" * 4096
    broken = sample_tree.parent / "broken.sysext.raw"
    broken.write_bytes(data)
    done = sysgraft("ext", "diff", image, broken)
    assert done.code in (1, 2)
    assert "Traceback" not in done.err


def test_no_image_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"x" * 5000)
    done = sysgraft("ext", "diff", tmp_path / "a", tmp_path / "a")
    assert done.code == 2
    assert str(tmp_path / "a") in done.err
