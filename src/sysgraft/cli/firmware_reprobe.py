"""``sysgraft firmware reprobe``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sysgraft.errors import UsageError, in_file
from sysgraft.firmware.inventory import MAX_SIZE, parse_machine
from sysgraft.firmware.reprobe.access import this_machine
from sysgraft.firmware.reprobe.engine import ReprobeOptions, reprobe
from sysgraft.firmware.reprobe.guards import parse_allowed
from sysgraft.firmware.scan import ScanOptions, scan_machine
from sysgraft.host.small import read_small

if TYPE_CHECKING:
    import argparse

    from sysgraft.cli.output import Output
    from sysgraft.firmware.inventory import Failure
    from sysgraft.firmware.reprobe.report import DeviceReport, ReprobeReport


def run(arguments: argparse.Namespace, out: Output) -> int:
    """Re-probe, and say what became of every device."""
    if arguments.root != "/" and not arguments.dry_run:
        raise UsageError("--root is for a recorded machine: nothing can be done there, only told")
    report = reprobe(_options(arguments, out), this_machine(arguments.root))
    if out.json_wanted:
        out.json("firmware.reprobe", 1, report_json(report))
    else:
        show(report, out)
    return 0 if report.ok else 1


def _options(arguments: argparse.Namespace, out: Output) -> ReprobeOptions:
    return ReprobeOptions(
        devices=tuple(arguments.device),
        modaliases=tuple(arguments.modalias),
        all_failed=arguments.all_failed,
        failures=_failures(arguments, out),
        firmware=tuple(arguments.file),
        after_merge=arguments.after_merge,
        rebind=arguments.rebind,
        allowed=tuple(map(parse_allowed, arguments.allow)),
        deadline=arguments.deadline,
        dry_run=arguments.dry_run,
    )


def _failures(arguments: argparse.Namespace, out: Output) -> tuple[Failure, ...]:
    """What the kernel's messages tell; those of this boot, unless others are named."""
    if not arguments.all_failed:
        return ()
    if arguments.machine:
        if arguments.kmsg:
            raise UsageError("--machine is an inventory, which has what --kmsg would tell")
        with in_file(arguments.machine):
            return parse_machine(read_small(arguments.machine, MAX_SIZE, "inventory")).failures
    scan = scan_machine(ScanOptions(root=arguments.root, kmsg=arguments.kmsg))
    for note in scan.notes:
        out.note(f"note: {note}")
    return scan.machine.failures


def show(report: ReprobeReport, out: Output) -> None:
    """For a person."""
    for name in report.waits_for:
        out.text(f"there is no firmware {name}: nothing is done")
    for merge in report.merge:
        out.text(f"{merge.name}: {merge.status}, {merge.reason}")
    for device in report.devices:
        out.text(f"{device.device}: {_verdict(device)}")
        out.table([(step.name, step.status, step.reason) for step in device.steps], indent=2)
    if not (report.devices or report.waits_for):
        out.text("no device missed its firmware")


def _verdict(device: DeviceReport) -> str:
    words = {
        "recovered": f"has the driver {device.driver} now",
        "in-order": f"has the driver {device.before}, nothing to do",
        "on-open": f"its driver {device.before} asks when the interface is brought up",
        "planned": "would be re-probed",
        "guarded": "left alone",
        "failed": "NO DRIVER" if not device.driver else f"{device.driver} MADE NOTHING OF IT",
        "still-unbound": "still has no driver, which may be as it should",
        "out-of-time": "OUT OF TIME",
        "gone": "IS NOT THERE",
    }
    made = f", which made {', '.join(device.things)}" if device.things else ""
    return f"{words[device.status]}{made if device.status == 'recovered' else ''} ({device.why})"


def report_json(report: ReprobeReport) -> dict[str, object]:
    """The document."""
    return {
        "ok": report.ok,
        "dryRun": report.dry_run,
        "seconds": report.seconds,
        "waitsFor": list(report.waits_for),
        "merge": [each._asdict() for each in report.merge],
        "devices": [_device_json(each) for each in report.devices],
    }


def _device_json(device: DeviceReport) -> dict[str, object]:
    return {
        "device": device.device,
        "evidence": device.evidence,
        "why": device.why,
        "status": device.status,
        "driverBefore": device.before or None,
        "driver": device.driver or None,
        "things": list(device.things),
        "steps": [each._asdict() for each in device.steps],
    }
