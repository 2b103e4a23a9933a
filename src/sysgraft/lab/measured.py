"""Which event log in the guest's memory is the true one, and what it says.

Firmware, boot loader and kernel each keep a copy, some of them overwritten in part, and memory may
hold logs of something else. The TPM decides: a log counts if it adds up to the values of all PCRs
that only firmware extends (0 to 7). Later ones may have been extended since; `afterwards` knows by
whom.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Final, NamedTuple

from sysgraft.errors import FormatError, LimitError
from sysgraft.formats.eventlog import find_logs, replay
from sysgraft.lab.afterwards import explain
from sysgraft.lab.report import EventLog, Later

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sysgraft.formats.eventlog import Found, Log, Memory
    from sysgraft.lab.afterwards import Record
    from sysgraft.lab.report import Banks

_FIRMWARE_PCRS: Final = range(8)

# What firmware measures when a kernel takes the machine over (the same profile, §3.3.4.6).
_LEFT_PCR: Final = 5
_LEFT: Final = b"Exit Boot Services Returned with Success"


class Searched(NamedTuple):
    """What a search found.

    Attributes:
        log: the log; None if there is none.
        is_whole: whether all of the memory was looked at, and not too much was in it.
    """

    log: EventLog | None
    is_whole: bool


def search(memory: Memory, pcrs: Banks, records: tuple[Record, ...] = ()) -> Searched:
    """The log in a guest's memory that its TPM vouches for.

    Of several the one that leaves the fewest PCRs to explain, then the longest. How long it takes
    does not depend on what the guest wrote there, see `sysgraft.formats.eventlog.find_logs`.

    Args:
        memory: the guest's.
        pcrs: the TPM's values at the end.
        records: what systemd says it extended later.
    """
    found: list[EventLog] = []
    seen: set[bytes] = set()
    try:
        for each in find_logs(memory):
            good = judge(each.log, pcrs, records) if _is_new(memory, each, seen) else None
            if good is not None:
                found.append(good)
    except LimitError:
        is_whole = False
    else:
        is_whole = True
    best = max(found, key=lambda each: (-len(each.later), len(each.events)), default=None)
    return Searched(best, is_whole)


def _is_new(memory: Memory, found: Found, seen: set[bytes]) -> bool:
    """Whether this is the first log that has these bytes."""
    data = memory[found.offset : found.offset + found.log.size]
    digest = hashlib.sha256(data).digest()
    is_new = digest not in seen
    seen.add(digest)
    return is_new


def judge(log: Log, pcrs: Banks, records: tuple[Record, ...] = ()) -> EventLog | None:
    """The log with the PCRs that were extended later; None if it is not this TPM's."""
    replayed: dict[str, dict[int, bytes]] = {}
    for bank in pcrs:
        if bank not in hashlib.algorithms_available:  # the others have to do
            continue
        try:
            replayed[bank] = replay(log, bank) if bank in log.banks else {}
        except FormatError:
            return None
    later = sorted({pcr for bank in replayed for pcr in _others(replayed[bank], pcrs[bank])})
    if not replayed.keys() & set(log.banks) or any(pcr in _FIRMWARE_PCRS for pcr in later):
        return None
    return EventLog(log, tuple(Later(pcr, explain(pcr, replayed, pcrs, records)) for pcr in later))


def _others(replayed: dict[int, bytes], values: dict[int, bytes]) -> Iterator[int]:
    """The PCRs that have another value than the log leads to; without an event that is the start's.

    PCRs that are all ones at the start belong to a dynamic launch, which nobody made here.
    """
    for pcr, value in values.items():
        start = value if value == b"\xff" * len(value) else bytes(len(value))
        if value != replayed.get(pcr, start):
            yield pcr


def left_firmware(log: Log) -> bool:
    """Whether a kernel took the machine over from the firmware.

    Only for a log that `judge` took: its PCR 5 is the TPM's, which nobody can take back.
    """
    return any(
        event.pcr == _LEFT_PCR
        and event.is_measured
        and all(
            digest == hashlib.new(bank, _LEFT).digest()
            for bank, digest in event.digests.items()
            if bank in hashlib.algorithms_available
        )
        for event in log.events
    )
