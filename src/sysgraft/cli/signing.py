"""The signing options that several verbs share."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Final

from sysgraft.errors import KeyMaterialError, UsageError
from sysgraft.host.small import read_secret
from sysgraft.sign.pair import load_pair

if TYPE_CHECKING:
    import argparse

    from sysgraft.sign.pair import SigningPair

PASSPHRASE_VARIABLE: Final = "SYSGRAFT_PASSPHRASE"  # noqa: S105  a name, not a secret
_PASSPHRASE_MAX: Final = 4096


def signing_pair(arguments: argparse.Namespace) -> SigningPair:
    """The key and certificate that the options name.

    Raises:
        UsageError: only one of the two, or none.
        KeyMaterialError: they cannot be used.
    """
    if not arguments.private_key or not arguments.certificate:
        raise UsageError(
            "signing needs a key and its certificate",
            hint="give --private-key and --certificate, or build with --unsigned",
        )
    return load_pair(
        arguments.private_key,
        arguments.certificate,
        passphrase=lambda: ask_passphrase(arguments.passphrase_file, arguments.private_key),
        include_certificate=not arguments.nocerts,
    )


def ask_passphrase(file: str | None, key: str) -> bytes:
    """A passphrase or PIN: from a file, the environment, or the person at the terminal.

    Args:
        file: the value of ``--passphrase-file``.
        key: what it is for, as the user called it.

    Raises:
        KeyMaterialError: nobody gives one.
    """
    if file:
        data = read_secret(file, _PASSPHRASE_MAX, "passphrase")
        return data.removesuffix(b"\n").removesuffix(b"\r")
    if PASSPHRASE_VARIABLE in os.environ:
        return os.environb[PASSPHRASE_VARIABLE.encode()]
    if sys.stdin is None or not sys.stdin.isatty():
        raise KeyMaterialError(
            "the private key needs a passphrase or PIN, and there is none",
            hint=f"give --passphrase-file or set {PASSPHRASE_VARIABLE}",
        )
    import getpass  # noqa: PLC0415  only for a person at a terminal

    return getpass.getpass(f"passphrase or PIN of {key}: ").encode()
