"""A saved container image: which of its layers are read, and what the others hold."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from sysgraft.build.sources.image_files import read_document
from sysgraft.build.sources.model import Layer, LeftOut
from sysgraft.build.sources.tar_layer import count_contents, read_entries
from sysgraft.build.sources.tarball import architecture_of
from sysgraft.errors import FormatError, LimitError, in_file
from sysgraft.formats import oci

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from sysgraft.build.sources.image_files import ImageFiles
    from sysgraft.build.sources.model import Workspace
    from sysgraft.build.sources.tar_layer import TarBlob


MAX_REPEATED: Final = 1 << 30
"""Bytes of layers that are named again: images do that with empty layers, of a kilobyte each."""


@dataclass(frozen=True, slots=True)
class ImageSource:
    """An image whose layers were found.

    Attributes:
        description: what it is, for the report.
        path: the file or folder.
        config: its configuration.
        blobs: its layers, the lowest first, with the digests they must have.
        workspace: shared with other sources.
    """

    description: str
    path: str
    config: oci.Config
    blobs: Sequence[TarBlob]
    workspace: Workspace

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
        for number in range(first, len(self.blobs)):
            yield self._layer(number, is_partial=first > 0)

    def _layer(self, number: int, *, is_partial: bool) -> Layer:
        name = self._name(number)
        self.workspace.progress.start(f"Reading {name}", self.blobs[number].size)
        with in_file(self.path):
            entries = read_entries(self.blobs[number], self.workspace)
        self.workspace.progress.finish()
        return Layer(name, entries, whiteout_names=True, is_partial=is_partial)

    def _count_left_out(self, count: int) -> None:
        """Tell what the first `count` layers hold."""
        if not count:
            return
        total = LeftOut("layers", examples=(f"{count} of {len(self.blobs)} layers",))
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
        check_digest(data, digest, "image configuration")
    return oci.parse_config(data)


def check_digest(data: bytes, digest: oci.Digest, what: str) -> None:
    """Raise `FormatError` unless `data` has that digest."""
    found = hashlib.new(digest.algorithm, data).hexdigest()
    if found != digest.hex:
        raise FormatError(
            f"the digest of the {what} is {digest.algorithm}:{found}, {digest} is stated",
        )


def with_diff_ids(blobs: Sequence[TarBlob], config: oci.Config) -> list[TarBlob]:
    """The layers with the digests the configuration states for them.

    Raises:
        LimitError: layers named several times are more than `MAX_REPEATED` bytes to read again.
        FormatError: it states another number of layers, or something that is no digest.
    """
    diff_ids = config.rootfs.diff_ids
    if len(blobs) != len(diff_ids):
        raise FormatError(
            f"the image has {len(blobs)} layers, its configuration speaks of {len(diff_ids)}",
        )
    _check_repeated(blobs)
    return [
        replace(blob, diff_id=oci.parse_digest(diff_id))
        for blob, diff_id in zip(blobs, diff_ids, strict=True)
    ]


def _check_repeated(blobs: Sequence[TarBlob]) -> None:
    distinct = {blob.place: blob.size for blob in blobs}
    repeated = sum(blob.size for blob in blobs) - sum(distinct.values())
    if repeated > MAX_REPEATED:
        raise LimitError(
            f"the image names the same layers so often that {repeated} bytes would be read again, "
            f"{MAX_REPEATED} are allowed",
        )
