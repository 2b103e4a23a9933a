"""Tokens of LUKS2 headers: how systemd binds a key slot to a TPM.

The fields are those systemd-cryptenroll writes (systemd ``src/shared/tpm2-util.c``,
``tpm2_make_luks2_json`` and ``tpm2_parse_luks2_json``), for type ``systemd-tpm2``. Of other tokens
only type and key slots are read; ``systemd-recovery`` has no more. Sealed secrets are counted, not
kept, and nothing is asked of a TPM. Parameters of the PIN's key derivation are not read.
"""

from __future__ import annotations

import base64
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TypeAlias

from sysgraft.errors import FormatError, LimitError
from sysgraft.formats.pcrsig import PCRS
from sysgraft.formats.strict_json import as_hex, as_list, as_number, as_text

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

TPM2: Final = "systemd-tpm2"
"""The type of tokens that a TPM opens."""
RECOVERY: Final = "systemd-recovery"
"""The type of tokens that mark the key slot of a recovery key."""
MAX_SHARDS: Final = 16
"""Sealed secrets or policies of one token; systemd makes one or two."""

_POLICY: Final = 32
_BANK: Final = re.compile(r"[a-z0-9][a-z0-9_-]{0,15}")


@dataclass(frozen=True, slots=True)
class Tpm2Token:
    """A key slot that a TPM opens while its PCRs allow it.

    Attributes:
        number: its identifier.
        keyslots: what it opens; one, where systemd made it.
        pcrs: whose values are fixed in the policy itself, in order.
        bank: of which bank; empty where it is chosen when unlocking.
        policies: the digests the secrets are sealed to, 32 bytes each. With a public key and
            pcrlock both, the first is about the key.
        blobs: how many sealed secrets there are.
        public_key: whose signed policies are accepted too, PEM; empty if there is none.
        public_key_pcrs: which PCRs those policies are about, in order.
        reference: what their signatures are bound to beside the policy (policyRef, since v262).
        has_pin: whether a PIN is needed beside.
        has_pcrlock: whether a policy of systemd-pcrlock is needed beside.
        has_salt: whether the PIN is salted (since v253).
        has_srk: whether the storage root key is named (since v254).
    """

    number: int
    keyslots: tuple[int, ...]
    pcrs: tuple[int, ...]
    bank: str
    policies: tuple[bytes, ...]
    blobs: int
    public_key: bytes = b""
    public_key_pcrs: tuple[int, ...] = ()
    reference: str = ""
    has_pin: bool = False
    has_pcrlock: bool = False
    has_salt: bool = False
    has_srk: bool = False


@dataclass(frozen=True, slots=True)
class OtherToken:
    """Any other token.

    Attributes:
        number: its identifier.
        keyslots: what it opens; may be empty.
        type: who knows what it means.
    """

    number: int
    keyslots: tuple[int, ...]
    type: str

    @property
    def is_recovery(self) -> bool:
        """Whether it marks the key slot of a recovery key."""
        return self.type == RECOVERY


Token: TypeAlias = Tpm2Token | OtherToken


def read_token(number: int, fields: Mapping[str, object], known: tuple[int, ...]) -> Token:
    """One token.

    Args:
        number: its identifier.
        fields: its JSON object.
        known: the key slots there are.

    Raises:
        LimitError: more than `MAX_SHARDS` secrets or policies.
        FormatError: a field is missing, or is not what it has to be.
    """
    what = f"token {number}"
    kind = as_text(fields.get("type"), f"the type of {what}")
    keyslots = _keyslots(fields.get("keyslots"), f"keyslots of {what}", known)
    if kind != TPM2:
        return OtherToken(number, keyslots, kind)
    token = Tpm2Token(
        number=number,
        keyslots=keyslots,
        pcrs=_pcrs(fields.get("tpm2-pcrs"), f"tpm2-pcrs of {what}"),
        bank=_bank(fields.get("tpm2-pcr-bank", ""), f"tpm2-pcr-bank of {what}"),
        policies=_shards(fields.get("tpm2-policy-hash"), f"tpm2-policy-hash of {what}", _policy),
        blobs=len(_shards(fields.get("tpm2-blob"), f"tpm2-blob of {what}", _base64)),
        public_key=_base64(fields.get("tpm2_pubkey", ""), f"tpm2_pubkey of {what}"),
        public_key_pcrs=_pcrs(fields.get("tpm2_pubkey_pcrs", []), f"tpm2_pubkey_pcrs of {what}"),
        reference=as_text(fields.get("tpm2_pubkey_ref", ""), f"tpm2_pubkey_ref of {what}"),
        has_pin=_flag(fields.get("tpm2-pin", False), f"tpm2-pin of {what}"),
        has_pcrlock=_flag(fields.get("tpm2_pcrlock", False), f"tpm2_pcrlock of {what}"),
        has_salt=bool(_base64(fields.get("tpm2_salt", ""), f"tpm2_salt of {what}")),
        has_srk=bool(_base64(fields.get("tpm2_srk", ""), f"tpm2_srk of {what}")),
    )
    if token.public_key_pcrs and not token.public_key:
        raise FormatError(f"{what} names PCRs of signed policies and no key")
    return token


def _keyslots(value: object, what: str, known: tuple[int, ...]) -> tuple[int, ...]:
    """Identifiers of key slots that there are: numbers in quotes."""
    names = {str(number): number for number in known}
    found = [names.get(as_text(each, what)) for each in as_list(value, what)]
    present = tuple(number for number in found if number is not None)
    if len(present) != len(found) or len(set(present)) != len(present):
        raise FormatError(f"{what} are none of the header, or one twice")
    return present


def _pcrs(value: object, what: str) -> tuple[int, ...]:
    """Indexes of PCRs; the list is a set."""
    found = {as_number(each, f"a PCR in {what}", below=PCRS) for each in as_list(value, what)}
    return tuple(sorted(found))


def _bank(value: object, what: str) -> str:
    text = as_text(value, what)
    if text and not _BANK.fullmatch(text):
        raise FormatError(f"{what} is no PCR bank")
    return text


def _shards(value: object, what: str, decode: Callable[[object, str], bytes]) -> tuple[bytes, ...]:
    """One text, or a list of them since v257."""
    texts = value if isinstance(value, list) else [value]
    if len(texts) > MAX_SHARDS:
        raise LimitError(f"{what} has more than {MAX_SHARDS} parts")
    found = tuple(decode(each, what) for each in texts)
    if not found or not all(found):
        raise FormatError(f"{what} is empty")
    return found


def _policy(value: object, what: str) -> bytes:
    digest = as_hex(value, what)
    if len(digest) != _POLICY:
        raise FormatError(f"{what} is not a SHA-256 digest")
    return digest


def _base64(value: object, what: str) -> bytes:
    try:
        return base64.b64decode(value if isinstance(value, str) else "?", validate=True)
    except ValueError as error:
        raise FormatError(f"{what} is not base64") from error


def _flag(value: object, what: str) -> bool:
    if not isinstance(value, bool):
        raise FormatError(f"{what} is neither true nor false")
    return value
