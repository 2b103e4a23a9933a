"""The guest's memory as a file of ours, and the event logs in it.

The file has no name and is memory itself (memfd), so nothing is left of it. What the guest never
touched is a hole and takes no space.
"""

from __future__ import annotations

import mmap
import os
from contextlib import contextmanager
from typing import TYPE_CHECKING

from sysgraft.errors import ToolError

if TYPE_CHECKING:
    from collections.abc import Iterator


class GuestMemory:
    """Memory that can be searched; a `sysgraft.formats.eventlog_records.Memory`.

    Attributes:
        descriptor: of the file, for QEMU.
    """

    def __init__(self, descriptor: int, size: int) -> None:
        self.descriptor = descriptor
        self._size = size
        self._map = mmap.mmap(descriptor, size, prot=mmap.PROT_READ)

    def __len__(self) -> int:
        return self._size

    def __getitem__(self, key: slice, /) -> bytes:
        return self._map[key]

    def find(self, sub: bytes, start: int, /) -> int:
        """Where `sub` is first, from `start` on; -1 if nowhere.

        Holes are passed over: reading them would fill them.
        """
        for begin, end in self._extents(start):
            found = self._map.find(sub, begin, end)
            if found >= 0:
                return found
        return -1

    def _extents(self, start: int) -> Iterator[tuple[int, int]]:
        end = start
        while end < self._size:
            try:
                begin = os.lseek(self.descriptor, end, os.SEEK_DATA)
            except OSError:  # only a hole is left
                return
            end = os.lseek(self.descriptor, begin, os.SEEK_HOLE)
            yield begin, end

    def close(self) -> None:
        """Give the memory back."""
        self._map.close()
        os.close(self.descriptor)


@contextmanager
def guest_memory(mebibytes: int) -> Iterator[GuestMemory]:
    """Memory for one guest.

    Raises:
        ToolError: there is not enough.
    """
    size = mebibytes << 20
    descriptor = os.memfd_create("sysgraft-lab")
    try:
        os.truncate(descriptor, size)
        memory = GuestMemory(descriptor, size)
    except (OSError, ValueError) as error:
        os.close(descriptor)
        raise ToolError(f"no {mebibytes} MiB of memory for the guest: {error}") from error
    try:
        yield memory
    finally:
        memory.close()
