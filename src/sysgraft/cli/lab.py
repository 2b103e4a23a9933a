"""``sysgraft lab``: its verbs; the work is in the ``lab_*`` modules."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sysgraft.cli import lab_options as options
from sysgraft.cli import verbs
from sysgraft.cli.verbs import Verb

if TYPE_CHECKING:
    import argparse

VERBS: Final = [
    Verb(
        "run",
        "boot a UKI or a disk in a virtual machine with firmware and a TPM",
        options.RUN,
        options.RUN_EXAMPLE,
        "sysgraft.cli.lab_run",
    ),
    Verb(
        "guest",
        "make the guests to try things with, once",
        options.GUEST,
        options.GUEST_EXAMPLE,
        "sysgraft.cli.lab_guest",
    ),
]


def fill(noun: argparse.ArgumentParser) -> None:
    """Add the verbs."""
    verbs.fill(noun, VERBS)
