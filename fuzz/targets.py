"""All targets: every parser of sysgraft that takes bytes or text from outside."""

from __future__ import annotations

from typing import Final

import targets_archives
import targets_efi
import targets_images
import targets_network
import targets_packages
import targets_shapes
import targets_system
import targets_tpm
from target import Target

TARGETS: Final[tuple[Target, ...]] = (
    *targets_images.TARGETS,
    *targets_archives.TARGETS,
    *targets_network.TARGETS,
    *targets_packages.TARGETS,
    *targets_shapes.TARGETS,
    *targets_system.TARGETS,
    *targets_efi.TARGETS,
    *targets_tpm.TARGETS,
)

__all__ = ["TARGETS", "Target"]
