"""What must not lose its driver, not even for a moment, unless somebody says so.

A device is guarded if what the machine needs (an anchor) is the device, or is anywhere in the tree
below it: the disk controller above the root file system, the hub above the only network interface.
Anchors are found by `anchors_disk`, `anchors_net` and `anchors_console`. A device that was
re-probed in this boot is guarded as well: where that did not help, a second time will not.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal, NamedTuple, TypeAlias, get_args

from sysgraft.errors import UsageError
from sysgraft.firmware.reprobe.names import split_device
from sysgraft.firmware.reprobe.snapshot import is_at_or_below

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

GuardName: TypeAlias = Literal["root-disk", "mounted-disk", "default-route", "console", "again"]
GUARDS: Final[tuple[GuardName, ...]] = get_args(GuardName)


class Anchor(NamedTuple):
    """Something the machine needs.

    Attributes:
        guard: why.
        path: where it is, below the root.
        what: the reason in words: "/ is on nvme0n1p2".
    """

    guard: GuardName
    path: str
    what: str


class Allowed(NamedTuple):
    """A guard that is switched off for one device."""

    guard: GuardName
    device: str


def parse_allowed(text: str) -> Allowed:
    """``GUARD=BUS:NAME``.

    Raises:
        UsageError: there is no such guard, or no such name of a device.
    """
    name, equals, device = text.partition("=")
    guard = next((each for each in GUARDS if each == name), None)
    if guard is None or not equals:
        raise UsageError(
            f"nothing that can be allowed: {text!r}",
            hint=f"GUARD=BUS:NAME, where GUARD is one of {', '.join(GUARDS)}",
        )
    split_device(device)
    return Allowed(guard, device)


def guarding(
    touches: Sequence[str],
    device: str,
    anchors: Iterable[Anchor],
    allowed: Iterable[Allowed] = (),
) -> tuple[Anchor, ...]:
    """The anchors that a step would take away; none if it may be taken.

    Args:
        touches: places whose trees it touches.
        device: ``BUS:NAME`` of the device it is for.
        anchors: of the machine.
        allowed: what was allowed.
    """
    free = {each.guard for each in allowed if each.device == device}
    return tuple(
        anchor
        for anchor in anchors
        if anchor.guard not in free and any(is_at_or_below(anchor.path, t) for t in touches)
    )
