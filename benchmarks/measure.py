"""Run commands and measure them: wall clock, processor time, memory of all their processes."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

SAMPLE_SECONDS: Final = 0.005


@dataclass(frozen=True, slots=True)
class Command:
    """What is measured.

    Attributes:
        name: how the table calls it.
        argv: the program and its arguments.
        before: what has to be done before each run, outside the measurement.
    """

    name: str
    argv: Sequence[str]
    before: Callable[[], None] = lambda: None


@dataclass(slots=True)
class Times:
    """Seconds of each run."""

    wall: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)

    def median(self) -> float:
        """Of the wall time."""
        return statistics.median(self.wall)

    def text(self) -> str:
        """Two cells of the table."""
        spread = f"{min(self.wall):.3f} to {max(self.wall):.3f}"
        return f"{self.median():.3f} ({spread}) | {statistics.median(self.cpu):.3f}"

    def as_json(self) -> dict[str, object]:
        """Medians and spreads."""
        return {
            "wall": statistics.median(self.wall),
            "wall_min": min(self.wall),
            "wall_max": max(self.wall),
            "cpu": statistics.median(self.cpu),
            "runs": len(self.wall),
        }


def interleaved(commands: Sequence[Command], rounds: int) -> dict[str, Times]:
    """Run the commands in turn, `rounds` times: what disturbs the machine hits all alike."""
    times = {command.name: Times() for command in commands}
    for number in range(rounds):
        # Each round starts with another command, so that none always runs after the same one.
        shift = number % len(commands)
        for command in [*commands[shift:], *commands[:shift]]:
            command.before()
            wall, cpu = timed(command.argv)
            times[command.name].wall.append(wall)
            times[command.name].cpu.append(cpu)
    return times


def timed(argv: Sequence[str]) -> tuple[float, float]:
    """Wall and processor seconds of a program and all it waits for."""
    began = time.perf_counter()
    process = start(argv)
    _, status, usage = os.wait4(process.pid, 0)
    wall = time.perf_counter() - began
    process.returncode = os.waitstatus_to_exitcode(status)
    check(process, argv)
    return wall, usage.ru_utime + usage.ru_stime


def start(argv: Sequence[str]) -> subprocess.Popen[bytes]:
    """Start a program with its output out of the way."""
    return subprocess.Popen(argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def check(process: subprocess.Popen[bytes], argv: Sequence[str]) -> None:
    if process.returncode:
        sys.exit(f"exit status {process.returncode}: {' '.join(argv)}")


def peak_memory(command: Command) -> int:
    """The largest sum of the proportional set sizes of all processes of a run, in bytes.

    Sampled every few milliseconds in a run of its own. Mapped files count in full: what a tool
    maps is not told apart from what it allocates.
    """
    command.before()
    process = start(command.argv)
    peak = 0
    while process.poll() is None:
        peak = max(peak, sum(map(proportional_size, descendants(process.pid))))
        time.sleep(SAMPLE_SECONDS)
    check(process, command.argv)
    return peak


def descendants(pid: int) -> list[int]:
    """The process and all below it."""
    found = [pid]
    for parent in found:
        try:
            tasks = list(Path(f"/proc/{parent}/task").iterdir())
            found += [
                int(word) for task in tasks for word in (task / "children").read_text().split()
            ]
        except OSError:
            continue
    return found


def proportional_size(pid: int) -> int:
    """Bytes of a process, pages it shares divided by how many share them."""
    try:
        text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    except OSError:
        return 0
    return next((int(line.split()[1]) << 10 for line in text.splitlines() if "Pss:" in line), 0)


def machine() -> Mapping[str, object]:
    """What the figures depend on."""
    cpu = next(
        (line.partition(":")[2].strip() for line in lines("/proc/cpuinfo") if "model name" in line),
        "unknown",
    )
    memory = next((line.split()[1] for line in lines("/proc/meminfo") if "MemTotal" in line), "0")
    return {
        "processor": cpu,
        "cores": os.cpu_count(),
        "memory": int(memory) << 10,
        "kernel": os.uname().release,
        "python": sys.version.split()[0],
    }


def lines(path: str) -> list[str]:
    return Path(path).read_text().splitlines()
