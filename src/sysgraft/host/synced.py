"""A file copied so that it is on the disk, and not only on its way there, when that is said."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final

from sysgraft.base.progress import NoProgress

if TYPE_CHECKING:
    from collections.abc import Callable

    from sysgraft.base.progress import Progress

_CHUNK: Final = 1 << 20


def copy_synced(source: str, target: str, *, progress: Progress | None = None) -> None:
    """Copy a file to a name nobody has, and force it to the disk (fsync(2)).

    Raises:
        OSError: it cannot be read or written; a part of the copy may be left.
    """
    listener = progress or NoProgress()
    with open(source, "rb") as incoming, open(target, "xb") as outgoing:
        _copy(incoming.read, outgoing.write, listener.advance)
        outgoing.flush()
        os.fsync(outgoing.fileno())


def _copy(
    read: Callable[[int], bytes], write: Callable[[bytes], object], told: Callable[[int], None]
) -> None:
    while data := read(_CHUNK):
        write(data)
        told(len(data))
