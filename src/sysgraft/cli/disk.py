"""``sysgraft disk``: its verbs; the work is in the ``disk_*`` modules."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sysgraft.cli import disk_options as options
from sysgraft.cli import verbs
from sysgraft.cli.verbs import Verb

if TYPE_CHECKING:
    import argparse

VERBS: Final = [
    Verb(
        "check",
        "tell what systemd will find on a disk by the types of its partitions",
        options.CHECK,
        options.CHECK_EXAMPLE,
        "sysgraft.cli.disk_check",
    ),
    Verb(
        "retype",
        "give partitions the types of what they are for, in place",
        options.RETYPE,
        options.RETYPE_EXAMPLE,
        "sysgraft.cli.disk_retype",
    ),
]


def fill(noun: argparse.ArgumentParser) -> None:
    """Add the verbs."""
    verbs.fill(noun, VERBS)
