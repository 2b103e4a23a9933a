"""Processes that read inputs: started, listened to, and ended when nothing else helps.

The parent sees in shared memory which input is being read: one that does not even let a signal in,
or that ends the process, is known by its number.
"""

from __future__ import annotations

import faulthandler
import json
import mmap
import os
import selectors
import signal
import sys
import tempfile
import time
import traceback
from typing import TYPE_CHECKING, Any, Final, NoReturn

from target import clean
from worker import MIB, STATE, Finding, Guard, Limits, Outcome

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_ENOUGH: Final = 500
_SAY_WHERE: Final = 0.2


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
        self._state[: STATE.size] = STATE.pack(numbers.start, time.monotonic())
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
            guard = Guard(self._state, writer, self._limits)
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
        number, _ = STATE.unpack(self._state[: STATE.size])
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
                    _, since = STATE.unpack(self._state[: STATE.size])
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
