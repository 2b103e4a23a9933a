"""``sysgraft lab run``."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from sysgraft.cli.lab_report import as_json, show
from sysgraft.errors import UsageError
from sysgraft.lab.options import DEFAULT_MEMORY, DEFAULT_TIMEOUT, Disk, LabOptions
from sysgraft.lab.run import run_lab

if TYPE_CHECKING:
    import argparse

    from sysgraft.cli.output import Output

_SIZE: Final = re.compile(r"(\d{1,7})([MG]?)(?:i?B)?", re.IGNORECASE)
_MEBIBYTES: Final = {"": 1, "m": 1, "g": 1024}


def run(arguments: argparse.Namespace, out: Output) -> int:
    """Boot once."""
    report = run_lab(lab_options(arguments), progress=out.progress)
    if out.json_wanted:
        out.json("lab.run", 1, as_json(report))
    else:
        show(report, out, events=arguments.events)
    return 0 if report.succeeded else 1


def lab_options(arguments: argparse.Namespace) -> LabOptions:
    """The library's options for a command line."""
    disks = [Disk(path) for path in arguments.disk]
    disks += [Disk(path, writable=True) for path in arguments.writable_disk]
    return LabOptions(
        uki=arguments.uki or "",
        extras=tuple(arguments.extra),
        esp=arguments.esp or "",
        cdrom=arguments.cdrom or "",
        disks=tuple(disks),
        script=arguments.script or "",
        probe=not arguments.no_probe,
        secure_boot=arguments.secure_boot or "",
        tpm=arguments.tpm or "",
        timeout=DEFAULT_TIMEOUT if arguments.timeout is None else arguments.timeout,
        reboots=arguments.reboots or 0,
        memory=_memory(arguments.memory),
        cpus=2 if arguments.cpus is None else arguments.cpus,
        accelerator=arguments.accel or "tcg",
        qemu_arguments=tuple(arguments.qemu_argument),
        output=arguments.output or "",
        replace=arguments.force,
    )


def _memory(text: str | None) -> int:
    """MiB."""
    if text is None:
        return DEFAULT_MEMORY
    found = _SIZE.fullmatch(text)
    if found is None:
        raise UsageError(f"--memory wants a size such as 512M or 4G, not {text!r}")
    return int(found[1]) * _MEBIBYTES[found[2].lower()]
