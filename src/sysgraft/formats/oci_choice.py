"""Which of several images of one name is meant: the one for the architecture that is asked for.

Spec: OCI Image Format 1.1, "Image Index". Indexes inside indexes are followed; BuildKit's
attestations are passed over.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Final

from sysgraft.base import arch
from sysgraft.errors import FormatError, LimitError, UsageError
from sysgraft.formats import oci
from sysgraft.formats.docker_archive import listed_names

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

MAX_DEPTH: Final = 4
"""Indexes inside indexes: tools nest one deep."""

MAX_MANIFESTS: Final = 1000
"""Manifests and indexes looked at: an official image has some twenty."""


def images_of(
    manifests: Sequence[oci.Descriptor], read: Callable[[oci.Descriptor], bytes]
) -> list[oci.Descriptor]:
    """All image manifests, those inside nested indexes too, each once.

    Args:
        manifests: where to begin.
        read: gives an index, held to its digest.

    Raises:
        LimitError: there are more than `MAX_MANIFESTS`, or they lie deeper than `MAX_DEPTH`.
        FormatError: an index cannot be read.
    """
    found: dict[str, oci.Descriptor] = {}
    pending = deque((descriptor, 0) for descriptor in manifests)
    seen: set[str] = set()
    while pending:
        descriptor, depth = pending.popleft()
        if descriptor.digest in seen or descriptor.is_attestation:
            continue
        seen.add(descriptor.digest)
        if len(seen) > MAX_MANIFESTS or depth > MAX_DEPTH:
            raise LimitError(f"more than {MAX_MANIFESTS} manifests, or deeper than {MAX_DEPTH}")
        if descriptor.is_index:
            index = oci.parse_index(read(descriptor))
            pending.extend((below, depth + 1) for below in index.manifests)
        else:
            found[descriptor.digest] = descriptor
    return list(found.values())


def image_for(
    images: Sequence[oci.Descriptor], architecture: str, *, hint: str = ""
) -> oci.Descriptor:
    """The only image, or of several the one for an architecture, in systemd's spelling.

    Args:
        images: from `images_of`.
        architecture: what is wanted.
        hint: what to do where none fits, or several do.

    Raises:
        FormatError: there is none at all.
        UsageError: none fits, or several do.
    """
    if not images:
        raise FormatError("there is no image in it")
    if len(images) == 1:
        return images[0]
    fitting = [image for image in images if _architecture(image) == architecture]
    if len(fitting) != 1:
        raise UsageError(
            f"{len(fitting) or 'none'} of {len(images)} images fit {architecture}: "
            f"{_listed(images)}",
            hint=hint,
        )
    return fitting[0]


def _architecture(image: oci.Descriptor) -> str | None:
    platform = image.platform
    if platform is None or platform.os not in ("linux", ""):
        return None
    try:
        return arch.normalize(platform.architecture)
    except UsageError:
        return None


def _listed(images: Sequence[oci.Descriptor]) -> str:
    names = [str(image.platform or "") or "/".join(image.references) for image in images]
    return listed_names([name or "one without a name" for name in names])
