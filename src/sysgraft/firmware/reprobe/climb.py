"""One device, step by step, until it is as it should be.

Each step is taken once. Success is what the kernel shows of the device: it has a driver, and that
has made what such a device has, or what it had before. The kernel may hold on to a write; then no
further step is taken, since the device is locked.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from sysgraft.errors import StuckError, SysgraftError
from sysgraft.firmware.reprobe.guards import guarding
from sysgraft.firmware.reprobe.ladder import ASKS_ON_OPEN, Write, plan
from sysgraft.firmware.reprobe.report import DeviceReport, StepReport
from sysgraft.firmware.reprobe.selection import expected_class, missing_thing
from sysgraft.firmware.reprobe.snapshot import read_device, things_below

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from sysgraft.firmware.reprobe.access import Access
    from sysgraft.firmware.reprobe.guards import Allowed, Anchor
    from sysgraft.firmware.reprobe.ladder import Command, Step
    from sysgraft.firmware.reprobe.report import DeviceStatus, StepStatus
    from sysgraft.firmware.reprobe.selection import Wanted
    from sysgraft.firmware.reprobe.snapshot import Device, Snapshot

STEP_SECONDS: Final = 10.0
"""That one write or program may take: drivers wait for their devices, some for seconds."""
SETTLE_SECONDS: Final = 5.0
"""That a driver may take to make something of its device after its probe."""
PROBE_SECONDS: Final = 0.5
"""That a driver may take to be there where the kernel asks it at once."""
_TICK: Final = 0.1
_ASYNCHRONOUS: Final = frozenset({"module", "usb-device", "rescan", "reload"})
"""Steps after which udev, or a thread of the kernel, finds the driver."""


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What all devices share.

    Attributes:
        access: to the machine.
        snapshot: its devices before anything was done.
        anchors: what it needs.
        allowed: guards that are off.
        end: when the time is over, by the clock.
        begin: is told of a device before the first thing is done to it.
        rebind: whether a driver that is there may be taken away.
        dry_run: whether nothing is done.
    """

    access: Access
    snapshot: Snapshot
    anchors: Sequence[Anchor]
    allowed: Sequence[Allowed]
    end: float
    begin: Callable[[str], None]
    rebind: bool = False
    dry_run: bool = False

    def seconds_left(self) -> float:
        """Until the deadline."""
        return max(0.0, self.end - self.access.clock.now())


def climb(wanted: Wanted, around: Surroundings) -> DeviceReport:
    """Take the steps for one device."""
    return _Climb(wanted, around).report()


@dataclass(slots=True)
class _Climb:
    wanted: Wanted
    around: Surroundings
    steps: list[StepReport] = field(default_factory=list)
    has_begun: bool = False
    is_stuck: bool = False

    def report(self) -> DeviceReport:
        """Take the steps."""
        status = self._idle() or (self._foreseen() if self.around.dry_run else self._taken())
        now = self._now()
        return DeviceReport(
            device=self.wanted.device.key,
            evidence=self.wanted.evidence,
            why=self.wanted.why,
            status="gone" if now is None and not self.around.dry_run else status,
            before=self.wanted.device.driver,
            driver=now.driver if now else "",
            things=things_below(self.around.access.files, now.path) if now else (),
            steps=tuple(self.steps),
        )

    def _idle(self) -> DeviceStatus | None:
        """Where nothing is to be done."""
        device = self.wanted.device
        if not device.driver or self.around.rebind or missing_thing(device):
            return None
        return "on-open" if device.driver in ASKS_ON_OPEN else "in-order"

    def _foreseen(self) -> DeviceStatus:
        for step in self._plan(self.wanted.device):
            guards = self._guards(step)
            self.steps.append(StepReport(step.name, "guarded" if guards else "planned", guards))
        return "planned" if any(each.status == "planned" for each in self.steps) else "guarded"

    def _taken(self) -> DeviceStatus:
        while (device := self._now()) is not None and not self.is_stuck:
            tried = {each.name for each in self.steps}
            step = next((each for each in self._plan(device) if each.name not in tried), None)
            if step is None:
                return self._given_up()
            if not self.around.seconds_left():
                return "out-of-time"
            if self._take(step):
                return "recovered"
        return "failed"

    def _given_up(self) -> DeviceStatus:
        if all(each.status == "guarded" for each in self.steps):
            return "guarded"
        return "still-unbound" if self.wanted.evidence == "unbound" else "failed"

    def _plan(self, device: Device) -> tuple[Step, ...]:
        gently = self.wanted.evidence == "unbound"
        return plan(device, self.around.snapshot, driver=self.wanted.driver, gently=gently)

    def _guards(self, step: Step) -> str:
        """Why a step must not be taken; empty if it may."""
        key = self.wanted.device.key
        found = guarding(step.touches, key, self.around.anchors, self.around.allowed)
        return "; ".join(dict.fromkeys(f"{each.what} ({each.guard})" for each in found))

    def _take(self, step: Step) -> bool:
        """Whether it helped."""
        guards = self._guards(step)
        if guards:
            self.steps.append(StepReport(step.name, "guarded", guards))
            return False
        if not self.has_begun:
            self.around.begin(self.wanted.device.key)
            self.has_begun = True
        clock = self.around.access.clock
        began = clock.now()
        was_well = self._is_well(self._now())
        status, reason = self._act(step)
        # What was refused has not helped a device that looked well before.
        helped = status == "done" or (status == "refused" and not was_well)
        helped = helped and self._settles(step)
        seconds = round(clock.now() - began, 1)
        self.steps.append(StepReport(step.name, "helped" if helped else status, reason, seconds))
        return helped

    def _act(self, step: Step) -> tuple[StepStatus, str]:
        """Its actions, up to the first that fails; what has to be undone is undone."""
        reason = ""
        for action in step.actions:
            if reason and not (isinstance(action, Write) and action.always):
                continue
            try:
                self._perform(action)
            except StuckError as error:
                self.is_stuck = True
                return "stuck", str(error)
            except SysgraftError as error:
                reason = reason or str(error)
        return ("refused", reason) if reason else ("done", "")

    def _perform(self, action: Write | Command) -> None:
        seconds = min(STEP_SECONDS, self.around.seconds_left())
        if isinstance(action, Write):
            self.around.access.control.write(action.path, action.value, seconds=seconds)
        else:
            self.around.access.programs.run(action.words, seconds=seconds)

    def _settles(self, step: Step) -> bool:
        """Whether the device becomes what it should be, in a moment."""
        clock = self.around.access.clock
        patience = SETTLE_SECONDS if step.name in _ASYNCHRONOUS else PROBE_SECONDS
        end = clock.now() + min(patience, self.around.seconds_left())
        latest = clock.now() + min(SETTLE_SECONDS, self.around.seconds_left())
        while not self._is_well(device := self._now()):
            # A driver that has the device may still be at work.
            if clock.now() >= (latest if device and device.driver else end):
                return False
            clock.sleep(_TICK)
        return True

    def _now(self) -> Device | None:
        """The device as it is; None if it is gone."""
        before = self.wanted.device
        files = self.around.access.files
        path = files.resolve(f"sys/bus/{before.bus}/devices/{before.name}")
        if path is None:
            return None
        things = things_below(files, path) if expected_class(before) or before.things else ()
        return read_device(files, before.bus, before.name, path, things=things)

    def _is_well(self, device: Device | None) -> bool:
        if device is None or not device.driver or missing_thing(device):
            return False
        before = {each.partition("/")[0] for each in self.wanted.device.things}
        return before <= {each.partition("/")[0] for each in device.things}
