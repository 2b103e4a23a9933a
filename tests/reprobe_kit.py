"""Machines in folders, for the tests of re-probing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from sysgraft.firmware.reprobe.access import STATE, Access
from sysgraft.firmware.reprobe.engine import ReprobeOptions, reprobe
from sysgraft.host.boot_state import BootState
from sysgraft.host.sysfs import SysfsFolder
from sysgraft.testing.sysfs_control import FakeClock, FakeMachine, FakePrograms

if TYPE_CHECKING:
    from pathlib import Path

    from sysgraft.firmware.reprobe.report import DeviceReport, ReprobeReport

RELEASE: Final = "6.12.117"
ROOT_IN_MEMORY: Final = "1 1 0:2 / / rw - rootfs rootfs rw\n"


@dataclass(frozen=True, slots=True)
class Kit:
    """A machine, and what stands in for its programs and its clock."""

    machine: FakeMachine
    programs: FakePrograms
    clock: FakeClock

    @property
    def root(self) -> Path:
        return self.machine.root

    def access(self) -> Access:
        files = SysfsFolder(self.root)
        state = BootState(STATE, str(self.root))
        return Access(files, self.machine, self.programs, self.clock, state, str(self.root))

    def reprobe(self, *devices: str, **options: Any) -> ReprobeReport:
        return reprobe(ReprobeOptions(devices=devices, **options), self.access())

    def one(self, *devices: str, **options: Any) -> DeviceReport:
        """The report about the only device."""
        (report,) = self.reprobe(*devices, **options).devices
        return report

    def mounted(self, *lines: str) -> None:
        """What ``/proc/self/mountinfo`` says: ``NUMBER PLACE KIND SOURCE OPTIONS``."""
        text = ""
        for line in lines:
            number, place, kind, source, options = line.split()
            text += f"30 1 {number} / {place} rw,relatime shared:1 - {kind} {source} {options}\n"
        self.machine.text("proc/self/mountinfo", text)


def kit_in(folder: Path) -> Kit:
    """A machine without devices, whose root is in memory."""
    clock = FakeClock()
    machine = FakeMachine(folder, clock)
    machine.text("proc/self/mountinfo", ROOT_IN_MEMORY)
    machine.text("proc/sys/kernel/osrelease", f"{RELEASE}\n")
    machine.text("proc/sys/kernel/random/boot_id", "5e1f\n")
    return Kit(machine, FakePrograms(), clock)
