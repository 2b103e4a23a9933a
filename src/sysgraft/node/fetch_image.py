"""Extension images out of a registry or a container daemon.

In a registry an extension image is an artifact of its own (as ``oras push`` makes it with Kairos'
media types), or the only ``*.raw`` file of a container image. What a daemon gives cannot be held
to a digest of the registry, so a name with one is always the registry's.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, NamedTuple

from sysgraft.base import arch
from sysgraft.base.blob import SubBlob
from sysgraft.errors import LimitError, in_file
from sysgraft.formats import oci
from sysgraft.formats.allowance import Allowance
from sysgraft.formats.archive_index import ArchiveIndex, whole_document
from sysgraft.formats.docker_archive import MANIFEST, check_present, choose_saved, config_digest
from sysgraft.formats.hashed import check_bytes, check_digest
from sysgraft.formats.kairos_catalog import raw_layer
from sysgraft.formats.oci_choice import image_for
from sysgraft.host.architecture import this_architecture
from sysgraft.host.spool import Spool
from sysgraft.node.fetch_layers import Search, StoredLayer, contents
from sysgraft.node.fetch_uri import image_reference, last_name
from sysgraft.transport.daemon import find_daemon
from sysgraft.transport.http import Http
from sysgraft.transport.registry_image import RegistryImage, check_size

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from sysgraft.base.blob import Blob
    from sysgraft.formats.image_reference import ImageReference
    from sysgraft.host.spool import Region
    from sysgraft.node.fetch_file import Incoming
    from sysgraft.node.fetch_layers import Found
    from sysgraft.transport.daemon import Daemon


class Wanted(NamedTuple):
    """What is known of an extension image before it is asked for.

    Attributes:
        digest: of its bytes; None if nobody stated any.
        architecture: which of several images of one name; empty for this machine's.
        insecure: hosts that need not prove who they are.
    """

    digest: oci.Digest | None
    architecture: str
    insecure: tuple[str, ...]

    def choose(self, images: Sequence[oci.Descriptor]) -> oci.Descriptor:
        """The image for the architecture; raises as `image_for`."""
        named = self.architecture
        wanted = arch.normalize(named) if named else this_architecture()
        return image_for(images, wanted, hint="choose one with :TAG or @DIGEST behind the name")


class Origin(NamedTuple):
    """What the place that an image came from says of it.

    Attributes:
        name: a hint what to call it; maybe empty.
        is_pinned: whether the bytes were held to a digest in the image's name.
    """

    name: str
    is_pinned: bool


def from_registry(name: str, file: Incoming, wanted: Wanted) -> Origin:
    """Bring the extension image that `name` means in its registry into `file`.

    Raises:
        UsageError: it is no image's name, or several images or files fit.
        InputError: there is none.
        TransferError: the registry does not answer as it should.
        FormatError: what it gives is not what was asked for.
    """
    reference = image_reference(name)
    with in_file(str(reference)), Spool(file.folder) as spool:
        file.label = f"Fetching {reference}"
        image = RegistryImage(Http(wanted.insecure), reference, spool.reserve)
        _, manifest = image.manifest(wanted.choose)
        raw = raw_layer(manifest)
        if raw is not None:
            hint = _artifact(image, raw, file, wanted)
        else:
            hint = _from_layers(image, manifest, file)
        return Origin(last_name(hint), reference.digest is not None)


def _artifact(
    image: RegistryImage, descriptor: oci.Descriptor, file: Incoming, wanted: Wanted
) -> str:
    """An extension image as it is; its title."""
    stated = oci.parse_digest(descriptor.digest)
    if wanted.digest is not None and stated.algorithm == wanted.digest.algorithm:
        check_digest(wanted.digest, stated.hex, "extension image")
    download = image.layer(descriptor, file)
    file.begin(download.size)
    download.complete()
    return (descriptor.annotations or {}).get(oci.TITLE_ANNOTATION, "")


def _from_layers(image: RegistryImage, manifest: oci.Manifest, file: Incoming) -> str:
    """The extension image in a container image; its path there."""
    for descriptor in manifest.layers:
        oci.check_layer_type(descriptor.media_type)
        check_size(descriptor)
    total = sum(descriptor.size for descriptor in manifest.layers)
    file.check_fits(total)
    config = image.config(manifest)
    oci.check_diff_ids(config, len(manifest.layers))
    search = Search(Allowance())
    with contextlib.ExitStack() as stack:
        file.progress.start(file.label, total)
        for descriptor, diff_id in zip(manifest.layers, config.rootfs.diff_ids, strict=True):
            spool = stack.enter_context(Spool(file.folder))
            room = _Room(spool.reserve(descriptor.size), file)
            download = image.layer(descriptor, room)
            download.complete()
            if not search.add(StoredLayer(download, oci.parse_digest(diff_id))):
                spool.close()
        return _copied(search.the_one(), file)


class _Room:
    """Room for a layer; tells of what comes."""

    def __init__(self, region: Region, file: Incoming) -> None:
        self._region = region
        self._file = file

    def write(self, offset: int, data: bytes) -> None:
        self._region.write(offset, data)
        self._file.progress.advance(len(data))

    def readinto_at(self, offset: int, view: memoryview) -> None:
        self._region.readinto_at(offset, view)


def _copied(found: Found, file: Incoming) -> str:
    file.progress.finish()
    file.begin(found.size)
    for data in contents(found, Allowance()):
        file.add(data)
    return found.path.decode("utf-8", "replace")


def from_daemon_or_registry(name: str, file: Incoming, wanted: Wanted) -> Origin:
    """As `from_registry`; but an image that this machine's container daemon has is the daemon's.

    A daemon that is there and does not answer ends it: what it has under that name, somebody else
    may have under the same one in a registry.
    """
    reference = image_reference(name)
    daemon = find_daemon() if reference.digest is None else None
    if daemon is not None and daemon.has(name):
        return _from_daemon(daemon, name, reference, file)
    return from_registry(name, file, wanted)


def _from_daemon(daemon: Daemon, name: str, reference: ImageReference, file: Incoming) -> Origin:
    file.label = f"Exporting {reference}"
    file.progress.start(file.label, 0)
    with Spool(file.folder) as spool, in_file(str(reference)):
        archive = spool.blob(0, _exported(daemon, name, spool, file))
        search = Search(Allowance())
        for layer in _saved_layers(archive):
            search.add(layer)
        return Origin(last_name(_copied(search.the_one(), file)), is_pinned=False)


def _exported(daemon: Daemon, name: str, spool: Spool, file: Incoming) -> int:
    """All of an image in the spool; its size."""
    size = 0

    def keep(data: bytes) -> None:
        nonlocal size
        size += len(data)
        if size > file.limit:
            raise LimitError(f"the image has more than {file.limit} bytes")
        spool.append(data)
        file.progress.advance(len(data))

    daemon.export(name, keep)
    return size


def _saved_layers(archive: Blob) -> Iterator[StoredLayer]:
    """The layers of the only image in an archive, the lowest first."""
    index = ArchiveIndex(archive)

    def part(name: str) -> SubBlob:
        member = index.find(name)
        return SubBlob(archive, member.data_offset, member.size)

    check_present(index.has)
    image = choose_saved(oci.parse_saved_images(whole_document(part(MANIFEST), MANIFEST)))
    document = whole_document(part(image.config), image.config)
    stated = config_digest(image.config)
    if stated is not None:
        check_bytes(document, stated, "image configuration")
    config = oci.parse_config(document)
    oci.check_diff_ids(config, len(image.layers))
    for name, diff_id in zip(image.layers, config.rootfs.diff_ids, strict=True):
        yield StoredLayer(part(name), oci.parse_digest(diff_id))
