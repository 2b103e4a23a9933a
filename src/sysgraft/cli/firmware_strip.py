"""``sysgraft firmware strip``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from sysgraft.build.sources.model import Options
from sysgraft.build.strip.initrd import is_initrd, strip_initrd
from sysgraft.build.strip.report import Keeping
from sysgraft.build.strip.root import strip_root
from sysgraft.cli.epoch import source_date_epoch
from sysgraft.cli.firmware_files import read_plan
from sysgraft.cli.output import counted, human_size

if TYPE_CHECKING:
    import argparse

    from sysgraft.build.strip.report import StripReport
    from sysgraft.cli.output import Output


def run(arguments: argparse.Namespace, out: Output) -> int:
    """Strip one root file system or initrd."""
    keeping = Keeping(
        plan=read_plan(arguments.plan) if arguments.plan else None,
        keep=tuple(arguments.keep),
        drop=tuple(arguments.drop),
    )
    source = arguments.source
    if Path(source).is_file() and is_initrd(source):
        report = strip_initrd(
            source, arguments.output, keeping, replace=arguments.force, progress=out.progress
        )
    else:
        report = strip_root(
            source,
            arguments.output,
            keeping,
            options=_options(arguments),
            replace=arguments.force,
            progress=out.progress,
        )
    if out.json_wanted:
        out.json("firmware.strip", 1, as_json(report))
    else:
        _show(report, out)
    return 0


def _options(arguments: argparse.Namespace) -> Options:
    return Options(
        kind="root",
        layers="all",
        whiteouts="drop",
        source_date_epoch=source_date_epoch(arguments.source_date_epoch),
        architecture=arguments.arch,
    )


def as_json(report: StripReport) -> dict[str, object]:
    """The report as ``sysgraft.firmware.strip/1``."""
    return {
        "file": report.path,
        "size": report.size,
        "sizeBefore": report.size_before or None,
        "kept": {"files": report.kept_files, "bytes": report.kept_size},
        "removed": {
            "files": report.removed_files,
            "bytes": report.removed_size,
            "links": report.removed_links,
        },
        "largest": [{"folder": name, "bytes": size} for name, size in report.largest],
        "missing": list(report.missing),
        "notes": list(report.notes),
    }


def _show(report: StripReport, out: Output) -> None:
    for note in report.notes:
        out.note(f"note: {note}")
    for name in report.missing:
        out.note(f"note: planned early, and not there: {name}")
    before = f", {human_size(report.size_before)} before" if report.size_before else ""
    out.text(f"{report.path}  ({human_size(report.size)}{before})")
    removed = f"{counted(report.removed_files, 'file')}, {human_size(report.removed_size)}"
    if report.removed_links:
        removed += f", and {counted(report.removed_links, 'link')}"
    kept = f"{counted(report.kept_files, 'file')}, {human_size(report.kept_size)}"
    out.table([("removed", removed), ("kept", kept)], indent=2)
    out.table([(name, human_size(size)) for name, size in report.largest], indent=4)
