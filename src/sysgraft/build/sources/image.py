"""A container image: which of its layers are read, and what the others hold."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from sysgraft.build.sources.hiding import Hiding
from sysgraft.build.sources.image_files import read_document
from sysgraft.build.sources.model import Layer, LeftOut
from sysgraft.build.sources.tar_layer import count_contents, read_entries
from sysgraft.build.sources.tarball import architecture_of
from sysgraft.errors import FormatError, LimitError, in_file
from sysgraft.formats import oci
from sysgraft.formats.hashed import check_bytes

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from sysgraft.build.sources.image_files import ImageFiles
    from sysgraft.build.sources.model import Workspace
    from sysgraft.build.sources.tar_layer import TarBlob


MAX_REPEATED: Final = 1 << 30
"""Bytes of layers that are named again: images do that with empty layers, of a kilobyte each."""

MAX_ENTRIES: Final = 2_000_000
"""Entries of all layers that are read together: several systems, some gigabyte of memory."""


@dataclass(frozen=True, slots=True)
class ImageSource:
    """An image whose layers were found.

    Attributes:
        description: what it is, for the report.
        path: the file or folder, or the image's name.
        config: its configuration.
        blobs: its layers, the lowest first, with the digests they must have.
        workspace: shared with other sources.
        fetch: brings layers that lie elsewhere, in the order they are read in; None if all are
            here.
    """

    description: str
    path: str
    config: oci.Config
    blobs: Sequence[TarBlob]
    workspace: Workspace
    fetch: Callable[[Sequence[TarBlob]], None] | None = None

    @property
    def architecture(self) -> str | None:
        """See `Source`: what the configuration says."""
        return architecture_of(self.config.architecture, self.workspace)

    def layers(self) -> Iterator[Layer]:
        """See `Source`: the last layer or all, as the options say."""
        if not self.blobs:
            raise FormatError("the image has no layers", file=self.path)
        first = len(self.blobs) - 1 if self.workspace.options.layers == "last" else 0
        with in_file(self.path):
            self._count_left_out(first)
        yield from self.layers_from(first)

    def layers_from(self, first: int) -> Iterator[Layer]:
        """The layers from number `first` on, counted from 0; raises as `layers`.

        They are read from the top down: what upper ones hide of lower ones is not stored.
        """
        numbers = range(len(self.blobs) - 1, first - 1, -1)
        if self.fetch is not None:
            self.fetch([self.blobs[number] for number in numbers])
        hiding = Hiding()
        read: list[Layer] = []
        left = MAX_ENTRIES
        for number in numbers:
            layer = self._layer(number, hiding, is_partial=first > 0)
            left -= len(layer.entries)
            if left < 0:
                raise LimitError(f"the layers have more than {MAX_ENTRIES} entries", file=self.path)
            read.append(layer)
        while read:
            yield read.pop()

    def _layer(self, number: int, hiding: Hiding, *, is_partial: bool) -> Layer:
        name = self._name(number)
        self.workspace.progress.start(f"Reading {name}", self.blobs[number].size)
        with in_file(self.path):
            entries = read_entries(self.blobs[number], self.workspace, hiding.hides)
        self.workspace.progress.finish()
        if number:
            hiding.add(entries)
        return Layer(name, entries, whiteout_names=True, is_partial=is_partial)

    def _count_left_out(self, count: int) -> None:
        """Tell what the first `count` layers hold; of those elsewhere, what is known."""
        if not count:
            return
        which = f"{count} of {len(self.blobs)} layers"
        if self.fetch is not None:
            stored = sum(blob.size for blob in self.blobs[:count])
            self.workspace.note(
                f"{which} of {self.path} are not fetched ({stored} bytes as stored)"
            )
            return
        total = LeftOut("layers", examples=(which,))
        for number in range(count):
            name = self._name(number)
            self.workspace.progress.start(f"Counting {name}", self.blobs[number].size)
            files, directories, size = count_contents(self.blobs[number], self.workspace)
            self.workspace.progress.finish()
            total = replace(
                total,
                files=total.files + files,
                directories=total.directories + directories,
                size=total.size + size,
            )
        self.workspace.left_out.append(total)

    def _name(self, number: int) -> str:
        return f"layer {number + 1} of {len(self.blobs)}"


def read_config(files: ImageFiles, name: str, digest: oci.Digest | None) -> oci.Config:
    """An image's configuration, held to its digest where it has one.

    Raises:
        FormatError: it is missing, malformed or not the stated one.
    """
    data = read_document(files, name)
    if digest is not None:
        check_bytes(data, digest, "image configuration")
    return oci.parse_config(data)


def with_diff_ids(blobs: Sequence[TarBlob], config: oci.Config) -> list[TarBlob]:
    """The layers with the digests the configuration states for them.

    Raises:
        LimitError: layers named several times are more than `MAX_REPEATED` bytes to read again.
        FormatError: it states another number of layers, or something that is no digest.
    """
    oci.check_diff_ids(config, len(blobs))
    _check_repeated(blobs)
    return [
        replace(blob, diff_id=oci.parse_digest(diff_id))
        for blob, diff_id in zip(blobs, config.rootfs.diff_ids, strict=True)
    ]


def _check_repeated(blobs: Sequence[TarBlob]) -> None:
    distinct = {blob.place: blob.size for blob in blobs}
    repeated = sum(blob.size for blob in blobs) - sum(distinct.values())
    if repeated > MAX_REPEATED:
        raise LimitError(
            f"the image names the same layers so often that {repeated} bytes would be read again, "
            f"{MAX_REPEATED} are allowed",
        )
