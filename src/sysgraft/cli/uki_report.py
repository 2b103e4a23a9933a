"""How a built UKI or addon is told, to a person and in JSON."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sysgraft.cli.output import human_size
from sysgraft.measure import pcr11

if TYPE_CHECKING:
    from sysgraft.build.uki.budget import Cost
    from sysgraft.build.uki.join_pcrsig import JoinReport
    from sysgraft.build.uki.report import UkiReport
    from sysgraft.cli.output import Output

_KINDS = {"uki": "UKI"}


def title(report: UkiReport) -> str:
    """One line on what was built."""
    signed = "signed" if report.signed else "unsigned"
    kind = _KINDS.get(report.kind, report.kind)
    return f"{report.path}  ({signed} {kind} for {report.architecture})"


def show(report: UkiReport, cost: Cost, out: Output, *, measured: bool) -> None:
    """The summary for a person."""
    out.text(title(report))
    rows = [
        ("size", human_size(report.size)),
        ("stub", f"{report.stub.name} {report.stub.version}"),
        (report.digest.algorithm, report.digest.value.hex()),
    ]
    if report.uname:
        rows.insert(1, ("kernel", report.uname))
    if cost.esp != report.size:
        rows.append(("on the ESP", human_size(cost.esp)))
    policies = sum(map(len, report.policies.values()))
    if policies:
        rows.append(("PCR policies", f"{policies} for {', '.join(report.policies)}"))
    out.table(rows, indent=2)
    _show_sections(report, out)
    if measured:
        _show_values(report, out)


def _show_sections(report: UkiReport, out: Output) -> None:
    out.text()
    rows = [("  section", "size", "share", "from")]
    for one in report.sections:
        share = f"{one.size / report.size:.1%}"
        rows.append((f"  {one.name}", human_size(one.size), share, one.source or "-"))
    out.table(rows)


def _show_values(report: UkiReport, out: Output) -> None:
    """PCR 11, as systemd-measure writes it, under a line for each moment."""
    seen = None
    for value in report.pcrs:
        moment = (value.profile, value.hardware, value.phase)
        if moment != seen:
            out.text()
            hardware = f", {value.hardware}" if value.hardware else ""
            out.text(f"# PCR 11, profile {value.profile}{hardware}, phase {value.phase or ':'}")
            seen = moment
        out.text(f"11:{value.bank}={value.value.hex()}")


def as_json(report: UkiReport, cost: Cost) -> dict[str, object]:
    """The report as ``sysgraft.uki.addon/1``."""
    return {
        "file": report.path,
        "kind": report.kind,
        "architecture": report.architecture,
        "size": report.size,
        "stub": {"name": report.stub.name, "version": report.stub.version},
        "uname": report.uname,
        "signed": report.signed,
        "digest": {"algorithm": report.digest.algorithm, "value": report.digest.value.hex()},
        "sections": [
            {"name": one.name, "size": one.size, "source": one.source or None}
            for one in report.sections
        ],
        "cost": {"esp": cost.esp, "memory": cost.memory},
        "warnings": list(cost.warnings),
        "notes": list(report.notes),
    }


def uki_as_json(report: UkiReport, cost: Cost) -> dict[str, object]:
    """The report as ``sysgraft.uki.build/1``: what an addon's says, and PCR 11."""
    values = [
        {
            "pcr": pcr11.INDEX,
            "profile": value.profile,
            "hardware": value.hardware or None,
            "phase": value.phase,
            "bank": value.bank,
            "value": value.value.hex(),
        }
        for value in report.pcrs
    ]
    return {**as_json(report, cost), "pcrs": values, "policies": _policies_json(report)}


def _policies_json(report: UkiReport) -> dict[str, object]:
    return {
        bank: [
            {
                "pcrs": list(entry.pcrs),
                "policy": entry.policy.hex(),
                "key": entry.fingerprint.hex(),
                "reference": entry.reference or None,
                "toSign": entry.to_sign.hex() or None,
                "signed": bool(entry.signature),
            }
            for entry in entries
        ]
        for bank, entries in report.policies.items()
    }


def join_as_json(report: JoinReport) -> dict[str, object]:
    """The report as ``sysgraft.uki.join-pcrsig/1``."""
    return {
        "file": report.path,
        "signed": report.signed,
        "policies": report.policies,
        "attached": report.attached,
        "notes": list(report.notes),
    }


def join_title(report: JoinReport) -> str:
    """One line on what came of joining."""
    signed = "signed" if report.signed else "unsigned"
    return f"{report.path}  ({signed}, {report.attached} of {report.policies} PCR policies signed)"
