"""One process at a time in a folder: an advisory lock on the folder itself, gone with the process.

flock(2) works on a descriptor of a folder on Linux, so nothing is left lying about.
"""

from __future__ import annotations

import contextlib
import os
import time
from typing import TYPE_CHECKING, Final

from sysgraft.errors import ToolError
from sysgraft.host.files import cannot_write

if TYPE_CHECKING:
    from collections.abc import Iterator

_POLL: Final = 0.1


@contextlib.contextmanager
def folder_lock(folder: str, *, patience: float = 10.0) -> Iterator[None]:
    """As long as the context lasts no other `folder_lock` on it is held.

    Args:
        folder: the folder.
        patience: seconds to wait for another process.

    Raises:
        ToolError: another process does not let go of it.
        OutputError: it cannot be opened.
    """
    import fcntl  # noqa: PLC0415  there is none on Windows

    try:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError as error:
        raise cannot_write(error, folder) from error
    deadline = time.monotonic() + patience
    try:
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError as error:
                if time.monotonic() > deadline:
                    raise ToolError(
                        "another process is changing it",
                        file=folder,
                        hint="wait until it has ended",
                    ) from error
            time.sleep(_POLL)
        yield
    finally:
        os.close(descriptor)
