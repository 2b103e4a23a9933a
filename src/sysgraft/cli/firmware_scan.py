"""``sysgraft firmware scan``."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import msgspec

from sysgraft.cli.output import counted
from sysgraft.errors import UsageError
from sysgraft.firmware.inventory import render_machine
from sysgraft.firmware.scan import ScanOptions, scan_machine
from sysgraft.host.kernel_messages import log_firmware_loads
from sysgraft.host.output import atomic_output

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator

    from sysgraft.cli.output import Output
    from sysgraft.firmware.inventory import Machine
    from sysgraft.firmware.scan import Scan


def run(arguments: argparse.Namespace, out: Output) -> int:
    """Scan, and write or show what was found."""
    options = scan_options(arguments)
    if arguments.enable_debug:
        if not options.is_live:
            raise UsageError("--enable-debug is for this machine alone")
        where = log_firmware_loads()
        out.note(f"the kernel logs what it loads from now on, until it is started again ({where})")
    scan = scan_machine(options)
    show_notes(scan, out)
    if arguments.output:
        with atomic_output(arguments.output, replace=arguments.force) as file:
            file.write(render_machine(scan.machine))
    if arguments.json:
        out.json("firmware.scan", 1, as_json(scan.machine))
    else:
        _show(scan.machine, out)
    return 0


def scan_options(arguments: argparse.Namespace) -> ScanOptions:
    """Which machine is meant."""
    return ScanOptions(
        root=arguments.root or "",
        kmsg=arguments.kmsg or "",
        lspci=arguments.lspci or "",
        lsusb=arguments.lsusb or "",
        hw_probe=arguments.hw_probe or "",
    )


def show_notes(scan: Scan, out: Output) -> None:
    """What could not be read, and what initrds were made without."""
    for note in scan.notes:
        out.note(f"note: {note}")
    if scan.declared:
        files = counted(len(scan.declared), "file")
        out.note(f"note: {files} that modules name were not found for an initrd; no device asked")


def as_json(machine: Machine) -> dict[str, object]:
    """The inventory, without the schema that leads every document."""
    document = msgspec.to_builtins(machine)
    return {key: value for key, value in document.items() if key != "schema"}


def _show(machine: Machine, out: Output) -> None:
    out.table(list(_rows(machine)))
    for title, rows in (("loaded", _loaded(machine)), ("missed", _missed(machine))):
        listed = list(rows)
        if listed:
            out.text()
            out.text(f"{title}:")
            out.table(listed, indent=2)


def _rows(machine: Machine) -> Iterator[tuple[str, str]]:
    system = f"{machine.os.get('ID', '')} {machine.os.get('VERSION_ID', '')}".strip()
    yield "system", system or "unknown"
    yield "kernel", f"{machine.kernel or 'unknown'} {machine.architecture}".strip()
    board = " ".join(filter(None, (machine.dmi.get("sys_vendor"), machine.dmi.get("product_name"))))
    yield "machine", board or machine.dmi.get("compatible") or "unknown"
    buses = Counter(device.bus for device in machine.devices)
    per_bus = ", ".join(f"{count} {bus}" for bus, count in sorted(buses.items()))
    bound = sum(bool(device.driver) for device in machine.devices)
    yield "devices", f"{len(machine.devices)} ({per_bus})" if per_bus else "none"
    yield "with a driver", str(bound)
    yield "modules", str(len(machine.modules))
    if machine.firmware_path:
        yield "firmware path", machine.firmware_path
    yield "read from", ", ".join(machine.sources) or "nothing"


def _loaded(machine: Machine) -> Iterator[tuple[str, str, str]]:
    for each in machine.loaded:
        yield each.name, each.device, each.sha256 or each.path


def _missed(machine: Machine) -> Iterator[tuple[str, str, str]]:
    for each in machine.failures:
        if each.name:
            yield each.name, each.device or each.driver, "came later" if each.cured else ""
