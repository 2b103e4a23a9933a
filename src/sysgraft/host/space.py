"""How much room there is in a file system."""

from __future__ import annotations

import os

from sysgraft.errors import OutputError
from sysgraft.host.files import cannot_write


def free_bytes(folder: str) -> int | None:
    """Bytes that this process may still write below `folder`; None where nobody knows.

    Root may also take what a file system keeps back for it (statvfs(3), ``f_bfree``).

    Raises:
        OutputError: there is no such folder.
    """
    try:
        found = os.statvfs(folder)
    except OSError as error:
        raise cannot_write(error, folder) from error
    if not found.f_blocks:  # file systems without a size, such as some over the network
        return None
    blocks = found.f_bfree if os.geteuid() == 0 else found.f_bavail
    return blocks * found.f_frsize


def check_space(folder: str, needed: int) -> None:
    """Raise `OutputError` unless `needed` bytes fit into the file system of `folder`."""
    free = free_bytes(folder)
    if free is not None and needed > free:
        raise OutputError(
            f"{needed} bytes are needed, {free} are free",
            file=folder,
            hint="remove what is no longer needed there",
        )
