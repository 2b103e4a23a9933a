"""What ``sysgraft media`` says of a medium: its files, what they take, whether they would start."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sysgraft.cli.output import human_size

if TYPE_CHECKING:
    from sysgraft.build.media.report import MediaReport
    from sysgraft.cli.output import Output


def finish(report: MediaReport, out: Output, *, schema: str, planned: bool) -> int:
    """Tell of a medium; the exit code."""
    for warning in report.warnings:
        out.note(f"warning: {warning}")
    if out.json_wanted:
        out.json(schema, 1, as_json(report))
    else:
        show(report, out)
    if report.ok:
        return 0
    if not report.written and not planned:
        out.note(
            "nothing was written: sign what these keys do not trust (uki sign; --private-key signs "
            "the boot loader), or write it all the same with --allow-unverified"
        )
    return 0 if report.written else 1


def as_json(report: MediaReport) -> dict[str, object]:
    """The report as ``sysgraft.media.disk/1`` or ``sysgraft.media.iso/1``."""
    volume = report.volume
    return {
        "path": report.path,
        "written": report.written,
        "ok": report.ok,
        "size": report.size,
        "architecture": report.architecture,
        "files": [
            {
                "path": each.path,
                "group": each.group,
                "source": each.source or None,
                "size": each.size,
                "allocated": each.allocated,
            }
            for each in report.files
        ],
        "esp": {
            "size": volume.size,
            "files": volume.files,
            "overhead": volume.overhead,
            "free": volume.free,
            "fat": volume.bits,
            "serial": f"{volume.serial:08x}",
        },
        "partitions": [
            {
                "role": each.role,
                "uuid": str(each.uuid),
                "offset": each.offset,
                "size": each.size,
                "source": each.source or None,
            }
            for each in report.partitions
        ],
        "verified": [
            {"file": each.source, "ok": each.ok, "reason": each.reason}
            for each in report.judgements
        ],
        "warnings": list(report.warnings),
    }


def show(report: MediaReport, out: Output) -> None:
    """The report as a person reads it."""
    state = "written" if report.written else "not written"
    out.text(f"{report.path}  ({human_size(report.size)} for {report.architecture}, {state})")
    rows = [("FILE", "FOR", "SIZE", "TAKES")]
    rows += [
        (each.path, each.group, human_size(each.size), human_size(each.allocated))
        for each in report.files
    ]
    out.table(rows, indent=2)
    out.text()
    volume = report.volume
    rows = [("PARTITION", "SIZE", "UUID", "CONTENT")]
    for each in report.partitions:
        content = each.source or (
            f"FAT{volume.bits}: files {human_size(volume.files)}, tables and folders "
            f"{human_size(volume.overhead)}, free {human_size(volume.free)}"
        )
        rows.append((each.role, human_size(each.size), str(each.uuid), content))
    out.table(rows, indent=2)
    if report.judgements:
        out.text()
        verdicts = [
            (out.symbol("ok" if each.ok else "fail"), each.source, each.reason)
            for each in report.judgements
        ]
        out.table(verdicts, indent=2)
