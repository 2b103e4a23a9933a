"""What a run of the lab found out."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sysgraft.formats.eventlog import Event, Log

Ending = Literal["powered-off", "reset", "refused", "panicked", "timed-out", "stopped"]
"""How it ended: the guest switched itself off or asked for a restart; the firmware started nothing;
the kernel panicked; time was up; the lab ended it because it wrote too much, or spoke as if it were
the firmware."""

Banks = dict[str, dict[int, bytes]]
"""PCR values by bank and number."""


@dataclass(frozen=True, slots=True)
class Later:
    """A PCR that was extended after the firmware's event log was closed.

    Attributes:
        pcr: its number.
        words: with what, in order: IMA's or systemd's words, confirmed by the TPM's value. Empty if
            nothing known leads to it.
    """

    pcr: int
    words: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class EventLog:
    """The event log as it was in the guest's memory.

    Attributes:
        log: its events. They add up to the TPM's values, in every bank the TPM has, of all PCRs but
            those in `later`, among which is none of the firmware's own (0 to 7).
        later: PCRs that have another value.
    """

    log: Log
    later: tuple[Later, ...]

    @property
    def events(self) -> tuple[Event, ...]:
        """All events."""
        return self.log.events

    @property
    def replays(self) -> bool:
        """Whether every PCR is explained: by the log, or by it and what is known to come later."""
        return all(each.words for each in self.later)


@dataclass(frozen=True, slots=True)
class Merged:
    """The extensions merged into one hierarchy."""

    hierarchy: str
    extensions: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Script:
    """How the script went.

    Attributes:
        status: its exit status.
        output: all it wrote, as bytes.
        files: what it left in ``$SYSGRAFT_RESULTS``, by name.
    """

    status: int
    output: bytes
    files: Mapping[str, bytes] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Guest:
    """What the guest said about itself.

    Attributes:
        complete: whether it said all it had to say.
        kernel: its release.
        os_release: the fields of its os-release file.
        cmdline: of the kernel.
        secure_boot: what its EFI variables say; None if it has none.
        systemd: the version; empty without systemd.
        sysext: merged system extensions; None if systemd-sysext is not there or failed.
        confext: merged configuration extensions, likewise.
        journal: what systemd-sysext and systemd-confext logged.
        failed_units: the units that failed.
        script: how the script went; None if there was none, or it did not end.
        items: everything as it came, by name.
    """

    complete: bool
    kernel: str = ""
    os_release: Mapping[str, str] = field(default_factory=dict)
    cmdline: str = ""
    secure_boot: bool | None = None
    systemd: str = ""
    sysext: tuple[Merged, ...] | None = None
    confext: tuple[Merged, ...] | None = None
    journal: str = ""
    failed_units: tuple[str, ...] = ()
    script: Script | None = None
    items: Mapping[str, bytes] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class LabReport:
    """What a run found out.

    Attributes:
        ending: how it ended.
        reason: the firmware's, kernel's or lab's own words for it; may be empty.
        seconds: how long the machine ran.
        serial: what came over the serial port, without terminal commands.
        pcrs: the TPM's values at the end, of every bank.
        event_log: the longest log in the guest's memory that explains the firmware's PCRs; None
            if there is none.
        memory_searched: whether all of the guest's memory was searched for it; not if there was too
            much in it that looks like event logs.
        secure_boot: whether the firmware enforced signatures, by the event log; None if the log
            does not say.
        guest: what the guest said about itself; None if it said nothing.
        script_wanted: whether a script was to run.
        emulator: QEMU's version.
        firmware: the file with the firmware's code.
        output: the folder with the files, empty if none were wanted.
    """

    ending: Ending
    reason: str
    seconds: float
    serial: str
    pcrs: Banks
    event_log: EventLog | None
    memory_searched: bool
    secure_boot: bool | None
    guest: Guest | None
    script_wanted: bool
    emulator: str
    firmware: str
    output: str = ""

    @property
    def script(self) -> Script | None:
        """How the script went; None if there was none, or it did not end."""
        return self.guest.script if self.guest else None

    @property
    def succeeded(self) -> bool:
        """Whether the guest switched itself off, and the script, if there was one, succeeded."""
        if self.ending != "powered-off":
            return False
        return not self.script_wanted or (self.script is not None and self.script.status == 0)
