"""Which missed firmware files matter.

A warning alone says little: drivers ask for files that need not be there (see
`sysgraft.firmware.fallbacks`). What counts is how the device ended: whether a further name came,
whether its driver said that it gave up, whether it is bound to a driver.
"""

from __future__ import annotations

import enum
from typing import TYPE_CHECKING, NamedTuple

from sysgraft.firmware import fallbacks
from sysgraft.firmware.messages import is_failed_probe, is_loaders_own

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from sysgraft.firmware.inventory import Device, Failure, Machine


class Verdict(enum.Enum):
    """What a missed file means."""

    MISSING = "missing"
    """The device lacks it."""
    LADDER = "ladder"
    """Another version came, or nothing speaks against it."""
    OPTIONAL = "optional"
    """The device works without."""
    BOARD = "board"
    """The name was made for one board; the generic one was not missed."""
    CURED = "cured"
    """It came later."""


class Need(NamedTuple):
    """What a device was missing.

    Attributes:
        owner: the device, ``BUS:NAME``, or the driver where only that is known; or nothing.
        device: as the inventory has it; None if it does not.
        driver: as messages call it.
        names: of the files, in the order they were asked for, any of which would do; none where
            the driver does not say.
        verdict: what it means.
        why: the reason, for people.
        error: errno of the first, 0 for none.
        messages: the kernel's words.
    """

    owner: str
    device: Device | None
    driver: str
    names: tuple[str, ...]
    verdict: Verdict
    why: str
    error: int
    messages: tuple[str, ...]


def judge(machine: Machine) -> list[Need]:
    """What the devices of a machine were missing, in the order of its log."""
    devices = {f"{each.bus}:{each.name}": each for each in machine.devices}
    owners: dict[str, list[Failure]] = {}
    for failure in machine.failures:
        owners.setdefault(failure.device or failure.driver, []).append(failure)
    came = _came(machine)
    nothing = _Came()
    needs: list[Need] = []
    told = {each.driver for each in machine.failures if each.name and each.device}
    for owner, failures in owners.items():
        if owner in told and not any(each.name for each in failures):
            continue  # a driver's words about one of the devices of which more is known
        # Where the log does not say for whom a file was loaded, it may have been for anyone.
        mine = (came.get(owner, nothing), came.get("", nothing) if owner else nothing)
        needs += _Owner(owner, devices.get(owner), failures, mine).needs()
    return needs


class _Came:
    """Files that came for one device.

    Attributes:
        names: of the files.
        steps: of what each ladder has in common, the name that came.
    """

    def __init__(self) -> None:
        self.names: set[str] = set()
        self.steps: dict[str, str] = {}

    def add(self, name: str) -> None:
        """One more."""
        self.names.add(name)
        step = fallbacks.ladder(name)
        if step:
            self.steps[step] = max(name, self.steps.get(step, ""))


def _came(machine: Machine) -> dict[str, _Came]:
    found: dict[str, _Came] = {}
    for each in machine.loaded:
        found.setdefault(each.device, _Came()).add(each.name)
    return found


class _Owner:
    """A device with all it missed."""

    def __init__(
        self, name: str, device: Device | None, failures: list[Failure], came: Sequence[_Came]
    ) -> None:
        self._name = name
        self._device = device
        self._came = came
        self._named = [each for each in failures if each.name and not self._has_come(each.name)]
        self._nameless = [each for each in failures if not each.name]

    def _has_come(self, name: str) -> bool:
        return any(name in each.names for each in self._came)

    def needs(self) -> Iterator[Need]:
        found = [self._need(group) for group in _groups(self._named)]
        yield from found
        gave_up = [each for each in self._nameless if not each.cured]
        if not gave_up or any(each.verdict is Verdict.MISSING for each in found):
            return
        if not self._named:
            yield self._made((), gave_up, Verdict.MISSING, "the driver does not say which file")

    def _need(self, group: list[Failure]) -> Need:
        names = tuple(dict.fromkeys(each.name for each in group))
        verdict, why = self._verdict(names, group)
        words = [*group, *(self._nameless if verdict is Verdict.MISSING else ())]
        return self._made(names, words, verdict, why)

    def _verdict(self, names: tuple[str, ...], group: list[Failure]) -> tuple[Verdict, str]:
        if all(each.cured for each in group):
            return Verdict.CURED, "its driver said later that the firmware runs"
        if self._device and self._device.driver and self._failed_to_probe:
            return (
                Verdict.CURED,
                f"probing failed, and yet it is bound to {self._device.driver} now",
            )
        optional = [fallbacks.optional(name) for name in names]
        if all(optional):
            return Verdict.OPTIONAL, next(each.why for each in optional if each)
        if any(map(fallbacks.ladder, names)):
            return self._ladder(names, group)
        board = fallbacks.generic(names[-1])
        if board:
            return self._board(board)
        more = "further" if len(names) > 1 else "other"
        return Verdict.MISSING, f"its driver asked for no {more} name"

    @property
    def _failed_to_probe(self) -> bool:
        """Whether the driver that has the device now could not take it then."""
        driver = self._device.driver if self._device else ""
        return any(
            each.driver == driver and is_failed_probe(each.message) for each in self._nameless
        )

    def _ladder(self, names: tuple[str, ...], group: list[Failure]) -> tuple[Verdict, str]:
        step = fallbacks.ladder(names[0])
        came = next((each.steps[step] for each in self._came if step in each.steps), "")
        if came:
            return Verdict.LADDER, f"{came} came instead"
        own = not all(is_loaders_own(each.message) for each in group)
        if own or fallbacks.is_whole(names):
            return Verdict.MISSING, "its driver found none of the versions it knows"
        if any(not each.cured for each in self._nameless):
            return Verdict.MISSING, "its driver gave up"
        if self._device is not None and not self._device.driver:
            return Verdict.MISSING, "the device has no driver"
        return (
            Verdict.LADDER,
            "its driver goes on with another version, and does not say it found none",
        )

    def _board(self, generic: str) -> tuple[Verdict, str]:
        if self._has_come(generic):
            return Verdict.BOARD, f"{generic} came instead"
        if self._device is not None and not self._device.driver:
            return Verdict.MISSING, "the device has no driver"
        return Verdict.BOARD, f"{generic} is for all boards, and was not missed"

    def _made(
        self, names: tuple[str, ...], failures: Iterable[Failure], verdict: Verdict, why: str
    ) -> Need:
        words = list(failures)
        return Need(
            self._name,
            self._device,
            next((each.driver for each in words if each.driver), ""),
            names,
            verdict,
            why,
            next((each.error for each in words if each.error), 0),
            tuple(dict.fromkeys(each.message for each in words)),
        )


def _groups(failures: list[Failure]) -> list[list[Failure]]:
    """Names that stand for each other: rungs of a ladder, a board's and the generic one."""
    generic = {each.name for each in failures} & {fallbacks.generic(f.name) for f in failures}
    groups: dict[str, list[Failure]] = {}
    for each in failures:
        board = fallbacks.generic(each.name)
        key = board if board in generic else each.name
        groups.setdefault(fallbacks.ladder(each.name) or key, []).append(each)
    return list(groups.values())
