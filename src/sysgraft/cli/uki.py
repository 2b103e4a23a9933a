"""``sysgraft uki``: its verbs; the work is in the ``uki_*`` modules."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sysgraft.cli import uki_options as options
from sysgraft.cli import uki_options_signing as signing
from sysgraft.cli import uki_package_options as packaging
from sysgraft.cli import verbs
from sysgraft.cli.verbs import Verb

if TYPE_CHECKING:
    import argparse

VERBS: Final = [
    Verb(
        "build",
        "make a unified kernel image",
        options.BUILD,
        options.BUILD_EXAMPLE,
        "sysgraft.cli.uki_build",
    ),
    Verb(
        "addon",
        "make an addon to a unified kernel image",
        options.ADDON,
        options.ADDON_EXAMPLE,
        "sysgraft.cli.uki_build",
        "run_addon",
    ),
    Verb(
        "inspect",
        "tell what an EFI executable is",
        options.INSPECT,
        options.INSPECT_EXAMPLE,
        "sysgraft.cli.uki_inspect",
    ),
    Verb(
        "verify",
        "prove that firmware would start an EFI executable",
        signing.VERIFY,
        signing.VERIFY_EXAMPLE,
        "sysgraft.cli.uki_verify",
    ),
    Verb(
        "sign",
        "sign an EFI executable",
        signing.SIGN,
        signing.SIGN_EXAMPLE,
        "sysgraft.cli.uki_sign",
    ),
    Verb(
        "package",
        "make a distribution's package of a unified kernel image",
        packaging.PACKAGE,
        packaging.PACKAGE_EXAMPLE,
        "sysgraft.cli.uki_package",
    ),
]


def fill(noun: argparse.ArgumentParser) -> None:
    """Add the verbs."""
    verbs.fill(noun, VERBS)
