"""``sysgraft pcr predict``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sysgraft.cli.output import human_size
from sysgraft.cli.pcr_arguments import boot_request, pcr_numbers
from sysgraft.formats.eventlog_records import EVENT_TYPES
from sysgraft.measure.boot import in_userspace
from sysgraft.measure.events import USERSPACE
from sysgraft.seal.prediction import DEFAULT_BANKS, predict

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterable

    from sysgraft.cli.output import Output
    from sysgraft.measure.events import Event
    from sysgraft.measure.sidecars import Skipped
    from sysgraft.seal.file_set import UsedFile
    from sysgraft.seal.prediction import Predicted, Prediction

_SHOWN_FILES = 6


def run(arguments: argparse.Namespace, out: Output) -> int:
    """Predict PCRs, and write components for pcrlock if they are wanted."""
    result = predict(
        boot_request(arguments),
        pcrs=pcr_numbers(arguments.pcrs),
        banks=arguments.banks or DEFAULT_BANKS,
        phases=arguments.phases,
        progress=out.progress,
    )
    written: tuple[str, ...] = ()
    if arguments.pcrlock:
        from sysgraft.seal.pcrlock_files import write_components  # noqa: PLC0415  only if wanted

        written = write_components(result, arguments.pcrlock, replace=arguments.force)
    if out.json_wanted:
        out.json("pcr.predict", 1, as_json(result, written))
    else:
        _show(result, out, events=arguments.events)
        for path in written:
            out.text(f"written: {path}")
    return 0


# --- For people ----------------------------------------------------------------------------------


def _show(result: Prediction, out: Output, *, events: bool) -> None:
    out.text(_headline(result))
    show_skipped(result.skipped, out)
    for each in result.sets:
        out.text()
        out.text(f"{each.name or 'files'}: {_files_text(each.files)}")
        show_skipped(each.skipped, out)
        if events:
            out.table(_event_rows(each, result), indent=2)
        out.table(_value_rows(each, result), indent=2)
    for note in result.notes:
        out.note(f"note: {note}")


def _headline(result: Prediction) -> str:
    """The image, and by which rules it is predicted."""
    if result.uki is None:
        return f"no image, but a stub of systemd {result.version}"
    secure = "on" if result.secure_boot else "off"
    text = f"{result.uki.executable.name}: stub of systemd {result.version}, Secure Boot {secure}"
    return f"{text}, profile {result.profile}" if result.profile else text


def _files_text(files: Iterable[UsedFile]) -> str:
    texts = [f"{each.name} ({each.role}, {human_size(each.size)})" for each in files]
    rest = len(texts) - _SHOWN_FILES
    shown = texts[:_SHOWN_FILES] + ([f"{rest} more"] if rest > 0 else [])
    return ", ".join(shown) or "none beside the image"


def show_skipped(skipped: Iterable[Skipped], out: Output) -> None:
    """Say what the stub passes over."""
    for each in skipped:
        out.text(f"  the stub passes over {each.name}: {each.reason}")


def _value_rows(each: Predicted, result: Prediction) -> list[tuple[str, str, str, str]]:
    """A row for each value; what is the same in all phases is told once."""
    rows = []
    for bank in result.banks:
        by_phase = {path: each.values(path, bank) for path in result.phases}
        for pcr in result.pcrs:
            values = {path: found[pcr] for path, found in by_phase.items()}
            if len(set(values.values())) == 1:
                rows.append((f"PCR {pcr}", bank, next(iter(values.values())).hex(), ""))
                continue
            rows += [
                (f"PCR {pcr}", bank, found.hex(), path or "(kernel)")
                for path, found in values.items()
            ]
    return rows


def _event_rows(each: Predicted, result: Prediction) -> list[tuple[str, str, str, str]]:
    bank = result.banks[0]
    return [
        (str(event.pcr), event.component, event.digests[bank].hex()[:16] + "…", event.name)
        for event in each.events
        if event.pcr in result.pcrs
    ]


# --- For machines --------------------------------------------------------------------------------


def as_json(result: Prediction, written: tuple[str, ...] = ()) -> dict[str, object]:
    """The prediction as ``sysgraft.pcr.predict/1``."""
    return {
        "stub": result.version,
        "systemd": result.systemd,
        "secureBoot": result.secure_boot,
        "profile": result.profile,
        "pcrs": list(result.pcrs),
        "banks": list(result.banks),
        "phases": list(result.phases),
        "files": [file_json(each) for each in result.files],
        "skipped": [skipped_json(each) for each in result.skipped],
        "sets": [_set_json(each, result) for each in result.sets],
        "notes": list(result.notes),
        "written": list(written),
    }


def file_json(file: UsedFile) -> dict[str, object]:
    """One file that a prediction rests on."""
    digest = file.sha256.get("sha256")
    return {
        "role": file.role,
        "name": file.name,
        "path": file.label,
        "size": file.size,
        "sha256": digest.hex() if digest else None,
    }


def skipped_json(each: Skipped) -> dict[str, str]:
    """One file that the stub passes over."""
    return {"name": each.name, "reason": each.reason}


def _set_json(each: Predicted, result: Prediction) -> dict[str, object]:
    return {
        "name": each.name,
        "files": [file_json(file) for file in each.files],
        "skipped": [skipped_json(file) for file in each.skipped],
        "values": [
            {"phase": path, "bank": bank, "pcr": pcr, "value": found[pcr].hex()}
            for path in result.phases
            for bank in result.banks
            for found in (each.values(path, bank),)
            for pcr in result.pcrs
        ],
        "events": [event_json(event) for event in each.events if event.pcr in result.pcrs],
        "userspace": [
            {
                "phase": path,
                "events": [
                    event_json(event)
                    for event in in_userspace(each.boot, path, result.banks, result.pcrs)
                    if event.pcr in result.pcrs
                ],
            }
            for path in result.phases
        ],
    }


def event_json(event: Event) -> dict[str, object]:
    """One extension of a PCR."""
    return {
        "pcr": event.pcr,
        "component": event.component,
        "name": event.name,
        "type": None if event.type == USERSPACE else EVENT_TYPES[event.type],
        "digests": {bank: digest.hex() for bank, digest in event.digests.items()},
        "data": event.data.hex(),
        "files": list(event.files),
    }
