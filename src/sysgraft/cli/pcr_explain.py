"""``sysgraft pcr explain``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sysgraft.cli import pcr_log_report as report
from sysgraft.cli.pcr_arguments import boot_request, pcr_numbers
from sysgraft.measure.pcr import check_bank
from sysgraft.seal.explanation import ExplainRequest, explain
from sysgraft.seal.replay import replay_files

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator

    from sysgraft.cli.output import Output
    from sysgraft.measure.hints import Hint
    from sysgraft.seal.explanation import Explanation, PcrVerdict
    from sysgraft.seal.file_changes import FileChange
    from sysgraft.seal.finding import Finding

_STATUS: Final = {
    "ok": "ok",
    "differs": "NOT as approved",
    "unconfirmed": "NOT confirmed",
    "not-predicted": "not predicted",
}


def run(arguments: argparse.Namespace, out: Output) -> int:
    """Explain PCRs; 1 if something is not as approved."""
    if arguments.cel:
        log = replay_files(arguments.log, userspace_log=arguments.userspace_log or "")
        report.show_cel(log, out)
        return 0
    result = explain(_request(arguments), progress=out.progress)
    if out.json_wanted:
        out.json("pcr.explain", 1, as_json(result))
    else:
        _show(result, out)
    return 0 if result.ok else 1


def _request(arguments: argparse.Namespace) -> ExplainRequest:
    has_files = arguments.uki or arguments.esp or arguments.extra or arguments.global_folder
    return ExplainRequest(
        log=arguments.log,
        userspace_log=arguments.userspace_log or "",
        values=arguments.tpm or "",
        boot=boot_request(arguments) if has_files or not arguments.approved else None,
        approved=tuple(arguments.approved),
        known=tuple(arguments.known),
        pcrs=pcr_numbers(arguments.pcrs),
        bank=check_bank(arguments.bank) if arguments.bank else "",
    )


# --- For people ----------------------------------------------------------------------------------


def _show(result: Explanation, out: Output) -> None:
    approved = result.approved.title or "the files as they are now"
    out.table(
        [
            *report.log_rows(result.replay),
            ("compared", f"with {approved}, {result.bank}"),
            *(("log tells", _hint_text(each)) for each in result.hints),
        ]
    )
    out.text()
    out.table([_row(each) for each in result.pcrs], indent=2)
    for verdict in result.pcrs:
        for finding in verdict.findings:
            _show_finding(finding, out)
        for note in verdict.notes:
            out.text(f"PCR {verdict.pcr}: {note}")
    checks = [row for row in report.check_rows(result.replay) if "NOT" in row[1]]
    if checks:
        out.text()
        out.table(checks)
    for note in (*result.replay.notes, *result.notes):
        out.note(f"note: {note}")


def _row(each: PcrVerdict) -> tuple[str, str, str, str]:
    later = f"then {', '.join(each.later)}" if each.later else ""
    value = each.value.hex() if each.value else "nothing measured"
    return f"PCR {each.pcr}", _STATUS[each.status], value, later


def _show_finding(finding: Finding, out: Output) -> None:
    out.text()
    out.text(f"PCR {finding.pcr}: {finding.text}")
    rows = list(_digest_rows(finding))
    if rows:
        out.table(rows, indent=2)


def _digest_rows(finding: Finding) -> Iterator[tuple[str, str]]:
    if finding.found is not None:
        yield "measured", finding.found.hex()
    if finding.expected is not None and finding.expected != finding.found:
        yield "approved", finding.expected.hex()


def _hint_text(hint: Hint) -> str:
    release = f"{hint.at_least} or newer" if hint.at_least else f"{hint.at_most} or older"
    return f"{hint.program} {release}: {hint.reason}"


# --- For machines --------------------------------------------------------------------------------


def as_json(result: Explanation) -> dict[str, object]:
    """The result as ``sysgraft.pcr.explain/1``."""
    return {
        "ok": result.ok,
        "log": report.log_json(result.replay),
        "bank": result.bank,
        "approved": {"document": result.approved.origin or None, "set": result.approved.name},
        "pcrs": [_verdict_json(each) for each in result.pcrs],
        "hints": [
            {
                "program": each.program,
                "atLeast": each.at_least or None,
                "atMost": each.at_most or None,
                "reason": each.reason,
            }
            for each in result.hints
        ],
        "notes": [*result.replay.notes, *result.notes],
    }


def _verdict_json(each: PcrVerdict) -> dict[str, object]:
    return {
        "pcr": each.pcr,
        "status": each.status,
        "required": each.required,
        "confirmed": each.confirmed,
        "value": _hex(each.value),
        "asPredicted": each.as_predicted,
        "findings": [_finding_json(finding) for finding in each.findings],
        "later": list(each.later),
        "notes": list(each.notes),
    }


def _finding_json(finding: Finding) -> dict[str, object]:
    return {
        "kind": finding.kind,
        "component": finding.component or None,
        "name": finding.name,
        "text": finding.text,
        "approvedDigest": _hex(finding.expected),
        "measuredDigest": _hex(finding.found),
        "approvedText": finding.expected_text,
        "measuredText": finding.found_text,
        "explained": finding.explained,
        "files": [_change_json(each) for each in finding.files],
    }


def _change_json(each: FileChange) -> dict[str, object]:
    return {
        "kind": each.kind,
        "name": each.name or None,
        "foundName": each.found_name or None,
        "approvedSha256": _hex(each.approved),
        "foundSha256": _hex(each.found),
        "path": each.label or None,
    }


def _hex(data: bytes | None) -> str | None:
    return None if data is None else data.hex()
