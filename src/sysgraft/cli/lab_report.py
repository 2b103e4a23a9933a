"""How ``sysgraft lab run`` tells what came of a run."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Final

from sysgraft.base.text import one_line
from sysgraft.cli.output import counted
from sysgraft.formats.eventlog_events import describe
from sysgraft.lab import keeping

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sysgraft.cli.output import Output
    from sysgraft.formats.eventlog import Event
    from sysgraft.lab.report import EventLog, Guest, LabReport, Merged, Script

SERIAL_LINES: Final = 20
MAX_TEXT: Final = 1 << 20
"""Characters of a text in the JSON document; what is longer keeps its end."""
_WORDS: Final = 4
# EDK II's word for EFI_OUT_OF_RESOURCES (MdePkg, UefiLib).
_NO_MEMORY: Final = "Out of Resources"
_SHOWN_BANK: Final = "sha256"
_ENDINGS: Final = {
    "powered-off": "switched itself off",
    "reset": "asked for a restart",
    "refused": "did not start: the firmware refused",
    "panicked": "panicked",
    "timed-out": "was switched off",
    "stopped": "was stopped",
}


# --- JSON ----------------------------------------------------------------------------------------


def as_json(report: LabReport) -> dict[str, object]:
    """The report as ``sysgraft.lab.run/1``."""
    return {
        "succeeded": report.succeeded,
        "ending": report.ending,
        "reason": report.reason,
        "seconds": round(report.seconds, 1),
        "emulator": report.emulator,
        "firmware": report.firmware,
        "secureBoot": report.secure_boot,
        "pcrs": {
            bank: {str(pcr): value.hex() for pcr, value in values.items()}
            for bank, values in report.pcrs.items()
        },
        "eventLog": _event_log_json(report.event_log),
        "memorySearched": report.memory_searched,
        "guest": _guest_json(report.guest),
        "script": _script_json(report.script),
        "serial": _text_json(report.serial),
        "output": report.output or None,
    }


def _event_log_json(log: EventLog | None) -> dict[str, object] | None:
    if log is None:
        return None
    return {
        "replays": log.replays,
        "extendedLater": [{"pcr": each.pcr, "words": list(each.words)} for each in log.later],
        "events": [_event_json(event) for event in log.events],
    }


def _event_json(event: Event) -> dict[str, object]:
    return {
        "pcr": event.pcr,
        "type": event.type_name,
        "digests": {bank: digest.hex() for bank, digest in event.digests.items()},
        "text": describe(event),
    }


def _guest_json(guest: Guest | None) -> dict[str, object] | None:
    if guest is None:
        return None
    return {
        "complete": guest.complete,
        "kernel": guest.kernel,
        "osRelease": dict(guest.os_release),
        "cmdline": guest.cmdline,
        "secureBoot": guest.secure_boot,
        "systemd": guest.systemd or None,
        "sysext": _merged_json(guest.sysext),
        "confext": _merged_json(guest.confext),
        "failedUnits": list(guest.failed_units),
        "journal": _text_json(guest.journal),
    }


def _merged_json(merged: tuple[Merged, ...] | None) -> dict[str, list[str]] | None:
    if merged is None:
        return None
    return {each.hierarchy: list(each.extensions) for each in merged}


def _script_json(script: Script | None) -> dict[str, object] | None:
    if script is None:
        return None
    return {
        "status": script.status,
        "output": _text_json(script.output.decode(errors="backslashreplace")),
        "files": {name: _file_json(name, data) for name, data in script.files.items()},
    }


def _file_json(name: str, data: bytes) -> dict[str, object]:
    try:
        text = data.decode()
    except UnicodeDecodeError:
        text = None
    return {
        "size": len(data),
        "sha256": hashlib.sha256(data).hexdigest(),
        "text": None if text is None or len(text) > MAX_TEXT else text,
        "kept": keeping.RESULT_PREFIX + name if keeping.is_safe(name) else None,
    }


def _text_json(text: str) -> dict[str, object]:
    return {"text": text[-MAX_TEXT:], "whole": len(text) <= MAX_TEXT}


# --- Text ----------------------------------------------------------------------------------------


def show(report: LabReport, out: Output, *, events: bool) -> None:
    """Print the report for a person."""
    reason = f" ({report.reason})" if report.reason not in ("", "guest-shutdown") else ""
    out.text(f"the guest {_ENDINGS[report.ending]}{reason} after {report.seconds:.1f} s")
    out.table(list(_facts(report)), indent=2)
    _show_pcrs(report, out)
    if events and report.event_log is not None:
        out.text()
        rows = [(str(e.pcr), e.type_name, describe(e)) for e in report.event_log.events]
        out.table([("PCR", "event", "what"), *rows], indent=2)
    _show_lines("script output", _lines(report.script.output) if report.script else [], out)
    if not report.succeeded:
        _show_lines("serial", report.serial.splitlines()[-SERIAL_LINES:], out)


def _facts(report: LabReport) -> Iterator[tuple[str, str]]:
    yield "machine", f"QEMU {report.emulator}, {report.firmware}"
    yield "Secure Boot", {True: "on", False: "off", None: "not known"}[report.secure_boot]
    yield "event log", _log_text(report.event_log)
    if not report.memory_searched:
        yield "note", "too much in the guest's memory looks like event logs: not all was searched"
    for later in report.event_log.later if report.event_log else ():
        yield f"PCR {later.pcr} later", _words(later.words)
    if report.guest is not None:
        yield from _guest_facts(report.guest)
    if report.script_wanted:
        yield "script", f"exit status {report.script.status}" if report.script else "did not end"
    if report.reason == _NO_MEMORY:
        yield "hint", "--memory gives the machine more"
    if report.output:
        yield "kept in", report.output


def _words(words: tuple[str, ...]) -> str:
    shown = ", ".join(words[:_WORDS]) or "something not known"
    more = len(words) - _WORDS
    return f"{shown}, and {more} more" if more > 0 else shown


def _log_text(log: EventLog | None) -> str:
    if log is None:
        return "none in the guest's memory leads to the TPM's values"
    count = counted(len(log.events), "event")
    if not log.later:
        return f"{count}, leading to the TPM's values"
    return f"{count}, leading to the TPM's values but for what came later"


def _guest_facts(guest: Guest) -> Iterator[tuple[str, str]]:
    name = guest.os_release.get("PRETTY_NAME") or guest.os_release.get("ID", "unknown")
    systemd = f", systemd {guest.systemd}" if guest.systemd else ""
    yield "guest", f"{name}, Linux {guest.kernel}{systemd}"
    for kind, merged in (("sysext", guest.sysext), ("confext", guest.confext)):
        for each in merged or ():
            if each.extensions:
                yield kind, f"{each.hierarchy}: {', '.join(each.extensions)}"
    if guest.failed_units:
        yield "failed units", ", ".join(guest.failed_units)
    if not guest.complete:
        yield "note", "the guest ended before it had told everything"


def _show_pcrs(report: LabReport, out: Output) -> None:
    values = report.pcrs.get(_SHOWN_BANK, {})
    rows = [(f"{pcr:>2}", value.hex()) for pcr, value in values.items() if _is_used(value)]
    if rows:
        out.text()
        out.text(f"  PCRs, {_SHOWN_BANK}")
        out.table(rows, indent=2)


def _is_used(value: bytes) -> bool:
    return bool(value.strip(b"\0") and value.strip(b"\xff"))


def _lines(data: bytes) -> list[str]:
    return data.decode(errors="backslashreplace").splitlines()


def _show_lines(title: str, lines: list[str], out: Output) -> None:
    if lines:
        out.text()
        out.text(f"  {title}")
    for line in lines:
        out.text(f"    {one_line(line)}".rstrip())
