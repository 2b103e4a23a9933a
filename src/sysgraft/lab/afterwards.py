"""What extends PCRs after the firmware's event log is closed, as the guest's own lists tell it.

* Linux' IMA keeps a list of what it puts into PCR 10 (``security/integrity/ima/ima_fs.c``). With
  Secure Boot on, kernel modules are in it.
* systemd keeps a log of all it extends (`sysgraft.formats.tpm_userspace_log`).

The probe may have brought both along. `sysgraft.measure.later` tries them, and what is known to
come without a list, on the TPM's values. A record counts with a digest for every bank only, and if
these are the digests of its words. The one exception are the records of systemd-cryptsetup, whose
digests are keyed with a volume key: there the words are the guest's own.
"""

from __future__ import annotations

import hashlib
import struct
from typing import TYPE_CHECKING, Final, NamedTuple

from sysgraft.errors import FormatError
from sysgraft.formats import tpm_userspace_log
from sysgraft.lab.answers import plain
from sysgraft.measure import later

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sysgraft.lab.report import Banks

MAX_RECORDS: Final = 10_000
MAX_LOG: Final = 16 << 20
"""Bytes of a list; what is longer is not read."""
MAX_RECORD: Final = 64 << 10
"""Bytes of one of systemd's records."""

# Each field of a measurement has its length before it.
_LENGTH: Final = struct.Struct("<I")
# An entry of binary_runtime_measurements (``ima_fs.c``): PCR, SHA-1 of the data, length of the
# template's name, that, length of the data, those.
_IMA_HEAD: Final = struct.Struct("<I20sI")
_BANKS: Final = ("sha1", "sha256", "sha384", "sha512")
# cryptsetup:VOLUME:UUID, and what of it later versions measure (systemd, ``src/cryptsetup``).
_KEYED: Final = "cryptsetup"


class Record(NamedTuple):
    """An entry of either list.

    Attributes:
        pcr: which PCR was extended.
        digests: with what, by bank.
        text: what was measured.
    """

    pcr: int
    digests: Mapping[str, bytes]
    text: str


def explain(pcr: int, start: Banks, end: Banks, records: tuple[Record, ...]) -> tuple[str, ...]:
    """The words for what lies between two values of a PCR; empty if nothing known leads there.

    Args:
        pcr: its number.
        start: the values at the end of the firmware's log; only the banks to look at.
        end: the TPM's values.
        records: systemd's log; empty if there is none.
    """
    return later.explain(pcr, start, end, records) or ()


def read_ima(log: bytes) -> tuple[Record, ...]:
    """The entries of IMA's list; a damaged one ends it."""
    log = log[:MAX_LOG]
    found: list[Record] = []
    position = 0
    while position + _IMA_HEAD.size <= len(log) and len(found) < MAX_RECORDS:
        pcr, digest, length = _IMA_HEAD.unpack_from(log, position)
        start = position + _IMA_HEAD.size + length
        if start + _LENGTH.size > len(log):
            break
        (size,) = _LENGTH.unpack_from(log, start)
        start += _LENGTH.size
        data = log[start : start + size]
        if len(data) != size:
            break
        # Where a file changed while it was read, zeros are listed and ones are measured.
        values = {
            bank: hashlib.new(bank, data).digest()
            if any(digest)
            else b"\xff" * hashlib.new(bank).digest_size
            for bank in _BANKS
        }
        found.append(Record(pcr, values, _ima_name(data)))
        position = start + size
    return tuple(found)


def _ima_name(data: bytes) -> str:
    """The second field: what was measured."""
    start = _LENGTH.size + int.from_bytes(data[: _LENGTH.size], "little")
    size = int.from_bytes(data[start : start + _LENGTH.size], "little")
    name = data[start + _LENGTH.size : start + _LENGTH.size + size]
    return name.rstrip(b"\0").decode(errors="replace") or "without a name"


def read_records(log: bytes) -> tuple[Record, ...]:
    """The entries of systemd's log; a damaged one ends it, and one whose words are not its own.

    Those about NV indices are of no interest here.
    """
    found = []
    for text in tpm_userspace_log.split(log[:MAX_LOG], most=MAX_RECORDS):
        if len(text) > MAX_RECORD:
            break
        try:
            record = tpm_userspace_log.parse_record(text)
            if record.pcr is not None:
                found.append(_record(record.pcr, record))
        except (FormatError, ValueError):
            break
    return tuple(found)


def _record(pcr: int, record: tpm_userspace_log.Record) -> Record:
    text = record.text
    if text is not None and not text.startswith(_KEYED):
        _check_words(text, record.digests)
    return Record(pcr, record.digests, plain(text or "without words"))


def _check_words(text: str, digests: Mapping[str, bytes]) -> None:
    """Hold what is said to have been measured to the digests.

    Raises:
        ValueError: something else was measured.
    """
    for bank in _BANKS:
        if bank in digests and hashlib.new(bank, text.encode()).digest() != digests[bank]:
            raise ValueError(text)
