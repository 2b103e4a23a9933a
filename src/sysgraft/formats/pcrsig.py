"""Signed PCR policies as systemd keeps them: ``tpm2-pcr-signature.json``, the section .pcrsig.

An object with a list for each bank; each entry names the PCRs, the key by its fingerprint, the
policy digest and its signature (systemd-measure(1), ``sign``). Entries without a signature are
what ``policy-digest`` prints, to be signed elsewhere. Nothing is verified here, and fields that
are not known are not kept.
"""

from __future__ import annotations

import base64
import json
import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final, NoReturn, TypeAlias

from sysgraft.errors import FormatError, LimitError
from sysgraft.formats.strict_json import is_text

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

MAX_SIZE: Final = 4 << 20
"""Bytes of one document: room for 4,096 RSA-4096 signatures."""
MAX_ENTRIES: Final = 8192
"""Entries of one document, of all banks together."""
PCRS: Final = 24
"""PCRs of a PC (TCG PC Client Platform TPM Profile §3.7); an entry names some of them."""
_DIGEST: Final = 32
_BANK: Final = re.compile(r"[a-z0-9][a-z0-9_-]{0,15}")


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
        FormatError: it is not such a document, or one that two programs may read differently.
    """
    if len(text) > MAX_SIZE:
        raise LimitError(f"PCR signatures of {len(text)} bytes; the limit is {MAX_SIZE}")
    document = _load(text)
    if not isinstance(document, dict):
        raise FormatError("the PCR signatures are not an object with a list for each bank")
    if sum(len(each) for each in document.values() if isinstance(each, list)) > MAX_ENTRIES:
        raise LimitError(f"more than {MAX_ENTRIES} PCR signatures")
    return {bank: _read_bank(bank, entries) for bank, entries in document.items()}


def _load(text: str | bytes) -> object:
    try:
        if isinstance(text, bytes):
            text = text.decode("utf-8")
        return json.loads(
            text.rstrip("\0 \t\r\n"), object_pairs_hook=_unique, parse_constant=_refuse_constant
        )
    except (ValueError, RecursionError) as error:
        raise FormatError("the PCR signatures are not JSON") from error


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise FormatError("the PCR signatures have a name twice in one object")
    return found


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")  # RFC 8259 §6; Python reads NaN and Infinity


def _read_bank(bank: str, entries: object) -> tuple[Entry, ...]:
    if not _BANK.fullmatch(bank):
        raise FormatError("the PCR signatures name something that is no PCR bank")
    if not isinstance(entries, list):
        raise FormatError(f"the PCR signatures of {bank} are not a list")
    return tuple(_read_entry(f"a PCR signature of {bank}", entry) for entry in entries)


def _read_entry(what: str, entry: object) -> Entry:
    if not isinstance(entry, dict):
        raise FormatError(f"{what} is not an object")
    found = Entry(
        pcrs=_read_pcrs(what, entry.get("pcrs")),
        fingerprint=_read_hex(what, entry, "pkfp"),
        policy=_read_hex(what, entry, "pol"),
        signature=_read_base64(what, entry.get("sig", "")),
        reference=_read_reference(what, entry.get("ref", "")),
        to_sign=_read_hex(what, entry, "tbs"),
    )
    if len(found.policy) != _DIGEST or len(found.fingerprint) not in (0, _DIGEST):
        raise FormatError(f"{what} has no policy digest, or a digest of a wrong length")
    return found


def _read_pcrs(what: str, value: object) -> tuple[int, ...]:
    """Indexes of PCRs, in order; systemd reads the list as a set."""
    if not isinstance(value, list) or not value:
        raise FormatError(f"{what} does not name its PCRs")
    # Not isinstance: True is no PCR.
    if not all(type(pcr) is int and 0 <= pcr < PCRS for pcr in value):
        raise FormatError(f"{what} names something that is no PCR")
    if len(set(value)) != len(value):
        raise FormatError(f"{what} names a PCR twice")
    return tuple(sorted(value))


def _read_reference(what: str, value: object) -> str:
    if not is_text(value):
        raise FormatError(f"{what} has a reference that is no text")
    return value


def _read_hex(what: str, entry: Mapping[str, object], name: str) -> bytes:
    value = entry.get(name, "")
    try:
        return bytes.fromhex(value if isinstance(value, str) else "?")
    except ValueError as error:
        raise FormatError(f"{what} has a field {name} that is not hexadecimal") from error


def _read_base64(what: str, value: object) -> bytes:
    try:
        return base64.b64decode(value if isinstance(value, str) else "?", validate=True)
    except ValueError as error:
        raise FormatError(f"{what} has a signature that is not base64") from error


def render(signatures: Mapping[str, Iterable[Entry]]) -> str:
    """The document, as ukify writes it into an image."""
    return json.dumps(as_json(signatures))


def as_json(signatures: Mapping[str, Iterable[Entry]]) -> dict[str, list[dict[str, Any]]]:
    """The document as an object that can be put into another one."""
    return {bank: [_as_json(entry) for entry in entries] for bank, entries in signatures.items()}


def _as_json(entry: Entry) -> dict[str, Any]:
    """The fields in the order of systemd-measure."""
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
    """All entries of all documents, each once, in their order (``systemd-measure --append``)."""
    found: dict[str, dict[Entry, None]] = {}
    for document in documents:
        for bank, entries in document.items():
            found.setdefault(bank, {}).update(dict.fromkeys(entries))
    return {bank: tuple(entries) for bank, entries in found.items()}


_Question: TypeAlias = "tuple[tuple[int, ...], bytes, str]"


def attach(document: Mapping[str, Iterable[Entry]], signed: Signatures) -> Signatures:
    """`document` with the signatures that `signed` has for the same policies.

    An entry of `document` belongs to one of `signed` if bank, PCRs, policy and reference are the
    same, and the key too where both name one. Of several the first is taken.
    """
    return {bank: _attach(entries, signed.get(bank, ())) for bank, entries in document.items()}


def _attach(entries: Iterable[Entry], signed: Iterable[Entry]) -> tuple[Entry, ...]:
    answers: dict[_Question, list[Entry]] = {}
    for entry in signed:
        if entry.signature:
            answers.setdefault(_question(entry), []).append(entry)
    return tuple(_answered(entry, answers.get(_question(entry), ())) for entry in entries)


def _answered(entry: Entry, candidates: Iterable[Entry]) -> Entry:
    for other in candidates:
        if not entry.fingerprint or other.fingerprint in (b"", entry.fingerprint):
            fingerprint = entry.fingerprint or other.fingerprint
            return replace(entry, signature=other.signature, fingerprint=fingerprint)
    return entry


def _question(entry: Entry) -> _Question:
    return entry.pcrs, entry.policy, entry.reference
