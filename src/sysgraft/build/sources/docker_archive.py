"""``docker-archive:FILE[:REF]``: what ``docker save`` and ``skopeo copy`` write.

Format: Docker Image Specification 1.2; ``manifest.json`` names each image's configuration and
layers. Archives of Docker before 1.10, without it, are not read.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sysgraft.build.sources.image import ImageSource, read_config, with_diff_ids
from sysgraft.build.sources.image_files import ArchiveFiles, read_document
from sysgraft.errors import in_file
from sysgraft.formats import oci
from sysgraft.formats.docker_archive import (
    MANIFEST,
    check_present,
    choose_saved,
    config_digest,
    listed_names,
)

if TYPE_CHECKING:
    from sysgraft.base.blob import Blob
    from sysgraft.build.sources.model import Workspace
    from sysgraft.build.sources.spec import SourceSpec


def open_docker_archive(spec: SourceSpec, file: Blob, workspace: Workspace) -> ImageSource:
    """The image that `spec` means.

    Raises:
        FormatError: the archive breaks its format's rules.
        UsageError: it holds several images, or none of that name.
    """
    with in_file(spec.path):
        files = ArchiveFiles(file, workspace)
        check_present(files.has)
        images = oci.parse_saved_images(read_document(files, MANIFEST))
        image = choose_saved(images, spec.reference)
        config = read_config(files, image.config, config_digest(image.config))
        blobs = with_diff_ids([files.find(name) for name in image.layers], config)
    names = listed_names(image.repo_tags or []) or "without a name"
    return ImageSource(f"image {names} in {spec.path}", spec.path, config, blobs, workspace)
