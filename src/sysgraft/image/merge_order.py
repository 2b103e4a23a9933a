"""In which order extensions are laid over each other, and in which the stub packs their images.

systemd-sysext and systemd-confext sort by image name, as versions (UAPI.10; ``merge_subprocess`` in
``src/sysext/sysext.c``), and what comes last lies on top. systemd-stub sorts the files beside an
image by character (``src/boot/cpio.c``), which decides what is measured and not what is merged.
Whether extensions collide, match the host or are genuine is not told here.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING, Final, NamedTuple

from sysgraft.base import systemd, version
from sysgraft.errors import UsageError
from sysgraft.formats.extension_release import Kind
from sysgraft.image import names
from sysgraft.measure import sidecars

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_IMAGE: Final = ".raw"
_VERSIONS: Final = ".raw.v"


class Layer(NamedTuple):
    """An extension among others.

    Attributes:
        name: of the image, by which systemd sorts.
        file: name of the file; of an extension that was given without a suffix, the one that
            `sysgraft.build_extension` makes.
    """

    name: str
    file: str


class PassedOver(NamedTuple):
    """An extension that one of the two does not take.

    Attributes:
        file: name of the file.
        by: who passes it over.
        reason: why.
    """

    file: str
    by: str
    reason: str


@dataclass(frozen=True, slots=True)
class MergeOrder:
    """Extensions of one kind, which are merged together.

    Attributes:
        kind: system or configuration extensions.
        merged: from the lowest layer to the one that lies over all others.
        packed: names of files, in the order in which the stub packs and measures them.
        undecided: names that are equal as versions: which of them lies higher is open.
        passed_over: what is not merged or not packed.
    """

    kind: Kind
    merged: tuple[Layer, ...]
    packed: tuple[str, ...]
    undecided: tuple[tuple[str, ...], ...]
    passed_over: tuple[PassedOver, ...]

    @property
    def is_same(self) -> bool:
        """Whether both orders are the same, of what is both merged and packed."""
        files = {each.file for each in self.merged}
        merged = [each.file for each in self.merged if each.file in self.packed]
        return merged == [each for each in self.packed if each in files]


def merge_orders(
    extensions: Sequence[str],
    *,
    kind: Kind = Kind.SYSEXT,
    release: int = systemd.LATEST,
) -> tuple[MergeOrder, ...]:
    """The orders, system extensions first.

    Args:
        extensions: names of extensions or of their files, which need not be there; folders before
            a name do not matter.
        kind: what those are whose names do not say it.
        release: of systemd and of the stub.

    Raises:
        UsageError: two of them are one extension, or a name or the release is none.
    """
    systemd.check_release(release)
    found: dict[Kind, list[Layer]] = {each: [] for each in Kind}
    for each in extensions:
        file = _file(each, kind)
        its_kind = names.kind_of(file) or kind
        found[its_kind].append(Layer(_name(file, its_kind, release), file))
    return tuple(_order(each, layers, release) for each, layers in found.items() if layers)


def _file(text: str, kind: Kind) -> str:
    base = text.rstrip("/").rpartition("/")[2]
    if base in ("", ".", ".."):
        raise UsageError(f"{text!r} names no extension")
    if base.endswith(_VERSIONS):
        raise UsageError(f"{text} is a folder of versions", hint="name the image in it that counts")
    has_suffix = base.lower().endswith(_IMAGE) or names.image_name(base) != base
    return base if has_suffix else names.file_name(base.removesuffix(f".{kind}"), kind)


def _name(file: str, kind: Kind, release: int) -> str:
    """As ``image_discover`` (``src/shared/discover-image.c``) cuts it."""
    return names.without_class(file.removesuffix(_IMAGE), kind, systemd_version=release)


def _order(kind: Kind, layers: Sequence[Layer], release: int) -> MergeOrder:
    _check_names(layers)
    packed = _packed(layers, kind, release)
    unmerged = tuple(_unmerged(layers))
    refused = {each.file for each in unmerged}
    merged = sorted((each for each in layers if each.file not in refused), key=_key)
    return MergeOrder(
        kind,
        tuple(merged),
        packed,
        tuple(_equal(merged)),
        (*unmerged, *_unpacked(layers, packed, kind, release)),
    )


def _key(layer: Layer) -> version.Key:
    return version.key(layer.name)


def _check_names(layers: Sequence[Layer]) -> None:
    """Of two files with one image name systemd takes one, by the folders they lie in."""
    seen: dict[str, str] = {}
    for name, file in layers:
        if name in seen:
            raise UsageError(
                f"{seen[name]} and {file} are both the extension {name!r}",
                hint="systemd merges one of them; name each extension once",
            )
        seen[name] = file


def _unmerged(layers: Sequence[Layer]) -> Iterator[PassedOver]:
    for name, file in layers:
        if not file.endswith(_IMAGE):
            yield PassedOver(file, "systemd", "of files it merges those that end in .raw")
        elif not names.is_valid(name):
            yield PassedOver(file, "systemd", "that is not the name of an image")


def _unpacked(
    layers: Sequence[Layer], packed: Sequence[str], kind: Kind, release: int
) -> Iterator[PassedOver]:
    for each in layers:
        if each.file not in packed:
            reason = sidecars.problem(sidecars.Entry(each.file))
            reason = reason or f"the stub of systemd {release} packs no such file as a {kind}"
            yield PassedOver(each.file, "stub", reason)


def _packed(layers: Sequence[Layer], kind: Kind, release: int) -> tuple[str, ...]:
    entries = [sidecars.Entry(each.file) for each in layers]
    chosen = sidecars.choose("own", entries, release)
    return next((each.names for each in chosen if each.kind.name == str(kind)), ())


def _equal(merged: Sequence[Layer]) -> Iterator[tuple[str, ...]]:
    for _, group in groupby(merged, key=_key):
        found = tuple(each.name for each in group)
        if len(found) > 1:
            yield found
