"""What a target is: a reader with good files for it."""

from __future__ import annotations

import atexit
import itertools
import os
import shutil
import tempfile
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from sysgraft.base.blob import Blob

MEMORY: Final = "/dev/shm"
"""Where files are put that a reader wants by name."""
_MOST_READ: Final = 8 << 20
"""Bytes of content that a target reads of one input; sparse files may claim terabytes."""
_PIECE: Final = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """A reader and what it is given.

    Attributes:
        name: of the target.
        seeds: makes good files; the same bytes in every process.
        read: reads one input. It raises a `SysgraftError` or returns False for what it refuses.
        weight: share of the inputs, beside those of the others.
        tokens: words that mean something to the reader.
        repair: makes checksums right again, in place.
    """

    name: str
    seeds: Callable[[], Sequence[bytes]]
    read: Callable[[bytes], object]
    weight: float = 10
    tokens: Sequence[bytes] = ()
    repair: Callable[[bytearray], None] | None = None


def as_text(data: bytes) -> str:
    """Bytes as Python has them of an argument of the command line."""
    return data.decode("utf-8", "surrogateescape")


def as_header(data: bytes) -> str:
    """Bytes as they stand in a header of HTTP."""
    return data.decode("latin-1")


def drain(blob: Blob) -> None:
    """Read a content as whoever copies it would, up to a limit."""
    for at in range(0, min(blob.size, _MOST_READ), _PIECE):
        blob.read_at(at, min(_PIECE, blob.size - at))


class File:
    """A file in memory, in a folder of its own for each process; `put` gives its path."""

    _numbers = itertools.count()

    def __init__(self, name: str) -> None:
        self._name = name
        self._number = next(self._numbers)

    def put(self, data: bytes) -> str:
        """Write the input; the path of the file."""
        folder = os.path.join(process_folder(os.getpid()), str(self._number))
        os.makedirs(folder, exist_ok=True)
        path = os.path.join(folder, self._name)
        with open(path, "wb") as file:
            file.write(data)
        return path


def process_folder(pid: int) -> str:
    """Where the files of a process are."""
    return f"{MEMORY if os.path.isdir(MEMORY) else tempfile.gettempdir()}/sysgraft-fuzz-{pid}"


def clean(pid: int) -> None:
    """Remove the files of a process that is gone, or is about to go."""
    shutil.rmtree(process_folder(pid), ignore_errors=True)


_FIRST: Final = os.getpid()


@atexit.register
def _clean_up() -> None:
    if os.getpid() == _FIRST:
        clean(_FIRST)
