"""The firmware part of the benchmarks: an index of Debian 13's kernel and firmware, and plans.

The kernel's modules are those ``scripts/setup-oracles`` fetched, 4,200 in 94 MB. The floor of an
index is to decompress every module on all cores; that of a plan, to load the index.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path
from typing import Final

from firmware_tree import CACHE
from measure import Command

from sysgraft.firmware.inventory import Device, Machine, render_machine

KERNEL: Final = CACHE / "firmware-13"
HERE: Final = Path(__file__).resolve().parent
SYSGRAFT: Final = str(Path(sys.executable).with_name("sysgraft"))
CHANGED: Final = 10
"""Modules that are new since the index that is brought up to date."""
LAPTOP: Final = (
    "pci:v00001002d000015BFsv00001043sd00001E83bc03sc00i00",
    "pci:v000014C3d00000616sv00001A3Bsd00005300bc02sc80i00",
    "pci:v000010ECd00008168sv00001043sd0000208Fbc02sc00i00",
    "usb:v0489pE0D8d0100dcEFdsc02dp01icE0isc01ip01in00",
)


class FirmwareBench:
    """The commands, all in one tmpfs folder.

    Args:
        work: the folder.
        tree: the firmware.
    """

    def __init__(self, work: Path, tree: Path) -> None:
        self.work = work
        self.tree = tree
        self.kernel = work / "kernel"
        shutil.copytree(KERNEL / "usr/lib/modules", self.kernel / "usr/lib/modules")
        self.index_file = work / "firmware.index"
        self.old = work / "old.index"
        self.machine = work / "machine.json"
        devices = (Device("pci", f"0000:00:{n:02x}.0", each) for n, each in enumerate(LAPTOP))
        machine = Machine(architecture="x86-64", devices=tuple(devices))
        self.machine.write_bytes(render_machine(machine))
        self._make_old()

    def _make_old(self) -> None:
        """An index from before some modules were there."""
        modules = sorted(self.kernel.rglob("*.ko.xz"))
        changed = modules[:: len(modules) // CHANGED][:CHANGED]
        hidden = {path: path.with_suffix(".hidden") for path in changed}
        for path, place in hidden.items():
            path.rename(place)
        subprocess.run(self._index(self.old), check=True, stdout=subprocess.DEVNULL)
        for path, place in hidden.items():
            place.rename(path)

    def _index(self, output: Path, *more: str) -> list[str]:
        trees = ("--kernel-tree", str(self.kernel), "--firmware-tree", str(self.tree))
        return [SYSGRAFT, "firmware", "index", *trees, "--output", str(output), "--force", *more]

    def index(self) -> list[Command]:
        """Indexing everything, and what changed, against decompressing every module."""
        floor = [sys.executable, str(HERE / "firmware_floor.py"), "decompress", str(self.kernel)]
        return [
            Command("sysgraft", self._index(self.index_file)),
            Command("update", self._index(self.work / "new.index", "--update", str(self.old))),
            Command("decompress", floor),
        ]

    def plan(self) -> list[Command]:
        """Planning for a laptop, against loading the index."""
        index = str(self.index_file)
        ours = [SYSGRAFT, "firmware", "plan", "--index", index, "--machine", str(self.machine)]
        load = [sys.executable, str(HERE / "firmware_floor.py"), "load", index]
        return [
            Command("sysgraft", ours),
            Command("load", load),
        ]
