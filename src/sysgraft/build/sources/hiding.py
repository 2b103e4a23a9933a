"""What upper layers hide of those below, so that it need not be stored only to be dropped.

Rules: OCI Image Format 1.1, "Applying Changesets". It errs on the safe side: a path written
another way (``lib/x`` and ``usr/lib/x``) hides nothing, and what bears the last name of anything a
hard link above leads to is not hidden, however the way there is written.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sysgraft.base.tree import parent
from sysgraft.build.nodes import USR_MERGED
from sysgraft.formats.archive_path import OPAQUE_MARKER, WHITEOUT_PREFIX

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sysgraft.build.sources.model import Entry

# What such a folder held may have moved below ``usr`` by the time it is deleted.
_MOVING: Final = frozenset((b"", b"usr", *USR_MERGED, *(b"usr/" + name for name in USR_MERGED)))


class Hiding:
    """Takes layers from the top down, and tells what is hidden in the next one."""

    def __init__(self) -> None:
        self._paths: set[bytes] = set()
        self._folders: set[bytes] = set()
        self._linked: set[bytes] = set()

    def add(self, entries: Iterable[Entry]) -> None:
        """Another layer lies above what comes next."""
        for entry in entries:
            folder, _, name = entry.path.rpartition(b"/")
            if name == OPAQUE_MARKER:
                self._hide_below(folder)
            elif name.startswith(WHITEOUT_PREFIX):
                gone = name.removeprefix(WHITEOUT_PREFIX)
                path = folder + b"/" + gone if folder else gone
                self._paths.add(path)
                self._hide_below(path)
            elif entry.inode is None:
                self._linked.add(entry.link.rpartition(b"/")[2])
                self._paths.add(entry.path)
            elif not entry.inode.is_dir:
                self._paths.add(entry.path)

    def _hide_below(self, folder: bytes) -> None:
        if folder not in _MOVING:
            self._folders.add(folder)

    def hides(self, path: bytes) -> bool:
        """Whether nothing of the file at `path` will be seen."""
        if path.rpartition(b"/")[2] in self._linked:
            return False
        return path in self._paths or self._is_below_hidden(path)

    def _is_below_hidden(self, path: bytes) -> bool:
        while self._folders and path:
            path = parent(path)
            if path in self._folders:
                return True
        return False
