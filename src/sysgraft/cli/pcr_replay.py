"""``sysgraft pcr replay``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sysgraft.cli import pcr_log_report as report
from sysgraft.formats.eventlog_events import describe
from sysgraft.measure.later import words_of
from sysgraft.measure.pcr import check_bank
from sysgraft.seal.replay import replay_files

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator

    from sysgraft.cli.output import Output
    from sysgraft.seal.replay import Replay


def run(arguments: argparse.Namespace, out: Output) -> int:
    """Replay logs; 1 if they do not lead to the TPM's values, or these lack a PCR of the logs."""
    result = replay_files(
        arguments.log,
        userspace_log=arguments.userspace_log or "",
        values=arguments.tpm or "",
        banks=tuple(dict.fromkeys(map(check_bank, arguments.banks))),
    )
    if arguments.cel:
        report.show_cel(result, out)
    elif out.json_wanted:
        out.json("pcr.replay", 1, as_json(result, events=arguments.events))
    else:
        _show(result, out, events=arguments.events)
    return 0 if result.ok else 1


def _show(result: Replay, out: Output, *, events: bool) -> None:
    out.table(list(report.log_rows(result)))
    if events:
        out.text()
        out.table([("PCR", "event", "what"), *_event_rows(result)], indent=2)
    out.text()
    out.table(list(_value_rows(result)), indent=2)
    checks = list(report.check_rows(result))
    if checks:
        out.text()
        out.table(checks, indent=2)
    for note in result.notes:
        out.note(f"note: {note}")


def _event_rows(result: Replay) -> Iterator[tuple[str, str, str]]:
    for each in result.log.events:
        yield str(each.pcr), each.type_name, describe(each)
    for record in result.records:
        place = f"NV {record.nv_index:#x}" if record.pcr is None else str(record.pcr)
        yield place, record.event_type or "systemd", words_of(record)


def _value_rows(result: Replay) -> Iterator[tuple[str, str, str]]:
    for bank, values in result.values.items():
        for pcr, value in values.items():
            yield f"PCR {pcr}", bank, value.hex()


def as_json(result: Replay, *, events: bool) -> dict[str, object]:
    """The result as ``sysgraft.pcr.replay/1``."""
    return {
        "ok": result.ok,
        "log": report.log_json(result),
        "values": [
            {"bank": bank, "pcr": pcr, "value": value.hex()}
            for bank, values in result.values.items()
            for pcr, value in values.items()
        ],
        "events": [report.event_json(each) for each in result.log.events] if events else None,
        "notes": list(result.notes),
    }
