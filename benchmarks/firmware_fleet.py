"""How long plans take: against loading the index, and in proportion to a fleet's machines?

    python benchmarks/firmware_fleet.py INDEX

Loads the index and plans for the laptop of ``firmware.py``; the median of several. Then makes plans
at device level for 1,000 and 10,000 machines that all differ: each has three of 300 devices that
the index knows, and a number of its own in one of them. In this process; processor time.
"""

from __future__ import annotations

import random
import statistics
import sys
import time
from pathlib import Path

from firmware import LAPTOP

from sysgraft.firmware.index import Index, parse_index
from sysgraft.firmware.inventory import Device, Machine
from sysgraft.firmware.plan import Planner, PlanOptions

ROUNDS = 9
DEVICES = 300
COUNTS = (1_000, 10_000)


def devices(index: Index, draw: random.Random) -> list[str]:
    """Modaliases that drivers with firmware answer to, with ``#`` where a number may stand."""
    modules = (each for kernel in index.kernels for each in kernel.modules if each.firmware)
    patterns = sorted(
        alias
        for module in modules
        for alias in module.aliases
        if alias.startswith("pci:v") and alias.endswith("sv*sd*bc*sc*i*")
    )
    chosen = draw.sample(patterns, min(DEVICES, len(patterns)))
    return [each.replace("sv*sd*bc*sc*i*", "sv00001043sd#bc02sc80i00") for each in chosen]


def fleet(known: list[str], count: int, draw: random.Random) -> list[Machine]:
    machines = []
    for number in range(count):
        picked = [each.replace("#", f"{number:08X}") for each in draw.sample(known, 3)]
        found = (Device("pci", f"0000:00:{n:02x}.0", each) for n, each in enumerate(picked))
        machines.append(Machine(architecture="x86-64", devices=tuple(found)))
    return machines


def one_plan(data: bytes) -> None:
    """Loading, and a plan behind it, each time anew."""
    devices = (Device("pci", f"0000:00:{n:02x}.0", each) for n, each in enumerate(LAPTOP))
    laptop = Machine(architecture="x86-64", devices=tuple(devices))
    loading, planning = [], []
    for _ in range(ROUNDS):
        times = [time.process_time()]
        planner = Planner(parse_index(data))
        times.append(time.process_time())
        planner.plan([laptop], PlanOptions(level="device"))
        times.append(time.process_time())
        loading.append(times[1] - times[0])
        planning.append(times[2] - times[1])
    load, plan = statistics.median(loading), statistics.median(planning)
    print(f"loading {load * 1000:.0f} ms, a plan {plan * 1000:.0f} ms: {plan / load:.2f}")


def main(path: str) -> None:
    data = Path(path).read_bytes()
    one_plan(data)
    index = parse_index(data)
    draw = random.Random(1)
    known = devices(index, draw)
    planner = Planner(index)
    spent = []
    for count in COUNTS:
        machines = fleet(known, count, draw)
        began = time.process_time()
        plan = planner.plan(machines, PlanOptions(level="device"))
        spent.append(time.process_time() - began)
        print(
            f"{count} machines: {spent[-1]:.2f} s, {count / spent[-1]:.0f} a second, "
            f"{len(plan.files)} files"
        )
    growth = spent[1] / spent[0] / (COUNTS[1] / COUNTS[0])
    print(f"a machine of {COUNTS[1]} takes {growth:.2f} times as long as one of {COUNTS[0]}")


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    main(sys.argv[1])
