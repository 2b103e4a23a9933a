"""Targets: container images as files."""

from __future__ import annotations

import functools
import gzip
import json
import sys
import tarfile
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Final

from image_kit import Layout, docker_archive, tar_of
from repair import tar as repair_tar
from sysgraft.build.sources.model import Options
from sysgraft.errors import SysgraftError
from sysgraft.formats import oci
from target import File, Target, as_text

if sys.version_info >= (3, 14):
    pass
else:
    pass
from targets_archives import _collect, make_tar, tars

if TYPE_CHECKING:
    from collections.abc import Sequence

_HEX: Final = "ab" * 32


@functools.cache
def layouts() -> Sequence[bytes]:
    """OCI layouts as archives."""
    layers = (
        tar_of({"usr/a": b"a", "usr/x/b": b"b"}),
        tar_of({"usr/x/.wh.b": b"", "usr/c": "->a"}),
    )
    one = Layout()
    one.add(one.manifest(*layers), annotations={"org.opencontainers.image.ref.name": "one"})
    two = Layout()
    for arch in ("amd64", "arm64"):
        platform = {"architecture": arch, "os": "linux"}
        two.add(
            two.manifest(*layers, arch=arch, pack=lambda d: gzip.compress(d, mtime=0)),
            platform=platform,
        )
    return tuple(tar_of(each.files()) for each in (one, two))


@functools.cache
def saved() -> Sequence[bytes]:
    """What ``docker save`` writes."""
    layers = (tar_of({"usr/a": b"a"}), make_tar(tarfile.GNU_FORMAT))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "saved.tar")
        docker_archive(path, *layers, tags=["fuzz:1", "example.org/a/b:latest"])
        return (path.read_bytes(),)


SAVED: Final = File("saved.tar")


def read_docker_archive(data: bytes) -> None:
    """A saved image, both as what it is and by its last layer."""
    path = SAVED.put(data)
    _collect(
        f"docker-archive:{path}", Options(layers="all", whiteouts="drop", architecture="arm64")
    )


def read_oci_archive(data: bytes) -> None:
    """An OCI layout."""
    path = SAVED.put(data)
    _collect(f"oci-archive:{path}", Options(layers="all", whiteouts="drop", architecture="x86-64"))


@functools.cache
def _base() -> str:
    return File("base.tar").put(saved()[0])


def read_since(data: bytes) -> None:
    """What a saved image has that another one has not."""
    options = Options(whiteouts="drop", architecture="arm64", since=f"docker-archive:{_base()}")
    _collect(f"docker-archive:{SAVED.put(data)}", options)


@functools.cache
def grown() -> Sequence[bytes]:
    """The saved image with a further layer."""
    layers = (tar_of({"usr/a": b"a"}), make_tar(tarfile.GNU_FORMAT), tar_of({"usr/new": b"new"}))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "saved.tar")
        docker_archive(path, *layers, tags=["fuzz:2"])
        return (path.read_bytes(),)


def read_any_source(data: bytes) -> None:
    """A file that nobody says the kind of."""
    _collect(SAVED.put(data), Options(layers="last", whiteouts="drop", architecture="x86-64"))


def _documents() -> Sequence[bytes]:
    files = Layout()
    files.add(files.manifest(b"layer"), platform={"architecture": "amd64", "os": "linux"})
    found = [d for n, d in files.files().items() if d[:1] in (b"{", b"[")]
    saved_images = [
        {"Config": f"{_HEX}.json", "RepoTags": ["a:1"], "Layers": [f"{_HEX}/layer.tar"]}
    ]
    return (*found, json.dumps(saved_images).encode(), f"sha256:{_HEX}".encode())


def read_documents(data: bytes) -> None:
    """Every document of a container image, whatever it is."""
    refused = 0
    parsers = (oci.parse_layout, oci.parse_index, oci.parse_manifest, oci.parse_config)
    for parse in (*parsers, oci.parse_saved_images):
        try:
            parse(data)
        except SysgraftError:
            refused += 1
    try:
        oci.is_index(data)
    except SysgraftError:
        refused += 1
    for check in (oci.check_layer_type, oci.parse_digest):
        try:
            check(as_text(data))
        except SysgraftError:
            refused += 1
    if refused == 8:
        raise SysgraftError("refused by all of them")


TARGETS: Final = (
    Target(
        name="docker-archive", seeds=saved, read=read_docker_archive, repair=repair_tar, weight=10
    ),
    Target(name="oci-archive", seeds=layouts, read=read_oci_archive, repair=repair_tar, weight=10),
    Target(name="since-source", seeds=grown, read=read_since, repair=repair_tar, weight=3),
    Target(
        name="any-source",
        seeds=lambda: (*saved(), *layouts(), *tars()),
        read=read_any_source,
        repair=repair_tar,
        weight=10,
    ),
    Target(
        name="oci-documents",
        seeds=_documents,
        read=read_documents,
        tokens=(
            b'"manifests"',
            b'"layers"',
            b'"digest"',
            b'"sha512:',
            b'"mediaType"',
            b'"platform"',
        ),
        weight=20,
    ),
)
