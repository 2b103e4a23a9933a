"""Re-probes devices: finds them, leaves alone what must not be touched, and takes the steps.

    report = reprobe(ReprobeOptions(all_failed=True), this_machine())

Which device was tried is remembered before it is touched, so that whoever starts this again after a
crash does not run into it again.
"""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from sysgraft.errors import UsageError
from sysgraft.firmware.reprobe.after_merge import after_merge
from sysgraft.firmware.reprobe.anchors_console import console_anchors
from sysgraft.firmware.reprobe.anchors_disk import disk_anchors
from sysgraft.firmware.reprobe.anchors_net import net_anchors
from sysgraft.firmware.reprobe.climb import Surroundings, climb
from sysgraft.firmware.reprobe.firmware_files import missing_firmware
from sysgraft.firmware.reprobe.guards import Anchor
from sysgraft.firmware.reprobe.names import split_device
from sysgraft.firmware.reprobe.report import DeviceReport, ReprobeReport
from sysgraft.firmware.reprobe.selection import (
    failed,
    first_of_each,
    matching,
    named,
    read_aliases,
    unbound,
)
from sysgraft.firmware.reprobe.snapshot import read_snapshot

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from sysgraft.firmware.inventory import Failure
    from sysgraft.firmware.reprobe.access import Access
    from sysgraft.firmware.reprobe.guards import Allowed
    from sysgraft.firmware.reprobe.report import MergeReport
    from sysgraft.firmware.reprobe.selection import Wanted
    from sysgraft.firmware.reprobe.snapshot import Snapshot

DEFAULT_DEADLINE: Final = 30.0
"""Seconds for everything."""
_DEVICES: Final = "devices"
"""In the state of a boot: what became of which device."""
_BEGUN: Final = "begun"


@dataclass(frozen=True, slots=True, kw_only=True)
class ReprobeOptions:
    """What is to be done.

    Attributes:
        devices: to re-probe, ``BUS:NAME``.
        modaliases: patterns; devices without a driver that match.
        all_failed: also those that failed, by the kernel's messages and by what they are.
        failures: firmware that was missed.
        firmware: names of files without which nothing is done.
        after_merge: whether udev is first told what a merge brought.
        rebind: whether a named device that has a driver loses it for a moment.
        allowed: guards that are off.
        deadline: seconds for everything.
        dry_run: whether nothing is done.
    """

    devices: tuple[str, ...] = ()
    modaliases: tuple[str, ...] = ()
    all_failed: bool = False
    failures: tuple[Failure, ...] = ()
    firmware: tuple[str, ...] = ()
    after_merge: bool = False
    rebind: bool = False
    allowed: tuple[Allowed, ...] = ()
    deadline: float = DEFAULT_DEADLINE
    dry_run: bool = False


def reprobe(options: ReprobeOptions, access: Access) -> ReprobeReport:
    """Have drivers look again at devices whose firmware they missed.

    Args:
        options: which devices, and how far to go.
        access: the machine.

    Raises:
        UsageError: no device is asked for, or a name is none.
        ToolError: another process is re-probing.
        OutputError: what was tried cannot be remembered, so that nothing is.
    """
    _check(options)
    began = access.clock.now()
    with nullcontext() if options.dry_run else access.state.alone():
        missing = missing_firmware(access.files, options.firmware)
        if missing:
            return ReprobeReport(waits_for=missing, dry_run=options.dry_run)
        merge = _merge(options, access)
        work = _Work(options, access, began + options.deadline)
        devices = tuple(work.reports())
    return ReprobeReport(
        devices=devices,
        merge=merge,
        dry_run=options.dry_run,
        seconds=round(access.clock.now() - began, 1),
    )


def _merge(options: ReprobeOptions, access: Access) -> tuple[MergeReport, ...]:
    if not options.after_merge:
        return ()
    return after_merge(access, seconds=options.deadline, dry_run=options.dry_run)


def _check(options: ReprobeOptions) -> None:
    for device in options.devices:
        split_device(device)
    if not (options.devices or options.modaliases or options.all_failed):
        raise UsageError("which devices?", hint="--device, --modalias or --all-failed")
    if not options.deadline > 0:
        raise UsageError(f"a deadline of {options.deadline:g} seconds")


class _Work:
    """The devices of one run."""

    def __init__(self, options: ReprobeOptions, access: Access, end: float) -> None:
        self._options = options
        self._access = access
        self._end = end
        self._snapshot = read_snapshot(access.files)
        self._tried: dict[str, Any] = dict(_tried(access.state.read()))

    def reports(self) -> Iterator[DeviceReport]:
        """Take the devices one after the other."""
        for device in self._options.devices:
            if device not in self._snapshot.devices:
                why = "there is no such device"
                yield DeviceReport(device=device, evidence="named", why=why, status="gone")
        for wanted in first_of_each(self._wanted()):
            report = climb(wanted, self._around(wanted))
            if self._tried.get(report.device) == _BEGUN:
                self._note(report.device, report.status)
            yield report

    def _wanted(self) -> Iterable[Wanted]:
        options = self._options
        yield from named(self._snapshot, options.devices)
        yield from matching(self._snapshot, options.modaliases)
        if options.all_failed:
            yield from failed(self._snapshot, options.failures)
            yield from unbound(self._snapshot, read_aliases(self._access.files))

    def _around(self, wanted: Wanted) -> Surroundings:
        # Anew for each device: while a machine starts, disks are mounted at any time.
        anchors = find_anchors(self._access, self._snapshot)
        return Surroundings(
            access=self._access,
            snapshot=self._snapshot,
            anchors=(*self._again(wanted), *anchors),
            allowed=self._options.allowed,
            end=self._end,
            begin=lambda key: self._note(key, _BEGUN),
            rebind=self._options.rebind and wanted.evidence == "named",
            dry_run=self._options.dry_run,
        )

    def _again(self, wanted: Wanted) -> Iterator[Anchor]:
        """The guard of what was tried before."""
        if wanted.device.key not in self._tried:
            return
        became = str(self._tried[wanted.device.key])[:40]
        what = f"it was re-probed in this boot already, which ended as {became!r}"
        yield Anchor("again", wanted.device.path, what)

    def _note(self, device: str, became: str) -> None:
        self._tried[device] = became
        self._access.state.write({_DEVICES: self._tried})


def _tried(state: Mapping[str, Any]) -> Mapping[str, Any]:
    found = state.get(_DEVICES)
    return found if isinstance(found, dict) else {}


def find_anchors(access: Access, snapshot: Snapshot) -> tuple[Anchor, ...]:
    """Everything the machine needs."""
    return (
        *disk_anchors(access.files, snapshot),
        *net_anchors(access.files, snapshot),
        *console_anchors(access.files, snapshot),
    )
