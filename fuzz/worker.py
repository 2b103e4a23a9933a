"""Gives inputs to a reader, in a process of its own, and tells of every rule that one breaks.

The rules: nothing but a `SysgraftError` may leave a reader, with a message that a terminal can
show; an answer comes within `Limits.seconds`; no input may take more than `Limits.memory`.
A process reads thousands of inputs. What it finds goes through a pipe, a line of JSON each. The
parent sees in shared memory which input is being read: one that does not even let a signal in, or
that ends the process, is known by its number. Linux only.
"""

from __future__ import annotations

import contextlib
import ctypes
import dataclasses
import faulthandler
import gc
import json
import mmap
import os
import resource
import selectors
import signal
import struct
import sys
import tempfile
import time
import traceback
import warnings
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NoReturn

from sysgraft.base.text import one_line
from sysgraft.errors import SysgraftError
from target import clean

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import FrameType

MIB: Final = 1 << 20
_STATE: Final = struct.Struct("<qd")
_SOURCE: Final = "/sysgraft/"
_SAME_ARENA: Final = (-8, 1)  # mallopt(M_ARENA_MAX, 1): threads would reserve 128 MiB each
# Inputs between two looks at the memory that was used at the most.
_LOOK: Final = 128
_ENOUGH: Final = 500
_SAY_WHERE: Final = 0.2
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


class _Late(BaseException):
    """Raised in the middle of a reader that takes too long; no ``except Exception`` stops it."""


def _on_alarm(_signal: int, _frame: FrameType | None) -> None:
    raise _Late


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
    except _Late as error:
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


class _Guard:
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
            self._state[: _STATE.size] = _STATE.pack(number, time.monotonic())
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
        except _Late as error:  # the very moment an answer came
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


def read_range(
    read: Callable[[bytes], object],
    make: Callable[[int], bytes],
    numbers: range,
    limits: Limits,
) -> Outcome:
    """Read inputs in other processes, until all of the range are read.

    Args:
        read: the reader.
        make: gives the input of a number.
        numbers: which ones.
        limits: what each may take.
    """
    total = Outcome()
    start = numbers.start
    while start < numbers.stop and not hopeless(total):
        part, start = Child(read, make, range(start, numbers.stop), limits).wait()
        total.join(part)
    return total


def hopeless(outcome: Outcome) -> bool:
    """Whether a reader broke rules so often that the rest is not worth waiting for."""
    return sum(outcome.counts.values()) > _ENOUGH


class Child:
    """A process that reads a range of inputs; `wait` gives what became of it."""

    def __init__(
        self,
        read: Callable[[bytes], object],
        make: Callable[[int], bytes],
        numbers: range,
        limits: Limits,
    ) -> None:
        self._read = read
        self._make = make
        self.numbers = numbers
        self._limits = limits
        self._state = mmap.mmap(-1, mmap.PAGESIZE)
        self._state[: _STATE.size] = _STATE.pack(numbers.start, time.monotonic())
        self._trace = tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace")  # noqa: SIM115
        self._pipe, writer = os.pipe()
        sys.stdout.flush()
        sys.stderr.flush()
        self._pid = os.fork()
        if self._pid == 0:
            self._be_child(writer)
        os.close(writer)

    def _be_child(self, writer: int) -> NoReturn:
        status = 1
        try:
            os.close(self._pipe)
            guard = _Guard(self._state, writer, self._limits)
            faulthandler.enable(self._trace)
            faulthandler.register(signal.SIGUSR1, self._trace)
            guard.run(self._read, self._make, self.numbers)
            status = 0
        except BaseException:  # noqa: BLE001  a defect of the campaign itself
            traceback.print_exc()
        finally:
            sys.stderr.flush()
            os._exit(status)

    def wait(self) -> tuple[Outcome, int]:
        """What became of the inputs, and the number to go on with."""
        with self._trace, self._state:
            return self._wait()

    def _wait(self) -> tuple[Outcome, int]:
        outcome, done, suspects = Outcome(), None, None
        for line in self._lines():
            if "finding" in line:
                outcome.add(Finding(*line["finding"]))
            elif "memory" in line:
                suspects = range(*line["memory"])
            else:
                done = line["done"]
        _, status = os.waitpid(self._pid, 0)
        clean(self._pid)
        if done is not None:
            for name, value in done.items():
                setattr(outcome, name, value)
            after = self.numbers.start + outcome.inputs
            if suspects is not None:
                outcome.add(self._find_hog(suspects))
            return outcome, after
        number, _ = _STATE.unpack(self._state[: _STATE.size])
        if os.waitstatus_to_exitcode(status) >= 0:
            raise RuntimeError(f"the campaign itself failed before input {number}")
        outcome.inputs = number + 1 - self.numbers.start
        code = -os.waitstatus_to_exitcode(status)
        if code == signal.SIGKILL:
            kind, error = "hang", "no answer, and no signal gets in"
        else:
            kind, error = "crash", signal.Signals(code).name
        self._trace.seek(0)
        outcome.add(Finding(number, kind, error, "", self._trace.read()[-4000:]))
        return outcome, number + 1

    def _lines(self) -> Iterator[dict[str, Any]]:
        """What the child says; ends it when it has said nothing about an input for too long."""
        rest = b""
        with selectors.DefaultSelector() as waiting:
            waiting.register(self._pipe, selectors.EVENT_READ)
            while True:
                if not waiting.select(0.2):
                    _, since = _STATE.unpack(self._state[: _STATE.size])
                    if time.monotonic() - since > 2 * self._limits.seconds + 1:
                        # Says where it is, even if Python's own handlers are never called.
                        os.kill(self._pid, signal.SIGUSR1)
                        time.sleep(_SAY_WHERE)
                        os.kill(self._pid, signal.SIGKILL)
                    continue
                data = os.read(self._pipe, 1 << 16)
                if not data:
                    break
                *lines, rest = (rest + data).split(b"\n")
                yield from map(json.loads, lines)
        os.close(self._pipe)

    def _find_hog(self, suspects: range) -> Finding:
        """Which of these inputs takes too much memory, each in a process of its own."""
        if len(suspects) == 1:
            number = suspects.start
            text = f"more than {self._limits.memory // MIB} MiB of memory"
            return Finding(number, "memory", "too much", "", text)
        for number in suspects:
            part, _ = Child(self._read, self._make, range(number, number + 1), self._limits).wait()
            for found in part.findings:
                if found.kind == "memory":
                    return found
        text = f"inputs {suspects.start} to {suspects.stop - 1} together, none of them alone"
        return Finding(suspects.start, "memory", "too much together", "", text)
