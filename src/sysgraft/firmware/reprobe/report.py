"""What was done to which device, what was not, and why."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, NamedTuple, TypeAlias

if TYPE_CHECKING:
    from sysgraft.firmware.reprobe.ladder import StepName
    from sysgraft.firmware.reprobe.selection import Evidence

StepStatus: TypeAlias = Literal["helped", "done", "refused", "stuck", "guarded", "planned"]
DeviceStatus: TypeAlias = Literal[
    "recovered",
    "in-order",
    "on-open",
    "planned",
    "guarded",
    "failed",
    "still-unbound",
    "out-of-time",
    "gone",
]
MergeStatus: TypeAlias = Literal["done", "not-needed", "impossible", "planned"]

GOOD: frozenset[DeviceStatus] = frozenset({"recovered", "in-order", "on-open", "planned"})
"""Nothing is left to do for such devices."""
HARMLESS: frozenset[DeviceStatus] = frozenset({"still-unbound"})
"""May have no driver for good reasons."""


class StepReport(NamedTuple):
    """What became of a step.

    Attributes:
        name: of it.
        status: ``done`` is without an error and without success.
        reason: why not; empty where there is nothing to say.
        seconds: that it took.
    """

    name: StepName
    status: StepStatus
    reason: str = ""
    seconds: float = 0.0


class MergeReport(NamedTuple):
    """What was done about what a merge brought for udev.

    Attributes:
        name: ``rules``, ``hwdb`` or ``modules``.
        status: what became of it.
        reason: in words.
    """

    name: str
    status: MergeStatus
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceReport:
    """What became of a device.

    Attributes:
        device: ``BUS:NAME``.
        evidence: why it was looked at.
        why: the same in words.
        status: how it is now.
        before: its driver before; empty for none.
        driver: its driver now.
        things: what its driver made, ``CLASS/NAME``.
        steps: in the order they were taken, or would be.
    """

    device: str
    evidence: Evidence
    why: str
    status: DeviceStatus
    before: str = ""
    driver: str = ""
    things: tuple[str, ...] = ()
    steps: tuple[StepReport, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ReprobeReport:
    """What became of everything.

    Attributes:
        devices: those that were looked at.
        merge: what was done for udev.
        waits_for: firmware that is not there, so that nothing was done.
        dry_run: whether nothing was to be done.
        seconds: that it took.
    """

    devices: tuple[DeviceReport, ...] = ()
    merge: tuple[MergeReport, ...] = ()
    waits_for: tuple[str, ...] = ()
    dry_run: bool = False
    seconds: float = 0.0

    @property
    def ok(self) -> bool:
        """Whether no device is left that should have a driver and has not."""
        return all(each.status in GOOD | HARMLESS for each in self.devices)
