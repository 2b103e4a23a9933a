"""Digests of TPM 2.0 policies about PCRs (TPM 2.0 Library Part 3, "TPM2_PolicyPCR").

A signed digest says: with these values in these PCRs, the key's owner agrees. systemd runs its
policy sessions with SHA-256, whatever bank the values are of.
"""

from __future__ import annotations

import hashlib
import struct
from typing import TYPE_CHECKING, Final

from sysgraft.errors import UsageError
from sysgraft.formats.pcrsig import PCRS
from sysgraft.measure.pcr import BANKS

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

_POLICY_PCR: Final = 0x0000_017F
"""TPM_CC_PolicyPCR."""
_SELECT_SIZE: Final = PCRS // 8
"""Bytes of a PCR mask."""


def policy_pcr(bank: str, values: Mapping[int, bytes]) -> bytes:
    """The digest of a fresh SHA-256 policy session after PolicyPCR.

    Args:
        bank: which bank the values are of.
        values: the value of each PCR that counts, by its index.
    """
    digest = hashlib.sha256(b"".join(values[index] for index in sorted(values))).digest()
    return hashlib.sha256(
        bytes(32) + struct.pack(">I", _POLICY_PCR) + selection(bank, values) + digest
    ).digest()


def selection(bank: str, pcrs: Iterable[int]) -> bytes:
    """TPML_PCR_SELECTION with one bank (Part 2, "TPML_PCR_SELECTION").

    Raises:
        UsageError: there is no such PCR.
    """
    mask = 0
    for index in pcrs:
        if not 0 <= index < PCRS:
            raise UsageError(f"no PCR {index}: a TPM of a PC has 0 to {PCRS - 1}")
        mask |= 1 << index
    head = struct.pack(">IHB", 1, BANKS[bank], _SELECT_SIZE)
    return head + mask.to_bytes(_SELECT_SIZE, "little")
