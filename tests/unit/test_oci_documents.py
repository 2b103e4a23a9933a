"""JSON documents of images: what is read from them, and hostile ones."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from sysgraft.errors import FormatError, LimitError, UnsupportedError
from sysgraft.formats import oci

if TYPE_CHECKING:
    from collections.abc import Callable

DIGEST = "sha256:" + "0" * 64
DESCRIPTOR = {"mediaType": "application/vnd.oci.image.layer.v1.tar", "digest": DIGEST, "size": 5}


def encoded(value: object) -> bytes:
    return json.dumps(value).encode()


def test_an_index_with_platforms_tags_and_attestations() -> None:
    index = oci.parse_index(
        encoded(
            {
                "schemaVersion": 2,
                "unknown": [{}],
                "manifests": [
                    {
                        **DESCRIPTOR,
                        "platform": {"os": "linux", "architecture": "arm64", "variant": "v8"},
                        "annotations": {"org.opencontainers.image.ref.name": "v1", "x": "y"},
                    },
                    {**DESCRIPTOR, "platform": {"os": "unknown", "architecture": "unknown"}},
                    {**DESCRIPTOR, "annotations": {"vnd.docker.reference.type": "x"}},
                    {**DESCRIPTOR, "mediaType": "application/vnd.oci.image.index.v1+json"},
                ],
            },
        ),
    )
    image, unknown, attestation, nested = index.manifests
    assert (str(image.platform), image.references, image.size) == ("linux/arm64/v8", ("v1",), 5)
    assert [d.is_attestation for d in index.manifests] == [False, True, True, False]
    assert [d.is_index for d in (image, unknown, attestation, nested)] == [False] * 3 + [True]


def test_manifest_config_and_saved_images() -> None:
    manifest = oci.parse_manifest(
        encoded({"schemaVersion": 2, "config": DESCRIPTOR, "layers": [DESCRIPTOR] * 2}),
    )
    assert [layer.digest for layer in manifest.layers] == [DIGEST] * 2
    config = oci.parse_config(
        encoded({"architecture": "amd64", "rootfs": {"type": "layers", "diff_ids": [DIGEST]}}),
    )
    assert (config.architecture, config.rootfs.diff_ids) == ("amd64", [DIGEST])
    [image] = oci.parse_saved_images(
        encoded([{"Config": "c.json", "RepoTags": None, "Layers": ["a/layer.tar"]}]),
    )
    assert (image.config, image.layers, image.repo_tags) == ("c.json", ["a/layer.tar"], None)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"[]",
        b"null",
        b"\xff\xfe",
        b'{"schemaVersion": 2}',
        b'{"schemaVersion": 2, "manifests": [{"digest": 1, "size": 2}]}',
        b'{"schemaVersion": 2, "manifests": [{"digest": "x", "size": "2"}]}',
        b'{"schemaVersion": 2, "manifests": [], "x": ' + b"[" * 100_000,
        b'{"schemaVersion": 2' + b"0" * 9000 + b', "manifests": []}',
        b'{"schemaVersion": 2, "manifests": []} trailing',
    ],
)
def test_malformed_documents(data: bytes) -> None:
    with pytest.raises(FormatError, match="the image index cannot be read"):
        oci.parse_index(data)


@pytest.mark.parametrize(
    "parse", [oci.parse_index, oci.parse_manifest, oci.parse_config, oci.parse_saved_images]
)
def test_large_documents(parse: Callable[[bytes], object]) -> None:
    with pytest.raises(LimitError, match="allowed"):
        parse(b" " * (oci.MAX_DOCUMENT + 1))


def test_too_many_layers() -> None:
    layers = [DESCRIPTOR] * (oci.MAX_LAYERS + 1)
    with pytest.raises(LimitError, match="1001 layers"):
        oci.parse_manifest(encoded({"schemaVersion": 2, "config": DESCRIPTOR, "layers": layers}))


def test_digests() -> None:
    digest = oci.parse_digest(DIGEST)
    assert (str(digest), digest.blob_path) == (DIGEST, "blobs/sha256/" + "0" * 64)
    assert oci.parse_digest("sha512:" + "f" * 128).algorithm == "sha512"


@pytest.mark.parametrize(
    "text",
    ["", "sha256", "sha256:", "sha256:" + "0" * 63, "sha256:" + "A" * 64, "sha256:../" + "0" * 61],
)
def test_what_is_no_digest(text: str) -> None:
    with pytest.raises(FormatError, match="digest"):
        oci.parse_digest(text)


def test_unknown_digest_algorithms() -> None:
    with pytest.raises(UnsupportedError, match="md5"):
        oci.parse_digest("md5:" + "0" * 32)


@pytest.mark.parametrize(
    "media_type",
    ["application/vnd.kairos.sysext.raw", "application/vnd.oci.image.layer.v1.tar+gzip+encrypted"],
)
def test_layers_that_are_no_archives(media_type: str) -> None:
    with pytest.raises(UnsupportedError):
        oci.check_layer_type(media_type)


def test_layout_versions() -> None:
    oci.parse_layout(b'{"imageLayoutVersion": "1.0.0"}')
    with pytest.raises(UnsupportedError, match="version 2"):
        oci.parse_layout(b'{"imageLayoutVersion": "2.0"}')
