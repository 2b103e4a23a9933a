"""Archives as ``docker save`` writes them: which image in one is meant, and its names.

Format: Docker Image Specification 1.2; ``manifest.json`` names each image's configuration and
layers. Archives of Docker before 1.10, without it, are not read. No file is looked for here.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from sysgraft.base.tree import printable
from sysgraft.errors import FormatError, UnsupportedError, UsageError
from sysgraft.formats import oci

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

MANIFEST: Final = "manifest.json"
"""What names the images of an archive."""

# Docker and skopeo name the configuration after its digest.
_CONFIG_NAME: Final = re.compile(r"(?:blobs/sha256/|sha256:)?([0-9a-f]{64})(?:\.json)?")
_DEFAULT_PREFIXES: Final = ("docker.io/library/", "docker.io/")


def check_present(has: Callable[[str], bool]) -> None:
    """Raise `FormatError` unless an archive that `has` files of such names is one of this kind."""
    if has(MANIFEST):
        return
    if has("repositories"):
        raise UnsupportedError(
            "saved by Docker before 1.10",
            hint="load it and save it again with a newer Docker",
        )
    raise FormatError("not a docker-archive: it has no manifest.json")


def choose_saved(images: Sequence[oci.SavedImage], reference: str = "") -> oci.SavedImage:
    """The image that `reference` means, or the only one.

    Raises:
        FormatError: there is no image at all.
        UsageError: there are several, or none of that name.
    """
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


def config_digest(name: str) -> oci.Digest | None:
    """The digest that the name of a configuration states, None if it states none."""
    match = _CONFIG_NAME.fullmatch(name)
    return oci.Digest("sha256", match[1]) if match else None
