"""The files for an initrd: a unit that runs before anything is unlocked, and its script.

They are ordinary files for whoever builds the initrd (dracut, mkosi, ``sysgraft uki build --initrd
dir:…``), and need nothing of sysgraft there, nor Python.
"""

from __future__ import annotations

import os
from typing import Final

from sysgraft.host.file_tree import LINK, TreeFile, write_files

UNIT: Final = "sysgraft-pcr-signatures.service"
SCRIPT: Final = "usr/lib/sysgraft/pcr-signatures"
_UNITS: Final = "usr/lib/systemd/system"


def files() -> tuple[TreeFile, ...]:
    """All files, in the order of their paths."""
    return (
        TreeFile(SCRIPT, _asset("pcr-signatures.sh"), 0o755),
        TreeFile(f"{_UNITS}/{UNIT}", _asset("pcr-signatures.service"), 0o644),
        TreeFile(f"{_UNITS}/sysinit.target.wants/{UNIT}", f"../{UNIT}".encode(), LINK),
    )


def write(folder: str, *, replace: bool = False) -> tuple[str, ...]:
    """Write them below a folder.

    Returns:
        Their paths.

    Raises:
        OutputError: one is there already, or cannot be written.
    """
    return write_files(folder, files(), replace=replace)


def _asset(name: str) -> bytes:
    with open(os.path.join(os.path.dirname(__file__), name), "rb") as file:
        return file.read()
