"""Which event log in the guest's memory is the true one, and what it says.

Firmware, boot loader and kernel each keep a copy, some of them overwritten in part, and memory may
hold logs of something else. The TPM decides: a log counts if it adds up to the values of all PCRs
that only firmware extends (0 to 7). Later ones may have been extended since; `afterwards` knows by
whom.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sysgraft.errors import FormatError, UnsupportedError
from sysgraft.formats.eventlog import find_logs, replay
from sysgraft.lab.afterwards import explain
from sysgraft.lab.report import EventLog, Later

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sysgraft.formats.eventlog import Log, Memory
    from sysgraft.lab.afterwards import Record
    from sysgraft.lab.report import Banks

_FIRMWARE_PCRS: Final = range(8)

# UEFI_VARIABLE_DATA: 16 bytes of GUID, lengths of name and value in 8 bytes each, name, value.
_SECURE_BOOT_NAME: Final = "SecureBoot".encode("utf-16-le")
_NAME_OFFSET: Final = 32


def true_log(memory: Memory, pcrs: Banks, records: tuple[Record, ...] = ()) -> EventLog | None:
    """The log in a guest's memory that its TPM vouches for; None if there is none.

    Of several the one that leaves the fewest PCRs to explain, then the longest.

    Args:
        memory: the guest's.
        pcrs: the TPM's values at the end.
        records: what systemd says it extended later.
    """
    found = [good for each in find_logs(memory) if (good := judge(each.log, pcrs, records))]
    return max(found, key=lambda each: (-len(each.later), len(each.events)), default=None)


def judge(log: Log, pcrs: Banks, records: tuple[Record, ...] = ()) -> EventLog | None:
    """The log with the PCRs that were extended later; None if it is not this TPM's."""
    replayed = {}
    for bank in log.banks:
        try:
            if bank in pcrs:
                replayed[bank] = replay(log, bank)
        except UnsupportedError:  # the others have to do
            continue
        except FormatError:
            return None
    later = sorted({pcr for bank in replayed for pcr in _others(replayed[bank], pcrs[bank])})
    if not replayed or any(pcr in _FIRMWARE_PCRS for pcr in later):
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


def secure_boot(log: Log) -> bool | None:
    """Whether the firmware says that it enforced signatures: what it measured of its variable.

    The first event of PCR 7 is EV_EFI_VARIABLE_DRIVER_CONFIG for ``SecureBoot`` (TCG PC Client
    Platform Firmware Profile 1.06 §3.3.4.8). None if the log has none.
    """
    for event in log.events:
        if event.pcr == 7 and event.type_name == "EV_EFI_VARIABLE_DRIVER_CONFIG":
            if not event.data[_NAME_OFFSET:].startswith(_SECURE_BOOT_NAME):
                return None
            return event.data[_NAME_OFFSET + len(_SECURE_BOOT_NAME) :] == b"\1"
    return None
