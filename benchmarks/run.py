"""Measure sysgraft against its peers and the floor; ``make bench`` runs it. See README.md.

    python benchmarks/run.py [--rounds N] [--json FILE] [--tree FOLDER] [--only PART]...

Needs root on Debian (systemd-repart 257 runs by chroot in the folder of scripts/setup-oracles) and
about 8 GB of memory: everything happens in a tmpfs.
"""

from __future__ import annotations

import argparse
import compileall
import json
import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from compress import CompressBench
from debian13 import inside
from firmware import FirmwareBench
from firmware_tree import describe, make
from measure import Command, Times, interleaved, machine, peak_memory
from node import NodeBench
from pcr import PcrBench
from registry import RegistryBench
from uki import UkiBench

ROOT: Final = Path(__file__).resolve().parent.parent
HERE: Final = ROOT / "benchmarks"
PYTHON: Final = sys.executable
SYSGRAFT: Final = str(Path(sys.executable).with_name("sysgraft"))
TMPFS: Final = Path("/dev/shm")
PARTS: Final = (
    "build",
    "verify",
    "compress",
    "uki build",
    "uki verify",
    "pcr sign",
    "pcr predict",
    "registry",
    "firmware index",
    "firmware plan",
    "node activate",
    "node list",
    "start",
    "memory",
)
STARTS: Final = 15

# What is held against what, and the most the ratio may be: part, ours, theirs, goal. Of several
# commands with commas between them the slowest counts.
GOALS: Final = {
    "build / systemd-repart": ("build", "sysgraft", "systemd-repart", 0.35),
    "build / floor": ("build", "sysgraft", "floor", 2.0),
    "verify / veritysetup": ("verify", "sysgraft", "veritysetup", 0.8),
    "verify / floor": ("verify", "sysgraft", "floor", 1.3),
    "lz4hc / mkfs.erofs": ("compress", "lz4hc: sysgraft", "lz4hc: mkfs.erofs", 1.3),
    "zstd / mkfs.erofs": ("compress", "zstd: sysgraft", "zstd:3: mkfs.erofs", 1.3),
    "uki build / ukify": ("uki build", "sysgraft", "ukify", 0.4),
    "uki verify / floor": ("uki verify", "sysgraft", "floor", 1.3),
    "pcr sign / naive": ("pcr sign", "sysgraft", "naive", 0.25),
    "pcr sign / floor": ("pcr sign", "sysgraft", "floor", 1.3),
    "pcr predict / floor": ("pcr predict", "sysgraft", "floor", 1.5),
    "registry / slowest": ("registry", "sysgraft", "download,gunzip,hash", 1.5),
    "firmware index / decompress": ("firmware index", "sysgraft", "decompress", 1.3),
    "firmware update / index": ("firmware index", "update", "sysgraft", 0.1),
    "firmware plan / load": ("firmware plan", "sysgraft", "load", 2.0),
    "node activate, known / import": ("node activate", "activate: known", "import x509", 3.0),
    "node activate, whole / floor": ("node activate", "activate: whole", "floor", 1.3),
    "node list / python": ("node list", "node list", "python -c pass", 5.0),
    "help / python": ("start", "sysgraft --help", "python -c pass", 3.0),
}
# The same of the bytes that were made.
SIZE_GOALS: Final = {
    "lz4hc / mkfs.erofs": ("lz4hc: sysgraft", "lz4hc: mkfs.erofs", 1.05),
    "zstd / mkfs.erofs": ("zstd: sysgraft", "zstd:3: mkfs.erofs", 1.05),
}
# Part and the most bytes it may take.
MEMORY_GOALS: Final = {
    "build": 200_000_000,
    "verify": 200_000_000,
    "lz4hc: sysgraft": 250_000_000,
    "zstd: sysgraft": 250_000_000,
    "uki build": 150_000_000,
    "uki verify": 150_000_000,
    "pcr predict": 150_000_000,
    "registry": 200_000_000,
    "node activate": 80_000_000,
}

# The tree, the keys and the output are bound in.
REPART: Final = """
systemd-repart --make-ddi=sysext --offline=yes --copy-source=/mnt/tree
--seed=01234567-89ab-cdef-0123-456789abcdef --private-key=/mnt/work/bench.key
--certificate=/mnt/work/bench.pem /mnt/work/repart.raw
"""


class Bench:
    """The commands, all on one tree and in one tmpfs folder."""

    def __init__(self, work: Path, tree: Path) -> None:
        self.work = work
        self.tree = tree
        self.image = work / "bench.sysext.raw"
        made = [SYSGRAFT, "keys", "generate", "bench", f"--output={work}/keys"]
        subprocess.run(made, check=True, stdout=subprocess.DEVNULL)
        for kind in ("key", "pem"):
            (work / f"keys/db.{kind}").rename(work / f"bench.{kind}")

    def build(self) -> list[Command]:
        """Building and signing, by us, by systemd-repart, and the floor."""
        work, tree = str(self.work), str(self.tree)
        pair = ["--private-key", f"{work}/bench.key", "--certificate", f"{work}/bench.pem"]
        repart = inside(REPART.split(), {self.work: "/mnt/work", self.tree: "/mnt/tree"})
        ours = [SYSGRAFT, "ext", "build", "bench", tree, "--output", work, *pair]
        floor = [PYTHON, str(HERE / "floor.py"), tree, f"{work}/floor.raw"]
        return [
            fresh("sysgraft", ours, self.image),
            fresh("systemd-repart", repart, self.work / "repart.raw"),
            fresh("floor", floor, self.work / "floor.raw"),
        ]

    def verify(self) -> list[Command]:
        """Verifying all of the image we built, by us, by veritysetup, and the floor."""
        root_hash = self.cut()
        certificate = str(self.work / "bench.pem")
        data, hashes = str(self.work / "data"), str(self.work / "hash")
        ours = [SYSGRAFT, "ext", "verify", str(self.image), "--certificate", certificate]
        return [
            Command("sysgraft", ours),
            Command("veritysetup", ["veritysetup", "verify", data, hashes, root_hash]),
            Command("floor", [PYTHON, str(HERE / "floor.py"), data]),
        ]

    def start(self) -> list[Command]:
        """Starting up."""
        return [
            Command("sysgraft --help", [SYSGRAFT, "--help"]),
            Command("python -c pass", [PYTHON, "-c", "pass"]),
        ]

    def cut(self) -> str:
        """The image's data and hash partitions as files for veritysetup; the root hash."""
        done = subprocess.run(["sfdisk", "--json", self.image], capture_output=True, check=True)
        table = json.loads(done.stdout)["partitiontable"]
        parts = table["partitions"]
        sector = table["sectorsize"]
        with self.image.open("rb") as image:
            for part, name in zip(parts, ("data", "hash"), strict=False):
                image.seek(part["start"] * sector)
                with (self.work / name).open("wb") as file:
                    copy(image.fileno(), file.fileno(), part["size"] * sector)
        return str(parts[0]["uuid"] + parts[1]["uuid"]).replace("-", "").lower()


def fresh(name: str, argv: list[str], output: Path) -> Command:
    """A command that finds no output of an earlier run."""
    return Command(name, argv, before=lambda: output.unlink(missing_ok=True))


def copy(source: int, target: int, size: int) -> None:
    while size:
        size -= os.sendfile(target, source, None, size)


@dataclass(slots=True)
class Results:
    """What was measured."""

    seconds: dict[str, dict[str, Times]] = field(default_factory=dict)
    memory: dict[str, int] = field(default_factory=dict)
    sizes: dict[str, int] = field(default_factory=dict)

    def ratios(self) -> dict[str, float]:
        """Medians of wall time over each other, those that have goals."""
        return {
            name: self._wall(part, ours) / self._wall(part, theirs)
            for name, (part, ours, theirs, _) in GOALS.items()
            if part in self.seconds
        }

    def size_ratios(self) -> dict[str, float]:
        """The same for the bytes that were made."""
        if not self.sizes:
            return {}
        return {
            name: self.sizes[ours] / self.sizes[theirs]
            for name, (ours, theirs, _) in SIZE_GOALS.items()
        }

    def _wall(self, part: str, names: str) -> float:
        return max(self.seconds[part][name].median() for name in names.split(","))


def measure(bench: Bench, parts: list[str], rounds: int) -> Results:
    """Everything asked for."""
    results = Results()
    builds = bench.build()
    if {"build", "verify", "memory"} & set(parts):
        interleaved(builds[:1], 1)  # warms up, and makes the image
    if "build" in parts:
        results.seconds["build"] = interleaved(builds, rounds)
    if "verify" in parts:
        results.seconds["verify"] = interleaved(bench.verify(), rounds)
    if "start" in parts:
        results.seconds["start"] = interleaved(bench.start(), STARTS)
    if "memory" in parts:
        results.memory["build"] = peak_memory(builds[0])
        results.memory["verify"] = peak_memory(bench.verify()[0])
    if "compress" in parts:
        measure_compression(CompressBench(bench.work, bench.tree), parts, rounds, results)
    if {"uki build", "uki verify"} & set(parts):
        measure_ukis(UkiBench(bench.work, bench.tree), parts, rounds, results)
    if {"pcr sign", "pcr predict"} & set(parts):
        measure_pcrs(PcrBench(bench.work, bench.tree), parts, rounds, results)
    if "registry" in parts:
        measure_registry(RegistryBench(bench.work, bench.tree), parts, rounds, results)
    measure_firmware(bench, parts, rounds, results)
    measure_node(bench, parts, rounds, results)
    return results


def measure_node(all_parts: Bench, parts: list[str], rounds: int, results: Results) -> None:
    if not {"node activate", "node list"} & set(parts):
        return
    bench = NodeBench(all_parts.work)
    if "node activate" in parts:
        whole, known = bench.whole(), bench.known()
        results.seconds["node activate"] = interleaved(whole, rounds) | interleaved(known, STARTS)
        if "memory" in parts:
            results.memory["node activate"] = peak_memory(whole[0])
    if "node list" in parts:
        results.seconds["node list"] = interleaved(bench.listing(), STARTS)


def measure_registry(bench: RegistryBench, parts: list[str], rounds: int, results: Results) -> None:
    with bench.build() as commands:
        interleaved(commands[:1], 1)
        results.seconds["registry"] = interleaved(commands, rounds)
        if "memory" in parts:
            results.memory["registry"] = peak_memory(commands[0])


def measure_compression(
    bench: CompressBench, parts: list[str], rounds: int, results: Results
) -> None:
    builds = bench.build()
    interleaved(builds[:1], 1)
    results.seconds["compress"] = interleaved(builds, rounds)
    results.sizes |= bench.sizes()
    if "memory" in parts:
        for build in builds:
            results.memory[build.name] = peak_memory(build)


def measure_firmware(all_parts: Bench, parts: list[str], rounds: int, results: Results) -> None:
    if not {"firmware index", "firmware plan"} & set(parts):
        return
    bench = FirmwareBench(all_parts.work, all_parts.tree)
    indexing = bench.index()
    interleaved(indexing[:1], 1)  # warms up, and makes the index
    if "firmware index" in parts:
        results.seconds["firmware index"] = interleaved(indexing, rounds)
    if "firmware plan" in parts:
        results.seconds["firmware plan"] = interleaved(bench.plan(), rounds)
    if "memory" in parts:
        results.memory["firmware index"] = peak_memory(indexing[0])


def measure_ukis(bench: UkiBench, parts: list[str], rounds: int, results: Results) -> None:
    builds = bench.build()
    interleaved(builds[:1], 1)  # warms up, and makes the image
    if "uki build" in parts:
        results.seconds["uki build"] = interleaved(builds, rounds)
    if "uki verify" in parts:
        interleaved(builds[:1], 1)
        results.seconds["uki verify"] = interleaved(bench.verify(), rounds)
    if "memory" in parts:
        results.memory["uki build"] = peak_memory(builds[0])
        results.memory["uki build: ukify"] = peak_memory(builds[1])
        results.memory["uki verify"] = peak_memory(bench.verify()[0])


def measure_pcrs(bench: PcrBench, parts: list[str], rounds: int, results: Results) -> None:
    if "pcr sign" in parts:
        ours, floor, naive = bench.sign()
        interleaved([ours], 1)
        # Nearly a minute each time: once has to do.
        results.seconds["pcr sign"] = interleaved([ours, floor], rounds) | interleaved([naive], 1)
        if "memory" in parts:
            results.memory["pcr sign"] = peak_memory(ours)
    if "pcr predict" in parts:
        commands = bench.predict()
        interleaved(commands[:1], 1)
        results.seconds["pcr predict"] = interleaved(commands, rounds)
        if "memory" in parts:
            results.memory["pcr predict"] = peak_memory(commands[0])


def document(results: Results, tree: Path) -> dict[str, object]:
    """The results for other programs."""
    seconds = {
        part: {name: times.as_json() for name, times in commands.items()}
        for part, commands in results.seconds.items()
    }
    return {
        "machine": machine(),
        "tree": describe(tree),
        "seconds": seconds,
        "ratios": results.ratios(),
        "bytes": results.sizes,
        "byte_ratios": results.size_ratios(),
        "peak_memory_bytes": results.memory,
    }


def table(results: Results) -> str:
    """The results as Markdown."""
    rows = ["| | wall s, median (min to max) | CPU s, median |", "|---|---|---|"]
    for part, commands in results.seconds.items():
        rows += [f"| {part}: {name} | {times.text()} |" for name, times in commands.items()]
    if results.sizes:
        rows += ["", "| | MB |", "|---|---|"]
        rows += [f"| {name} | {size / 1e6:.1f} |" for name, size in results.sizes.items()]
    rows += ["", "| | measured | goal | |", "|---|---|---|---|"]
    for name, value in results.ratios().items():
        goal = GOALS[name][3]
        rows.append(f"| {name}, wall | {value:.2f} | {goal} | {verdict(value, goal)} |")
    for name, value in results.size_ratios().items():
        goal = SIZE_GOALS[name][2]
        rows.append(f"| {name}, bytes | {value:.3f} | {goal} | {verdict(value, goal)} |")
    for name, size in results.memory.items():
        most = MEMORY_GOALS.get(name)
        cells = f"{most / 1e6:.0f} | {verdict(size, most)}" if most else "|"
        rows.append(f"| {name}, peak memory in MB | {size / 1e6:.0f} | {cells} |")
    return "\n".join(rows)


def verdict(value: float, goal: float) -> str:
    return "met" if value <= goal else "short"


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Measure sysgraft; see benchmarks/README.md.")
    parser.add_argument("--rounds", type=int, default=5, help="runs of each command (default: 5)")
    parser.add_argument("--json", type=Path, help="write the results here too")
    parser.add_argument("--tree", type=Path, help="build from this (default: Debian's firmware)")
    parser.add_argument("--only", action="append", choices=PARTS, help="a part; again for more")
    return parser.parse_args()


def prepare() -> None:
    """What an installed program has: bytecode beside its source."""
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    compileall.compile_dir(ROOT / "src/sysgraft", quiet=2)


def main() -> None:
    chosen = arguments()
    prepare()
    with tempfile.TemporaryDirectory(dir=TMPFS, prefix="sysgraft-bench-") as folder:
        tree: Path = chosen.tree or Path(folder, "tree")
        if chosen.tree is None:
            make(tree)
        work = Path(folder, "work")
        work.mkdir()
        bench = Bench(work, tree.resolve())
        results = measure(bench, chosen.only or list(PARTS), chosen.rounds)
        print(table(results))
        if chosen.json:
            chosen.json.write_text(json.dumps(document(results, tree), indent=1) + "\n")


if __name__ == "__main__":
    main()
