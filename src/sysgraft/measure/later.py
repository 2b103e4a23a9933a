"""What extends PCRs after the firmware's event log is closed, tried on the values.

systemd extends PCR 11 with the phases of the boot (systemd-pcrphase(8)), several others with
``os-separator`` (since v261), and keeps a log of all it extends; Linux' IMA begins its list in
PCR 10 with ``boot_aggregate`` (``security/integrity/ima/ima_init.c``). Each of these is a guess
that the values confirm in every bank, or do not. IMA's list itself is not read.
"""

from __future__ import annotations

import hashlib
import struct
from itertools import combinations
from typing import TYPE_CHECKING, Final, Protocol

from sysgraft.measure.boot import OS_SEPARATOR, OS_SEPARATOR_PCRS
from sysgraft.measure.pcr import BANKS, extend_all
from sysgraft.measure.pcr11 import INDEX, PHASES

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    Values = Mapping[str, Mapping[int, bytes]]


class Record(Protocol):
    """An entry of a log of the running system."""

    @property
    def pcr(self) -> int | None:
        """Which PCR was extended; None if it was something else."""

    @property
    def digests(self) -> Mapping[str, bytes]:
        """With what, by bank."""

    @property
    def text(self) -> str | None:
        """What was measured, by the log's own account."""


BOOT_AGGREGATE: Final = "boot_aggregate"
"""What IMA calls its first measurement."""

_IMA_PCR: Final = 10
_AGGREGATED: Final = range(10)
# Fields of a measurement: the digest led by its algorithm, the name, in later templates a signature
# (empty here). Each has its length before it.
_LENGTH: Final = struct.Struct("<I")
_TEMPLATES: Final = ((), (b"",))
_DYNAMIC: Final = range(17, 23)


def start_of(bank: str, pcr: int) -> bytes:
    """A PCR that nothing was measured into (TPM Profile 1.05 §4.6.1)."""
    size = hashlib.new(bank).digest_size
    return (b"\xff" if pcr in _DYNAMIC else b"\0") * size


def explain(
    pcr: int, start: Values, end: Values, records: Sequence[Record] = ()
) -> tuple[str, ...] | None:
    """The words for what lies between two values of a PCR; None if nothing known leads there.

    Args:
        pcr: its number.
        start: the values at the end of the firmware's log; the banks to look at are its banks.
        end: the values it has to come to.
        records: systemd's log.
    """
    begin = {bank: values.get(pcr, start_of(bank, pcr)) for bank, values in start.items()}
    wanted = {bank: end[bank][pcr] for bank in start}
    if begin == wanted:
        return ()
    mine = [each for each in records if each.pcr == pcr]
    if mine and all(bank in each.digests for each in mine for bank in begin):
        came_to = {b: extend_all(b, v, (e.digests[b] for e in mine)) for b, v in begin.items()}
        if came_to == wanted:
            return tuple(words_of(each) for each in mine)
    return _guess(pcr, begin, wanted, end)


def _guess(
    pcr: int, begin: Mapping[str, bytes], wanted: Mapping[str, bytes], end: Values
) -> tuple[str, ...] | None:
    if pcr == INDEX:
        return _first(_phase_words(), begin, wanted)
    if pcr in OS_SEPARATOR_PCRS:
        return _first([(OS_SEPARATOR,)], begin, wanted)
    if pcr == _IMA_PCR and _is_boot_aggregate(begin, wanted, end):
        return (BOOT_AGGREGATE,)
    return None


def _phase_words() -> Iterable[tuple[str, ...]]:
    """Every selection of phases in their order: a boot may lack some."""
    for count in range(1, len(PHASES) + 1):
        yield from combinations(PHASES, count)


def _first(
    guesses: Iterable[tuple[str, ...]], begin: Mapping[str, bytes], wanted: Mapping[str, bytes]
) -> tuple[str, ...] | None:
    for words in guesses:
        if all(
            extend_all(bank, value, (_digest(bank, word) for word in words)) == wanted[bank]
            for bank, value in begin.items()
        ):
            return words
    return None


def _digest(bank: str, word: str) -> bytes:
    return hashlib.new(bank, word.encode()).digest()


def _is_boot_aggregate(
    begin: Mapping[str, bytes], wanted: Mapping[str, bytes], end: Values
) -> bool:
    """Whether IMA measured the boot and nothing else; the digest may be of any bank's PCRs."""
    for bank, values in end.items():
        if bank not in BANKS:
            continue
        joined = b"".join(values[pcr] for pcr in _AGGREGATED if pcr in values)
        digest = f"{bank}:".encode() + b"\0" + hashlib.new(bank, joined).digest()
        for more in _TEMPLATES:
            fields = (digest, BOOT_AGGREGATE.encode() + b"\0", *more)
            data = b"".join(_LENGTH.pack(len(field)) + field for field in fields)
            if all(
                extend_all(other, value, [hashlib.new(other, data).digest()]) == wanted[other]
                for other, value in begin.items()
            ):
                return True
    return False


def words_of(record: Record) -> str:
    """What a record says was measured; nothing vouches for it but `has_own_words`."""
    return record.text or "without words"


def has_own_words(record: Record) -> bool:
    """Whether a record's digests are those of its words.

    Those of systemd-cryptsetup never are: they are keyed with a volume key.
    """
    if record.text is None:
        return False
    data = record.text.encode(errors="replace")
    known = [bank for bank in record.digests if bank in BANKS]
    return all(hashlib.new(bank, data).digest() == record.digests[bank] for bank in known)
