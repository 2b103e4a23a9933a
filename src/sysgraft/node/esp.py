"""Boot entries on a node's EFI system partition, and what lies beside their images.

systemd-stub takes what is in ``NAME.efi.extra.d`` beside its own image, and in
``loader/extensions``, ``loader/addons`` and ``loader/credentials`` for all images; extensions for
all only since 258. What it takes it measures. Files it does not take, but for signed policies, are
nobody's business here.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from sysgraft.base.systemd import LATEST
from sysgraft.errors import InputError
from sysgraft.formats import bls, pe, uki
from sysgraft.formats.stub_folders import GLOBAL_EXTENSIONS_SINCE, is_taken
from sysgraft.seal.esp_material import EspEntry, entries
from sysgraft.seal.volume import FolderVolume

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from sysgraft.node.node import Node


@dataclass(frozen=True, slots=True)
class BootImage:
    """A boot entry and the folder of what belongs to it.

    Attributes:
        name: of the entry.
        image: path of its UKI on the partition.
        folder: path of the folder beside it; it may not be there.
        stub: release of its stub; 0 where it does not say.
    """

    name: str
    image: str
    folder: str
    stub: int


class Esp:
    """The partition of a node.

    Args:
        node: whose it is.

    Attributes:
        place: where it is mounted.
        grow: whether folders may grow on it for new names.

    Raises:
        InputError: it is not mounted, or cannot be read.
    """

    def __init__(self, node: Node) -> None:
        self.place = node.require_esp()
        self.grow = node.grow
        self._layout = node.layout
        self._volume = FolderVolume(self.place)

    @cached_property
    def images(self) -> tuple[BootImage, ...]:
        """The boot entries that start a UKI, each name once, by name.

        Raises:
            InputError: the partition cannot be read.
        """
        found = {each.name: each for each in reversed((*entries(self._volume), *self._unlisted()))}
        return tuple(self._image(found[name]) for name in sorted(found))

    def _unlisted(self) -> Iterator[EspEntry]:
        """UKIs in the layout's own folder that no text file names."""
        for each in sorted(self._volume.entries(self._layout.images)):
            if not each.is_folder and each.name.lower().endswith(".efi"):
                name = bls.split_counter(each.name).name[: -len(".efi")]
                yield EspEntry(name, f"{self._layout.images}/{each.name}")

    def _image(self, entry: EspEntry) -> BootImage:
        stub = self._stub(entry.image)
        folder = bls.extra_folder(entry.image, version=stub or LATEST)
        return BootImage(entry.name, entry.image, folder, stub)

    def _stub(self, path: str) -> int:
        try:
            blob = self._volume.open(path)
            stub = uki.stub_of(blob, pe.parse(blob))
        except InputError:
            return 0
        return stub.major or 0 if stub else 0

    def files(self, folder: str) -> Mapping[str, int]:
        """What the stub would take of a folder, and signed policies: sizes by name."""
        path = os.path.join(self.place, folder)
        try:
            with os.scandir(path) as found:
                return {
                    each.name: each.stat(follow_symlinks=False).st_size
                    for each in found
                    if is_taken(each.name) and each.is_file(follow_symlinks=False)
                }
        except FileNotFoundError:
            return {}
        except OSError as error:
            raise InputError(error.strerror or str(error), file=path) from error

    @property
    def takes_global_extensions(self) -> bool:
        """Whether every image's stub looks into ``loader/extensions``."""
        return bool(self.images) and all(
            each.stub >= GLOBAL_EXTENSIONS_SINCE for each in self.images
        )
