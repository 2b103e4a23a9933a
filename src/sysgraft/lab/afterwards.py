"""What extends PCRs after the firmware's event log is closed, and whether it explains a value.

* Linux' IMA starts its own list in PCR 10 with ``boot_aggregate``, a digest of PCRs 0 to 9
  (``security/integrity/ima/ima_init.c`` and ``ima_template_lib.c``). With Secure Boot on, kernel
  modules follow; then the list itself is needed, which the probe may have brought along.
* systemd extends PCR 11 with the phases of the boot (systemd-pcrphase(8)).
* systemd keeps a log of all it extends (`sysgraft.formats.tpm_userspace_log`), which the probe may
  have brought along.

Each of these is a guess that the TPM confirms in every bank, or does not. A record counts with a
digest for every bank only, and if these are the digests of its words. The one exception are the
records of systemd-cryptsetup, whose digests are keyed with a volume key: there the words are the
guest's own.
"""

from __future__ import annotations

import hashlib
import struct
from itertools import combinations
from typing import TYPE_CHECKING, Final, NamedTuple

from sysgraft.errors import FormatError
from sysgraft.formats import tpm_userspace_log
from sysgraft.lab.answers import plain

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sysgraft.lab.report import Banks

PHASES: Final = ("enter-initrd", "leave-initrd", "sysinit", "ready", "shutdown", "final")
"""The words that systemd extends PCR 11 with. A boot may lack some; their order is this."""
BOOT_AGGREGATE: Final = "boot_aggregate"
"""What IMA calls its first measurement."""
MAX_RECORDS: Final = 10_000
MAX_LOG: Final = 16 << 20
"""Bytes of a list; what is longer is not read."""
MAX_RECORD: Final = 64 << 10
"""Bytes of one of systemd's records."""

_IMA_PCR: Final = 10
_AGGREGATED: Final = range(10)
_PHASE_PCR: Final = 11
# Fields of a measurement: the digest led by its algorithm, the name, in later templates a signature
# (empty here). Each has its length before it.
_LENGTH: Final = struct.Struct("<I")
_TEMPLATES: Final = ((), (b"",))
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
    mine = tuple(each for each in records if each.pcr == pcr)
    if mine and all(
        all(bank in each.digests for each in mine)
        and _extended(bank, start[bank].get(pcr), [each.digests[bank] for each in mine])
        == end[bank][pcr]
        for bank in start
    ):
        return tuple(each.text for each in mine)
    if pcr == _PHASE_PCR:
        return _phases(start, end)
    return (BOOT_AGGREGATE,) if pcr == _IMA_PCR and _is_boot_aggregate(start, end) else ()


def _extended(bank: str, value: bytes | None, digests: list[bytes]) -> bytes:
    value = bytes(hashlib.new(bank).digest_size) if value is None else value
    for digest in digests:
        value = hashlib.new(bank, value + digest).digest()
    return value


def _phases(start: Banks, end: Banks) -> tuple[str, ...]:
    for count in range(1, len(PHASES) + 1):
        for words in combinations(PHASES, count):
            if all(
                _extended(
                    bank,
                    start[bank].get(_PHASE_PCR),
                    [hashlib.new(bank, word.encode()).digest() for word in words],
                )
                == end[bank][_PHASE_PCR]
                for bank in start
            ):
                return words
    return ()


def _is_boot_aggregate(start: Banks, end: Banks) -> bool:
    """Whether IMA measured the boot and nothing else; the digest may be of any bank's PCRs."""
    for bank in start:
        values = b"".join(end[bank][pcr] for pcr in _AGGREGATED if pcr in end[bank])
        digest = f"{bank}:".encode() + b"\0" + hashlib.new(bank, values).digest()
        for more in _TEMPLATES:
            fields = (digest, BOOT_AGGREGATE.encode() + b"\0", *more)
            data = b"".join(_LENGTH.pack(len(field)) + field for field in fields)
            if all(
                _extended(other, start[other].get(_IMA_PCR), [hashlib.new(other, data).digest()])
                == end[other][_IMA_PCR]
                for other in start
            ):
                return True
    return False


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
