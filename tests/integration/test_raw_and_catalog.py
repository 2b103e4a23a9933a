"""Extension images as sources, and extensions that a catalog names."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from command import sysgraft
from golden_images import golden
from image_kit import Layout, files, sha256
from registry_kit import Reply, Request, server
from sysgraft.build.collect import Options, open_tree
from sysgraft.errors import FormatError, InputError, LimitError, TransferError, UsageError
from sysgraft.formats.kairos_catalog import MAX_SIZE, RAW_TYPE

if TYPE_CHECKING:
    from pathlib import Path


def built(folder: Path, name: str, tree: Path, *more: str) -> Path:
    done = sysgraft("ext", "build", name, tree, "--unsigned", "--output", folder, *more)
    assert done.code == 0, done.err
    return folder / f"{name}.sysext.raw"


@pytest.fixture
def image(tmp_path: Path) -> Path:
    tree = tmp_path / "tree"
    (tree / "usr/lib/firmware").mkdir(parents=True)
    (tree / "usr/lib/firmware/a.bin").write_bytes(b"firmware" * 999)
    (tree / "usr/lib/firmware/b.bin").hardlink_to(tree / "usr/lib/firmware/a.bin")
    (tree / "usr/lib/firmware/c.bin").symlink_to("a.bin")
    more = ["--release", "ID=debian", "--release", "VERSION_ID=13", "--arch", "arm64"]
    return built(tmp_path, "firmware", tree, *more)


def test_an_image_is_built_anew_under_another_name(image: Path, tmp_path: Path) -> None:
    for argument in (f"raw:{image}", str(image)):
        with open_tree([argument], Options()) as collected:
            assert collected.architecture == "arm64"
            assert (
                collected.tree[b"usr/lib/firmware/b.bin"]
                is (collected.tree[b"usr/lib/firmware/a.bin"])
            )
            assert collected.release["VERSION_ID"] == "13"
    other = built(tmp_path, "other", image)
    info = sysgraft("ext", "inspect", other, "--files", "--json").document
    assert info["extensionRelease"]["other"] == {
        "ID": "debian", "VERSION_ID": "13", "ARCHITECTURE": "arm64",
    }  # fmt: skip
    assert not any("firmware.sysext" in entry["path"] for entry in info["files"])
    difference = sysgraft("ext", "diff", image, other, "--json").document
    changed = {entry["path"] for entry in difference["files"]}
    assert all("extension-release" in path for path in changed)


def test_the_same_image_again_is_the_same_to_the_byte(image: Path, tmp_path: Path) -> None:
    again = built(tmp_path / "again", "firmware", image)
    assert again.read_bytes() == image.read_bytes()


@pytest.mark.parametrize("name", ["sysext-257", "sysext-262"])
def test_images_of_systemd_repart(name: str, tmp_path: Path) -> None:
    path = golden(name, tmp_path)
    info = sysgraft("ext", "inspect", path, "--files", "--json").document
    wanted = {
        entry["path"].lstrip("/")
        for entry in info["files"]
        if not entry["mode"].startswith("04") and "extension-release" not in entry["path"]
    }
    assert set(files(str(path))) == wanted


def test_images_without_readable_content(tmp_path: Path) -> None:
    (tmp_path / "ext4.raw").write_bytes(bytes(1080) + b"\x53\xef" + bytes(4096))
    with pytest.raises(InputError, match="ext4"):
        files(str(tmp_path / "ext4.raw"))


def test_deletions_and_opaque_folders_are_carried_on(tmp_path: Path) -> None:
    layout = Layout()
    from image_kit import tar_of  # noqa: PLC0415

    layer = tar_of({"usr/lib/.wh.gone": b"", "usr/share/.wh..wh..opq": b"", "usr/share/new": b"n"})
    layout.add(layout.manifest(b"" + tar_of({"usr/x": b""}), layer))
    source = layout.write(tmp_path / "layout")
    done = sysgraft(
        "ext", "build", "x", source, "--unsigned", "--output", tmp_path, "--whiteouts", "keep"
    )
    assert done.code == 0, done.err
    with pytest.raises(InputError, match="delete"):
        files(str(tmp_path / "x.sysext.raw"))
    with open_tree([str(tmp_path / "x.sysext.raw")], Options(whiteouts="keep")) as again:
        assert again.tree[b"usr/lib/gone"].is_whiteout
        assert (b"trusted.overlay.opaque", b"y") in again.tree[b"usr/share"].xattrs


# --- Catalogs ------------------------------------------------------------------------------------


class Shop:
    """A registry with extension images and the catalog that names them."""

    def __init__(self, images: dict[str, bytes]) -> None:
        self.layout = Layout()
        self.images = {tag: self._put(data) for tag, data in images.items()}

    def _put(self, data: bytes) -> str:
        empty = self.layout.put(b"{}", "application/vnd.oci.empty.v1+json")
        manifest = {
            "schemaVersion": 2,
            "artifactType": RAW_TYPE,
            "config": empty,
            "layers": [self.layout.put(data, RAW_TYPE)],
        }
        return str(self.layout.put_json(manifest, "manifest")["digest"])

    def __call__(self, request: Request) -> Reply:
        name = request.path.rpartition("/")[2]
        if name == "catalog.json":
            return Reply(200, self.catalog(request.headers["Host"]))
        data = self.layout.blobs.get(name)
        return Reply(404) if data is None else Reply(200, data)

    def catalog(self, host: str, name: str = "fwupd") -> bytes:
        tags = [
            {"tag": tag, "sysext": {"amd64": {"oci": f"{host}/sysext/fwupd@{digest}"}}}
            for tag, digest in self.images.items()
        ]
        layer = {"name": name, "latest": list(self.images)[-1], "tags": tags, "more": 1}
        return json.dumps({"repo": "x", "layers": [layer]}).encode()


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    images = {}
    for tag in ("1.9.0", "2.0.1", "2.1.0-rc1", "v2.0.10"):
        tree = tmp_path / tag / "usr"
        tree.mkdir(parents=True)
        (tree / "version").write_text(tag)
        images[tag] = built(tmp_path, "fwupd", tmp_path / tag, "--force").read_bytes()
    return Shop(images)


def from_catalog(argument: str, host: str, *catalogs: str) -> bytes | None:
    options = Options(
        insecure_registries=(host,), catalogs=catalogs or (f"http://{host}/catalog.json",)
    )
    return files(argument, options)["usr/version"]


@pytest.mark.parametrize(
    ("version", "found"),
    [
        ("", b"v2.0.10"),
        ("@2.0.1", b"2.0.1"),
        ("@v2.0.10", b"v2.0.10"),
        ("@>= 1, < 2", b"1.9.0"),
        ("@^2", b"v2.0.10"),
        ("@~1.9", b"1.9.0"),
        ("@2.x", b"v2.0.10"),
        ("@>=2.1.0-rc1", b"2.1.0-rc1"),
        ("@< 2 || = 2.0.1", b"2.0.1"),
    ],
)
def test_versions_of_a_catalog(shop: Shop, version: str, found: bytes) -> None:
    with server(shop) as host:
        assert from_catalog(f"catalog:fwupd{version}", host) == found


def test_the_first_catalog_that_has_the_name_counts(shop: Shop, tmp_path: Path) -> None:
    with server(shop) as host:
        other = tmp_path / "other.json"
        other.write_bytes(shop.catalog(host, "other"))
        first = tmp_path / "first.json"
        first.write_bytes(shop.catalog(host).replace(b'"latest": "v2.0.10"', b'"latest": "1.9.0"'))
        second = f"http://{host}/catalog.json"
        assert from_catalog("catalog:fwupd", host, str(other), str(first), second) == b"1.9.0"
        assert from_catalog("catalog:fwupd", host, str(other), second) == b"v2.0.10"


def test_an_extension_of_a_registry_without_a_catalog(shop: Shop, tmp_path: Path) -> None:
    with server(shop) as host:
        name = f"docker://{host}/sysext/fwupd@{shop.images['2.0.1']}"
        assert from_catalog(name, host) == b"2.0.1"
        done = sysgraft(
            "ext", "build", "fwupd", "catalog:fwupd@2.0.1", "--catalog",
            f"http://{host}/catalog.json", "--insecure-registry", host, "--unsigned",
            "--output", tmp_path / "out",
        )  # fmt: skip
    assert done.code == 0, done.err
    assert f"note: fwupd 2.0.1 is {name.removeprefix('docker://')}" in done.err


def test_what_a_catalog_does_not_have(shop: Shop, tmp_path: Path) -> None:
    with server(shop) as host:
        for argument, words in {
            "catalog:nothing": "no catalog has an extension called nothing",
            "catalog:fwupd@3.0": "has no version '3.0': it has ",
            "catalog:fwupd@> 2.0, < 2.0.1": "has no version",
        }.items():
            with pytest.raises(InputError, match=words):
                from_catalog(argument, host)
        with pytest.raises(UsageError, match="not a constraint on versions"):
            from_catalog("catalog:fwupd@newest please", host)
        arm = Options(
            architecture="arm64",
            catalogs=(f"http://{host}/catalog.json",),
            insecure_registries=(host,),
        )
        with pytest.raises(InputError, match="has no sysext for arm64, only for: amd64"):
            files("catalog:fwupd", arm)
        with pytest.raises(TransferError, match="HTTP 404"):
            from_catalog("catalog:fwupd", host, f"http://{host}/nothing.json")
        with pytest.raises(UsageError) as caught:
            files("catalog:fwupd", Options())
        assert "--catalog https://" in caught.value.hint
        loose = tmp_path / "loose.json"
        loose.write_bytes(shop.catalog(host).replace(b"@sha256:", b":"))
        with pytest.raises(FormatError, match="a reference without a digest"):
            from_catalog("catalog:fwupd", host, str(loose))


@pytest.mark.parametrize(
    ("data", "error"),
    [
        (b"", FormatError),
        (b"{}", FormatError),
        (b'{"layers": {}}', FormatError),
        (b'{"layers": [{"name": 1}]}', FormatError),
        (b"[" * 99999, FormatError),
        (b" " * (MAX_SIZE + 1), LimitError),
    ],
)
def test_catalogs_that_are_none(data: bytes, error: type[FormatError], tmp_path: Path) -> None:
    (tmp_path / "catalog").write_bytes(data)
    with pytest.raises(error):
        files("catalog:fwupd", Options(catalogs=(str(tmp_path / "catalog"),)))


def test_an_extension_that_was_exchanged_in_the_registry(shop: Shop) -> None:
    digest = json.loads(shop.layout.blobs[shop.images["2.0.1"]])["layers"][0]["digest"]
    image = bytearray(shop.layout.blobs[digest])
    image[len(image) // 2] ^= 1
    shop.layout.blobs[digest] = bytes(image)
    with server(shop) as host, pytest.raises(FormatError, match="the digest of what was fetched"):
        from_catalog("catalog:fwupd@2.0.1", host)
    assert sha256(bytes(image)) != digest
