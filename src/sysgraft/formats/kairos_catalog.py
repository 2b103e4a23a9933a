"""Catalogs of extensions: which image a name and a version stand for, pinned by its digest.

Format: the JSON that Kairos' agent and AuroraBoot read (``releases.json`` of hadron-layers):

    {"repo": …, "layers": [{"name": …, "latest": TAG, "tags": [
        {"tag": TAG, "sysext": {"amd64": {"oci": "REFERENCE@sha256:HEX"}}}]}]}

A version is a tag, or a constraint that the highest tag meets. Nothing is fetched here, and a
catalog is as trustworthy as the way it came.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import msgspec

from sysgraft.base import arch
from sysgraft.base.text import one_line
from sysgraft.errors import FormatError, InputError, LimitError, UsageError
from sysgraft.formats.version_constraint import parse_constraint, parse_version

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sysgraft.formats.oci import Descriptor, Manifest

MAX_SIZE: Final = 4 << 20
"""Bytes of a catalog: some ten thousand images."""

RAW_TYPE: Final = "application/vnd.kairos.sysext.raw"
"""Media type of a system extension image in a registry."""

CONFEXT_RAW_TYPE: Final = "application/vnd.kairos.confext.raw"
"""The same of a configuration extension."""

# What Kairos accepts; a tag alone could lead elsewhere tomorrow.
_PINNED: Final = re.compile(r"[^@\s]+@sha256:[0-9a-fA-F]{64}")
_SHOWN: Final = 10


def raw_layer(manifest: Manifest) -> Descriptor | None:
    """The extension image that a manifest is all about; None if it is another kind of image."""
    raw = (RAW_TYPE, CONFEXT_RAW_TYPE)
    layers = manifest.layers
    return layers[0] if len(layers) == 1 and layers[0].media_type in raw else None


class _Place(msgspec.Struct, frozen=True):
    oci: str


class _Tag(msgspec.Struct, frozen=True):
    tag: str
    sysext: dict[str, _Place] = msgspec.field(default_factory=dict)
    confext: dict[str, _Place] = msgspec.field(default_factory=dict)


class _Layer(msgspec.Struct, frozen=True):
    name: str
    latest: str = ""
    tags: list[_Tag] = msgspec.field(default_factory=list)


class _File(msgspec.Struct, frozen=True):
    layers: list[_Layer]


@dataclass(frozen=True, slots=True)
class Catalog:
    """A catalog that was read.

    Attributes:
        layers: what it offers, by name; the first of a name counts.
    """

    layers: Mapping[str, _Layer]

    def offers(self, name: str) -> bool:
        """Whether it has anything called `name`."""
        return name in self.layers

    def find(self, name: str, version: str, *, kind: str, architecture: str) -> tuple[str, str]:
        """The tag and the pinned reference that are meant.

        Args:
            name: of the extension.
            version: a tag, a constraint, or empty for the latest.
            kind: ``sysext`` or ``confext``.
            architecture: systemd's name of it.

        Raises:
            InputError: there is none for that version or architecture.
            UsageError: the version is neither a tag nor a constraint.
            FormatError: the reference is not pinned by a digest.
        """
        tag = _choose(self.layers[name], version)
        places = tag.sysext if kind == "sysext" else tag.confext
        found = [place for key, place in places.items() if _normal(key) == architecture]
        if not found:
            known = ", ".join(sorted(places)) or "none"
            raise InputError(
                f"{one_line(name)} {one_line(tag.tag)} has no {kind} for {architecture}, "
                f"only for: {one_line(known)}",
            )
        if not _PINNED.fullmatch(found[0].oci):
            raise FormatError(f"a reference without a digest: {one_line(found[0].oci[:200])}")
        head, _, digest = found[0].oci.rpartition("@")
        return tag.tag, f"{head}@{digest.lower()}"


def _normal(key: str) -> str:
    try:
        return arch.normalize(key)
    except UsageError:
        return ""


def _choose(layer: _Layer, version: str) -> _Tag:
    """By the tag itself, else the highest that meets the constraint."""
    by_tag = {tag.tag: tag for tag in reversed(layer.tags)}
    exact = by_tag.get(version or layer.latest)
    if exact is not None:
        return exact
    if version:
        meets = parse_constraint(version)
        found = [(parsed.key, tag) for tag in layer.tags if (parsed := parse_version(tag.tag))
                 and meets(parsed)]  # fmt: skip
        if found:
            return max(found, key=lambda pair: pair[0])[1]
    raise InputError(
        f"{one_line(layer.name)} has no version {one_line(version or layer.latest)!r}: it has "
        f"{_listed(list(by_tag))}",
    )


def _listed(tags: Sequence[str]) -> str:
    more = len(tags) - _SHOWN
    text = ", ".join(one_line(tag[:60]) for tag in tags[:_SHOWN]) or "none"
    return f"{text} and {more} more" if more > 0 else text


def parse_catalog(data: bytes) -> Catalog:
    """Read a catalog.

    Raises:
        LimitError: it is larger than `MAX_SIZE`.
        FormatError: it is not JSON of that kind.
    """
    if len(data) > MAX_SIZE:
        raise LimitError(f"a catalog of more than {MAX_SIZE} bytes")
    try:
        file = msgspec.json.decode(data, type=_File)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError) as error:
        raise FormatError(f"not a catalog of extensions: {one_line(str(error)[:120])}") from error
    layers: dict[str, _Layer] = {}
    for layer in file.layers:
        layers.setdefault(layer.name, layer)
    return Catalog(layers)
