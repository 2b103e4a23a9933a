"""Holds the events of a log to those that were expected, one PCR at a time.

Digests decide; what the log says about an event only tells which expected event it stands for. The
data of an event is vouched for by nothing but the digest, where that is of the data itself.
Events of the firmware that follow from no file (it turns to several boot options in turn) are set
aside, if they are what they say they are.
"""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict, deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal, TypeVar

from sysgraft.formats.device_path import last_name, loaded_file
from sysgraft.measure import events

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterable, Sequence

    from sysgraft.formats.eventlog import Event as LogEvent
    from sysgraft.measure.events import Event

MAX_ALIGNED: Final = 1 << 18
"""Pairs of events that are held to each other to align two lists; of longer lists only what they
have in common at beginning and end counts."""

DifferenceKind = Literal["changed", "missing", "added", "moved"]

EV_ACTION: Final = 0x05
EV_OMIT_BOOT_DEVICE_EVENTS: Final = 0x12
# What the firmware says of its boot options (Firmware Profile 1.06 §10.4.4), each with the digest
# of the text.
_ACTIONS: Final = (
    b"Calling EFI Application from Boot Option",
    b"Returning from EFI Application from Boot Option",
    b"BOOT ATTEMPTS OMITTED",
)
_OWN_TYPES: Final = (
    EV_ACTION,
    events.EV_EFI_ACTION,
    EV_OMIT_BOOT_DEVICE_EVENTS,
    events.EV_SEPARATOR,
)
_PROGRAM_TYPES: Final = (0x8000_0003, 0x8000_0004, 0x8000_0005)
_OF_FIRMWARE: Final = ("firmware", "separator")


@dataclass(frozen=True, slots=True)
class Difference:
    """One thing that is not as expected; at least one of both events is there.

    Attributes:
        kind: what is the matter.
        expected: what should have been measured.
        found: what was.
    """

    kind: DifferenceKind
    expected: Event | None
    found: LogEvent | None


@dataclass(frozen=True, slots=True)
class Comparison:
    """What came of it for one PCR.

    Attributes:
        differences: what moved or changed, what is missing, what was added.
        firmware: events of the firmware that no file explains, and nobody expected.
        missing_firmware: events of the firmware that were expected and did not happen.
    """

    differences: tuple[Difference, ...]
    firmware: tuple[LogEvent, ...] = ()
    missing_firmware: tuple[Event, ...] = ()


def compare(found: Sequence[LogEvent], expected: Sequence[Event], bank: str) -> Comparison:
    """Compare the events of one PCR, all of which have a digest for the bank."""
    own = [each for each in found if _is_of_firmware(each, bank)]
    predicted = [each for each in expected if each.component in _OF_FIRMWARE]
    rest = [each for each in found if not _is_of_firmware(each, bank)]
    wanted = [each for each in expected if each.component not in _OF_FIRMWARE]
    lost, extra = _unmatched(
        wanted, rest, [e.digests[bank] for e in wanted], [e.digests[bank] for e in rest]
    )
    return Comparison(
        tuple(_paired(lost, extra, bank)),
        tuple(_without(own, [e.digests[bank] for e in predicted], lambda e: e.digests[bank])),
        tuple(_without(predicted, [e.digests[bank] for e in own], lambda e: e.digests[bank])),
    )


def _is_of_firmware(event: LogEvent, bank: str) -> bool:
    """Whether it is one of the firmware's own, known by its type and by the digest of its data."""
    if event.type not in _OWN_TYPES or event.pcr != events.BOOT_PCR:
        return False
    if event.digests[bank] != hashlib.new(bank, event.data).digest():
        return False
    if event.type == events.EV_SEPARATOR:
        return event.data in (bytes(4), b"\xff" * 4)
    return event.data.rstrip(b"\0").startswith(_ACTIONS)


_Item = TypeVar("_Item")
_Left = TypeVar("_Left")
_Right = TypeVar("_Right")


def _without(
    items: Iterable[_Item], taken: Sequence[bytes], digest: Callable[[_Item], bytes]
) -> list[_Item]:
    """What is left once each of `taken` was taken away once."""
    left = Counter(taken)
    found = []
    for each in items:
        if left[digest(each)]:
            left[digest(each)] -= 1
        else:
            found.append(each)
    return found


def _unmatched(
    left: Sequence[_Left],
    right: Sequence[_Right],
    left_digests: Sequence[bytes],
    right_digests: Sequence[bytes],
) -> tuple[list[_Left], list[_Right]]:
    """What has no counterpart on the other side, in order."""
    start, end = 0, min(len(left), len(right))
    while start < end and left_digests[start] == right_digests[start]:
        start += 1
    tail = 0
    while tail < end - start and left_digests[-1 - tail] == right_digests[-1 - tail]:
        tail += 1
    left, right = left[start : len(left) - tail], right[start : len(right) - tail]
    if len(left) * len(right) > MAX_ALIGNED:
        return list(left), list(right)
    kept = _aligned(
        left_digests[start : start + len(left)], right_digests[start : start + len(right)]
    )
    of_left, of_right = {one for one, _ in kept}, {other for _, other in kept}
    return (
        [each for place, each in enumerate(left) if place not in of_left],
        [each for place, each in enumerate(right) if place not in of_right],
    )


def _aligned(left: Sequence[bytes], right: Sequence[bytes]) -> list[tuple[int, int]]:
    """Where the longest list lies that both have in their order, as places in each."""
    # common[a][b] is the length of that of left[a:] and right[b:].
    common = [[0] * (len(right) + 1) for _ in range(len(left) + 1)]
    for a in range(len(left) - 1, -1, -1):
        row, below = common[a], common[a + 1]
        for b in range(len(right) - 1, -1, -1):
            same = left[a] == right[b]
            row[b] = below[b + 1] + 1 if same else max(below[b], row[b + 1])
    found = []
    a = b = 0
    while a < len(left) and b < len(right):
        if left[a] == right[b]:
            found.append((a, b))
            a, b = a + 1, b + 1
        elif common[a + 1][b] >= common[a][b + 1]:
            a += 1
        else:
            b += 1
    return found


def _paired(lost: list[Event], extra: list[LogEvent], bank: str) -> Iterable[Difference]:
    """Which of what was found stands for which of what is missing: the closest first."""
    for kind, of_expected, of_found in (
        ("moved", lambda e: e.digests[bank], lambda e: e.digests[bank]),
        ("changed", _name_expected, _name_found),
        ("changed", _sort_expected, _sort_found),
    ):
        pairs, lost, extra = _pair(lost, extra, of_expected, of_found)
        yield from (Difference(kind, *pair) for pair in pairs)  # type: ignore[arg-type]
    yield from (Difference("missing", each, None) for each in lost)
    yield from (Difference("added", None, each) for each in extra)


def _pair(
    lost: Iterable[Event],
    extra: Iterable[LogEvent],
    of_expected: Callable[[Event], Hashable],
    of_found: Callable[[LogEvent], Hashable],
) -> tuple[list[tuple[Event, LogEvent]], list[Event], list[LogEvent]]:
    """Pairs of the same key in their order, and what is left; the key None fits nothing."""
    waiting: defaultdict[Hashable, deque[LogEvent]] = defaultdict(deque)
    for each in extra:
        waiting[of_found(each)].append(each)
    pairs, left = [], []
    for event in lost:
        key = of_expected(event)
        if key is not None and waiting[key]:
            pairs.append((event, waiting[key].popleft()))
        else:
            left.append(event)
    taken = {id(found) for _, found in pairs}
    return pairs, left, [each for each in extra if id(each) not in taken]


def _name_expected(event: Event) -> Hashable:
    if event.component == "program":
        return ("program", event.name.casefold())
    return ("data", event.data) if event.data else None


def _name_found(event: LogEvent) -> Hashable:
    if event.type in _PROGRAM_TYPES:
        return ("program", program_name(event).casefold())
    return ("data", event.data)


def _sort_expected(event: Event) -> Hashable:
    if event.component == "program":
        return "program"
    if event.component == "profile":
        return "profile"
    is_text = event.component in ("cmdline", "addon") and event.type == events.EV_IPL
    return "text" if is_text else None


def _sort_found(event: LogEvent) -> Hashable:
    if event.type in _PROGRAM_TYPES:
        return "program"
    if event.pcr != events.CONFIG_PCR:
        return "other"
    if event.type == events.EV_EVENT_TAG:
        is_profile = event.data[:4] == events.PROFILE_TAG.to_bytes(4, "little")
        return "profile" if is_profile else "other"
    return "other" if archive_text(event) else "text"


def program_name(event: LogEvent) -> str:
    """The name of the file that a program was loaded from, by the log's account."""
    return last_name(loaded_file(event.data))


def archive_text(event: LogEvent) -> str:
    """What the log calls an archive, by its own account; empty if it is none."""
    if event.type != events.EV_IPL or len(event.data) % 2 or len(event.data) > _MAX_TEXT:
        return ""
    text = event.data.decode("utf-16-le", errors="replace")
    return text[:-1] if text.endswith(" initrd\0") and text[:-1].isprintable() else ""


_MAX_TEXT: Final = 256
