"""What ``sysgraft pcr replay`` and ``sysgraft pcr explain`` tell alike of event logs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sysgraft.cli.output import counted
from sysgraft.formats import cel
from sysgraft.formats.eventlog_events import describe

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from sysgraft.cli.output import Output
    from sysgraft.formats.eventlog import Event
    from sysgraft.seal.replay import PcrCheck, Replay

_STATUS: Final = {
    "later": "what came later leads to the TPM's value",
    "differs": "does NOT lead to the TPM's value",
    "elsewhere": "not in these logs",
}


def show_cel(replay: Replay, out: Output) -> None:
    """Print both logs as a canonical event log."""
    out.script(cel.render(replay.log, replay.records).removesuffix("\n"))


def log_rows(replay: Replay) -> Iterator[tuple[str, str]]:
    """What there is to say of the logs, for a table."""
    measured = sum(each.is_measured for each in replay.log.events)
    yield "event log", f"{counted(measured, 'event')}; {', '.join(replay.log.banks)}"
    if replay.has_userspace_log:
        yield "systemd's log", counted(len(replay.records), "record")
    for bank, reason in replay.not_computed.items():
        yield "not computed", f"{bank}: {reason}"
    yield "TPM", _tpm_text(replay)
    if replay.not_confirmed:
        yield "not confirmed", f"the TPM's values do not tell: {_places(replay.not_confirmed)}"
    if replay.phases is not None:
        yield "phases", ", ".join(replay.phases) or "none yet"


def _tpm_text(replay: Replay) -> str:
    if replay.tpm is None:
        return "its values are not known (--values): the log may tell anything"
    off = [str(each.pcr) for each in replay.checks if each.status == "differs"]
    if off:
        return f"the log cannot be believed: it does not lead to PCR {', '.join(off)}"
    confirmed: dict[str, list[int]] = {}
    for each in replay.checks:
        for bank in each.confirmed:
            confirmed.setdefault(bank, []).append(each.pcr)
    return f"holds what the log leads to: {_places(confirmed)}" if confirmed else "confirms nothing"


def _places(by_bank: Mapping[str, Sequence[int]]) -> str:
    """PCRs in words; banks with the same ones together."""
    banks: dict[str, list[str]] = {}
    for bank, pcrs in by_bank.items():
        banks.setdefault(_ranges(pcrs), []).append(bank)
    return "; ".join(f"{'+'.join(names)} PCR {pcrs}" for pcrs, names in banks.items())


def _ranges(pcrs: Sequence[int]) -> str:
    """Numbers in their order, such as ``0-7, 11``."""
    runs: list[list[int]] = []
    for pcr in pcrs:
        if runs and runs[-1][-1] == pcr - 1:
            runs[-1].append(pcr)
        else:
            runs.append([pcr])
    return ", ".join(f"{run[0]}-{run[-1]}" if len(run) > 1 else str(run[0]) for run in runs)


def check_rows(replay: Replay) -> Iterator[tuple[str, str]]:
    """The PCRs that are not simply as in the log, for a table."""
    for each in replay.checks:
        if each.status != "same":
            words = f": {', '.join(each.words)}" if each.words else ""
            yield f"PCR {each.pcr}", f"{_STATUS[each.status]}{words}"


def checks_json(replay: Replay) -> list[dict[str, object]]:
    """Each PCR that was held to the TPM."""
    return [_check_json(each) for each in replay.checks]


def _check_json(each: PcrCheck) -> dict[str, object]:
    return {
        "pcr": each.pcr,
        "status": each.status,
        "words": list(each.words),
        "banks": list(each.banks),
        "confirmed": list(each.confirmed),
    }


def log_json(replay: Replay) -> dict[str, object]:
    """The logs, without their events."""
    return {
        "banks": list(replay.log.banks),
        "events": sum(each.is_measured for each in replay.log.events),
        "userspaceRecords": len(replay.records) if replay.has_userspace_log else None,
        "notComputed": [
            {"bank": bank, "reason": reason} for bank, reason in replay.not_computed.items()
        ],
        "believable": replay.is_believable,
        "checks": checks_json(replay),
        "notConfirmed": [
            {"bank": bank, "pcrs": list(pcrs)} for bank, pcrs in replay.not_confirmed.items()
        ],
        "phases": None if replay.phases is None else list(replay.phases),
    }


def event_json(event: Event) -> dict[str, object]:
    """One event of the firmware's log."""
    return {
        "pcr": event.pcr,
        "type": event.type_name,
        "digests": {bank: digest.hex() for bank, digest in event.digests.items()},
        "text": describe(event),
    }
