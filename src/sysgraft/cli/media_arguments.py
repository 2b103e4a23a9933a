"""The arguments of ``sysgraft media`` as the library takes them."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING, Final
from uuid import UUID

from sysgraft.build.media.options import BootImage, Extra, MediaOptions, PartitionFile
from sysgraft.build.uki.budget import MEGABYTE
from sysgraft.cli.epoch import source_date_epoch
from sysgraft.cli.signing import signing_pair
from sysgraft.errors import UsageError
from sysgraft.formats.bls import split_counter

if TYPE_CHECKING:
    import argparse

    from sysgraft.sign.pair import SigningPair

_SIZE: Final = re.compile(r"([0-9]{1,15})([KMGT]?)(?:i?B)?", re.IGNORECASE)
_POWERS: Final = {"": 0, "k": 1, "m": 2, "g": 3, "t": 4}


def media_options(arguments: argparse.Namespace) -> MediaOptions:
    """What goes onto the medium.

    Raises:
        UsageError: an argument is none of its kind.
    """
    if arguments.efi_size_warn < 1:
        raise UsageError("--efi-size-warn is at least 1")
    return MediaOptions(
        images=[_image(text) for text in arguments.uki],
        layout=arguments.layout,
        extras=[Extra(*_named(text)) for text in arguments.extra],
        shared=arguments.shared,
        carried=arguments.carry,
        boot_loader=arguments.boot_loader,
        signing=_signing(arguments),
        timeout=arguments.timeout,
        default=arguments.default,
        console_mode=arguments.console_mode,
        tries=arguments.tries,
        title=arguments.title,
        keys=arguments.keys,
        enrolment=arguments.secure_boot_enroll,
        allow_unverified=arguments.allow_unverified,
        warn_size=arguments.efi_size_warn * MEGABYTE,
        time=source_date_epoch(arguments.source_date_epoch) or 0,
        seed=_uuid(arguments.seed) if arguments.seed else None,
    )


def partition(text: str) -> PartitionFile:
    """``ROLE[:UUID]=FILE``.

    Raises:
        UsageError: it is something else.
    """
    role, path = _named(text)
    if not role or not path:
        raise UsageError(f"--partition takes ROLE=FILE, not {text!r}")
    role, colon, uuid = role.partition(":")
    return PartitionFile(role, path, _uuid(uuid) if colon else None)


def size_in_bytes(text: str | None) -> int | None:
    """A size with its unit in bytes.

    Raises:
        UsageError: it is none.
    """
    if text is None:
        return None
    match = _SIZE.fullmatch(text)
    if match is None:
        raise UsageError(f"not a size: {text!r}", hint="such as 512M or 2G")
    return int(match[1]) << 10 * _POWERS[match[2].lower()]


def _image(text: str) -> BootImage:
    name, path = _named(text)
    if not name:
        file = split_counter(os.path.basename(path)).name
        name = file[: -len(".efi")] if file.lower().endswith(".efi") else file
    return BootImage(name, path)


def _named(text: str) -> tuple[str, str]:
    """What stands before the first ``=``, if that is no path."""
    name, equals, path = text.partition("=")
    return (name, path) if equals and "/" not in name else ("", text)


def _signing(arguments: argparse.Namespace) -> SigningPair | None:
    if not arguments.private_key and not arguments.certificate:
        return None
    # Firmware takes the signer's certificate from the signature.
    arguments.nocerts = False
    return signing_pair(arguments)


def _uuid(text: str) -> UUID:
    try:
        return UUID(text)
    except ValueError:
        raise UsageError(f"not a UUID: {text!r}") from None
