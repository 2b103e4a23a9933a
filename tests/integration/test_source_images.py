"""Saved images, from the file to the tree: layers, digests, platforms, tags, compression."""

from __future__ import annotations

import gzip
import io
import json
import sys
import tarfile
from typing import TYPE_CHECKING

import pytest

from image_kit import Items, Layout, contents, docker_archive, files, sha256, tar_of
from sysgraft.build import collect, extension
from sysgraft.build.collect import LeftOut, Options, open_tree
from sysgraft.build.sources import image, model
from sysgraft.build.sources.model import Workspace
from sysgraft.build.sources.opening import open_source
from sysgraft.build.sources.spec import SourceSpec, resolve
from sysgraft.errors import FormatError, LimitError, SysgraftError, UnsupportedError, UsageError
from sysgraft.formats.allowance import Allowance, Limits
from sysgraft.host.spool import Spool

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from sysgraft.build.sources.model import LayerChoice

BASE = tar_of({"usr/base": b"base", "usr/gone": b"gone", "etc/passwd": b"root"})
TOP = tar_of({"usr/lib/firmware/a": b"A" * 3000, "usr/b": "=usr/lib/firmware/a", "etc/x": b"12"})
ALL = Options(layers="all")


@pytest.mark.parametrize(
    "pack", [bytes, gzip.compress, zstd.compress], ids=["plain", "gzip", "zstd"]
)
def test_the_last_layer_or_all_of_them(tmp_path: Path, pack: Callable[[bytes], bytes]) -> None:
    layout = Layout()
    layout.add(layout.manifest(BASE, TOP, pack=pack))
    path = layout.write(tmp_path / "layout")
    top: dict[str, bytes | None] = {"usr/lib/firmware/a": b"A" * 3000, "usr/b": b"A" * 3000}
    with open_tree([path], Options()) as collected:
        assert contents(collected) == top
        assert collected.tree[b"usr/b"] is collected.tree[b"usr/lib/firmware/a"]
        assert collected.architecture == "x86-64"
        assert collected.left_out == (
            LeftOut("layers", 3, 0, 12, ("1 of 2 layers",)),
            LeftOut("outside", 1, 1, 2, ("etc/x",)),
        )
    assert files(path, ALL) == {**top, "usr/base": b"base", "usr/gone": b"gone"}


def test_deletions_between_layers_and_beyond(tmp_path: Path) -> None:
    top = tar_of({"usr/.wh.gone": b"", "usr/new": b"new"})
    path = docker_archive(tmp_path / "image.tar", BASE, top)
    assert files(path, ALL) == {"usr/base": b"base", "usr/new": b"new"}
    with pytest.raises(SysgraftError, match="delete 1 path that none of them holds: usr/gone"):
        files(path)
    assert files(path, Options(whiteouts="drop")) == {"usr/new": b"new"}
    assert files(path, Options(whiteouts="keep")) == {"usr/new": b"new", "usr/gone": None}


@pytest.mark.parametrize(
    "pack", [bytes, gzip.compress, zstd.compress], ids=["plain", "gzip", "zstd"]
)
def test_docker_archives(tmp_path: Path, pack: Callable[[bytes], bytes]) -> None:
    path = docker_archive(tmp_path / "image", BASE, TOP, tags=["fw:24.04"], pack=pack)
    for argument in (
        path,
        f"docker-archive:{path}",
        f"docker-archive:{path}:docker.io/library/fw:24.04",
    ):
        with open_tree([argument], Options()) as collected:
            assert set(contents(collected)) == {"usr/b", "usr/lib/firmware/a"}
            assert collected.architecture == "arm64"
            assert collected.sources == (f"image fw:24.04 in {path}",)
    with pytest.raises(UsageError, match=r"no image fw:latest in the archive; it holds fw:24.04"):
        files(f"docker-archive:{path}:fw:latest")


def test_oci_archives_compressed_as_a_whole(tmp_path: Path) -> None:
    layout = Layout()
    layout.add(layout.manifest(TOP, pack=gzip.compress))
    path = tmp_path / "image.tar.zst"
    path.write_bytes(zstd.compress(tar_of(layout.files())))
    assert files(str(path))["usr/b"] == b"A" * 3000


def test_layers_that_are_links_inside_the_archive(tmp_path: Path) -> None:
    path = tmp_path / "image.tar"
    config = json.dumps({"rootfs": {"diff_ids": [sha256(TOP)]}}).encode()
    manifest = json.dumps([{"Config": "c.json", "Layers": ["one/layer.tar"]}]).encode()
    hex_name = "a" * 64
    path.write_bytes(
        tar_of(
            {
                f"{hex_name}.tar": TOP,
                "one/layer.tar": f"->../{hex_name}.tar",
                "c.json": config,
                "manifest.json": manifest,
            },
        ),
    )
    assert files(f"docker-archive:{path}")["usr/b"] == b"A" * 3000


@pytest.mark.parametrize("pack", [bytes, gzip.compress], ids=["plain", "gzip"])
def test_a_layer_that_is_not_the_stated_one(tmp_path: Path, pack: Callable[[bytes], bytes]) -> None:
    layout = Layout()
    layout.add(layout.manifest(TOP, pack=pack))
    digest = sha256(pack(TOP))
    blob = bytearray(layout.blobs[digest])
    blob[600 if pack is bytes else 30] ^= 1
    layout.blobs[digest] = bytes(blob)
    path = layout.write(tmp_path / "layout")
    with pytest.raises(FormatError, match=f"digest of the layer is sha256:.*, {digest} is stated"):
        files(path)


def test_a_tampered_header_is_told_as_a_wrong_digest(tmp_path: Path) -> None:
    layer = bytearray(TOP)
    layer[0] ^= 1
    path = docker_archive(tmp_path / "image", bytes(layer), diff_ids=[sha256(TOP)])
    with pytest.raises(FormatError, match="digest of the uncompressed layer"):
        files(path)


def test_diff_ids_are_checked_behind_the_compression(tmp_path: Path) -> None:
    layout = Layout()
    layout.add(layout.manifest(TOP, pack=gzip.compress, diff_ids=[sha256(BASE)]))
    with pytest.raises(FormatError, match="digest of the uncompressed layer is"):
        files(layout.write(tmp_path / "layout"))


def test_sizes_manifests_and_configurations_are_checked(tmp_path: Path) -> None:
    layout = Layout()
    descriptor = layout.manifest(TOP)
    manifest = json.loads(layout.blobs[str(descriptor["digest"])])
    manifest["layers"][0]["size"] += 1
    wrong_size = layout.put_json(manifest, "manifest")
    layout.add(wrong_size)
    with pytest.raises(FormatError, match="are stated"):
        files(layout.write(tmp_path / "size"))

    layout.manifests = [descriptor]
    layout.blobs[str(descriptor["digest"])] += b" "
    with pytest.raises(FormatError, match="digest of the image manifest"):
        files(layout.write(tmp_path / "manifest"))

    layout = Layout()
    layout.add(layout.manifest(TOP))
    config = next(name for name, data in layout.blobs.items() if b"architecture" in data)
    layout.blobs[config] += b" "
    with pytest.raises(FormatError, match="digest of the image configuration"):
        files(layout.write(tmp_path / "config"))


def test_a_configuration_that_speaks_of_other_layers(tmp_path: Path) -> None:
    path = docker_archive(tmp_path / "image", BASE, TOP, diff_ids=[sha256(TOP)])
    with pytest.raises(FormatError, match="2 layers, its configuration speaks of 1"):
        files(path)


def multi_platform() -> Layout:
    layout = Layout()
    manifests = [
        {
            **layout.manifest(tar_of({"usr/arch": arch.encode()}), arch=arch),
            "platform": {"architecture": arch, "os": "linux"},
        }
        for arch in ("amd64", "arm64")
    ]
    attestation = layout.put_json({}, "manifest")
    unknown = {"architecture": "unknown", "os": "unknown"}
    index = {"schemaVersion": 2, "manifests": [*manifests, {**attestation, "platform": unknown}]}
    return layout.add(layout.put_json(index, "index"))


@pytest.mark.parametrize(
    ("asked", "found"),
    [("arm64", b"arm64"), ("aarch64", b"arm64"), ("x86-64", b"amd64"), ("linux/amd64", b"amd64")],
)
def test_the_architecture_chooses(tmp_path: Path, asked: str, found: bytes) -> None:
    path = multi_platform().write(tmp_path / "layout")
    assert files(path, Options(architecture=asked)) == {"usr/arch": found}


def test_several_platforms_and_none_that_fits(tmp_path: Path) -> None:
    path = multi_platform().write(tmp_path / "layout")
    with pytest.raises(
        UsageError, match="none of 2 images fit riscv64: linux/amd64, linux/arm64"
    ) as caught:
        files(path, Options(architecture="riscv64"))
    assert "--arch" in caught.value.hint


def test_without_an_architecture_the_usual_one_is_taken_and_said(tmp_path: Path) -> None:
    path = multi_platform().write(tmp_path / "layout")
    with open_tree([str(path)], Options()) as collected:
        assert collected.architecture == "x86-64"
        assert any("that for x86-64 is taken" in note for note in collected.notes)


def test_tags_choose(tmp_path: Path) -> None:
    layout = Layout()
    for tag in ("v1", "docker.io/library/fw:v2"):
        layout.add(
            layout.manifest(tar_of({"usr/tag": tag.encode()})),
            annotations={"org.opencontainers.image.ref.name": tag},
        )
    path = layout.write(tmp_path / "layout")
    assert files(f"oci:{path}:v1") == {"usr/tag": b"v1"}
    assert files(f"oci:{path}:fw:v2") == {"usr/tag": b"docker.io/library/fw:v2"}
    with pytest.raises(
        UsageError, match=r"no image tagged v3; tags are docker\.io/library/fw:v2, v1"
    ):
        files(f"oci:{path}:v3")
    with pytest.raises(UsageError, match="of 2 images fit"):
        files(path)


def test_indexes_that_lead_to_themselves_or_nowhere(tmp_path: Path) -> None:
    layout = Layout()
    nested = layout.manifest(TOP)
    for _ in range(9):
        nested = layout.put_json({"schemaVersion": 2, "manifests": [nested]}, "index")
    layout.add(nested)
    with pytest.raises(LimitError, match="deeper than 4"):
        files(layout.write(tmp_path / "deep"))
    missing = Layout().add({"digest": sha256(b"none"), "size": 4})
    with pytest.raises(FormatError, match="no file blobs/sha256"):
        files(missing.write(tmp_path / "missing"))
    with pytest.raises(FormatError, match="there is no image in it"):
        files(Layout().write(tmp_path / "empty"))


def test_artifacts_are_no_images(tmp_path: Path) -> None:
    layout = Layout()
    config = layout.put(b"{}", "application/vnd.oci.empty.v1+json")
    layer = layout.put(b"raw", "application/vnd.kairos.sysext.raw")
    manifest = {"schemaVersion": 2, "config": config, "layers": [layer]}
    layout.add(layout.put_json(manifest, "manifest"))
    with pytest.raises(UnsupportedError, match=r"artifact of type application/vnd\.kairos"):
        files(layout.write(tmp_path / "layout"))


def test_a_hard_link_to_a_file_outside_what_is_kept(tmp_path: Path) -> None:
    layer = tar_of({"opt/data": b"data", "opt/other": b"x", "usr/data": "=opt/data"})
    path = tmp_path / "layer.tar.gz"
    path.write_bytes(gzip.compress(layer))
    assert files(str(path)) == {"usr/data": b"data"}
    image = docker_archive(
        tmp_path / "image", tar_of({"opt/data": b"d"}), tar_of({"usr/d": "=opt/data"})
    )
    assert files(image, ALL) == {"usr/d": b"d"}
    with pytest.raises(FormatError, match="is a hard link to opt/data, which is not there"):
        files(image)


def test_a_hard_link_to_data_that_went_by_in_a_lower_layer(tmp_path: Path) -> None:
    layout = Layout()
    layers = (tar_of({"opt/data": b"d"}), tar_of({"usr/d": "=opt/data"}))
    path = layout.add(layout.manifest(*layers, pack=gzip.compress)).write(tmp_path / "layout")
    with pytest.raises(SysgraftError, match="lower layer outside what is kept") as caught:
        files(path, ALL)
    assert "--include-path" in caught.value.hint
    kept = Options(layers="all", include_paths=("/opt",))
    assert files(path, kept) == {"usr/d": b"d", "opt/data": b"d"}


def test_a_last_layer_with_nothing_to_keep_points_at_the_others(tmp_path: Path) -> None:
    path = docker_archive(tmp_path / "image", TOP, tar_of({"etc/x": b"x"}))
    with pytest.raises(SysgraftError, match="no files in /usr") as caught:
        files(path)
    assert "--layers all" in caught.value.hint


def test_bombs_in_layers_stop(tmp_path: Path) -> None:
    bomb = zstd.compress(tar_of({"usr/zeros": bytes(300 << 20)}))
    layout = Layout()
    manifest = {
        "schemaVersion": 2,
        "config": layout.put_json({"rootfs": {"diff_ids": [sha256(b"")]}}, "config"),
        "layers": [layout.put(bomb)],
    }
    layout.add(layout.put_json(manifest, "manifest"))
    with pytest.raises(LimitError, match="grow to more than"):
        files(layout.write(tmp_path / "layout"))


def read_all(argument: str, layers: LayerChoice, limits: Limits) -> tuple[Allowance, int]:
    """Read every layer of an image; what that took, and the bytes in the spool."""
    options = Options(layers=layers)
    allowance = Allowance(limits)
    with Spool() as spool:
        workspace = Workspace(options, spool, (b"usr",), allowance=allowance)
        with open_source(resolve(argument), workspace) as source:
            for layer in source.layers():
                assert layer.entries
        return allowance, spool.append(b"")


ZEROS = tar_of({"usr/zeros": bytes(1 << 20)})


def repeated(path: Path, layer: bytes, count: int) -> str:
    """A docker-archive that names one compressed layer `count` times."""
    return docker_archive(
        path, *[gzip.compress(layer, mtime=0)] * count, diff_ids=[sha256(layer)] * count
    )


@pytest.mark.parametrize("layers", ["all", "last"])
def test_one_bomb_named_many_times_stops_like_one(tmp_path: Path, layers: LayerChoice) -> None:
    argument = repeated(tmp_path / "image", ZEROS, 900)
    with Spool() as spool:
        allowance = Allowance(Limits(free=3 << 20, ratio=20))
        workspace = Workspace(Options(layers=layers), spool, (b"usr",), allowance=allowance)
        with (
            pytest.raises(LimitError, match="grow to more than"),
            open_source(resolve(argument), workspace) as source,
        ):
            list(source.layers())
        assert spool.append(b"") < 4 << 20
        assert allowance.made < 4 << 20


def test_layers_named_again_earn_no_more_output(tmp_path: Path) -> None:
    layer = tar_of({"usr/f": b"f"})
    allowance, spooled = read_all(repeated(tmp_path / "image", layer, 50), "all", Limits())
    assert allowance.taken == len(gzip.compress(layer, mtime=0))
    assert allowance.made == 50 * len(layer)
    assert spooled == 1, "what the layers above hide is not kept"


def test_layers_in_a_compressed_archive_earn_no_more_output(tmp_path: Path) -> None:
    path = tmp_path / "image"
    packed = docker_archive(
        path, gzip.compress(ZEROS), diff_ids=[sha256(ZEROS)], pack=gzip.compress
    )
    archive_size = path.stat().st_size
    allowance, _ = read_all(packed, "all", Limits())
    assert allowance.taken == archive_size
    assert allowance.made == len(gzip.decompress(path.read_bytes())) + len(ZEROS)


def test_large_layers_named_again_are_refused_before_they_are_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(image, "MAX_REPEATED", 2 * len(TOP))
    layout = Layout()
    layout.add(layout.manifest(TOP, BASE, TOP, TOP))
    allowed = layout.write(tmp_path / "allowed")
    assert files(allowed, ALL)["usr/b"] == b"A" * 3000
    layout = Layout()
    layout.add(layout.manifest(*[TOP] * 4))
    for argument in (
        layout.write(tmp_path / "layout"),
        docker_archive(tmp_path / "image", *[TOP] * 4),
    ):
        with pytest.raises(LimitError, match=f"{3 * len(TOP)} bytes would be read again"):
            files(argument)


def attributes_of(*entries: tuple[str, int], link: str = "") -> bytes:
    """An archive of empty files that have an attribute of so many bytes."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for name, size in entries:
            info = tarfile.TarInfo(name)
            info.pax_headers = {"SCHILY.xattr.user.a": "x" * size}
            archive.addfile(info, io.BytesIO())
        if link:
            info = tarfile.TarInfo("opt/data")
            info.size = 1
            archive.addfile(info, io.BytesIO(b"d"))
            info = tarfile.TarInfo(link)
            info.type, info.linkname = tarfile.LNKTYPE, "opt/data"
            archive.addfile(info)
    return out.getvalue()


def test_attributes_are_limited_over_all_layers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(model, "MAX_XATTR_BYTES", 2 * (model.XATTR_COST + len("user.a") + 500))
    one, two, more = (attributes_of((f"usr/{name}", 500)) for name in "abc")
    assert set(files(docker_archive(tmp_path / "two", one, two), ALL)) == {"usr/a", "usr/b"}
    for argument in (
        docker_archive(tmp_path / "three", one, two, more),
        docker_archive(tmp_path / "one", attributes_of(("usr/a", 600), ("usr/b", 401))),
    ):
        with pytest.raises(LimitError, match="extended attributes exceed"):
            files(argument, ALL)


def test_attributes_of_a_layer_that_is_read_twice_count_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(model, "MAX_XATTR_BYTES", 600)
    path = tmp_path / "layer.tar.gz"
    path.write_bytes(gzip.compress(attributes_of(("usr/a", 500), link="usr/data")))
    assert files(str(path)) == {"usr/a": b"", "usr/data": b"d"}


@pytest.mark.parametrize("kind", ["tar", "docker-archive", "oci"])
def test_contents_that_change_behind_their_digest_are_refused(tmp_path: Path, kind: str) -> None:
    if kind == "oci":
        layout = Layout()
        argument = layout.add(layout.manifest(TOP)).write(tmp_path / "layout")
        changed = tmp_path / "layout/blobs" / sha256(TOP).replace(":", "/")
    elif kind == "docker-archive":
        changed = tmp_path / "image.tar"
        argument = docker_archive(changed, TOP)
    else:
        changed = tmp_path / "layer.tar"
        changed.write_bytes(TOP)
        argument = str(changed)
    with open_tree([argument], Options()) as collected:
        content = collected.tree[b"usr/b"].content
        assert content is not None
        assert content.read_at(0, 1) == b"A"
        changed.write_bytes(changed.read_bytes().replace(b"A" * 3000, b"B" * 3000))
        with pytest.raises(SysgraftError, match="changed"):
            content.read_at(0, 1)


def test_archives_from_before_manifests(tmp_path: Path) -> None:
    path = tmp_path / "image.tar"
    path.write_bytes(tar_of({"repositories": b"{}"}))
    with pytest.raises(UnsupportedError, match=r"Docker before 1\.10"):
        files(f"docker-archive:{path}")


def test_one_tree_from_every_kind_of_source(tmp_path: Path) -> None:
    items: Items = {"usr/lib/f": b"F" * 5000, "usr/g": "=usr/lib/f", "lib/h": b"h", "usr/l": "->g"}
    folder = tmp_path / "folder"
    (folder / "usr/lib").mkdir(parents=True)
    (folder / "lib").mkdir()
    (folder / "usr/lib/f").write_bytes(b"F" * 5000)
    (folder / "usr/g").hardlink_to(folder / "usr/lib/f")
    (folder / "lib/h").write_bytes(b"h")
    (folder / "usr/l").symlink_to("g")
    layer = tar_of(items)
    (tmp_path / "plain.tar").write_bytes(layer)
    (tmp_path / "packed.tar").write_bytes(gzip.compress(layer))
    layout = Layout()
    sources = [
        str(folder),
        str(tmp_path / "plain.tar"),
        str(tmp_path / "packed.tar"),
        docker_archive(tmp_path / "docker.tar", layer),
        layout.add(layout.manifest(layer)).write(tmp_path / "layout"),
    ]
    trees = []
    for source in sources:
        with open_tree([source], Options(source_date_epoch=0, owner="root")) as collected:
            shapes = {
                path: (inode.mode, inode.uid, inode.mtime, inode.xattrs, inode.target)
                for path, inode in collected.tree.items()
            }
            shared = collected.tree[b"usr/g"] is collected.tree[b"usr/lib/f"]
            trees.append((shapes, shared, contents(collected)))
    assert all(tree == trees[0] for tree in trees)
    assert trees[0][1]


def test_times_of_archives_are_kept_below_the_epoch(tmp_path: Path) -> None:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for name, mtime in (("usr/old", 50.25), ("usr/new", 500.75), ("usr/before", -3)):
            info = tarfile.TarInfo(name)
            info.mtime, info.uid = mtime, 9
            archive.addfile(info)
    path = tmp_path / "x.tar"
    path.write_bytes(out.getvalue())
    found = {}
    for epoch in (None, 100):
        with open_tree([str(path)], Options(source_date_epoch=epoch)) as collected:
            tree = collected.tree
            found[epoch] = [(n.mtime, n.mtime_nsec) for p, n in tree.items() if n.is_file]
            assert tree[b"usr/old"].uid == 9
    assert found == {
        None: [(0, 0), (500, 750_000_000), (50, 250_000_000)],
        100: [(0, 0), (100, 0), (50, 250_000_000)],
    }


def test_a_source_is_told_apart_once(
    sample_tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a compressed archive holds is only known after decompressing it."""
    asked: list[str] = []

    def counting(argument: str) -> SourceSpec:
        asked.append(argument)
        return resolve(argument)

    for module in (extension, collect):
        monkeypatch.setattr(module, "resolve", counting)
    extension.build_extension("x", [str(sample_tree)], output=tmp_path / "out")
    assert asked == [str(sample_tree)]
