"""Images that skopeo copies from one form to another stay the same tree."""

from __future__ import annotations

import hashlib
import json
import subprocess
from typing import TYPE_CHECKING

import pytest

from sysgraft.build.collect import Options, open_tree

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.oracle("skopeo", "tar")

OCI = "application/vnd.oci.image."


def layout(folder: Path, layers: list[Path], architectures: list[str]) -> Path:
    """An OCI layout with one image tagged ``demo``, or an index of several."""
    blobs = folder / "blobs/sha256"
    blobs.mkdir(parents=True)

    def put(data: bytes, kind: str) -> dict[str, object]:
        name = hashlib.sha256(data).hexdigest()
        (blobs / name).write_bytes(data)
        return {"mediaType": OCI + kind, "digest": f"sha256:{name}", "size": len(data)}

    def put_json(value: object, kind: str) -> dict[str, object]:
        return put(json.dumps(value).encode(), f"{kind}.v1+json")

    stored = [put(layer.read_bytes(), "layer.v1.tar") for layer in layers]
    manifests = []
    for arch in architectures:
        rootfs = {"type": "layers", "diff_ids": [layer["digest"] for layer in stored]}
        config = put_json({"architecture": arch, "os": "linux", "rootfs": rootfs}, "config")
        manifest = {"schemaVersion": 2, "config": config, "layers": stored}
        manifest["mediaType"] = f"{OCI}manifest.v1+json"
        entry = put_json(manifest, "manifest")
        manifests.append({**entry, "platform": {"architecture": arch, "os": "linux"}})
    top = manifests[0]
    if len(manifests) > 1:
        index = {"schemaVersion": 2, "mediaType": f"{OCI}index.v1+json", "manifests": manifests}
        top = put_json(index, "index")
    tagged = {**top, "annotations": {"org.opencontainers.image.ref.name": "demo"}}
    (folder / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}')
    (folder / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": [tagged]}))
    return folder


def copy(source: str, target: str, *options: str) -> None:
    subprocess.run(
        ["skopeo", "--insecure-policy", "copy", "--quiet", *options, source, target],
        check=True,
        capture_output=True,
    )


@pytest.fixture
def layers(sample_tree: Path, tmp_path: Path) -> list[Path]:
    """Two layers, the second the sample tree without one file of the first."""
    base = tmp_path / "base"
    (base / "usr/share").mkdir(parents=True)
    (base / "usr/share/base").write_text("base")
    (base / "usr/share/removed").write_text("removed")
    (sample_tree / "usr/share").mkdir()
    (sample_tree / "usr/share/.wh.removed").touch()
    paths = [tmp_path / "base.tar", tmp_path / "top.tar"]
    for folder, path in zip((base, sample_tree), paths, strict=True):
        owner = ["--owner=root:0", "--group=root:0", "--sort=name", "--mtime=@7"]
        subprocess.run(["tar", "-C", folder, *owner, "-cf", path, "usr"], check=True)
    return paths


def shape(argument: str, options: Options) -> dict[bytes, tuple[object, ...]]:
    with open_tree([argument], options) as collected:
        assert collected.architecture == "x86-64"
        first: dict[int, bytes] = {}
        return {
            path: (
                (inode.mode, inode.uid, inode.mtime, inode.target),
                inode.content.read_at(0, inode.content.size) if inode.content else None,
                first.setdefault(id(inode), path),
            )
            for path, inode in collected.tree.items()
        }


ALL = Options(layers="all")
LAST = Options(whiteouts="drop")


@pytest.mark.parametrize(
    ("target", "options"),
    [
        ("docker-archive:{}", ()),
        ("docker-archive:{}:demo:v1", ()),
        ("oci-archive:{}:demo", ()),
        ("oci:{}:demo", ()),
        ("oci:{}:demo", ("--dest-compress", "--dest-compress-format", "zstd")),
        ("oci-archive:{}:demo", ("--dest-compress", "--dest-compress-format", "zstd")),
        ("oci:{}:demo", ("--dest-decompress",)),
    ],
)
def test_a_copied_image_is_the_same(
    layers: list[Path], tmp_path: Path, target: str, options: tuple[str, ...]
) -> None:
    original = layout(tmp_path / "layout", layers, ["amd64"])
    copied = tmp_path / "copied"
    copy(f"oci:{original}:demo", target.format(copied), *options)
    everything = shape(str(original), ALL)
    assert b"usr/share/base" in everything
    assert b"usr/share/removed" not in everything
    last = shape(str(original), LAST)
    assert last.keys() == everything.keys() - {b"usr/share/base"}
    for argument in (str(copied), target.format(copied)):
        assert shape(argument, ALL) == everything
        assert shape(argument, LAST) == last


def test_one_platform_of_a_copied_index(layers: list[Path], tmp_path: Path) -> None:
    original = layout(tmp_path / "layout", layers, ["arm64", "amd64"])
    copy(f"oci:{original}:demo", f"oci:{tmp_path / 'copied'}:demo", "--all")
    options = Options(layers="all", architecture="x86-64")
    found = shape(f"oci:{tmp_path / 'copied'}:demo", options)
    assert found == shape(str(original), options)


def test_several_images_in_one_layout(layers: list[Path], tmp_path: Path) -> None:
    copied = tmp_path / "copied"
    for number, layer in enumerate(layers):
        original = layout(tmp_path / f"layout{number}", [layer], ["amd64"])
        copy(f"oci:{original}:demo", f"oci:{copied}:tag{number}")
    assert b"usr/share/base" in shape(f"oci:{copied}:tag0", Options())
    assert b"usr/bin/demo" in shape(f"oci:{copied}:tag1", LAST)
