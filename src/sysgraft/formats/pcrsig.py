"""Signed PCR policies as systemd keeps them: ``tpm2-pcr-signature.json``, the section .pcrsig.

An object with a list for each bank; each entry names the PCRs, the key by its fingerprint, the
policy digest and its signature (systemd-measure(1), ``sign``). Entries without a signature are
what ``policy-digest`` prints, to be signed elsewhere. Nothing is verified here.
"""

from __future__ import annotations

import base64
import binascii
import json
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from sysgraft.errors import FormatError, LimitError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

MAX_SIZE: Final = 4 << 20
"""Bytes of one document: room for 4,096 RSA-4096 signatures."""
MAX_ENTRIES: Final = 8192
_DIGEST: Final = 32


@dataclass(frozen=True, slots=True)
class Entry:
    """One policy of one bank.

    Attributes:
        pcrs: their indexes, in order.
        fingerprint: SHA-256 of the public key (see `sysgraft.sign.pcr.fingerprint`); empty if
            the entry has none.
        policy: the policy's digest, 32 bytes.
        signature: over the digest; empty if it is not signed yet.
        reference: what the signature is bound to beside the policy (policyRef, since v262).
        to_sign: the bytes to be signed, where the entry says them (since v262).
    """

    pcrs: tuple[int, ...]
    fingerprint: bytes
    policy: bytes
    signature: bytes = b""
    reference: str = ""
    to_sign: bytes = b""


Signatures: TypeAlias = "dict[str, tuple[Entry, ...]]"
"""Entries by bank."""


def parse(text: str | bytes) -> Signatures:
    """Read a document; white space and NULs behind it are padding.

    Raises:
        LimitError: more than `MAX_SIZE` bytes or `MAX_ENTRIES` entries.
        FormatError: it is not such a document.
    """
    if len(text) > MAX_SIZE:
        raise LimitError(f"PCR signatures of {len(text)} bytes; the limit is {MAX_SIZE}")
    try:
        if isinstance(text, bytes):
            text = text.decode("utf-8")
        document = json.loads(text.rstrip("\0 \n"))
    except (ValueError, RecursionError) as error:
        raise FormatError("the PCR signatures are not JSON") from error
    if not isinstance(document, dict):
        raise FormatError("the PCR signatures are not an object with a list for each bank")
    if sum(len(each) for each in document.values() if isinstance(each, list)) > MAX_ENTRIES:
        raise LimitError(f"more than {MAX_ENTRIES} PCR signatures")
    return {bank: _read_bank(bank, entries) for bank, entries in document.items()}


def _read_bank(bank: str, entries: object) -> tuple[Entry, ...]:
    if not isinstance(entries, list):
        raise FormatError(f"the PCR signatures of {bank} are not a list")
    return tuple(_read_entry(bank, entry) for entry in entries)


def _read_entry(bank: str, entry: object) -> Entry:
    if not isinstance(entry, dict):
        raise FormatError(f"a PCR signature of {bank} is not an object")
    pcrs = entry.get("pcrs")
    if not isinstance(pcrs, list) or not all(type(pcr) is int and 0 <= pcr < 24 for pcr in pcrs):
        raise FormatError(f"a PCR signature of {bank} does not name its PCRs")
    reference = entry.get("ref", "")
    if not isinstance(reference, str):
        raise FormatError(f"a PCR signature of {bank} has a reference that is no text")
    found = Entry(
        pcrs=tuple(pcrs),
        fingerprint=_hex(entry.get("pkfp", ""), bank),
        policy=_hex(entry.get("pol"), bank),
        signature=_base64(entry.get("sig", ""), bank),
        reference=reference,
        to_sign=_hex(entry.get("tbs", ""), bank),
    )
    if len(found.policy) != _DIGEST or len(found.fingerprint) not in (0, _DIGEST):
        raise FormatError(f"a PCR signature of {bank} has a digest of a wrong length")
    return found


def _hex(value: object, bank: str) -> bytes:
    if not isinstance(value, str):
        raise FormatError(f"a PCR signature of {bank} has no policy digest")
    try:
        return bytes.fromhex(value)
    except ValueError as error:
        raise FormatError(f"a PCR signature of {bank} holds something that is no hex") from error


def _base64(value: object, bank: str) -> bytes:
    try:
        return base64.b64decode(value if isinstance(value, str) else "=", validate=True)
    except (binascii.Error, ValueError) as error:
        raise FormatError(f"a PCR signature of {bank} is not base64") from error


def render(signatures: Mapping[str, Iterable[Entry]]) -> str:
    """The document, as ukify writes it into an image."""
    return json.dumps(
        {bank: [_as_json(entry) for entry in entries] for bank, entries in signatures.items()}
    )


def _as_json(entry: Entry) -> dict[str, Any]:
    fields: dict[str, Any] = {"pcrs": list(entry.pcrs)}
    if entry.fingerprint:
        fields["pkfp"] = entry.fingerprint.hex()
    if entry.reference:
        fields["ref"] = entry.reference
    fields["pol"] = entry.policy.hex()
    if entry.to_sign:
        fields["tbs"] = entry.to_sign.hex()
    if entry.signature:
        fields["sig"] = base64.b64encode(entry.signature).decode("ascii")
    return fields


def merge(*documents: Mapping[str, Iterable[Entry]]) -> Signatures:
    """All entries of all documents, each once, in their order."""
    found: dict[str, dict[Entry, None]] = {}
    for document in documents:
        for bank, entries in document.items():
            found.setdefault(bank, {}).update(dict.fromkeys(entries))
    return {bank: tuple(entries) for bank, entries in found.items()}


def attach(document: Mapping[str, Iterable[Entry]], signed: Signatures) -> Signatures:
    """`document` with the signatures that `signed` has for the same policies.

    An entry of `document` belongs to one of `signed` if bank, PCRs, policy and reference are the
    same, and the key too where both name one.
    """
    return {
        bank: tuple(_attached(entry, signed.get(bank, ())) for entry in entries)
        for bank, entries in document.items()
    }


def _attached(entry: Entry, candidates: Iterable[Entry]) -> Entry:
    for other in candidates:
        same_key = not (entry.fingerprint and other.fingerprint) or (
            entry.fingerprint == other.fingerprint
        )
        if other.signature and same_key and _question(entry) == _question(other):
            fingerprint = entry.fingerprint or other.fingerprint
            return replace(entry, signature=other.signature, fingerprint=fingerprint)
    return entry


def _question(entry: Entry) -> tuple[tuple[int, ...], bytes, str]:
    return entry.pcrs, entry.policy, entry.reference
