"""``sysgraft firmware``: its verbs; the work is in the ``firmware_*`` modules."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sysgraft.cli import firmware_build_options as building
from sysgraft.cli import firmware_plan_options as planning
from sysgraft.cli import firmware_reprobe_options as reprobing
from sysgraft.cli import firmware_scan_options as scanning
from sysgraft.cli import verbs
from sysgraft.cli.verbs import Verb

if TYPE_CHECKING:
    import argparse

VERBS: Final = [
    Verb(
        "scan",
        "list what a machine has, and which firmware it loaded or missed",
        scanning.SCAN,
        scanning.SCAN_EXAMPLE,
        "sysgraft.cli.firmware_scan",
    ),
    Verb(
        "doctor",
        "tell which device lacks which firmware, and what to do",
        scanning.DOCTOR,
        scanning.DOCTOR_EXAMPLE,
        "sysgraft.cli.firmware_doctor",
    ),
    Verb(
        "index",
        "list what kernels ask for and what firmware there is",
        planning.INDEX,
        planning.INDEX_EXAMPLE,
        "sysgraft.cli.firmware_index",
    ),
    Verb(
        "plan",
        "tell which firmware machines need, and why",
        planning.PLAN,
        planning.PLAN_EXAMPLE,
        "sysgraft.cli.firmware_plan",
    ),
    Verb(
        "build",
        "make an extension and an early set of planned firmware",
        building.BUILD,
        building.BUILD_EXAMPLE,
        "sysgraft.cli.firmware_build",
    ),
    Verb(
        "strip",
        "take the firmware out of a root file system or an initrd",
        building.STRIP,
        building.STRIP_EXAMPLE,
        "sysgraft.cli.firmware_strip",
    ),
    Verb(
        "reprobe",
        "have drivers look again at devices whose firmware was missing",
        reprobing.REPROBE,
        reprobing.REPROBE_EXAMPLE,
        "sysgraft.cli.firmware_reprobe",
    ),
    Verb(
        "units",
        "write the units that re-probe devices after extensions are merged",
        reprobing.UNITS,
        reprobing.UNITS_EXAMPLE,
        "sysgraft.cli.firmware_units",
    ),
]


def fill(noun: argparse.ArgumentParser) -> None:
    """Add the verbs."""
    verbs.fill(noun, VERBS)
