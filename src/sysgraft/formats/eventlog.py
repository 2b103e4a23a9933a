"""TPM event logs: what firmware and boot loader measured, in order.

TCG PC Client Platform Firmware Profile 1.06, chapter 10; on Linux the file
``/sys/kernel/security/tpm0/binary_bios_measurements``. Reads the crypto-agile form (a header event
with ``Spec ID Event03``, then TCG_PCR_EVENT2) and the older one with SHA-1 only
(TCG_PCClientPCREvent), and works out the PCR values a log leads to. What an event means is told by
`sysgraft.formats.eventlog_events`. It does not read the logs of IMA or of systemd's userspace, and
does not compare digests with the data beside them: that data need not be what was hashed.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Final, NamedTuple

from sysgraft.errors import FormatError, LimitError, UnsupportedError, UsageError
from sysgraft.formats import eventlog_records as records
from sysgraft.formats.eventlog_records import EV_NO_ACTION, MAX_LOG, Algorithm, Event, Memory

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = [
    "EV_NO_ACTION",
    "MAX_LOG",
    "Algorithm",
    "Event",
    "Found",
    "Log",
    "Memory",
    "find_logs",
    "parse",
    "parse_prefix",
    "replay",
    "serialise",
    "startup_locality",
]

MAX_EVENTS: Final = 1 << 16
"""Events of a log: real ones have 20 to 300."""
MAX_PLACES: Final = 1 << 16
"""Places where `find_logs` looks for a log: programs that know the words have them some times."""
MAX_LOGS: Final = 64
"""Logs that `find_logs` reads in one memory: there are some five copies."""
MAX_LOGS_EVENTS: Final = 1 << 17
"""Events of all these logs together."""
MAX_LOGS_SIZE: Final = 64 << 20
"""Bytes of all these logs together."""

# What Python calls the algorithms, where that is not their name in the registry.
_PYTHON_NAMES: Final = MappingProxyType({"sm3_256": "sm3"})

# TCG_EfiStartupLocalityEvent: the locality from which TPM2_Startup came.
_STARTUP_LOCALITY: Final = b"StartupLocality\0"
# PCRs that a start sets to ones, and only a dynamic launch to zeros (TPM Profile §4.6.1).
_DYNAMIC: Final = range(17, 23)


@dataclass(frozen=True, slots=True)
class Log:
    """A log.

    Attributes:
        algorithms: the hash algorithms its events have digests of.
        events: all of them, in a crypto-agile log with the header event as the first.
        size: the bytes it takes.
        is_crypto_agile: whether it is of the newer form.
    """

    algorithms: tuple[Algorithm, ...]
    events: tuple[Event, ...]
    size: int
    is_crypto_agile: bool

    @property
    def banks(self) -> tuple[str, ...]:
        """The names of the algorithms."""
        return tuple(each.name for each in self.algorithms)


class Found(NamedTuple):
    """A log in a large memory, and where it begins."""

    offset: int
    log: Log


def parse(data: bytes) -> Log:
    """Read a log that fills `data`; behind it only zeros or only ones may follow.

    Raises:
        LimitError: it is longer than `MAX_LOG`, or has too much of something.
        FormatError: it is no log, or damaged.
    """
    if len(data) > MAX_LOG:
        raise LimitError(f"an event log of {len(data)} bytes; the limit is {MAX_LOG}")
    log, error = _read_log(data, 0)
    if error is not None and data[log.size :].strip(b"\0") and data[log.size :].strip(b"\xff"):
        raise error
    return log


def parse_prefix(memory: Memory, offset: int = 0) -> Log:
    """Read the log that begins at `offset` as far as it goes; `Log.size` tells how far.

    It ends before the first event that is not one: all zeros, a PCR or algorithm there is none of,
    or more data than there can be. Firmware fills what is unused with ones.

    Raises:
        FormatError: already the first event cannot be read; also by its subclasses.
    """
    return _read_log(memory, offset)[0]


def find_logs(memory: Memory) -> Iterator[Found]:
    """The crypto-agile logs in a large memory, such as that of a virtual machine, in order.

    Firmware and kernel keep one each. The longest is the most complete: the last events, of the
    start of the kernel itself, are in the kernel's only.

    Whoever wrote that memory does not decide how long this takes: each byte is passed once in the
    search for the words a log begins with, and the limits below bound all that follows.

    Raises:
        LimitError: there are more than `MAX_PLACES`, `MAX_LOGS`, `MAX_LOGS_EVENTS` or
            `MAX_LOGS_SIZE`, or a log has more than `MAX_EVENTS`; what came before has been given.
    """
    search = _Search()
    position = memory.find(records.SIGNATURE, records.OLD_EVENT.size)
    while position >= 0:
        search.count_place()
        offset, position = position - records.OLD_EVENT.size, position + 1
        if _begins_log(memory, offset):
            log, _ = _read_log(memory, offset, most=search.room)
            yield Found(offset, log)
            search.count_log(log)
            position = offset + log.size
        position = memory.find(records.SIGNATURE, position)


def _begins_log(memory: Memory, offset: int) -> bool:
    """Whether a crypto-agile log begins here; looks at its first event and at no more."""
    cursor = records.Cursor(memory, offset)
    try:
        pcr, kind, _, size = records.OLD_EVENT.unpack(cursor.take(records.OLD_EVENT.size))
        if pcr >= records.PCR_COUNT or kind != EV_NO_ACTION or size > records.MAX_SPEC_ID:
            return False
        records.read_algorithms(cursor.take(size))
    except FormatError:  # the words stand somewhere else, in a program for one
        return False
    return True


class _Search:
    """How much `find_logs` has done.

    Attributes:
        room: events that the next log may have.
    """

    __slots__ = ("_logs", "_places", "_size", "room")

    def __init__(self) -> None:
        self.room = MAX_LOGS_EVENTS
        self._places = self._logs = self._size = 0

    def count_place(self) -> None:
        self._places += 1
        if self._places > MAX_PLACES or self._logs == MAX_LOGS:
            raise LimitError(f"more than {MAX_PLACES} places for an event log, or {MAX_LOGS} logs")

    def count_log(self, log: Log) -> None:
        self._logs += 1
        self._size += log.size
        self.room -= len(log.events)
        if self.room <= 0 or len(log.events) >= MAX_EVENTS or self._size > MAX_LOGS_SIZE:
            raise LimitError(
                f"event logs of more than {MAX_LOGS_EVENTS} events or {MAX_LOGS_SIZE} bytes, or "
                f"one of more than {MAX_EVENTS} events"
            )


def serialise(log: Log) -> bytes:
    """The bytes that `parse` read.

    Raises:
        UsageError: an event lacks a digest, or has one of an algorithm the log has not.
    """
    numbers = {each.name: each.identifier for each in log.algorithms}
    head = 1 if log.is_crypto_agile else len(log.events)
    old = [records.serialise_old(event) for event in log.events[:head]]
    return b"".join(old + [records.serialise_new(event, numbers) for event in log.events[head:]])


def replay(log: Log, bank: str) -> dict[int, bytes]:
    """The values of all PCRs that the log's events changed, by number.

    Args:
        log: what was measured.
        bank: the hash algorithm, one of `Log.banks`.

    Raises:
        UsageError: the log has no such bank.
        UnsupportedError: this Python cannot compute the algorithm.
        FormatError: an event has no digest for the bank, or the events make no sense together.
    """
    if bank not in log.banks:
        raise UsageError(f"the event log has no bank {bank}; it has {', '.join(log.banks)}")
    values: dict[int, bytes] = {}
    size = next(each.size for each in log.algorithms if each.name == bank)
    locality = 0
    for number, event in enumerate(log.events):
        if event.is_measured:
            value = values.get(event.pcr) or _start(event.pcr, size, locality)
            values[event.pcr] = _hash(bank, value + _digest(event, bank, number))
        elif (said := startup_locality(event)) is not None:
            if 0 in values:
                raise FormatError(f"event {number} tells the startup locality after PCR 0 is used")
            locality = said
    return dict(sorted(values.items()))


def startup_locality(event: Event) -> int | None:
    """The locality of TPM2_Startup, where the event tells it: the last byte PCR 0 begins with."""
    if event.is_measured or event.pcr != 0 or not event.data.startswith(_STARTUP_LOCALITY):
        return None
    return event.data[-1] if len(event.data) == len(_STARTUP_LOCALITY) + 1 else None


def _start(pcr: int, size: int, locality: int) -> bytes:
    if pcr in _DYNAMIC:
        return b"\xff" * size
    return bytes(size - 1) + bytes([locality if pcr == 0 else 0])


def _digest(event: Event, bank: str, number: int) -> bytes:
    if bank not in event.digests:
        raise FormatError(f"event {number} has no {bank} digest")
    return event.digests[bank]


def _hash(bank: str, data: bytes) -> bytes:
    try:
        return hashlib.new(_PYTHON_NAMES.get(bank, bank), data).digest()
    except ValueError:
        raise UnsupportedError(f"{bank} cannot be computed here") from None


def _read_log(
    memory: Memory, offset: int, *, most: int = MAX_EVENTS
) -> tuple[Log, FormatError | None]:
    """The events that can be read, and what is wrong with the one behind them."""
    most = min(most, MAX_EVENTS)
    cursor = records.Cursor(memory, offset)
    first = records.read_old(cursor)
    is_new = not first.is_measured and first.data.startswith(records.SIGNATURE)
    algorithms = records.read_algorithms(first.data) if is_new else (Algorithm(records.SHA1, 20),)
    known = {each.identifier: each for each in algorithms}
    events, error = [first], None
    size = cursor.consumed
    while error is None and not cursor.is_at_end:
        try:
            if len(events) >= most:
                raise LimitError(f"the event log has more than {most} events")
            events.append(records.read_new(cursor, known) if is_new else records.read_old(cursor))
            size = cursor.consumed
        except FormatError as caught:
            caught.message = f"event {len(events)} at byte {size}: {caught.message}"
            error = caught
    return Log(algorithms, tuple(events), size, is_new), error
