"""``sysgraft firmware doctor``."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final

from sysgraft.cli.firmware_scan import scan_options, show_notes
from sysgraft.errors import InputError, UsageError, in_file
from sysgraft.firmware.doctor import diagnose_firmware
from sysgraft.firmware.inventory import MAX_SIZE, parse_machine
from sysgraft.firmware.scan import scan_machine
from sysgraft.firmware.shelves import Shelf, folder_shelf, host_shelf
from sysgraft.host.small import read_small
from sysgraft.image.firmware_files import firmware_of_image

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator

    from sysgraft.cli.output import Output
    from sysgraft.firmware.doctor import Answer, Attested, Diagnosis, Finding
    from sysgraft.firmware.inventory import Machine
    from sysgraft.firmware.search import Place
    from sysgraft.firmware.verdicts import Need

_MESSAGES_SHOWN: Final = 3
_IMAGE: Final = ".raw"
_VERDICTS: Final = {
    "ladder": "another version is used",
    "optional": "not needed",
    "board": "made for one board",
    "cured": "came later",
}


def run(arguments: argparse.Namespace, out: Output) -> int:
    """Diagnose; 1 if something is wrong."""
    machine = _machine(arguments, out)
    result = diagnose_firmware(machine, list(_shelves(arguments)))
    if out.json_wanted:
        out.json("firmware.doctor", 1, as_json(result))
    else:
        _show(result, out)
    return 0 if result.ok else 1


def _machine(arguments: argparse.Namespace, out: Output) -> Machine:
    options = scan_options(arguments)
    if not arguments.machine:
        scan = scan_machine(options)
        show_notes(scan, out)
        return scan.machine
    if not options.is_live or options.root:
        raise UsageError(
            "--machine is an inventory, which has all of that",
            hint="leave --root, --kmsg, --lspci, --lsusb and --hw-probe to firmware scan",
        )
    with in_file(arguments.machine):
        return parse_machine(read_small(arguments.machine, MAX_SIZE, "inventory"))


def _shelves(arguments: argparse.Namespace) -> Iterator[Shelf]:
    """Firmware at hand, the lowest layer first."""
    root = "" if arguments.machine else arguments.root
    if not arguments.machine and scan_options(arguments).is_live:
        root = "/"
    own = host_shelf(root) if root else None
    if own is not None:
        yield own
    for folder in arguments.firmware_trees:
        yield folder_shelf(folder)
    for path in arguments.extensions:
        yield from (Shelf.of_tree(image, firmware_of_image(image)) for image in _images(path))


def _images(path: str) -> list[str]:
    if not os.path.isdir(path):
        return [path]
    found = sorted(name for name in os.listdir(path) if name.endswith(_IMAGE))
    if not found:
        raise InputError(f"no extension images: nothing ends in {_IMAGE}", file=path)
    return [os.path.join(path, name) for name in found]


# --- For people ----------------------------------------------------------------------------------


def _show(result: Diagnosis, out: Output) -> None:
    for finding in result.findings:
        _show_finding(finding, out)
    if not result.findings:
        out.text("no device is known to lack firmware")
    if result.passed:
        out.text()
        out.text("missed, but not lacking:")
        out.table([_passed_row(need) for need in result.passed], indent=2)
    if result.attested:
        out.text()
        out.text("loaded, as the kernel says:")
        out.table([_attested_row(each) for each in result.attested], indent=2)
    for note in result.notes:
        out.note(f"note: {note}")


def _show_finding(finding: Finding, out: Output) -> None:
    need = finding.need
    who = need.owner or "some device"
    driver = f" ({need.driver})" if need.driver and need.driver != who else ""
    what = " or ".join(need.names) or "firmware, its driver does not say which"
    out.text(f"{who}{driver} lacks {what}")
    rows = [("state", _state(need))]
    rows += [("said", message) for message in need.messages[:_MESSAGES_SHOWN]]
    rows.append(("because", need.why))
    for answer in finding.answers:
        rows += _answer_rows(answer)
    rows += [("do", step) for step in advice(finding)]
    out.table(rows, indent=2)


def _state(need: Need) -> str:
    if need.device is None:
        return "unknown, it is not in the inventory"
    return f"bound to {need.device.driver}" if need.device.driver else "without a driver"


def _answer_rows(answer: Answer) -> Iterator[tuple[str, str]]:
    located = answer.located
    if located.taken:
        yield "found", _where(located.taken)
    for place in located.others:
        yield "passed over", f"{_where(place)}: {place.problem}"
    if not located.taken and not located.others:
        yield "found", f"{located.name} is nowhere at hand"
    if answer.package:
        yield "package", f"{answer.package} has {located.name}"


def _where(place: Place) -> str:
    if place.shelf.kind == "host":
        return os.path.join(place.shelf.label, place.path)
    return f"{place.path} in {place.shelf.label}"


def advice(finding: Finding) -> list[str]:
    """What to do, one step after the other."""
    device = finding.need.owner if ":" in finding.need.owner else ""
    reprobe = f"sysgraft firmware reprobe --device {device}" if device else "restart the machine"
    place = finding.place
    label = place.shelf.label if place else ""
    steps = {
        "reprobe": [f"it is there now, and came too late: {reprobe}"],
        "install": [f"install the extension {label}", reprobe],
        "build": [f"make an extension of it: sysgraft ext build NAME {label}", reprobe],
        "repair": ["replace the file that cannot be used", reprobe],
        "find": ["find the file: it is in linux-firmware, or with the driver's vendor"],
    }[finding.action]
    package = next((each.package for each in finding.answers if each.package), "")
    if finding.action == "find" and package:
        return [f"make an extension of the package {package}", reprobe]
    return steps


def _passed_row(need: Need) -> tuple[str, str, str]:
    names = ", ".join(need.names)
    return names, need.owner, f"{_VERDICTS[need.verdict.value]}: {need.why}"


def _attested_row(each: Attested) -> tuple[str, str, str]:
    if each.place is None:
        return each.match, each.loaded.name, each.problem
    where = _where(each.place)
    if each.match == "match":
        return each.match, each.loaded.name, where
    reason = f"it has the content of {where}" if each.place.problem else f"other than {where}"
    return each.match, each.loaded.name, reason


# --- For machines --------------------------------------------------------------------------------


def as_json(result: Diagnosis) -> dict[str, object]:
    """The result as ``sysgraft.firmware.doctor/1``."""
    return {
        "ok": result.ok,
        "findings": [_finding_json(each) for each in result.findings],
        "passed": [_need_json(each) for each in result.passed],
        "loaded": [
            {
                "name": each.loaded.name,
                "device": each.loaded.device or None,
                "sha256": each.loaded.sha256,
                "match": each.match,
                "file": _place_json(each.place),
                "reason": each.problem or None,
            }
            for each in result.attested
        ],
        "notes": list(result.notes),
    }


def _need_json(need: Need) -> dict[str, object]:
    return {
        "owner": need.owner or None,
        "driver": need.driver or None,
        "bound": None if need.device is None else bool(need.device.driver),
        "modalias": need.device.modalias if need.device else None,
        "names": list(need.names),
        "verdict": need.verdict.value,
        "why": need.why,
        "error": need.error or None,
        "messages": list(need.messages),
    }


def _finding_json(finding: Finding) -> dict[str, object]:
    return {
        **_need_json(finding.need),
        "action": finding.action,
        "advice": advice(finding),
        "files": [
            {
                "name": each.located.name,
                "package": each.package or None,
                "taken": _place_json(each.located.taken),
                "passedOver": [_place_json(place) for place in each.located.others],
            }
            for each in finding.answers
        ],
    }


def _place_json(place: Place | None) -> dict[str, object] | None:
    if place is None:
        return None
    return {
        "in": place.shelf.label,
        "kind": place.shelf.kind,
        "path": place.path,
        "problem": place.problem or None,
    }
