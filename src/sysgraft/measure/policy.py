"""Digests of TPM 2.0 policies (TPM 2.0 Library Part 3, the commands TPM2_Policy…).

A signed digest says: with these values in these PCRs, the key's owner agrees. A secret is sealed to
the digest of all that must hold to unseal it. systemd runs its policy sessions with SHA-256,
whatever bank the values are of. Policies in NV indices, as systemd-pcrlock makes, are not handled.
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

FRESH: Final = bytes(32)
"""The digest of a policy session that has begun."""

# TPM_CC of the commands (Part 2, "TPM_CC").
_POLICY_AUTHORIZE: Final = 0x0000_016A
_POLICY_AUTH_VALUE: Final = 0x0000_016B
_POLICY_PCR: Final = 0x0000_017F
_SELECT_SIZE: Final = PCRS // 8
"""Bytes of a PCR mask."""


def sealed_policy(
    *,
    bank: str = "sha256",
    values: Mapping[int, bytes] | None = None,
    key_name: bytes = b"",
    reference: str = "",
    with_pin: bool = False,
) -> bytes:
    """What systemd seals the secret of a volume to (``tpm2_calculate_sealing_policy``).

    The digest of a LUKS2 token (``tpm2-policy-hash``) that has no policy of systemd-pcrlock; of one
    with a key and pcrlock both, the first digest.

    Args:
        bank: which bank the values are of.
        values: the value of each PCR that is fixed in the policy itself, by its index.
        key_name: the name of the key whose signed policies count (`sysgraft.measure.tpm_name`);
            empty if there is none.
        reference: what these signatures are bound to beside the policy.
        with_pin: whether a PIN is needed.
    """
    digest = FRESH
    if key_name:
        digest = policy_authorize(key_name, policy_reference(reference))
    if values:
        digest = policy_pcr(bank, values, start=digest)
    return policy_auth_value(digest) if with_pin else digest


def policy_pcr(bank: str, values: Mapping[int, bytes], *, start: bytes = FRESH) -> bytes:
    """The digest of a SHA-256 policy session after PolicyPCR.

    Args:
        bank: which bank the values are of.
        values: the value of each PCR that counts, by its index.
        start: the digest before.
    """
    digest = hashlib.sha256(b"".join(values[index] for index in sorted(values))).digest()
    return _extended(start, _POLICY_PCR, selection(bank, values) + digest)


def policy_authorize(name: bytes, reference: bytes = b"") -> bytes:
    """The digest after PolicyAuthorize, whatever it was before: any policy the key has signed.

    Args:
        name: the TPM's name of the key.
        reference: policyRef, what the signature is bound to beside the policy.
    """
    return hashlib.sha256(_extended(FRESH, _POLICY_AUTHORIZE, name) + reference).digest()


def policy_reference(text: str) -> bytes:
    """What systemd makes of a reference: the SHA-256 of the text as policyRef, nothing of none."""
    return hashlib.sha256(text.encode("utf-8")).digest() if text else b""


def policy_auth_value(start: bytes = FRESH) -> bytes:
    """The digest after PolicyAuthValue: the secret's own password is needed, systemd's PIN."""
    return _extended(start, _POLICY_AUTH_VALUE)


def _extended(start: bytes, command: int, data: bytes = b"") -> bytes:
    return hashlib.sha256(start + struct.pack(">I", command) + data).digest()


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
