"""What systemd-dissect (257, and this machine's own) says of the images we build.

The kernel need not have dm-verity: content is listed with systemd's switch that leaves embedded
verity data aside; that it is there, and signed, is in the same tool's JSON.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import stat
import subprocess
from typing import TYPE_CHECKING, Any

import pytest

from sysgraft.build.extension import BuildOptions, build_extension
from sysgraft.build.sources.model import Options as SourceOptions
from sysgraft.image.inspect import inspect_image
from sysgraft.sign.pair import load_pair

if TYPE_CHECKING:
    from pathlib import Path

    from conftest import Debian13, SigningPair

WITHOUT_VERITY = {"SYSTEMD_DISSECT_VERITY_EMBEDDED": "0"}
STRICT = "--image-policy=root=signed+absent:usr=signed+absent"
FIELDS = {"SYSEXT_LEVEL": "1.0", "VERSION_ID": "24.04"}


@pytest.fixture
def image(signing_pair: SigningPair, sample_tree: Path, tmp_path: Path) -> Path:
    """A signed sysext called demo."""
    return build(sample_tree, tmp_path, signing_pair, kind="sysext")


def build(tree: Path, output: Path, pair: SigningPair | None, *, kind: str) -> Path:
    """An extension called demo, with a few release fields."""
    options = BuildOptions(
        sources=SourceOptions(kind="confext" if kind == "confext" else "sysext"), release=FIELDS
    )
    signing = load_pair(str(pair.key), str(pair.certificate)) if pair else None
    output = output / "images"
    build_extension("demo", [str(tree)], output=output, signing=signing, options=options)
    return output / f"demo.{kind}.raw"


def dissect(debian13: Debian13, image: Path, *options: str) -> Any:
    """systemd-dissect 257's JSON."""
    argv = ["systemd-dissect", "--json=short", *options, f"/mnt/{image.name}"]
    return json.loads(debian13.run(argv, binds={image.parent: "/mnt"}).stdout)


def release_lines(fields: list[str]) -> dict[str, str]:
    """The release fields as systemd-dissect prints them."""
    return dict(line.split("=", 1) for line in fields)


@pytest.mark.oracle("debian-13")
def test_a_sysext_is_seen_as_one(debian13: Debian13, image: Path) -> None:
    said = dissect(debian13, image, STRICT)
    info = inspect_image(image)
    assert said["useSystemExtension"] is True
    assert said["useConfigurationExtension"] is False
    assert said["architecture"] == "x86-64"
    assert said["imageUuid"] == str(info.disk_uuid)
    assert release_lines(said["sysextRelease"]) == info.releases["demo"].fields
    assert release_lines(said["sysextRelease"]).items() >= FIELDS.items()


@pytest.mark.oracle("debian-13")
def test_partitions_are_seen_with_their_roles_and_as_signed(
    debian13: Debian13, image: Path
) -> None:
    mounts = dissect(debian13, image)["mounts"]
    assert [(m["designator"], m["fstype"], m["verity"], m["rw"]) for m in mounts] == [
        ("root", "erofs", "signed", "ro"),
        ("root-verity", "DM_verity_hash", None, "ro"),
        ("root-verity-sig", "verity_hash_signature", None, "ro"),
    ]
    members = inspect_image(image).members
    assert [(m["partition_uuid"], m["partition_label"], m["partno"]) for m in mounts] == [
        (str(m.partition.uuid), m.partition.name, m.partition.index + 1) for m in members
    ]


@pytest.mark.oracle("debian-13")
def test_a_confext_is_seen_as_one(
    debian13: Debian13, signing_pair: SigningPair, tmp_path: Path
) -> None:
    settings = tmp_path / "tree/etc/demo.conf"
    settings.parent.mkdir(parents=True)
    settings.write_text("setting=1\n")
    image = build(tmp_path / "tree", tmp_path, signing_pair, kind="confext")
    said = dissect(debian13, image, STRICT)
    assert said["useConfigurationExtension"] is True
    assert said["useSystemExtension"] is False
    assert release_lines(said["confextRelease"]) == inspect_image(image).releases["demo"].fields


@pytest.mark.oracle("debian-13")
def test_the_strict_policy_lets_a_signed_image_pass_and_no_unsigned_one(
    debian13: Debian13, image: Path, sample_tree: Path, tmp_path: Path
) -> None:
    unsigned = build(sample_tree, tmp_path / "unsigned", None, kind="sysext")

    def validate(path: Path) -> subprocess.CompletedProcess[str]:
        argv = ["systemd-dissect", "--validate", STRICT, f"/mnt/{path.name}"]
        return debian13.run(argv, binds={path.parent: "/mnt"}, check=False)

    assert validate(image).returncode == 0
    refused = validate(unsigned)
    assert refused.returncode != 0
    assert "image policy" in refused.stderr.lower()


@pytest.mark.oracle("debian-13")
def test_the_listing_is_the_tree(debian13: Debian13, image: Path, sample_tree: Path) -> None:
    argv = ["systemd-dissect", "--mtree", f"/mnt/{image.name}"]
    said = debian13.run(argv, binds={image.parent: "/mnt"}, env=WITHOUT_VERITY).stdout
    found = dict(mtree_entry(line) for line in said.splitlines())
    expected = {
        f"./{path.relative_to(sample_tree)}{'/' if is_folder(path) else ''}": wanted(path)
        for path in sample_tree.rglob("*")
    }
    release = "./usr/lib/extension-release.d/"
    ours = {name for name in found if name == "./" or name.startswith(release)}
    # The second name is for systemd versions that take ".sysext" as part of the image's name.
    names = ("", "extension-release.demo", "extension-release.demo.sysext")
    assert ours == {"./", *(release + name for name in names)}
    assert {name: entry for name, entry in found.items() if name not in ours} == expected


def mtree_entry(line: str) -> tuple[str, dict[str, str]]:
    """One line of an mtree listing."""
    name, *words = line.split()
    return name, dict(word.split("=", 1) for word in words)


def is_folder(path: Path) -> bool:
    """Whether it is a folder itself."""
    return path.is_dir() and not path.is_symlink()


def wanted(path: Path) -> dict[str, str]:
    """What mtree has to say of a file of the source, now owned by root."""
    owner = {"uid": "0", "gid": "0"}
    if path.is_symlink():
        return {"type": "link", **owner, "link": str(path.readlink())}
    common = {"mode": f"0{stat.S_IMODE(path.stat().st_mode):03o}", **owner}
    if path.is_dir():
        return {"type": "dir", **common}
    content = path.read_bytes()
    digest = {"sha256sum": hashlib.sha256(content).hexdigest()} if content else {}
    return {"type": "file", **common, "size": str(len(content)), **digest}


@pytest.mark.oracle("debian-13")
def test_files_can_be_copied_out(
    debian13: Debian13, image: Path, sample_tree: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    out.mkdir()
    debian13.run(
        [
            "systemd-dissect",
            "--copy-from",
            f"/mnt/{image.name}",
            "/usr/lib/firmware",
            "/run/out/fw",
        ],
        binds={image.parent: "/mnt", out: "/run/out"},
        env=WITHOUT_VERITY,
    )
    source = sample_tree / "usr/lib/firmware"
    copied = {path.relative_to(out / "fw"): path for path in (out / "fw").rglob("*")}
    assert copied.keys() == {path.relative_to(source) for path in source.rglob("*")}
    for name, path in copied.items():
        if path.is_file():
            assert path.read_bytes() == (source / name).read_bytes()


@pytest.mark.root
@pytest.mark.oracle("systemd-dissect")
@pytest.mark.parametrize("name", ["demo.raw", "demo.sysext.raw"])
def test_this_machines_own_systemd_reads_it_too(image: Path, tmp_path: Path, name: str) -> None:
    # Up to systemd 254 the extension is called what the file is called, ".sysext" included.
    plain = tmp_path / name
    shutil.copy(image, plain)
    done = subprocess.run(
        ["systemd-dissect", "--json=short", plain], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    assert said["useSystemExtension"] is True
    release = said.get("sysextRelease") or said["extensionRelease"]
    assert release_lines(release) == inspect_image(plain).releases["demo"].fields
    assert [(m["designator"], m["verity"]) for m in said["mounts"]] == [
        ("root", "signed"), ("root-verity", None), ("root-verity-sig", None),
    ]  # fmt: skip
