"""The firmware tree that the benchmarks work on: 19 of Debian 13's firmware packages, unpacked.

    python benchmarks/firmware_tree.py FOLDER

972 MB in 2,296 files with 860 links. The packages come through apt, checked against the archive's
signature, and stay in ``~/.cache/sysgraft/firmware-debs``. Needs apt-get, dpkg-deb and the Debian
13 folder of ``scripts/setup-oracles``, whose apt sources it reads.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Final

CACHE: Final = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache", "sysgraft")
DEBIAN_13: Final = CACHE / "debian-13"
KEYRING: Final = DEBIAN_13 / "usr/share/keyrings/debian-archive-keyring.gpg"

KINDS: Final = """
amd-graphics brcm80211 cavium intel-misc intel-sound ipw2x00 iwlwifi libertas marvell-prestera
mediatek misc-nonfree myricom netronome nvidia-graphics qcom-soc realtek siano sof-signed
ti-connectivity
"""
PACKAGES: Final = tuple(f"firmware-{kind}" for kind in KINDS.split())


def make(folder: Path) -> None:
    """Unpack the packages' ``/usr/lib/firmware`` into `folder`, which must not exist."""
    debs = fetch()
    with tempfile.TemporaryDirectory(dir=folder.parent) as unpacked:
        for deb in debs:
            subprocess.run(["dpkg-deb", "-x", deb, unpacked], check=True)
        (folder / "usr/lib").mkdir(parents=True)
        Path(unpacked, "usr/lib/firmware").rename(folder / "usr/lib/firmware")


def fetch() -> list[Path]:
    """The packages as files, downloaded where they are not there yet."""
    cache = CACHE / "firmware-debs"
    found = sorted(cache.glob("firmware-*.deb"))
    if len(found) == len(PACKAGES):
        return found
    cache.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as state:
        options = apt_options(Path(state))
        subprocess.run(["apt-get", "-qq", *options, "update"], check=True)
        subprocess.run(["apt-get", "-qq", *options, "download", *PACKAGES], cwd=cache, check=True)
    return sorted(cache.glob("firmware-*.deb"))


def apt_options(state: Path) -> list[str]:
    """Options that make apt look at Debian 13's firmware and leave the machine's own state be."""
    (state / "lists/partial").mkdir(parents=True)
    (state / "cache/archives/partial").mkdir(parents=True)
    sources = state / "sources.list"
    sources.write_text("".join(map(firmware_line, debian_lines())))
    settings = {
        "Dir::Etc::sourcelist": sources,
        "Dir::Etc::sourceparts": "-",
        "Dir::State::lists": state / "lists",
        "Dir::Cache": state / "cache",
        "APT::Sandbox::User": "root",
    }
    return [word for name, value in settings.items() for word in ("-o", f"{name}={value}")]


def debian_lines() -> list[str]:
    """The lines of the Debian 13 folder's sources that name an archive of packages."""
    text = (DEBIAN_13 / "etc/apt/sources.list").read_text()
    return [line for line in text.splitlines() if line.startswith("deb ")]


def firmware_line(line: str) -> str:
    """A ``deb URI SUITE COMPONENT…`` line for the firmware component, with the key to check it."""
    _, uri, suite, *_ = line.split()
    return f"deb [signed-by={KEYRING}] {uri} {suite} non-free-firmware\n"


def describe(folder: Path) -> dict[str, int]:
    """How many files, links and bytes there are."""
    paths = [path for path in folder.rglob("*") if path.is_symlink() or path.is_file()]
    files = [path for path in paths if not path.is_symlink()]
    return {
        "files": len(files),
        "links": len(paths) - len(files),
        "bytes": sum(path.stat().st_size for path in files),
    }


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    shutil.rmtree(sys.argv[1], ignore_errors=True)
    make(Path(sys.argv[1]))
    print(describe(Path(sys.argv[1])))
