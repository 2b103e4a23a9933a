"""``sysgraft keys``: its verbs; the work is in the ``keys_*`` modules."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sysgraft.cli import keys_options as options
from sysgraft.cli import verbs
from sysgraft.cli.verbs import Verb

if TYPE_CHECKING:
    import argparse

VERBS: Final = [
    Verb(
        "generate",
        "make the keys of Secure Boot, PCR policies and extensions",
        options.GENERATE,
        options.GENERATE_EXAMPLE,
        "sysgraft.cli.keys_generate",
    ),
    Verb(
        "sign",
        "sign a new value of PK, KEK, db or dbx",
        options.SIGN,
        options.SIGN_EXAMPLE,
        "sysgraft.cli.keys_sign",
    ),
    Verb(
        "certify",
        "make a certificate for a key that is there",
        options.CERTIFY,
        options.CERTIFY_EXAMPLE,
        "sysgraft.cli.keys_certify",
    ),
    Verb(
        "enroll-vars",
        "bring keys to a firmware",
        options.ENROLL,
        options.ENROLL_EXAMPLE,
        "sysgraft.cli.keys_enroll",
    ),
]


def fill(noun: argparse.ArgumentParser) -> None:
    """Add the verbs."""
    verbs.fill(noun, VERBS)
