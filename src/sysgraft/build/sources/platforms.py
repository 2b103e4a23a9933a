"""Which of several images of one name is meant: the one for the architecture that is asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sysgraft.base import arch
from sysgraft.formats.oci_choice import image_for

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sysgraft.build.sources.model import Workspace
    from sysgraft.formats import oci

_HINT: Final = "choose one with --arch (for a UKI --efi-arch), or with :TAG behind the name"


def choose(images: Sequence[oci.Descriptor], workspace: Workspace) -> oci.Descriptor:
    """The image for the architecture that the options name, else for the usual one.

    Raises:
        FormatError: there is none at all.
        UsageError: none fits, or several do.
    """
    asked = workspace.options.architecture
    wanted = arch.normalize(asked or arch.DEFAULT)
    found = image_for(images, wanted, hint=_HINT)
    if not asked and len(images) > 1:
        workspace.note(f"of images for several architectures, that for {wanted} is taken")
    return found
