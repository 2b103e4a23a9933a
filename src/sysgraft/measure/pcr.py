"""PCR banks and the one thing that can be done to a PCR: extend it.

The names of the banks are those of systemd and of ``hashlib``; the numbers are TPM_ALG_ID (TPM 2.0
Library Part 2, "TPM_ALG_ID"). Whoever measures something hashes it; here are only digests.
"""

from __future__ import annotations

import hashlib
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from sysgraft.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

BANKS: Final[Mapping[str, int]] = MappingProxyType(
    {"sha1": 0x0004, "sha256": 0x000B, "sha384": 0x000C, "sha512": 0x000D}
)
"""The banks systemd measures into, with their algorithm numbers, in the order of its tools."""


def check_bank(name: str) -> str:
    """`name` in lower case.

    Raises:
        UsageError: there is no such bank.
    """
    found = name.strip().lower()
    if found not in BANKS:
        raise UsageError(f"unknown PCR bank {name!r}", hint=f"known: {', '.join(BANKS)}")
    return found


def start(bank: str) -> bytes:
    """A PCR after the machine was switched on: zeros."""
    return bytes(hashlib.new(bank).digest_size)


def extend(bank: str, value: bytes, digest: bytes) -> bytes:
    """The PCR's new value (TPM 2.0 Library Part 1, "Extend")."""
    return hashlib.new(bank, value + digest).digest()


def extend_all(bank: str, value: bytes, digests: Iterable[bytes]) -> bytes:
    """The value after several digests."""
    for digest in digests:
        value = extend(bank, value, digest)
    return value
