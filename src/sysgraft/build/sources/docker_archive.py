"""``docker-archive:FILE[:REF]``: what ``docker save`` and ``skopeo copy`` write.

Format: Docker Image Specification 1.2; ``manifest.json`` names each image's configuration and
layers. Archives of Docker before 1.10, without it, are not read.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from sysgraft.base.tree import printable
from sysgraft.build.sources.image import ImageSource, read_config, with_diff_ids
from sysgraft.build.sources.image_files import ArchiveFiles, read_document
from sysgraft.errors import FormatError, UnsupportedError, UsageError, in_file
from sysgraft.formats import oci

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sysgraft.base.blob import Blob
    from sysgraft.build.sources.image_files import ImageFiles
    from sysgraft.build.sources.model import Workspace
    from sysgraft.build.sources.spec import SourceSpec

_MANIFEST: Final = "manifest.json"
# Docker and skopeo name the configuration after its digest.
_CONFIG_NAME: Final = re.compile(r"(?:blobs/sha256/|sha256:)?([0-9a-f]{64})(?:\.json)?")
_DEFAULT_PREFIXES: Final = ("docker.io/library/", "docker.io/")


def open_docker_archive(spec: SourceSpec, file: Blob, workspace: Workspace) -> ImageSource:
    """The image that `spec` means.

    Raises:
        FormatError: the archive breaks its format's rules.
        UsageError: it holds several images, or none of that name.
    """
    with in_file(spec.path):
        files = ArchiveFiles(file, workspace)
        _check_present(files)
        images = oci.parse_saved_images(read_document(files, _MANIFEST))
        image = _choose(images, spec.reference)
        config = read_config(files, image.config, _config_digest(image.config))
        blobs = with_diff_ids([files.find(name) for name in image.layers], config)
    names = listed_names(image.repo_tags or []) or "without a name"
    return ImageSource(f"image {names} in {spec.path}", spec.path, config, blobs, workspace)


def _check_present(files: ImageFiles) -> None:
    if files.has(_MANIFEST):
        return
    if files.has("repositories"):
        raise UnsupportedError(
            "saved by Docker before 1.10",
            hint="load it and save it again with a newer Docker",
        )
    raise FormatError("not a docker-archive: it has no manifest.json")


def _choose(images: Sequence[oci.SavedImage], reference: str) -> oci.SavedImage:
    if not images:
        raise FormatError("the archive holds no image")
    if not reference:
        if len(images) > 1:
            raise UsageError(_several(images), hint="add :REF behind the file's name")
        return images[0]
    wanted = normalized_reference(reference)
    for image in images:
        if wanted in map(normalized_reference, image.repo_tags or []):
            return image
    raise UsageError(f"no image {reference} in the archive; {_several(images)}")


def _several(images: Sequence[oci.SavedImage]) -> str:
    names = [name for image in images for name in image.repo_tags or ["one without a name"]]
    return f"it holds {listed_names(names)}"


def listed_names(names: Sequence[str]) -> str:
    """The first of `names` for a message."""
    return ", ".join(printable(name[:100].encode("utf-8", "replace")) for name in names[:10])


def normalized_reference(name: str) -> str:
    """An image's name without Docker's defaults: registry, ``library/`` and ``latest``."""
    for prefix in _DEFAULT_PREFIXES:
        name = name.removeprefix(prefix)
    last = name.rpartition("/")[2]
    return name if ":" in last or "@" in last else f"{name}:latest"


def _config_digest(name: str) -> oci.Digest | None:
    match = _CONFIG_NAME.fullmatch(name)
    return oci.Digest("sha256", match[1]) if match else None
