"""What systemd extended PCRs with: ``/run/log/systemd/tpm2-measure.log``, and its records.

JSON texts, each behind a record separator (RFC 7464). A record names a PCR or an NV index, its
digests, and what was measured (systemd ``src/shared/tpm2-util.c``, ``tpm2_userspace_log``; read by
``src/pcrlock/pcrlock.c``). The components of systemd-pcrlock have the same records
(`sysgraft.formats.pcrlock`). Nothing is held to the digests here: words and digests are the
writer's, and what systemd-cryptsetup measures is keyed with a volume key.
"""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from sysgraft.errors import FormatError, LimitError
from sysgraft.formats.pcrsig import PCRS
from sysgraft.formats.strict_json import as_hex, as_list, as_number, as_object, as_text, load

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

MAX_LOG: Final = 16 << 20
"""Bytes of a log: a boot writes some ten records of one KiB."""
MAX_RECORDS: Final = 1 << 16
MAX_RECORD: Final = 64 << 10
"""Bytes of one record's text."""
MAX_ITEMS: Final = 1 << 20
"""Braces, brackets and commas of a log, those in texts included: a record has some twenty."""
MAX_DIGESTS: Final = 16
"""Digests of one record: TPMs have up to five banks."""

CONTENT_TYPE: Final = "systemd"
"""``content_type`` of systemd's records."""
BANKS: Final[Mapping[str, int]] = MappingProxyType(
    {"sha1": 20, "sha256": 32, "sha384": 48, "sha512": 64}
)
"""The banks that systemd knows, and their digests' length; digests of others are left out."""

_SEPARATOR: Final = b"\x1e"
_WHAT: Final = "a record of the measurement log"


@dataclass(frozen=True, slots=True)
class Record:
    """One measurement; either `pcr` or `nv_index` is there.

    Attributes:
        pcr: which PCR was extended.
        nv_index: which NV index was extended (since v259).
        digests: with what, by bank.
        content_type: whose words the content is; empty if nobody says.
        content: what was measured, as JSON; None if nobody says.
    """

    pcr: int | None
    nv_index: int | None
    digests: Mapping[str, bytes]
    content_type: str = ""
    content: Mapping[str, object] | None = None

    @property
    def text(self) -> str | None:
        """What was measured, in words; may hold halves of characters. None if nobody says."""
        return self._word("string")

    @property
    def event_type(self) -> str | None:
        """What kind of event it was, such as ``phase``; as `text` otherwise."""
        return self._word("eventType")

    def _word(self, name: str) -> str | None:
        value = self.content.get(name) if self.content else None
        return value if isinstance(value, str) else None


def parse(log: bytes) -> tuple[Record, ...]:
    """All records of a log.

    Raises:
        LimitError: more than `MAX_LOG` bytes, `MAX_RECORDS` records or `MAX_ITEMS` items, or a
            record longer than `MAX_RECORD`.
        FormatError: it is no such log, or damaged.
    """
    if len(log) > MAX_LOG:
        raise LimitError(f"a measurement log of {len(log)} bytes; the limit is {MAX_LOG}")
    if log and not log.startswith(_SEPARATOR):
        raise FormatError("the measurement log does not begin with a record separator")
    if log.count(_SEPARATOR) > MAX_RECORDS:
        raise LimitError(f"a measurement log of more than {MAX_RECORDS} records")
    if sum(map(log.count, (b"{", b"[", b","))) > MAX_ITEMS:
        raise LimitError(f"a measurement log of more than {MAX_ITEMS} objects, lists and commas")
    return tuple(map(parse_record, split(log)))


def split(log: bytes, *, most: int = MAX_RECORDS) -> Iterator[bytes]:
    """The texts of the first `most` records; what is before the first separator is left out."""
    yield from log.split(_SEPARATOR, most + 1)[1 : most + 1]


def parse_record(text: bytes) -> Record:
    """One record.

    Raises:
        LimitError: more than `MAX_RECORD` bytes.
        FormatError: it is no record.
    """
    if len(text) > MAX_RECORD:
        raise LimitError(f"{_WHAT} has {len(text)} bytes; the limit is {MAX_RECORD}")
    return read_record(load(text, _WHAT))


def read_record(value: object) -> Record:
    """The record that a JSON value is.

    Raises:
        FormatError: it is none; also by its subclasses.
    """
    fields = as_object(value, _WHAT)
    content, kind = fields.get("content"), fields.get("content_type")
    return Record(
        pcr=_place(fields, "pcr", PCRS),
        # The last number stands for none in systemd.
        nv_index=_place(fields, "nv_index", 2**32 - 1),
        digests=_digests(as_list(fields.get("digests"), f"digests of {_WHAT}")),
        content_type=kind if isinstance(kind, str) else "",
        content=content if isinstance(content, dict) else None,
    )


def _place(fields: Mapping[str, object], name: str, below: int) -> int | None:
    if ("pcr" in fields) == ("nv_index" in fields):
        raise FormatError(f"{_WHAT} names no place, or two: pcr or nv_index")
    return as_number(fields[name], f"{name} of {_WHAT}", below=below) if name in fields else None


def _digests(values: list[object]) -> Mapping[str, bytes]:
    if len(values) > MAX_DIGESTS:
        raise LimitError(f"{_WHAT} has more than {MAX_DIGESTS} digests")
    found: dict[str, bytes] = {}
    for value in values:
        fields = as_object(value, f"a digest of {_WHAT}")
        bank = as_text(fields.get("hashAlg"), f"hashAlg of {_WHAT}")
        digest = as_hex(fields.get("digest"), f"a digest of {_WHAT}")
        if bank in found or len(digest) != BANKS.get(bank, len(digest)):
            raise FormatError(f"{_WHAT} has a digest twice, or of a wrong length")
        if bank in BANKS:
            found[bank] = digest
    return MappingProxyType(found)


def place_fields(record: Record) -> dict[str, object]:
    """Where it was measured, as in JSON."""
    return {"nv_index": record.nv_index} if record.pcr is None else {"pcr": record.pcr}


def digest_fields(digests: Mapping[str, bytes]) -> list[dict[str, str]]:
    """Digests as in JSON; those of banks that systemd does not know are left out."""
    return [
        {"hashAlg": bank, "digest": digest.hex()}
        for bank, digest in digests.items()
        if bank in BANKS
    ]
