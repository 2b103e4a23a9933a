"""Container images on disk: the JSON documents of docker-archive and OCI layouts.

Spec: OCI Image Format 1.1 (layout, index, manifest, config, descriptor); Docker Image
Specification 1.2, "Combined Image JSON + Filesystem Changeset Format". Only what leads to the
layers is read. Blobs are neither found nor verified here, and nothing speaks to a registry.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final, TypeVar

import msgspec

from sysgraft.base.tree import printable
from sysgraft.errors import FormatError, LimitError, UnsupportedError

MAX_DOCUMENT: Final = 4 << 20
"""Bytes of one JSON document: the limit registries set for manifests."""

MAX_LAYERS: Final = 1000
"""Layers of one image: Docker itself stops at 127."""

INDEX_TYPES: Final = frozenset(
    {
        "application/vnd.oci.image.index.v1+json",
        "application/vnd.docker.distribution.manifest.list.v2+json",
    },
)
"""Media types of a list of manifests, one for each platform."""

MANIFEST_TYPES: Final = frozenset(
    {
        "application/vnd.oci.image.manifest.v1+json",
        "application/vnd.docker.distribution.manifest.v2+json",
    },
)
"""Media types of an image's manifest."""

REFERENCE_ANNOTATIONS: Final = ("org.opencontainers.image.ref.name", "io.containerd.image.name")
"""Where an index keeps the tag or name of a manifest."""

TITLE_ANNOTATION: Final = "org.opencontainers.image.title"
"""Where an artifact keeps the name that a file had."""

_HEX_DIGITS: Final = {"sha256": 64, "sha512": 128}
_DIGEST: Final = re.compile(r"([a-z0-9]+):([0-9a-f]+)")
_ATTESTATION: Final = "vnd.docker.reference.type"


class Platform(msgspec.Struct, frozen=True):
    """What a manifest is for; GOOS and GOARCH names."""

    architecture: str = ""
    os: str = ""
    variant: str = ""

    def __str__(self) -> str:
        return "/".join(part for part in (self.os, self.architecture, self.variant) if part)


class Descriptor(msgspec.Struct, frozen=True, rename="camel"):
    """A pointer to a blob: type, digest, size in bytes."""

    digest: str
    size: int
    media_type: str = ""
    platform: Platform | None = None
    annotations: dict[str, str] | None = None

    @property
    def is_index(self) -> bool:
        """Whether it leads to another index."""
        return self.media_type in INDEX_TYPES

    @property
    def is_attestation(self) -> bool:
        """Whether it is BuildKit's provenance or bill of materials beside an image."""
        unknown = self.platform is not None and self.platform.architecture == "unknown"
        return unknown or _ATTESTATION in (self.annotations or {})

    @property
    def references(self) -> tuple[str, ...]:
        """The names it goes by in its index."""
        found = self.annotations or {}
        return tuple(found[key] for key in REFERENCE_ANNOTATIONS if key in found)


class Index(msgspec.Struct, frozen=True, rename="camel"):
    """``index.json``, or a manifest list."""

    schema_version: int
    manifests: list[Descriptor]


class Manifest(msgspec.Struct, frozen=True, rename="camel"):
    """An image manifest."""

    schema_version: int
    config: Descriptor
    layers: list[Descriptor]


class RootFs(msgspec.Struct, frozen=True):
    """The digests of the uncompressed layers, the lowest first."""

    diff_ids: list[str]
    type: str = "layers"


class Config(msgspec.Struct, frozen=True):
    """An image configuration."""

    rootfs: RootFs
    architecture: str = ""
    os: str = ""
    variant: str = ""


class SavedImage(msgspec.Struct, frozen=True, rename="pascal"):
    """One image of a docker-archive's ``manifest.json``; paths inside the archive."""

    config: str
    layers: list[str]
    repo_tags: list[str] | None = None


class _Either(msgspec.Struct, frozen=True):
    manifests: list[msgspec.Raw] | None = None
    layers: list[msgspec.Raw] | None = None


class _Layout(msgspec.Struct, frozen=True, rename="camel"):
    image_layout_version: str


@dataclass(frozen=True, slots=True)
class Digest:
    """A content digest: ``sha256:`` or ``sha512:`` and lower-case hex."""

    algorithm: str
    hex: str

    def __str__(self) -> str:
        return f"{self.algorithm}:{self.hex}"

    @property
    def blob_path(self) -> str:
        """Where a layout keeps the blob."""
        return f"blobs/{self.algorithm}/{self.hex}"


def parse_digest(text: str) -> Digest:
    """Take a digest apart.

    Raises:
        FormatError: it is not one.
        UnsupportedError: its algorithm is neither SHA-256 nor SHA-512.
    """
    match = _DIGEST.fullmatch(text)
    if match is None:
        raise FormatError(f"not a digest: {_shown(text)}")
    if match[1] not in _HEX_DIGITS:
        raise UnsupportedError(f"digests of {match[1]} are not read, sha256 and sha512 are")
    if len(match[2]) != _HEX_DIGITS[match[1]]:
        raise FormatError(f"a digest of the wrong length: {_shown(text)}")
    return Digest(match[1], match[2])


def parse_layout(data: bytes) -> None:
    """Check an ``oci-layout`` file.

    Raises:
        FormatError: it is not one.
        UnsupportedError: its version is not 1.
    """
    version = _decode(data, _Layout, "oci-layout").image_layout_version
    if not version.startswith("1."):
        raise UnsupportedError(f"an OCI layout of version {_shown(version)}, 1.0 is read")


def parse_index(data: bytes) -> Index:
    """Read ``index.json`` or a manifest list; raises `FormatError`."""
    return _decode(data, Index, "image index")


def is_index(data: bytes) -> bool:
    """Whether a document leads to several images; what it holds decides, whatever it is called.

    Raises:
        FormatError: it is neither, or both, which readers take differently (CVE-2021-41190).
    """
    found = _decode(data, _Either, "manifest")
    is_list, is_image = found.manifests is not None, found.layers is not None
    if is_list == is_image:
        raise FormatError("neither an image manifest nor an index of them")
    return is_list


def parse_manifest(data: bytes) -> Manifest:
    """Read an image manifest; raises `FormatError`."""
    manifest = _decode(data, Manifest, "image manifest")
    _check_layer_count(len(manifest.layers))
    return manifest


def parse_config(data: bytes) -> Config:
    """Read an image configuration; raises `FormatError`."""
    return _decode(data, Config, "image configuration")


def check_diff_ids(config: Config, count: int) -> None:
    """Raise `FormatError` unless the configuration speaks of `count` layers."""
    stated = len(config.rootfs.diff_ids)
    if stated != count:
        raise FormatError(f"the image has {count} layers, its configuration speaks of {stated}")


def parse_saved_images(data: bytes) -> list[SavedImage]:
    """Read a docker-archive's ``manifest.json``; raises `FormatError`."""
    images = _decode(data, list[SavedImage], "manifest.json")
    for image in images:
        _check_layer_count(len(image.layers))
    return images


def check_layer_type(media_type: str) -> None:
    """Raise `UnsupportedError` unless a layer of that media type is a plain or compressed tar."""
    if media_type.endswith("+encrypted"):
        raise UnsupportedError("the layer is encrypted")
    if media_type and ".tar" not in media_type:
        raise UnsupportedError(
            f"not a file system layer but an artifact of type {_shown(media_type)}",
        )


def _check_layer_count(count: int) -> None:
    if count > MAX_LAYERS:
        raise LimitError(f"the image has {count} layers, {MAX_LAYERS} are allowed")


_T = TypeVar("_T")


def _decode(data: bytes, kind: type[_T], what: str) -> _T:
    if len(data) > MAX_DOCUMENT:
        raise LimitError(f"the {what} has {len(data)} bytes, {MAX_DOCUMENT} are allowed")
    try:
        return msgspec.json.decode(data, type=kind)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError) as error:
        raise FormatError(f"the {what} cannot be read: {_shown(str(error))}") from error


def _shown(text: str) -> str:
    return printable(text[:120].encode("utf-8", "backslashreplace"))
