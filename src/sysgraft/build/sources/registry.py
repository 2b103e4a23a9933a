"""``docker://REF``: an image or an extension in a registry, its layers read while they arrive.

The manifest's digest is held to the reference where that has one; layers are held to the digest
and size the manifest states, and to the diff ID of the configuration. Only layers that are needed
are fetched, the uppermost first.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sysgraft.build.sources.image import ImageSource, with_diff_ids
from sysgraft.build.sources.platforms import choose
from sysgraft.build.sources.raw_image import RawSource
from sysgraft.build.sources.tar_layer import TarBlob
from sysgraft.errors import in_file
from sysgraft.formats import oci
from sysgraft.formats.image_reference import parse_reference
from sysgraft.formats.kairos_catalog import raw_layer
from sysgraft.formats.stream import CHUNK, BlobSource
from sysgraft.transport.download import Download
from sysgraft.transport.http import Http
from sysgraft.transport.registry_image import RegistryImage

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from sysgraft.build.sources.model import Workspace
    from sysgraft.formats.image_reference import ImageReference
    from sysgraft.transport.fetching import Fetching


def open_registry_image(
    name: str, workspace: Workspace, fetching: Fetching
) -> ImageSource | RawSource:
    """The image `name` of a registry: a container image, or an extension as it is.

    Args:
        name: as Docker users write it.
        workspace: shared with other sources.
        fetching: runs the downloads.

    Raises:
        UsageError: it is no image's name, or several images fit.
        InputError: the registry has no such image.
        TransferError: the registry does not answer as it should.
        FormatError: what it gives is not what was asked for.
    """
    reference = parse_reference(name)
    with in_file(str(reference)):
        return _Opening(reference, workspace, fetching).open()


class _Opening:
    """One image on its way in."""

    def __init__(self, reference: ImageReference, workspace: Workspace, fetching: Fetching) -> None:
        self._name = str(reference)
        self._workspace = workspace
        self._fetching = fetching
        http = Http(workspace.options.insecure_registries, fetching.given_up)
        self._image = RegistryImage(http, reference, workspace.spool.reserve)

    def open(self) -> ImageSource | RawSource:
        digest, manifest = self._image.manifest(lambda images: choose(images, self._workspace))
        raw = raw_layer(manifest)
        if raw is not None:
            return self._raw(raw)
        config = self._image.config(manifest)
        layers = self._layers(manifest.layers)
        return ImageSource(
            description=f"image {self._name} ({digest})",
            path=self._name,
            config=config,
            blobs=with_diff_ids(layers, config),
            workspace=self._workspace,
            fetch=self._fetch,
        )

    def _raw(self, descriptor: oci.Descriptor) -> RawSource:
        """An extension image, read from its end too, and so only when all of it is there."""
        download = self._image.layer(descriptor)
        self._fetching.start([download])
        progress = self._workspace.progress
        progress.start(f"Fetching {self._name}", download.size)
        arriving = BlobSource(download, progress.advance)
        while arriving.read(CHUNK):
            pass
        progress.finish()
        return RawSource(download, self._name, self._workspace)

    def _layers(self, descriptors: Sequence[oci.Descriptor]) -> list[TarBlob]:
        """The layers, none of them fetched yet; equal ones are one."""
        found: dict[str, Download] = {}
        for descriptor in descriptors:
            oci.check_layer_type(descriptor.media_type)
            if descriptor.digest not in found:
                found[descriptor.digest] = self._image.layer(descriptor)
        downloads = [found[descriptor.digest] for descriptor in descriptors]
        return [TarBlob(download, 0, download.size) for download in downloads]

    def _fetch(self, layers: Iterable[TarBlob]) -> None:
        wanted = dict.fromkeys(layer.file for layer in layers)
        self._fetching.start(blob for blob in wanted if isinstance(blob, Download))
