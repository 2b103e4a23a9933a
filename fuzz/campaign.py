"""Read very many damaged files with every parser. See README.md here.

    python fuzz/campaign.py [--inputs N] [--seed S] [--only TARGET]... [--jobs J] [--json FILE]
    python fuzz/campaign.py --again TARGET:SEED:NUMBER
    python fuzz/campaign.py --replay

Exits 1 if an input broke a rule; such inputs are kept in a folder, made smaller.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import platform
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final

ROOT: Final = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT / "fuzz"), str(ROOT / "tests")]

from children import Child, hopeless, read_range  # noqa: E402  found by the line before
from findings import in_order, shrink  # noqa: E402
from mutate import Mutator  # noqa: E402
from targets import TARGETS, Target  # noqa: E402
from worker import MIB, Finding, Limits, Outcome, judge  # noqa: E402

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

CORPUS: Final = ROOT / "fuzz/corpus"
FINDINGS: Final = ROOT / "fuzz/findings"
CHUNK: Final = 10_000
"""Inputs that one process reads."""


@dataclass(slots=True)
class Report:
    """A campaign.

    Attributes:
        outcomes: by target.
        duration: seconds of wall clock.
    """

    seed: int
    outcomes: dict[str, Outcome] = field(default_factory=dict)
    duration: float = 0.0

    @property
    def inputs(self) -> int:
        """All of them."""
        return sum(each.inputs for each in self.outcomes.values())

    @property
    def findings(self) -> list[tuple[str, Finding]]:
        """All of them, with their targets."""
        return [
            (name, found)
            for name, each in self.outcomes.items()
            for found in in_order(each.findings)
        ]


def shares(targets: Sequence[Target], inputs: int) -> dict[str, int]:
    """How many inputs each target gets."""
    whole = sum(each.weight for each in targets)
    return {each.name: max(1, round(inputs * each.weight / whole)) for each in targets}


def mutator_of(target: Target) -> Mutator:
    """What makes a target's inputs."""
    return Mutator(target.name, target.seeds(), tokens=target.tokens, repair=target.repair)


def run(
    targets: Sequence[Target],
    *,
    inputs: int,
    seed: int,
    jobs: int = 1,
    limits: Limits | None = None,
    talk: bool = False,
) -> Report:
    """A campaign over these targets.

    Args:
        targets: which ones.
        inputs: how many, all together.
        seed: of the campaign.
        jobs: processes at a time.
        limits: what an input may take.
        talk: whether to say on stderr how far it is.
    """
    report, start, limits = Report(seed), time.monotonic(), limits or Limits()
    for target in targets:
        count = shares(targets, inputs)[target.name]
        before = time.monotonic()
        report.outcomes[target.name] = found = run_target(target, count, seed, jobs, limits)
        if talk:
            rate = found.inputs / max(time.monotonic() - before, 0.001)
            bad = f", {len(found.findings)} FINDINGS" if found.findings else ""
            print(
                f"{time.monotonic() - start:7.0f} s  {target.name}: {found.inputs} inputs, "
                f"{found.accepted} accepted, {rate:.0f}/s{bad}",
                *(
                    f"\n          input {each.number}: {' '.join(each.key)}"
                    for each in found.findings
                ),
                file=sys.stderr,
                flush=True,
                sep="",
            )
    report.duration = time.monotonic() - start
    return report


def run_target(target: Target, count: int, seed: int, jobs: int, limits: Limits) -> Outcome:
    """The inputs of one target, in chunks."""
    mutator = mutator_of(target)
    # What is loaded at the first use is loaded here once, and no input is blamed for it.
    judge(target.read, mutator.make(seed, 0), 0)
    total = Outcome()
    waiting = [range(at, min(at + CHUNK, count)) for at in range(0, count, CHUNK)]
    running: list[Child] = []
    while waiting or running:
        while waiting and len(running) < jobs:
            chunk = waiting.pop(0)
            running.append(Child(target.read, lambda n: mutator.make(seed, n), chunk, limits))
        child = running.pop(0)
        part, after = child.wait()
        total.join(part)
        if after < child.numbers.stop and not hopeless(total):
            waiting.insert(0, range(after, child.numbers.stop))
    return total


def keep(report: Report, targets: Mapping[str, Target], folder: Path, limits: Limits) -> None:
    """Write the inputs that broke a rule, whole and made smaller, and what is known of them."""
    for name, found in report.findings:
        target = targets[name]
        data = mutator_of(target).make(report.seed, found.number)
        label = hashlib.sha256(repr(found.key).encode()).hexdigest()[:8]
        path = folder / name
        path.mkdir(parents=True, exist_ok=True)
        (path / f"{label}.whole").write_bytes(data)
        (path / f"{label}.small").write_bytes(shrink(target.read, data, limits))
        again = f"{name}:{report.seed}:{found.number}"
        text = f"{' '.join(found.key)}\npython fuzz/campaign.py --again {again}\n\n{found.text}"
        (path / f"{label}.txt").write_text(text, encoding="utf-8")


def replay(targets: Iterable[Target], corpus: Path, limits: Limits) -> Report:
    """Read what broke a rule once, file by file."""
    report = Report(0)
    for target in targets:
        files = sorted((corpus / target.name).glob("*"))
        if files:
            contents = [path.read_bytes() for path in files]
            report.outcomes[target.name] = read_range(
                target.read, contents.__getitem__, range(len(contents)), limits
            )
    return report


def as_json(report: Report) -> dict[str, object]:
    """The figures."""
    return {
        "date": time.strftime("%Y-%m-%d", time.gmtime()),
        "machine": machine(),
        "seed": report.seed,
        "inputs": report.inputs,
        "seconds": round(report.duration, 1),
        "targets": {
            name: {
                "inputs": each.inputs,
                "accepted": each.accepted,
                "refused": each.inputs - each.accepted,
                "seconds": round(each.seconds, 2),
                "slowest_ms": round(each.slowest * 1000, 1),
                "slowest_number": each.slowest_number,
                "memory_mib": round(each.memory / MIB, 1),
                "findings": [
                    {"number": found.number, "what": found.key, "times": each.counts[found.key]}
                    for found in in_order(each.findings)
                ],
            }
            for name, each in report.outcomes.items()
        },
    }


def machine() -> str:
    """What it ran on."""
    lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    processor = models[0] if models else platform.machine()
    return f"{processor}, {os.cpu_count()} cores, Python {platform.python_version()}"


def table(report: Report) -> str:
    """The figures as a table of Markdown."""
    rows = [
        "| Target | Inputs | Accepted | Refused | Mean (ms) | Slowest (ms) | Memory (MiB) |",
        "| --- | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    for name, each in sorted(report.outcomes.items()):
        mean = 1000 * each.seconds / max(each.inputs, 1)
        rows.append(
            f"| {name} | {each.inputs:,} | {each.accepted:,} | {each.inputs - each.accepted:,} | "
            f"{mean:.2f} | {1000 * each.slowest:.0f} | {each.memory / MIB:.0f} |"
        )
    accepted = sum(each.accepted for each in report.outcomes.values())
    rows.append(
        f"| **all** | {report.inputs:,} | {accepted:,} | {report.inputs - accepted:,} | | | |"
    )
    return "\n".join(rows)


def again(targets: Mapping[str, Target], which: str) -> int:
    """Read one input in this process, with everything a debugger could want."""
    name, seed, number = which.split(":")
    target = targets[name]
    data = mutator_of(target).make(int(seed), int(number))
    with tempfile.NamedTemporaryFile(prefix=f"{name}-", delete=False) as file:
        file.write(data)
    print(f"{len(data)} bytes, in {file.name}")
    target.read(data)
    return 0


def main(argv: Sequence[str] | None = None) -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--inputs", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", action="append", default=[], metavar="TARGET")
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--json", metavar="FILE")
    parser.add_argument("--findings", type=Path, default=FINDINGS, metavar="FOLDER")
    parser.add_argument("--again", metavar="TARGET:SEED:NUMBER")
    parser.add_argument("--replay", action="store_true")
    parser.add_argument("--list", action="store_true")
    arguments = parser.parse_args(argv)
    known = {each.name: each for each in TARGETS}
    unknown = set(arguments.only) - known.keys()
    if unknown:
        parser.error(f"no such target: {', '.join(sorted(unknown))}")
    chosen = [known[name] for name in arguments.only] or list(TARGETS)
    if arguments.list:
        print("\n".join(f"{each.weight:4} {each.name}" for each in chosen))
        return 0
    if arguments.again:
        return again(known, arguments.again)
    limits = Limits()
    if arguments.replay:
        report = replay(chosen, CORPUS, limits)
    else:
        report = run(
            chosen,
            inputs=arguments.inputs,
            seed=arguments.seed,
            jobs=arguments.jobs,
            limits=limits,
            talk=True,
        )
        keep(report, known, arguments.findings, limits)
    print(table(report))
    for name, found in report.findings:
        print(f"\n{name}: input {found.number}: {' '.join(found.key)}\n{found.text}")
    if arguments.json:
        text = json.dumps(as_json(report), indent=2)
        Path(arguments.json).write_text(text + "\n", encoding="utf-8")
    return 1 if report.findings else 0


if __name__ == "__main__":
    sys.exit(main())
