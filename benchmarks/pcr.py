"""The PCR part of the benchmarks: many sets of files beside an image, and one boot of much.

The sets are all subsets of ten extensions of 20 MB: 1,024 archives, of which PCR 11 and 13 are
signed in four phases. The one boot is an ESP folder with systemd-boot, a UKI of 800 MB and an
extension of 520 MB beside it. What the files hold is firmware; it costs no tool more or less.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path
from typing import Final

from measure import Command
from uki import STUB, SYSGRAFT, fill, fresh, kernel

EXTENSIONS: Final = 10
EXTENSION_SIZE: Final = 20_000_000
SMALL_INITRD: Final = 20_000_000
UKI_SIZE: Final = 800_000_000
LARGE_EXTENSION: Final = 520_000_000
FLOOR: Final = str(Path(__file__).resolve().parent / "pcr_floor.py")


class PcrBench:
    """The commands, all in one tmpfs folder.

    Args:
        work: the folder, with ``bench.key`` and ``bench.pem``.
        tree: firmware to make the files of.
    """

    def __init__(self, work: Path, tree: Path) -> None:
        self._pair = (work / "bench.key", work / "bench.pem")
        self._work = work / "pcr"
        self._work.mkdir()
        self._tree = tree
        self._key = self._work / "pcr.key"
        subprocess.run(
            ["openssl", "genrsa", "-out", self._key, "2048"], check=True, capture_output=True
        )

    def sign(self) -> list[Command]:
        """Signing all subsets, by us, the floor, and what hashes every archive by itself."""
        folder = self._extensions()
        image = self._image("small.efi", SMALL_INITRD)
        signatures = self._work / "signatures.json"
        ours = [SYSGRAFT, "pcr", "sign", f"--uki={image}", f"--extra={folder}", "--all-subsets"]
        ours += [f"--private-key={self._key}", f"--output={signatures}"]
        files = [str(self._key), *map(str, sorted(folder.iterdir()))]
        return [
            fresh("sysgraft", ours, signatures),
            Command("floor", [sys.executable, FLOOR, "sets", *files]),
            Command("naive", [sys.executable, FLOOR, "naive", *files]),
        ]

    def predict(self) -> list[Command]:
        """Predicting one boot, by us, and two floors: on one core, on a core for each file."""
        esp = self._esp()
        files = [str(path) for path in esp.glob("EFI/Linux/**/*") if path.is_file()]
        ours = [SYSGRAFT, "pcr", "predict", f"--esp={esp}", "--entry=large.efi"]
        return [
            Command("sysgraft", ours),
            Command("floor", [sys.executable, FLOOR, "files", *files]),
            Command("a core per file", [sys.executable, FLOOR, "cores", *files]),
        ]

    def _extensions(self) -> Path:
        folder = self._work / "extensions"
        folder.mkdir()
        everything = self._work / "everything"
        fill(everything, self._tree, EXTENSIONS * EXTENSION_SIZE)
        with everything.open("rb") as file:
            for number in range(EXTENSIONS):
                (folder / f"{number}.sysext.raw").write_bytes(file.read(EXTENSION_SIZE))
        everything.unlink()
        return folder

    def _esp(self) -> Path:
        esp = self._work / "esp"
        beside = esp / "EFI/Linux/large.efi.extra.d"
        for folder in (beside, esp / "EFI/systemd"):
            folder.mkdir(parents=True)
        shutil.copy(STUB.with_name("systemd-bootx64.efi"), esp / "EFI/systemd")
        self._image("esp/EFI/Linux/large.efi", UKI_SIZE - kernel().stat().st_size)
        fill(beside / "large.sysext.raw", self._tree, LARGE_EXTENSION)
        return esp

    def _image(self, name: str, initrd_size: int) -> Path:
        """A signed UKI with so large an initrd."""
        initrd = self._work / "initrd"
        fill(initrd, self._tree, initrd_size)
        output = self._work / name
        options = [f"--linux={kernel()}", f"--initrd={initrd}", "--cmdline=ro quiet"]
        options += ["--os-release=ID=bench", f"--stub={STUB}", f"--output={output}"]
        key, certificate = self._pair
        options += [f"--secureboot-private-key={key}", f"--secureboot-certificate={certificate}"]
        subprocess.run([SYSGRAFT, "uki", "build", *options], check=True, capture_output=True)
        initrd.unlink()
        return output
