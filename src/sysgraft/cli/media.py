"""``sysgraft media``: its verbs; the work is in the ``media_*`` modules."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sysgraft.cli import media_options as options
from sysgraft.cli import verbs
from sysgraft.cli.verbs import Verb

if TYPE_CHECKING:
    import argparse

VERBS: Final = [
    Verb(
        "disk",
        "make a disk image that boots",
        options.DISK,
        options.DISK_EXAMPLE,
        "sysgraft.cli.media_disk",
    ),
    Verb(
        "iso",
        "make an ISO image that boots from discs and USB sticks",
        options.ISO,
        options.ISO_EXAMPLE,
        "sysgraft.cli.media_iso",
    ),
]


def fill(noun: argparse.ArgumentParser) -> None:
    """Add the verbs."""
    verbs.fill(noun, VERBS)
