"""What a node does at boot with twenty extensions of 50 MB, known to be whole or not yet read."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Final

from measure import Command

HERE: Final = Path(__file__).resolve().parent
PYTHON: Final = sys.executable
SYSGRAFT: Final = str(Path(sys.executable).with_name("sysgraft"))
EXTENSIONS: Final = 20
SIZE: Final = 50_000_000
KNOWN: Final = ".sysgraft-whole.json"


class NodeBench:
    """A system in a folder, with its store."""

    def __init__(self, work: Path) -> None:
        self.root = work / "node"
        self.store = self.root / "var/lib/sysgraft/extensions"
        self._system(work)
        tree = work / "node-tree"
        (tree / "usr/share/bench").mkdir(parents=True)
        pair = [f"--private-key={work}/bench.key", f"--certificate={work}/bench.pem"]
        for number in range(EXTENSIONS):
            (tree / "usr/share/bench/blob").write_bytes(os.urandom(SIZE))
            words = [SYSGRAFT, "ext", "build", f"extension{number}", str(tree), *pair]
            self._run([*words, f"--output={self.store}"])
            name = f"extension{number}.sysext.raw"
            (self.store / "common" / name).symlink_to(f"../{name}")
        (tree / "usr/share/bench/blob").unlink()

    def _system(self, work: Path) -> None:
        for folder in ("usr/lib/systemd", "usr/lib/verity.d", "run", "proc"):
            (self.root / folder).mkdir(parents=True)
        (self.store / "common").mkdir(parents=True)
        (self.root / "usr/lib/systemd/libsystemd-shared-257.so").touch()
        (self.root / "usr/lib/os-release").write_text("ID=debian\nVERSION_ID=13\n")
        (self.root / "usr/lib/verity.d/bench.crt").write_bytes((work / "bench.pem").read_bytes())

    @staticmethod
    def _run(words: list[str]) -> None:
        subprocess.run(words, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def known(self) -> list[Command]:
        """Activation of images that were found whole before, and what its ratio is to."""
        return [
            Command("activate: known", self._activate()),
            Command("import x509", [PYTHON, "-c", "import cryptography.x509"]),
        ]

    def whole(self) -> list[Command]:
        """Activation of images that nobody has read before, and the floor."""
        return [
            Command("activate: whole", self._activate(), before=self._forget),
            Command("floor", [PYTHON, str(HERE / "floor.py"), str(self.store)]),
        ]

    def listing(self) -> list[Command]:
        """Telling what is installed."""
        return [
            Command("node list", [SYSGRAFT, "node", "list", f"--root={self.root}"]),
            Command("python -c pass", [PYTHON, "-c", "pass"]),
        ]

    def _activate(self) -> list[str]:
        return [PYTHON, str(HERE / "node_activate.py"), str(self.root)]

    def _forget(self) -> None:
        (self.store / KNOWN).unlink(missing_ok=True)
