"""One thing that is not as approved, and what to call it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from sysgraft.formats.device_path import KERNEL, loaded_file
from sysgraft.formats.eventlog_events import describe
from sysgraft.measure import events
from sysgraft.measure.comparison import archive_text

if TYPE_CHECKING:
    from sysgraft.formats.eventlog import Event as LogEvent
    from sysgraft.measure.comparison import Difference, DifferenceKind
    from sysgraft.measure.events import Component
    from sysgraft.seal.file_changes import FileChange

_NAME_OF: Final = "name of "


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """Something that is not as approved.

    Attributes:
        pcr: where it was measured.
        kind: what is the matter.
        component: what kind of thing it is; empty if it is nothing a boot is known to measure.
        name: of that thing.
        text: a sentence for a person, without its full stop.
        expected: the approved digest; None if nothing of the kind is approved.
        found: the digest in the log; None if nothing of the kind was measured.
        expected_text: the approved command line; None for other things.
        found_text: the command line that was measured, likewise.
        files: which files make the difference, as far as that is known.
        explained: whether the files are known; None where it is no matter of several files.
    """

    pcr: int
    kind: DifferenceKind
    component: Component | str
    name: str
    text: str
    expected: bytes | None = None
    found: bytes | None = None
    expected_text: str | None = None
    found_text: str | None = None
    files: tuple[FileChange, ...] = ()
    explained: bool | None = None


def component_of(each: Difference, pcr: int) -> Component | str:
    """What kind of thing a difference is about; empty if it is nothing that is known."""
    if each.expected is not None:
        is_text = each.expected.component == "addon" and each.expected.type == events.EV_IPL
        return "cmdline" if is_text else each.expected.component
    assert each.found is not None  # noqa: S101  for the type checker
    return _component_by_log(each.found, pcr)


def _component_by_log(found: LogEvent, pcr: int) -> Component | str:
    """What an event that nobody expected is, by its own account."""
    if found.type == events.EV_EFI_BOOT_SERVICES_APPLICATION:
        return "program"
    if found.type == events.EV_IPL and pcr == events.STUB_PCR:
        return "section"
    if archive_text(found):
        return "archive"
    if found.type == events.EV_IPL and pcr == events.CONFIG_PCR:
        return "cmdline"
    if found.type == events.EV_EVENT_TAG and pcr == events.CONFIG_PCR:
        is_profile = found.data[:4] == events.PROFILE_TAG.to_bytes(4, "little")
        return "profile" if is_profile else "addon"
    return ""


def name_of(each: Difference, component: Component | str) -> str:
    """What that thing is called."""
    if each.expected is not None:
        return each.expected.name.removeprefix(_NAME_OF)
    assert each.found is not None  # noqa: S101  for the type checker
    if component == "program":
        return loaded_file(each.found.data)
    if component in ("section", "archive"):
        return text_of(each.found.data)
    return "command line" if component == "cmdline" else describe(each.found)


def plain_text(each: Difference, name: str) -> str:
    """What there is to say of any thing."""
    if each.kind == "missing":
        return f"{name} is approved, and was not measured"
    if each.kind == "added":
        return f"{name} was measured, and is not approved"
    told = describe(each.found) if each.found else ""
    return f"{name} differs: the log has {told}"


def called(program: str) -> str:
    """A program in a sentence."""
    if program == KERNEL:
        return "the kernel in the image"
    return program or "a program that the log gives no name"


def text_of(data: bytes) -> str:
    """A text as UEFI has it."""
    return data.decode("utf-16-le", errors="replace").removesuffix("\0")
