"""The UKI part of the benchmarks: building one with a large initrd, and verifying it.

The initrd is 400 MB of firmware, one file after the other. The kernel is Debian 13's, the stub
systemd's; ukify 257 runs by chroot in the folder of ``scripts/setup-oracles``.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Final

from debian13 import inside
from firmware_tree import DEBIAN_13
from floor import is_plain
from measure import Command

INITRD_SIZE: Final = 400_000_000
STUB: Final = DEBIAN_13 / "usr/lib/systemd/boot/efi/linuxx64.efi.stub"
HERE: Final = Path(__file__).resolve().parent
SYSGRAFT: Final = str(Path(sys.executable).with_name("sysgraft"))
CMDLINE: Final = "root=/dev/vda2 ro quiet"


def kernel() -> Path:
    """Debian 13's kernel, which `scripts/setup-oracles` fetched."""
    return next((DEBIAN_13 / "boot").glob("vmlinuz-*"))


class UkiBench:
    """The commands, all in one tmpfs folder.

    Args:
        work: the folder, with ``bench.key`` and ``bench.pem``.
        tree: firmware to make the initrd of.
    """

    def __init__(self, work: Path, tree: Path) -> None:
        self.work = work
        self.initrd = work / "initrd"
        self.key = work / "pcr.key"
        fill(self.initrd, tree, INITRD_SIZE)
        subprocess.run(
            ["openssl", "genrsa", "-out", self.key, "2048"], check=True, capture_output=True
        )

    def build(self) -> list[Command]:
        """Building, signing and measuring, by us and by ukify, and the floor."""
        ours = self.work / "ours.efi"
        theirs = self.work / "theirs.efi"
        floor = [sys.executable, str(HERE / "floor.py"), str(self.initrd), str(self.work / "copy")]
        (self.work / "vmlinuz").write_bytes(kernel().read_bytes())
        return [
            fresh(
                "sysgraft", [SYSGRAFT, "uki", "build", *self.options(str(self.work), ours)], ours
            ),
            fresh(
                "ukify",
                inside(
                    ["ukify", "build", *self.options("/mnt/work", Path("/mnt/work/theirs.efi"))],
                    {self.work: "/mnt/work"},
                ),
                theirs,
            ),
            fresh("floor", floor, self.work / "copy"),
        ]

    def options(self, folder: str, output: Path) -> list[str]:
        """The same options for both; four banks and four phases are the default of both."""
        return [
            f"--linux={folder}/vmlinuz",
            f"--initrd={folder}/initrd",
            f"--cmdline={CMDLINE}",
            "--os-release=ID=bench",
            f"--stub={STUB}" if folder != "/mnt/work" else f"--stub=/{STUB.relative_to(DEBIAN_13)}",
            f"--pcr-private-key={folder}/pcr.key",
            f"--secureboot-private-key={folder}/bench.key",
            f"--secureboot-certificate={folder}/bench.pem",
            f"--output={output}",
        ]

    def verify(self) -> list[Command]:
        """Verifying the image we built, and the floor: one SHA-256 over the same file."""
        image, certificate = str(self.work / "ours.efi"), str(self.work / "bench.pem")
        return [
            Command("sysgraft", [SYSGRAFT, "uki", "verify", image, "--certificate", certificate]),
            Command("sbverify", ["sbverify", "--cert", certificate, image]),
            Command("floor", [sys.executable, str(HERE / "floor.py"), "--one", image]),
        ]


def fill(path: Path, tree: Path, size: int) -> None:
    """The first `size` bytes of the tree's files; what they hold costs no tool more or less."""
    left = size
    with path.open("wb") as file:
        for source in sorted(each for each in tree.rglob("*") if is_plain(each)):
            left -= file.write(source.read_bytes()[:left])
    if left:
        sys.exit(f"the firmware gives {size - left} bytes, {size} are needed")


def fresh(name: str, argv: list[str], output: Path) -> Command:
    """A command that finds no output of an earlier run."""
    return Command(name, argv, before=lambda: output.unlink(missing_ok=True))
