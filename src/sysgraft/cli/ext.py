"""``sysgraft ext``: its verbs; the work is in the ``ext_*`` modules."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sysgraft.cli import ext_lint_options, verbs
from sysgraft.cli import ext_options as options
from sysgraft.cli.verbs import Verb

if TYPE_CHECKING:
    import argparse

VERBS: Final = [
    Verb(
        "build",
        "make an extension image",
        options.BUILD,
        options.BUILD_EXAMPLE,
        "sysgraft.cli.ext_build",
    ),
    Verb(
        "inspect",
        "tell what an image is",
        options.INSPECT,
        options.INSPECT_EXAMPLE,
        "sysgraft.cli.ext_inspect",
    ),
    Verb(
        "verify",
        "prove that an image is genuine",
        options.VERIFY,
        options.VERIFY_EXAMPLE,
        "sysgraft.cli.ext_verify",
    ),
    Verb(
        "sign",
        "sign an image, or exchange its signature",
        options.SIGN,
        options.SIGN_EXAMPLE,
        "sysgraft.cli.ext_sign",
    ),
    Verb(
        "unsign",
        "take the signature out of an image",
        options.UNSIGN,
        options.UNSIGN_EXAMPLE,
        "sysgraft.cli.ext_unsign",
    ),
    Verb(
        "diff",
        "tell what is different between two images",
        options.DIFF,
        options.DIFF_EXAMPLE,
        "sysgraft.cli.ext_diff",
    ),
    Verb(
        "extract",
        "put the files of an image into a folder",
        options.EXTRACT,
        options.EXTRACT_EXAMPLE,
        "sysgraft.cli.ext_extract",
    ),
    Verb(
        "order",
        "tell which extension lies over which",
        options.ORDER,
        options.ORDER_EXAMPLE,
        "sysgraft.cli.ext_order",
    ),
    Verb(
        "lint",
        "find what will go wrong with a set of extensions",
        ext_lint_options.LINT,
        ext_lint_options.EXAMPLE,
        "sysgraft.cli.ext_lint",
    ),
]


def fill(noun: argparse.ArgumentParser) -> None:
    """Add the verbs."""
    verbs.fill(noun, VERBS)
