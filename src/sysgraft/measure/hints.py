"""Which releases of systemd-stub and systemd-boot wrote a log, as far as its events tell.

Each release measures things that older ones do not; what the log says of its events is by its own
account. See `sysgraft.measure.boot` for the rules.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from sysgraft.formats import uki
from sysgraft.formats.device_path import KERNEL
from sysgraft.measure import events
from sysgraft.measure.boot import KERNEL_LOADED_UNTIL
from sysgraft.measure.comparison import archive_text, program_name
from sysgraft.measure.sidecars import KINDS

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from sysgraft.formats.eventlog import Event


class Hint(NamedTuple):
    """Something in a log that tells of a release.

    Attributes:
        program: of which.
        at_least: the first release that does so; 0 if that is not told.
        at_most: the last one; 0 if that is not told.
        reason: what was seen.
    """

    program: str
    at_least: int
    at_most: int
    reason: str


_STUB: Final = "systemd-stub"
_BOOT: Final = "systemd-boot"
_ARCHIVES: Final = {kind.event: kind.since for kind in KINDS}
_TAGS: Final = {
    events.PROFILE_TAG: (257, "a profile was chosen"),
    events.DTB_TAG: (255, "a devicetree of an addon was measured"),
    events.INITRD_TAG: (257, "an initrd of an addon was measured"),
    events.UCODE_TAG: (257, "microcode of an addon was measured"),
}
_ENTRY_ARCHIVES_SINCE: Final = 261
_OLDEST: Final = 252


def hints(log: Iterable[Event]) -> tuple[Hint, ...]:
    """What the events of a log tell: for each program the strongest reasons only."""
    best: dict[tuple[str, bool], Hint] = {}
    for hint in (hint for event in log for hint in _hints(event)):
        key = (hint.program, bool(hint.at_least))
        if key not in best or hint.at_least > best[key].at_least:
            best[key] = hint
    return tuple(best.values())


def _hints(event: Event) -> Iterator[Hint]:
    if event.pcr == events.BOOT_PCR and program_name(event) == KERNEL:
        yield Hint(_STUB, 0, KERNEL_LOADED_UNTIL, "the firmware loaded the kernel in the image")
    if event.pcr == events.STUB_PCR and event.type == events.EV_IPL:
        name = event.data.decode("utf-16-le", errors="replace").rstrip("\0")
        since = uki.MEASURED.get(name, 0)
        if since > _OLDEST:
            yield Hint(_STUB, since, 0, f"the section {name} was measured")
    if event.type == events.EV_EVENT_TAG:
        since, reason = _TAGS.get(int.from_bytes(event.data[:4], "little"), (0, ""))
        if since:
            yield Hint(_STUB, since, 0, reason)
    text = archive_text(event)
    if text.startswith("Entry "):
        yield Hint(_BOOT, _ENTRY_ARCHIVES_SINCE, 0, f"there is an {text}")
    elif _ARCHIVES.get(text, 0) > _OLDEST:
        yield Hint(_STUB, _ARCHIVES[text], 0, f"there is a {text}")
