"""An image or artifact in a registry: its manifest, and downloads of what that names.

The manifest's digest is held to the reference where that has one; everything else is held to the
digest and size that the manifest states. What the layers hold is not looked at.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sysgraft.errors import FormatError, LimitError
from sysgraft.formats import oci
from sysgraft.formats.oci_choice import images_of
from sysgraft.transport.download import Download
from sysgraft.transport.registry import Repository

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from sysgraft.formats.image_reference import ImageReference
    from sysgraft.transport.download import Store
    from sysgraft.transport.http import Http

    Choice = Callable[[Sequence[oci.Descriptor]], oci.Descriptor]

MAX_LAYER: Final = 64 << 30
"""Bytes of one layer as stored: what all sources together may decompress to."""


class RegistryImage:
    """One image on its way in.

    Args:
        http: makes the requests.
        reference: which image.
        reserve: gives room for so many bytes.
    """

    def __init__(
        self, http: Http, reference: ImageReference, reserve: Callable[[int], Store]
    ) -> None:
        self._reference = reference
        self._reserve = reserve
        self._repository = Repository(http, reference)

    def manifest(self, choose: Choice) -> tuple[str, oci.Manifest]:
        """The manifest and its digest.

        Args:
            choose: takes one of several images, which may be for several architectures.

        Raises:
            InputError: the registry has no such image.
            TransferError: the registry does not answer as it should.
            FormatError: what it gives is not what was asked for.
        """
        document = self._repository.manifest(self._reference.manifest, self._reference.digest)
        if oci.is_index(document.data):
            index = oci.parse_index(document.data)
            chosen = choose(images_of(index.manifests, self._by_digest))
            return chosen.digest, oci.parse_manifest(self._by_digest(chosen))
        return document.digest, oci.parse_manifest(document.data)

    def _by_digest(self, descriptor: oci.Descriptor) -> bytes:
        digest = oci.parse_digest(descriptor.digest)
        return self._repository.manifest(str(digest), digest).data

    def config(self, manifest: oci.Manifest) -> oci.Config:
        """The configuration of an image; raises as `manifest`."""
        descriptor = manifest.config
        if descriptor.size > oci.MAX_DOCUMENT:
            raise LimitError(f"an image configuration of more than {oci.MAX_DOCUMENT} bytes")
        download = self._download(descriptor, None)
        download.complete()
        return oci.parse_config(download.read_at(0, download.size))

    def layer(self, descriptor: oci.Descriptor, store: Store | None = None) -> Download:
        """The download of a layer, not yet running.

        Args:
            descriptor: which layer.
            store: where the bytes go; None reserves room for them.

        Raises:
            FormatError: its size makes no sense.
        """
        check_size(descriptor)
        return self._download(descriptor, store)

    def _download(self, descriptor: oci.Descriptor, store: Store | None) -> Download:
        digest = oci.parse_digest(descriptor.digest)
        return Download(
            digest,
            descriptor.size,
            self._reserve(descriptor.size) if store is None else store,
            open_at=lambda start: self._repository.blob(digest, start),
        )


def check_size(descriptor: oci.Descriptor) -> None:
    """Raise `FormatError` unless the size of a layer makes sense."""
    if not 0 < descriptor.size <= MAX_LAYER:
        raise FormatError(f"a layer of {descriptor.size} bytes")
