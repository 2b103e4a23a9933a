"""What re-probing needs of the machine, each part of which a test can stand in for."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Protocol

from sysgraft.host.boot_state import BootState
from sysgraft.host.run import run
from sysgraft.host.sysfs import SysfsFolder
from sysgraft.host.sysfs_control import KernelSysfs

if TYPE_CHECKING:
    from sysgraft.host.sysfs import Sysfs
    from sysgraft.host.sysfs_control import SysfsControl


class Clock(Protocol):
    """Time."""

    def now(self) -> float:
        """Seconds that only ever increase."""

    def sleep(self, seconds: float) -> None:
        """Wait."""


class Programs(Protocol):
    """Runs programs."""

    def run(self, words: tuple[str, ...], *, seconds: float) -> None:
        """Run one.

        Raises:
            ToolError: it is missing, fails or takes longer.
        """


class SystemClock:
    """The machine's; implements `Clock`."""

    def now(self) -> float:
        """See `Clock.now`."""
        return time.monotonic()

    def sleep(self, seconds: float) -> None:
        """See `Clock.sleep`."""
        time.sleep(seconds)


class SystemPrograms:
    """The machine's; implements `Programs`."""

    def run(self, words: tuple[str, ...], *, seconds: float) -> None:
        """See `Programs.run`."""
        run(words, timeout=seconds)


@dataclass(frozen=True, slots=True)
class Access:
    """A machine.

    Attributes:
        files: what it tells.
        control: its attributes.
        programs: on it.
        clock: of it.
        state: what was tried in this boot.
        root: the folder that stands for ``/``.
    """

    files: Sysfs
    control: SysfsControl
    programs: Programs
    clock: Clock
    state: BootState
    root: str = "/"


STATE: Final = "reprobe"


def this_machine(root: str = "/") -> Access:
    """The machine itself, or a recorded one, of which nothing but files is used.

    Raises:
        InputError: there is no such folder.
    """
    return Access(
        files=SysfsFolder(root),
        control=KernelSysfs(root),
        programs=SystemPrograms(),
        clock=SystemClock(),
        state=BootState(STATE, root),
        root=root,
    )
