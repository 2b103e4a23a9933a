"""``sysgraft disk check``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sysgraft.cli.output import human_size
from sysgraft.disk.check import CheckOptions, check_disk
from sysgraft.disk.kickstart import comment, script, shell_line
from sysgraft.disk.roles import parse_roles
from sysgraft.errors import UsageError

if TYPE_CHECKING:
    import argparse

    from sysgraft.cli.output import Output
    from sysgraft.disk.report import DiskReport, Mend, PartitionReport
    from sysgraft.disk.subvolumes import Btrfs
    from sysgraft.formats.btrfs.volume import Subvolume


def run(arguments: argparse.Namespace, out: Output) -> int:
    """Look at one disk."""
    if arguments.kickstart and arguments.json:
        raise UsageError("--kickstart and --json exclude each other")
    options = CheckOptions(
        root=arguments.root or "",
        arch=arguments.arch or "",
        roles=parse_roles(arguments.partition),
    )
    report = check_disk(arguments.disk, options)
    if arguments.json:
        out.json("disk.check", 1, as_json(report))
    elif arguments.kickstart:
        out.script(script(report))
    else:
        _show(report, out)
    return 0 if report.ok else 1


# --- JSON ----------------------------------------------------------------------------------------


def as_json(report: DiskReport) -> dict[str, object]:
    """The report as ``sysgraft.disk.check/1``."""
    return {
        "disk": report.disk,
        "ok": report.ok,
        "architecture": report.arch,
        "root": report.root or None,
        "size": report.size,
        "sectorSize": report.sector_size,
        "diskUuid": str(report.disk_uuid) if report.disk_uuid else None,
        "mbr": {
            "kind": report.mbr.kind,
            "partitions": [
                {"number": each.number, "type": each.kind, "name": each.type_name}
                for each in report.mbr.records
            ],
        },
        "findings": [{"code": flaw.code, "text": flaw.text} for flaw in report.flaws],
        "partitions": [_partition_json(part) for part in report.partitions],
        "checks": [
            {
                "name": rule.name,
                "status": rule.status,
                "reason": rule.reason,
                "mend": [_mend_json(mend) for mend in rule.mends],
            }
            for rule in report.rules
        ],
        "notes": list(report.notes),
    }


def _mend_json(mend: Mend) -> dict[str, object]:
    return {"what": mend.why, "command": list(mend.command) or None}


def _partition_json(part: PartitionReport) -> dict[str, object]:
    entry, role = part.partition, part.role
    return {
        "number": part.number,
        "name": entry.name,
        "typeUuid": str(entry.type_uuid),
        "type": part.type_name,
        "uuid": str(entry.uuid),
        "offset": entry.offset,
        "size": entry.size,
        "attributes": f"{entry.attributes:016x}",
        "noAuto": entry.no_auto,
        "readOnly": entry.read_only,
        "growfs": entry.growfs,
        "content": part.content or None,
        "role": role.name or None,
        "evidence": role.source or None,
        "why": role.why,
        "btrfs": _btrfs_json(part.btrfs) if part.btrfs else None,
    }


def _btrfs_json(found: Btrfs) -> dict[str, object]:
    def subvolume(each: Subvolume) -> dict[str, object]:
        return {"id": each.number, "path": each.path}

    return {
        "default": subvolume(found.default) if found.default else None,
        "subvolumes": [subvolume(each) for each in found.subvolumes],
        "systems": [each.number for each in found.systems],
        "problem": found.problem or None,
    }


# --- Text ----------------------------------------------------------------------------------------


def _show(report: DiskReport, out: Output) -> None:
    kind = f"sectors of {report.sector_size} bytes" if report.sector_size else "no GPT"
    out.text(f"{report.disk}  ({human_size(report.size)}, {kind}, for {report.arch})")
    if report.partitions:
        head = ("", "NAME", "TYPE", "SIZE", "HOLDS", "FLAGS", "IS", "BECAUSE")
        out.table([head, *map(_row, report.partitions)], indent=2)
        for part in report.partitions:
            out.text(f"  {part.number} PARTUUID={part.partition.uuid}")
    for rule in report.rules:
        if not rule.idle:
            out.text(f"{out.symbol(rule.status)} {rule.name}: {rule.reason}")
    if nothing := [rule.name for rule in report.rules if rule.idle]:
        out.text(f"{out.symbol('skipped')} nothing here for {', '.join(nothing)}")
    for note in report.notes:
        out.text(f"note: {note}")
    if report.mends:
        out.text("to mend:")
    for mend in report.mends:
        out.text(f"  {comment(mend.why)}")
        if mend.command:
            out.text(f"  {shell_line(mend.command)}")


def _row(part: PartitionReport) -> tuple[str, ...]:
    entry = part.partition
    flags = {
        "no-auto": entry.no_auto,
        "read-only": entry.read_only,
        "growfs": entry.growfs,
    }
    return (
        str(part.number),
        entry.name or "-",
        part.type_name,
        human_size(entry.size),
        part.content or "-",
        " ".join(name for name, on in flags.items() if on) or "-",
        part.role.name or "?",
        part.role.why,
    )
