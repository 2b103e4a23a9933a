"""``sysgraft firmware build``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sysgraft.build.extension import BuildOptions
from sysgraft.build.firmware_set.build import FirmwareOptions, build_firmware
from sysgraft.build.sources.model import Options as SourceOptions
from sysgraft.cli import ext_build
from sysgraft.cli.epoch import source_date_epoch
from sysgraft.cli.firmware_files import read_plan
from sysgraft.cli.output import counted, human_size
from sysgraft.cli.signing import signing_pair
from sysgraft.errors import UsageError

if TYPE_CHECKING:
    import argparse

    from sysgraft.build.extension import BuildReport
    from sysgraft.build.firmware_set.build import EarlyPart, FirmwareReport
    from sysgraft.cli.output import Output


def run(arguments: argparse.Namespace, out: Output) -> int:
    """Build one set."""
    if arguments.unsigned and (arguments.private_key or arguments.certificate):
        raise UsageError("--unsigned and a key exclude each other")
    report = build_firmware(
        arguments.name,
        read_plan(arguments.plan) if arguments.plan else None,
        arguments.firmware_tree,
        output=arguments.output,
        signing=None if arguments.unsigned else signing_pair(arguments),
        options=_options(arguments),
        progress=out.progress,
    )
    if out.json_wanted:
        out.json("firmware.build", 1, as_json(report))
    else:
        _show(report, out)
    return 0


def _options(arguments: argparse.Namespace) -> FirmwareOptions:
    sources = SourceOptions(
        architecture=arguments.arch,
        source_date_epoch=source_date_epoch(arguments.source_date_epoch),
    )
    return FirmwareOptions(
        packing=arguments.pack,
        keep=tuple(arguments.keep),
        drop=tuple(arguments.drop),
        early_initrd=arguments.early_initrd,
        early_microcode=arguments.early_microcode,
        extension=BuildOptions(
            sources=sources, compress=arguments.compress, replace=arguments.force
        ),
    )


def as_json(report: FirmwareReport) -> dict[str, object]:
    """The report as ``sysgraft.firmware.build/1``."""
    return {
        "extension": _extension_json(report.extension) if report.extension else None,
        "earlyInitrd": _part_json(report.early_initrd),
        "earlyMicrocode": _part_json(report.early_microcode),
        "files": report.files,
        "size": report.size,
        "notes": [*report.notes, *(report.extension.notes if report.extension else ())],
    }


def _extension_json(report: BuildReport) -> dict[str, object]:
    return {
        "file": report.path,
        "size": report.geometry.disk_size,
        "rootHash": report.root_hash.hex(),
        "signed": report.signed,
    }


def _part_json(part: EarlyPart | None) -> dict[str, object] | None:
    return {"file": part.path, "files": part.files, "size": part.size} if part else None


def _show(report: FirmwareReport, out: Output) -> None:
    for note in report.notes:
        out.note(f"note: {note}")
    rows = [("firmware", f"{counted(report.files, 'file')}, {human_size(report.size)}")]
    for name, part in (
        ("early initrd", report.early_initrd),
        ("early microcode", report.early_microcode),
    ):
        if part is not None:
            what = f"{counted(part.files, 'file')}, {human_size(part.size)}"
            rows.append((name, f"{part.path}: {what}"))
    if report.extension is not None:
        ext_build.show(report.extension, out)
    out.table(rows, indent=2)
