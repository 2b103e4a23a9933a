"""The files for an initrd: a unit that runs before anything is unlocked, and its script.

They are ordinary files for whoever builds the initrd (dracut, mkosi, ``sysgraft uki build --initrd
dir:…``), and need nothing of sysgraft there, nor Python.
"""

from __future__ import annotations

import os
from typing import Final, NamedTuple

from sysgraft.errors import OutputError
from sysgraft.host.files import cannot_write
from sysgraft.host.output import atomic_output

UNIT: Final = "sysgraft-pcr-signatures.service"
SCRIPT: Final = "usr/lib/sysgraft/pcr-signatures"
_UNITS: Final = "usr/lib/systemd/system"


class EarlyFile(NamedTuple):
    """A file of the tree.

    Attributes:
        path: below the root of the initrd.
        data: its content; of a link, where it leads to.
        mode: permissions; 0 for a link.
    """

    path: str
    data: bytes
    mode: int


def files() -> tuple[EarlyFile, ...]:
    """All files, in the order of their paths."""
    return (
        EarlyFile(SCRIPT, _asset("pcr-signatures.sh"), 0o755),
        EarlyFile(f"{_UNITS}/{UNIT}", _asset("pcr-signatures.service"), 0o644),
        EarlyFile(f"{_UNITS}/sysinit.target.wants/{UNIT}", f"../{UNIT}".encode(), 0),
    )


def write(folder: str, *, replace: bool = False) -> tuple[str, ...]:
    """Write them below a folder.

    Returns:
        Their paths.

    Raises:
        OutputError: one is there already, or cannot be written.
    """
    found = []
    places = {os.path.join(folder, each.path): each for each in files()}
    for path in places:
        if os.path.lexists(path) and not replace:
            raise OutputError("the file exists", file=path, hint="use --force to replace it")
    for path, each in places.items():
        try:
            os.makedirs(os.path.dirname(path), exist_ok=True)
            if each.mode:
                _write_file(path, each, replace=replace)
            else:
                _write_link(path, each)
        except OSError as error:
            raise cannot_write(error, path) from error
        found.append(path)
    return tuple(found)


def _write_file(path: str, file: EarlyFile, *, replace: bool) -> None:
    with atomic_output(path, replace=replace) as output:
        output.write(file.data)
    os.chmod(path, file.mode)


def _write_link(path: str, file: EarlyFile) -> None:
    if os.path.lexists(path):
        os.unlink(path)
    os.symlink(file.data, path)


def _asset(name: str) -> bytes:
    with open(os.path.join(os.path.dirname(__file__), name), "rb") as file:
        return file.read()
