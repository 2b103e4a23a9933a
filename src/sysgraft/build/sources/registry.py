"""``docker://REF``: an image or an extension in a registry, its layers read while they arrive.

The manifest's digest is held to the reference where that has one; layers are held to the digest
and size the manifest states, and to the diff ID of the configuration. Only layers that are needed
are fetched, the uppermost first.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sysgraft.build.sources.image import ImageSource, with_diff_ids
from sysgraft.build.sources.platforms import choose, images_of
from sysgraft.build.sources.raw_image import RawSource
from sysgraft.build.sources.tar_layer import TarBlob
from sysgraft.errors import FormatError, LimitError, in_file
from sysgraft.formats import oci
from sysgraft.formats.image_reference import parse_reference
from sysgraft.formats.kairos_catalog import RAW_TYPE
from sysgraft.formats.stream import CHUNK, BlobSource
from sysgraft.transport.download import Download
from sysgraft.transport.http import Http
from sysgraft.transport.registry import Repository

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from sysgraft.build.sources.model import Workspace
    from sysgraft.formats.image_reference import ImageReference
    from sysgraft.transport.fetching import Fetching

MAX_LAYER: Final = 64 << 30
"""Bytes of one layer as stored: what all sources together may decompress to."""


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
        image = _RegistryImage(reference, workspace, fetching)
        return image.open()


class _RegistryImage:
    """One image on its way in."""

    def __init__(self, reference: ImageReference, workspace: Workspace, fetching: Fetching) -> None:
        self._name = str(reference)
        self._reference = reference
        self._workspace = workspace
        self._fetching = fetching
        http = Http(workspace.options.insecure_registries, fetching.given_up)
        self._repository = Repository(http, reference)

    def open(self) -> ImageSource | RawSource:
        digest, manifest = self._manifest()
        if [layer.media_type for layer in manifest.layers] == [RAW_TYPE]:
            return self._raw(manifest.layers[0])
        config = oci.parse_config(self._small_blob(manifest.config, "image configuration"))
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
        download = self._download(_checked_size(descriptor))
        self._fetching.start([download])
        progress = self._workspace.progress
        progress.start(f"Fetching {self._name}", download.size)
        arriving = BlobSource(download, progress.advance)
        while arriving.read(CHUNK):
            pass
        progress.finish()
        return RawSource(download, self._name, self._workspace)

    def _manifest(self) -> tuple[str, oci.Manifest]:
        """The manifest for the architecture that is asked for, and its digest."""
        document = self._repository.manifest(self._reference.manifest, self._reference.digest)
        digest = document.digest
        if oci.is_index(document.data):
            index = oci.parse_index(document.data)
            chosen = choose(images_of(index.manifests, self._by_digest), self._workspace)
            return chosen.digest, oci.parse_manifest(self._by_digest(chosen))
        return digest, oci.parse_manifest(document.data)

    def _by_digest(self, descriptor: oci.Descriptor) -> bytes:
        digest = oci.parse_digest(descriptor.digest)
        return self._repository.manifest(str(digest), digest).data

    def _small_blob(self, descriptor: oci.Descriptor, what: str) -> bytes:
        if descriptor.size > oci.MAX_DOCUMENT:
            raise LimitError(f"an {what} of more than {oci.MAX_DOCUMENT} bytes")
        download = self._download(descriptor)
        download.run()
        return download.read_at(0, download.size)

    def _layers(self, descriptors: Sequence[oci.Descriptor]) -> list[TarBlob]:
        """The layers, none of them fetched yet; equal ones are one."""
        found: dict[str, Download] = {}
        for descriptor in descriptors:
            oci.check_layer_type(descriptor.media_type)
            if descriptor.digest not in found:
                found[descriptor.digest] = self._download(_checked_size(descriptor))
        downloads = [found[descriptor.digest] for descriptor in descriptors]
        return [TarBlob(download, 0, download.size) for download in downloads]

    def _download(self, descriptor: oci.Descriptor) -> Download:
        digest = oci.parse_digest(descriptor.digest)
        return Download(
            digest,
            descriptor.size,
            self._workspace.spool.reserve(descriptor.size),
            open_at=lambda start: self._repository.blob(digest, start),
        )

    def _fetch(self, layers: Iterable[TarBlob]) -> None:
        wanted = dict.fromkeys(layer.file for layer in layers)
        self._fetching.start(blob for blob in wanted if isinstance(blob, Download))


def _checked_size(descriptor: oci.Descriptor) -> oci.Descriptor:
    if not 0 < descriptor.size <= MAX_LAYER:
        raise FormatError(f"a layer of {descriptor.size} bytes")
    return descriptor
