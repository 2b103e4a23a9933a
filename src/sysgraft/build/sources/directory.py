"""``dir:PATH``: a folder as a layer.

Symbolic links are never followed. Every time is the epoch given, since a checkout's or copy's
times say nothing, unless the options want the files' own. Extended attributes are kept except
those that describe this machine (SELinux and other labels, overlayfs marks). Contents are read
later, from the files; one that changed meanwhile, or has another file in its place, is refused.
What cannot be read is an error only where it would be kept: of what is left out anyway, a note
says so.
"""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING, Final

from sysgraft.base.blob import BytesBlob
from sysgraft.base.tree import Inode
from sysgraft.build.path_rules import Rules
from sysgraft.build.sources.model import LINK_MODE, Entry, Layer, carried_xattrs, examples_of
from sysgraft.build.sources.tar_layer import clamp_time
from sysgraft.errors import InputError
from sysgraft.host import folders
from sysgraft.host.files import OpenFile, Seen

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sysgraft.base.blob import Blob
    from sysgraft.build.sources.model import Workspace
    from sysgraft.host.folders import Found

_EMPTY: Final = BytesBlob(b"")


class DirectorySource:
    """A folder."""

    def __init__(self, path: str, workspace: Workspace) -> None:
        self._path = path
        self._workspace = workspace
        self._keep_owner = workspace.options.owner == "keep"
        self._rules = Rules(workspace.options)
        self._unread: set[bytes] = set()
        self._promoted: list[bytes] = []
        self._time = workspace.options.source_date_epoch or 0

    @property
    def description(self) -> str:
        """See `Source`."""
        return f"folder {self._path}"

    @property
    def architecture(self) -> str | None:
        """See `Source`; a folder does not say."""
        return None

    def layers(self) -> Iterator[Layer]:
        """See `Source`: one layer."""
        entries = list(self._entries())
        if self._unread:
            unread = examples_of(sorted(self._unread))
            self._workspace.note(f"cannot be read, and left out anyway: {unread}")
        if self._promoted:
            self._workspace.note(
                "programs that run as their owner, and were not root's, become root's: "
                f"{examples_of(self._promoted)} (--owner keep leaves them theirs)"
            )
        yield Layer(self.description, entries)

    def _entries(self) -> Iterator[Entry]:
        linked: dict[tuple[int, int], Inode] = {}
        for found in folders.walk(self._path, skip=self._skip):
            status = found.status
            if status.st_nlink == 1 or stat.S_ISDIR(status.st_mode):
                yield Entry(found.path, self._inode(found))
                continue
            key = (status.st_dev, status.st_ino)
            inode = linked.get(key) or self._inode(found)
            # Under another name the file may be kept, and then its attributes must be read.
            if found.path not in self._unread:
                linked[key] = inode
            yield Entry(found.path, inode)

    def _skip(self, path: bytes) -> bool:
        """Whether it does not matter that `path` cannot be read."""
        if not self._rules.leave_out(path):
            return False
        self._unread.add(path)
        return True

    def _inode(self, found: Found) -> Inode:
        mode = found.status.st_mode
        if not self._keep_owner and self._is_promoted(found.status):
            self._promoted.append(found.path)
        seconds, nsec = self._time_of(found.status)
        return Inode(
            mode=LINK_MODE if stat.S_ISLNK(mode) else mode,
            uid=found.status.st_uid if self._keep_owner else 0,
            gid=found.status.st_gid if self._keep_owner else 0,
            mtime=seconds,
            mtime_nsec=nsec,
            xattrs=self._xattrs(found),
            content=_content(found) if stat.S_ISREG(mode) else None,
            target=found.target,
            rdev=found.device,
        )

    def _time_of(self, status: os.stat_result) -> tuple[int, int]:
        options = self._workspace.options
        if options.folder_times == "epoch":
            return self._time, 0
        return clamp_time(*divmod(status.st_mtime_ns, 1_000_000_000), options.source_date_epoch)

    def _is_promoted(self, status: os.stat_result) -> bool:
        """Whether giving the file to root gives root's power to who runs it."""
        mode = status.st_mode
        return stat.S_ISREG(mode) and (
            (bool(mode & stat.S_ISUID) and status.st_uid != 0)
            or (bool(mode & stat.S_ISGID) and status.st_gid != 0)
        )

    def _xattrs(self, found: Found) -> tuple[tuple[bytes, bytes], ...]:
        try:
            return folders.xattrs(found, self._carried)
        except InputError:
            if self._skip(found.path):
                return ()
            raise

    def _carried(self, names: list[bytes]) -> list[bytes]:
        return carried_xattrs(names, self._workspace)


def _content(found: Found) -> Blob:
    if not found.status.st_size:
        return _EMPTY
    return OpenFile(os.fsdecode(found.place), expected=Seen.of(found.status), follow=False)
