"""``sysgraft disk retype``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sysgraft.disk.mending import attribute_words
from sysgraft.disk.retype import RetypeOptions, retype
from sysgraft.disk.roles import name_of, numbered, parse_roles
from sysgraft.disk.saving import restore
from sysgraft.errors import UsageError

if TYPE_CHECKING:
    import argparse

    from sysgraft.cli.output import Output
    from sysgraft.disk.retype import Retyped, RetypeReport
    from sysgraft.disk.saving import RestoreReport


def run(arguments: argparse.Namespace, out: Output) -> int:
    """Change one disk, or put back what it had."""
    if arguments.restore is not None:
        return _restore(arguments, out)
    options = RetypeOptions(
        root=arguments.root or "",
        arch=arguments.arch or "",
        roles=parse_roles(arguments.partition),
        no_auto=_switches(arguments.no_auto),
        growfs=_switches(arguments.growfs),
        backup=arguments.backup or "",
        force=arguments.force,
        dry_run=arguments.dry_run,
    )
    report = retype(arguments.disk, options)
    if arguments.json:
        out.json("disk.retype", 1, as_json(report))
    else:
        _show(report, out)
    return 0


def _restore(arguments: argparse.Namespace, out: Output) -> int:
    others = ("partition", "no_auto", "growfs", "backup", "root", "arch")
    if any(getattr(arguments, name) for name in others):
        raise UsageError("--restore puts back what was saved and changes nothing else")
    report = restore(
        arguments.disk,
        arguments.restore,
        force=arguments.force,
        dry_run=arguments.dry_run,
    )
    if arguments.json:
        out.json("disk.retype", 1, restored_json(report))
    else:
        _show_restored(report, out)
    return 0


def _switches(words: list[str]) -> dict[int, bool]:
    found: dict[int, bool] = {}
    for number, word in numbered(words, "on|off"):
        if word not in ("on", "off"):
            raise UsageError(f"{word!r} is neither on nor off")
        if found.setdefault(number, word == "on") != (word == "on"):
            raise UsageError(f"partition {number} is told on and off")
    return found


# --- JSON ----------------------------------------------------------------------------------------


def as_json(report: RetypeReport) -> dict[str, object]:
    """The report as ``sysgraft.disk.retype/1``."""
    return {
        "disk": report.disk,
        "written": report.written,
        "changes": [_change_json(each) for each in report.changes],
        "repaired": report.repaired or None,
        "backup": report.backup or None,
        "restored": [],
        "notes": list(report.notes),
    }


def restored_json(report: RestoreReport) -> dict[str, object]:
    """The report on a disk that has its old tables again, as ``sysgraft.disk.retype/1``."""
    return {
        "disk": report.disk,
        "written": report.written,
        "changes": [],
        "repaired": None,
        "backup": report.backup,
        "restored": list(report.pieces),
        "notes": list(report.notes),
    }


def _change_json(each: Retyped) -> dict[str, object]:
    return {
        "number": each.number,
        "name": each.name,
        "role": each.role or None,
        "why": each.why,
        "oldType": str(each.old_type),
        "newType": str(each.new_type),
        "oldAttributes": f"{each.old_attributes:016x}",
        "newAttributes": f"{each.new_attributes:016x}",
    }


# --- Text ----------------------------------------------------------------------------------------


def _show(report: RetypeReport, out: Output) -> None:
    for note in report.notes:
        out.note(f"note: {note}")
    for each in report.changes:
        for line in _lines(each):
            out.text(line)
    if report.repaired:
        out.text(f"{report.repaired} is made anew from the other one")
    if report.written:
        out.text(f"saved before: {report.backup}")
    elif report.changes or report.repaired:
        out.text("nothing was written")
    else:
        out.text("nothing to change")


def _lines(each: Retyped) -> list[str]:
    lines = []
    if each.old_type != each.new_type:
        types = f"{name_of(each.old_type)} -> {name_of(each.new_type)}"
        lines.append(f"partition {each.number}: type {types} ({each.role}: {each.why})")
    if each.old_attributes != each.new_attributes:
        old, new = (attribute_words(bits) or "none" for bits in _attributes(each))
        lines.append(f"partition {each.number}: attributes {old} -> {new}")
    return lines


def _attributes(each: Retyped) -> tuple[int, int]:
    return each.old_attributes, each.new_attributes


def _show_restored(report: RestoreReport, out: Output) -> None:
    for note in report.notes:
        out.note(f"note: {note}")
    for piece in report.pieces:
        out.text(f"{'restored' if report.written else 'differs'}: {piece}")
    if not report.pieces:
        out.text("nothing to restore")
    elif not report.written:
        out.text("nothing was written")
