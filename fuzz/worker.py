"""Gives inputs to a reader and tells of every rule that one breaks.

The rules: nothing but a `SysgraftError` may leave a reader, with a message that a terminal can
show; an answer comes within `Limits.seconds`; no input may take more than `Limits.memory`.
A process reads thousands of inputs. What it finds goes through a pipe, a line of JSON each; its
parent is `children.Child`. Linux only.
"""

from __future__ import annotations

import contextlib
import ctypes
import dataclasses
import gc
import json
import os
import resource
import signal
import struct
import time
import traceback
import warnings
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final

from sysgraft.base.text import one_line
from sysgraft.errors import SysgraftError

if TYPE_CHECKING:
    import mmap
    from collections.abc import Callable
    from types import FrameType

MIB: Final = 1 << 20
STATE: Final = struct.Struct("<qd")
_SOURCE: Final = "/sysgraft/"
_SAME_ARENA: Final = (-8, 1)  # mallopt(M_ARENA_MAX, 1): threads would reserve 128 MiB each
# Inputs between two looks at the memory that was used at the most.
_LOOK: Final = 128
# Address space beyond the limit, so that what asks for more is seen rather than refused it.
_ROOM: Final = 512 * MIB
_FIGURES: Final = ("inputs", "accepted", "seconds", "slowest", "slowest_number", "memory")


@dataclass(frozen=True, slots=True)
class Limits:
    """What an input may take.

    Attributes:
        seconds: of wall clock.
        memory: bytes of address space, more than the process has before.
    """

    seconds: float = 5.0
    memory: int = 512 * MIB


@dataclass(frozen=True, slots=True)
class Finding:
    """A rule that an input broke.

    Attributes:
        number: of the input.
        kind: ``exception``, ``message``, ``hang``, ``memory`` or ``crash``.
        error: name of the exception, or what happened.
        place: where in sysgraft.
        text: what is known of it.
    """

    number: int
    kind: str
    error: str
    place: str
    text: str

    @property
    def key(self) -> tuple[str, str, str]:
        """Tells one defect from another."""
        return self.kind, self.error, self.place


@dataclass(slots=True)
class Outcome:
    """What became of a range of inputs.

    Attributes:
        inputs: how many were read.
        accepted: of which the reader had nothing to say against.
        seconds: all together.
        slowest: of one input.
        slowest_number: of which.
        memory: bytes of address space at most, more than before.
        findings: the first of each defect.
        counts: how often each defect was met.
    """

    inputs: int = 0
    accepted: int = 0
    seconds: float = 0.0
    slowest: float = 0.0
    slowest_number: int = -1
    memory: int = 0
    findings: list[Finding] = field(default_factory=list)
    counts: dict[tuple[str, str, str], int] = field(default_factory=dict)

    def count(self, seconds: float, number: int, *, good: bool) -> None:
        """One more input."""
        self.inputs += 1
        self.accepted += good
        self.seconds += seconds
        if seconds > self.slowest:
            self.slowest, self.slowest_number = seconds, number

    def add(self, found: Finding) -> None:
        """One more finding."""
        self.counts[found.key] = self.counts.get(found.key, 0) + 1
        if self.counts[found.key] == 1:
            self.findings.append(found)

    def join(self, other: Outcome) -> None:
        """Another range of the same target."""
        self.inputs += other.inputs
        self.accepted += other.accepted
        self.seconds += other.seconds
        self.memory = max(self.memory, other.memory)
        if other.slowest > self.slowest:
            self.slowest, self.slowest_number = other.slowest, other.slowest_number
        for found in other.findings:
            if found.key not in self.counts:
                self.findings.append(found)
        for key, count in other.counts.items():
            self.counts[key] = self.counts.get(key, 0) + count


class Late(BaseException):
    """Raised in the middle of a reader that takes too long; no ``except Exception`` stops it."""


def _on_alarm(_signal: int, _frame: FrameType | None) -> None:
    raise Late


def prepare() -> None:
    """What a process needs that reads inputs: one arena for threads, warnings as errors."""
    warnings.simplefilter("error")
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).mallopt(*_SAME_ARENA)


def address_space(what: str = "VmPeak") -> int:
    """Bytes of address space that this process had at the most so far; with VmSize, has now."""
    for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
        if line.startswith(f"{what}:"):
            return int(line.split()[1]) << 10
    raise OSError(f"the kernel does not tell {what}")


def judge(read: Callable[[bytes], object], data: bytes, number: int) -> tuple[bool, Finding | None]:
    """Read one input: whether it was accepted, and which rule it broke."""
    try:
        return read(data) is not False, None
    except SysgraftError as error:
        return False, _bad_message(error, number)
    except Late as error:
        return False, _finding(number, "hang", error)
    except MemoryError as error:
        return False, _finding(number, "memory", error)
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # noqa: BLE001  that is what is looked for
        return False, _finding(number, "exception", error)


def _bad_message(error: SysgraftError, number: int) -> Finding | None:
    """Messages go to a terminal in one line; they must be text, and not a book."""
    message = one_line(f"{error} {error.hint}")
    if len(message) < 20_000:
        return None
    return _finding(number, "message", error)


def _finding(number: int, kind: str, error: BaseException) -> Finding:
    frames = traceback.extract_tb(error.__traceback__)
    ours = [f for f in frames if _SOURCE in f.filename] or list(frames)
    last = ours[-1] if ours else None
    place = f"{last.filename.rpartition(_SOURCE)[2]}:{last.name}" if last else ""
    shown = traceback.format_exception(error, limit=-12)
    return Finding(number, kind, type(error).__name__, place, "".join(shown)[-4000:])


class Guard:
    """The child's side: reads inputs and writes lines into a pipe."""

    def __init__(self, state: mmap.mmap, pipe: int, limits: Limits) -> None:
        self._state = state
        self._pipe = pipe
        self._limits = limits
        self._outcome = Outcome()
        self._before = 0
        self._since = 0

    def run(
        self, read: Callable[[bytes], object], make: Callable[[int], bytes], numbers: range
    ) -> None:
        """Read the inputs of these numbers, up to the first one that takes too much memory."""
        signal.signal(signal.SIGALRM, _on_alarm)
        prepare()
        gc.collect()
        self._before = address_space("VmSize")
        most = self._before + self._limits.memory + _ROOM
        resource.setrlimit(resource.RLIMIT_AS, (most, most))
        self._since = numbers.start
        for number in numbers:
            data = make(number)
            self._state[: STATE.size] = STATE.pack(number, time.monotonic())
            found = self._read(read, data, number)
            if found is not None:
                self._tell(finding=dataclasses.astuple(found))
            if (found is not None and found.kind == "memory") or self._is_over(number):
                break
        else:
            self._is_over(numbers.stop - 1, always=True)
        self._tell(done={name: getattr(self._outcome, name) for name in _FIGURES})

    def _read(self, read: Callable[[bytes], object], data: bytes, number: int) -> Finding | None:
        start = time.perf_counter()
        good, found = False, None
        try:
            signal.setitimer(signal.ITIMER_REAL, self._limits.seconds)
            good, found = judge(read, data, number)
            signal.setitimer(signal.ITIMER_REAL, 0)
        except Late as error:  # the very moment an answer came
            found = _finding(number, "hang", error)
        self._outcome.count(time.perf_counter() - start, number, good=good)
        return found

    def _is_over(self, number: int, *, always: bool = False) -> bool:
        """Whether an input since the last look took too much; the parent finds out which."""
        if not always and self._outcome.inputs % _LOOK:
            return False
        self._outcome.memory = address_space() - self._before
        is_over = self._outcome.memory > self._limits.memory
        if is_over:
            self._tell(memory=[self._since, number + 1])
        self._since = number + 1
        return is_over

    def _tell(self, **what: object) -> None:
        data = json.dumps(what).encode() + b"\n"
        while data:
            data = data[os.write(self._pipe, data) :]
