"""A guest's machine brought home: its /sys and its log, as ``firmware scan --root`` reads them."""

from __future__ import annotations

import tarfile
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from pathlib import Path

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
"""The end of a guest's script: the log as ``kmsg``, files as ``machine.tar.gz``."""


def results_of(folder: Path) -> dict[str, Path]:
    """What a script left, by its name."""
    return {path.name.removeprefix("result-"): path for path in folder.iterdir()}


def unpack_machine(results: dict[str, Path], root: Path) -> Path:
    """The copy of the guest's files below `root`."""
    with tarfile.open(results["machine.tar.gz"]) as archive:
        archive.extractall(root, filter="data")
    return root
