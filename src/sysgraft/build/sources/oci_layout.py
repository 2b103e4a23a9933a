"""``oci:DIR[:TAG]`` and ``oci-archive:FILE[:TAG]``: OCI image layouts.

Spec: OCI Image Format 1.1, "Image Layout". Among several images the tag decides, then the
architecture; BuildKit's attestations are passed over. Every document is held to the digest that
leads to it, every layer to its digest, size and diff ID.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from sysgraft.build.sources.image import ImageSource, read_config, with_diff_ids
from sysgraft.build.sources.image_files import ArchiveFiles, FolderFiles, read_document
from sysgraft.build.sources.platforms import choose
from sysgraft.errors import FormatError, UsageError, in_file
from sysgraft.formats import oci
from sysgraft.formats.docker_archive import listed_names, normalized_reference
from sysgraft.formats.hashed import check_bytes
from sysgraft.formats.oci_choice import images_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sysgraft.build.sources.image_files import ImageFiles
    from sysgraft.build.sources.model import Workspace
    from sysgraft.build.sources.spec import SourceSpec
    from sysgraft.build.sources.tar_layer import TarBlob
    from sysgraft.host.files import OpenFile


def open_oci_archive(spec: SourceSpec, file: OpenFile, workspace: Workspace) -> ImageSource:
    """The image in an archived layout that `spec` means; raises like `open_layout`."""
    with in_file(spec.path):
        files = ArchiveFiles(file, workspace)
    return open_layout(spec, files, workspace)


def open_oci_folder(spec: SourceSpec, workspace: Workspace) -> ImageSource:
    """The image in a layout folder that `spec` means; raises like `open_layout`."""
    return open_layout(spec, FolderFiles(spec.path), workspace)


def open_layout(spec: SourceSpec, files: ImageFiles, workspace: Workspace) -> ImageSource:
    """The image in a layout that `spec` means.

    Raises:
        FormatError: the layout breaks its format's rules, or a digest or size differs.
        UsageError: it holds several images that fit, or none.
    """
    with in_file(spec.path):
        oci.parse_layout(read_document(files, "oci-layout"))
        index = oci.parse_index(read_document(files, "index.json"))
        tagged = _with_tag(index.manifests, spec.reference)
        found = images_of(tagged, lambda index: _read(files, index, "image index"))
        chosen = choose(found, workspace)
        manifest = oci.parse_manifest(_read(files, chosen, "image manifest"))
        config_digest = oci.parse_digest(manifest.config.digest)
        layers = [_layer(files, layer) for layer in manifest.layers]
        config = read_config(files, config_digest.blob_path, config_digest)
        blobs = with_diff_ids(layers, config)
    description = f"image {spec.reference or chosen.digest} in {spec.path}"
    return ImageSource(description, spec.path, config, blobs, workspace)


def _with_tag(manifests: Sequence[oci.Descriptor], tag: str) -> list[oci.Descriptor]:
    if not tag:
        return list(manifests)
    wanted = normalized_reference(tag)
    found = [
        manifest
        for manifest in manifests
        if any(name == tag or normalized_reference(name) == wanted for name in manifest.references)
    ]
    if not found:
        names = sorted({name for manifest in manifests for name in manifest.references})
        raise UsageError(
            f"no image tagged {tag}; tags are {listed_names(names) or 'not used here'}",
        )
    return found


def _read(files: ImageFiles, descriptor: oci.Descriptor, what: str) -> bytes:
    digest = oci.parse_digest(descriptor.digest)
    data = read_document(files, digest.blob_path)
    check_bytes(data, digest, what)
    return data


def _layer(files: ImageFiles, descriptor: oci.Descriptor) -> TarBlob:
    oci.check_layer_type(descriptor.media_type)
    digest = oci.parse_digest(descriptor.digest)
    found = files.find(digest.blob_path)
    if found.size != descriptor.size:
        raise FormatError(
            f"the layer {digest} has {found.size} bytes, {descriptor.size} are stated",
        )
    return replace(found, digest=digest)
