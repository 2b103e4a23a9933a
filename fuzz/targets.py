"""All targets: every parser of sysgraft that takes bytes or text from outside."""

from __future__ import annotations

from typing import Final

import targets_archives
import targets_boot
import targets_containers
import targets_disk
import targets_firmware
import targets_images
import targets_logs
import targets_names
import targets_network
import targets_node
import targets_packages
import targets_partitions
import targets_policies
import targets_sections
import targets_shapes
import targets_signatures
import targets_system
import targets_texts
import targets_uki
import targets_variables
from target import Target

TARGETS: Final[tuple[Target, ...]] = (
    *targets_archives.TARGETS,
    *targets_boot.TARGETS,
    *targets_containers.TARGETS,
    *targets_disk.TARGETS,
    *targets_firmware.TARGETS,
    *targets_images.TARGETS,
    *targets_logs.TARGETS,
    *targets_names.TARGETS,
    *targets_network.TARGETS,
    *targets_node.TARGETS,
    *targets_packages.TARGETS,
    *targets_partitions.TARGETS,
    *targets_policies.TARGETS,
    *targets_sections.TARGETS,
    *targets_shapes.TARGETS,
    *targets_signatures.TARGETS,
    *targets_system.TARGETS,
    *targets_texts.TARGETS,
    *targets_uki.TARGETS,
    *targets_variables.TARGETS,
)

__all__ = ["TARGETS", "Target"]
