"""The compression part of the benchmarks: compressed extensions against mkfs.erofs alone.

sysgraft makes a whole signed extension, with hash tree and partition table; mkfs.erofs 1.8 makes a
file system in pclusters of up to 64 KiB (``-C65536``), with its own threads.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from debian13 import inside
from uki import SYSGRAFT, fresh

if TYPE_CHECKING:
    from pathlib import Path

    from measure import Command

# What is measured: ours, and what mkfs.erofs calls the same; not the default level of zstd, 9, for
# which it takes most of a minute.
CODECS: Final = {"lz4": "lz4", "lz4hc": "lz4hc,9", "zstd:3": "zstd,level=3", "zstd": ""}


class CompressBench:
    """The commands, all on one tree and in one tmpfs folder.

    Args:
        work: the folder, with ``bench.key`` and ``bench.pem``.
        tree: what goes in.
    """

    def __init__(self, work: Path, tree: Path) -> None:
        self._pair = [f"--private-key={work}/bench.key", f"--certificate={work}/bench.pem"]
        self._work = work / "compress"
        self._work.mkdir()
        self._tree = tree
        self.outputs: dict[str, Path] = {}

    def build(self) -> list[Command]:
        """Building with each codec, by us and by mkfs.erofs."""
        commands = []
        for codec, option in CODECS.items():
            commands.append(self._ours(codec))
            if option:
                commands.append(self._theirs(codec, option))
        return commands

    def _ours(self, codec: str) -> Command:
        folder = self._work / codec.replace(":", "-")
        argv = ["env", f"TMPDIR={self._work}", SYSGRAFT, "ext", "build", "bench", str(self._tree)]
        argv += [f"--compress={codec}", f"--output={folder}", *self._pair]
        return self._made(f"{codec}: sysgraft", argv, folder / "bench.sysext.raw")

    def _theirs(self, codec: str, option: str) -> Command:
        output = self._work / f"{option}.erofs"
        argv = ["mkfs.erofs", "--quiet", f"-z{option}", "-C65536", f"/mnt/work/{output.name}"]
        binds = {self._work: "/mnt/work", self._tree: "/mnt/tree"}
        return self._made(f"{codec}: mkfs.erofs", inside([*argv, "/mnt/tree"], binds), output)

    def _made(self, name: str, argv: list[str], output: Path) -> Command:
        self.outputs[name] = output
        return fresh(name, argv, output)

    def sizes(self) -> dict[str, int]:
        """Bytes of what the last run of each command made."""
        return {name: path.stat().st_size for name, path in self.outputs.items()}
