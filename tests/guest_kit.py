"""A guest's machine brought home, or sysgraft brought to a guest."""

from __future__ import annotations

import functools
import shutil
import sys
import tarfile
from pathlib import Path
from typing import TYPE_CHECKING, Final

import sysgraft
from conftest import DEBIAN_13
from sysgraft.build.agent.tree import AgentTree, agent_tree
from sysgraft.build.extension import build_extension
from sysgraft.formats import cpio
from sysgraft.host.zstd import compress

if TYPE_CHECKING:
    from sysgraft.sign.pair import SigningPair

COPY: Final = r"""
dd if=/dev/kmsg iflag=nonblock bs=8192 > "$SYSGRAFT_RESULTS/kmsg" 2> /dev/null
cd /
find sys/bus sys/devices sys/class sys/dev sys/module sys/firmware/devicetree \
    -type l -o -type f -a '(' -name modalias -o -name uevent -o -name ifindex -o -name initstate \
    -o -name 'subsystem_*' -o -path 'sys/devices/virtual/dmi/id/*' \
    -o -path sys/module/firmware_class/parameters/path ')' > /run/list
mkdir /run/copy
cp --parents proc/modules proc/sys/kernel/osrelease proc/sys/kernel/arch /run/copy
cp --parents usr/lib/os-release /run/copy
# tar fills attributes up with zeros, as anybody's copy may be.
tar --create --gzip --no-recursion --ignore-failed-read --file "$SYSGRAFT_RESULTS/machine.tar.gz" \
    --files-from /run/list --recursion --directory /run/copy proc usr 2> /dev/null
"""
"""The end of a guest's script: the log as ``kmsg``, files as ``machine.tar.gz``, which ``firmware
scan --root`` reads."""

PYTHONPATH: Final = "/usr/lib/sysgraft-python"
"""Where `python_extension` puts sysgraft and what it needs."""

LEVEL: Final = 3
"""Of zstd: tests wait for it, and the guest does not."""

# Of Python's library, what nobody asks for.
_LEFT_OUT: Final = (
    *("__pycache__", "test", "idlelib", "ensurepip", "lib2to3", "pydoc_data", "tkinter"),
)


def python_extension(folder: Path, signing: SigningPair) -> str:
    """An extension with sysgraft, msgspec, and the part of Python's library the guest lacks."""
    tree = folder / "python-tree"
    ignored = shutil.ignore_patterns(*_LEFT_OUT)
    own = tree / PYTHONPATH.lstrip("/")
    library = DEBIAN_13 / "usr/lib/python3.13"
    shutil.copytree(library, tree / "usr/lib/python3.13", ignore=ignored, symlinks=True)
    shutil.copytree(Path(sysgraft.__file__).parent, own / "sysgraft", ignore=ignored)
    packages = DEBIAN_13 / "usr/lib/python3/dist-packages"
    shutil.copytree(packages / "msgspec", own / "msgspec", ignore=ignored)
    build_extension("python", [str(tree)], output=str(folder), signing=signing)
    return str(folder / "python.sysext.raw")


@functools.cache
def agent() -> AgentTree:
    """The bundle of this interpreter, made once."""
    return agent_tree(sys.executable)


@functools.cache
def _agent_archive() -> bytes:
    return b"".join(compress(cpio.plan(agent().tree).chunks(), LEVEL))


def agent_initrd(folder: Path) -> str:
    """An initrd with the bundle: a guest has ``/usr/bin/sysgraft`` from the start; its path.

    It is compressed once for all tests; a copy takes 30 MB in the folder, 90 MB in the guest.
    """
    place = folder / "agent.cpio.zst"
    if not place.exists():
        place.write_bytes(_agent_archive())
    return str(place)


def results_of(folder: Path) -> dict[str, Path]:
    """What a script left, by its name."""
    return {path.name.removeprefix("result-"): path for path in folder.iterdir()}


def unpack_machine(results: dict[str, Path], root: Path) -> Path:
    """The copy of the guest's files below `root`."""
    with tarfile.open(results["machine.tar.gz"]) as archive:
        archive.extractall(root, filter="data")
    return root
