"""``raw:FILE``: an extension image as a source, to build it anew with another name or key.

What it says of the hosts it is for is taken over, under the new name. Its signature and hash tree
are not looked at: that is `sysgraft.image.verify`'s, before or after.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from sysgraft.base.tree import printable
from sysgraft.build.sources.model import Entry, Layer, carried_xattrs
from sysgraft.build.sources.tar_layer import clamp_time
from sysgraft.errors import FormatError, InputError, in_file
from sysgraft.formats import extension_release
from sysgraft.formats.archive_path import OPAQUE_MARKER, WHITEOUT_PREFIX
from sysgraft.image.inspect import inspect_blob

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sysgraft.base.blob import Blob
    from sysgraft.base.tree import Inode
    from sysgraft.build.sources.model import Workspace
    from sysgraft.image.inspect import ImageInfo

_OPAQUE_XATTRS: Final = ((b"trusted.overlay.opaque", b"y"), (b"user.overlay.opaque", b"y"))


class RawSource:
    """An extension image.

    Args:
        blob: the image.
        path: what it is called, for messages.
        workspace: shared with other sources.

    Raises:
        FormatError: it is none, or its content makes no sense.
        InputError: its content cannot be read.
    """

    def __init__(self, blob: Blob, path: str, workspace: Workspace) -> None:
        self._path = path
        self._workspace = workspace
        with in_file(path):
            self._info = inspect_blob(blob, path, files=True)
            if self._info.tree is None:
                raise InputError("; ".join(self._info.problems) or "its files cannot be read")
        self._tree = self._info.tree
        self._copies: dict[Inode, Inode] = {}

    @property
    def description(self) -> str:
        """See `Source`."""
        return f"extension image {self._path}"

    @property
    def architecture(self) -> str | None:
        """See `Source`: what its partitions say."""
        return self._info.dissection.architecture

    def layers(self) -> Iterator[Layer]:
        """See `Source`: one layer."""
        workspace = self._workspace
        workspace.release.update(_fields(self._info))
        entries = [
            Entry(path, self._carried(inode))
            for path, inode in self._tree.items()
            if extension_release.split_path(path) is None
        ]
        opaque = [path for path, inode in self._tree.items() if _is_opaque(inode)]
        if opaque:
            self._refuse_markers()
            entries += [Entry(path + b"/" + OPAQUE_MARKER, self._tree[b""]) for path in opaque]
        yield Layer(self.description, entries, whiteout_names=bool(opaque), is_partial=True)

    def _carried(self, inode: Inode) -> Inode:
        """As the options want it; hard links stay one inode."""
        if inode not in self._copies:
            options = self._workspace.options
            mtime, nsec = clamp_time(inode.mtime, inode.mtime_nsec, options.source_date_epoch)
            owner = (0, 0) if options.owner == "root" else (inode.uid, inode.gid)
            self._copies[inode] = replace(
                inode,
                uid=owner[0],
                gid=owner[1],
                mtime=mtime,
                mtime_nsec=nsec,
                xattrs=self._xattrs(inode),
            )
        return self._copies[inode]

    def _xattrs(self, inode: Inode) -> tuple[tuple[bytes, bytes], ...]:
        found = {name: value for name, value in inode.xattrs if (name, value) not in _OPAQUE_XATTRS}
        kept = [(name, found[name]) for name in carried_xattrs(found, self._workspace)]
        for name, value in kept:
            self._workspace.xattrs.spend(name, value)
        return tuple(kept)

    def _refuse_markers(self) -> None:
        """Names that mean deletions in a layer are names like others in an image."""
        for path in self._tree:
            if path.rpartition(b"/")[2].startswith(WHITEOUT_PREFIX):
                raise FormatError(f"a name that means a deletion elsewhere: {printable(path)}")


def _is_opaque(inode: Inode) -> bool:
    return inode.is_dir and any(pair in _OPAQUE_XATTRS for pair in inode.xattrs)


def _fields(info: ImageInfo) -> dict[str, str]:
    """The fields of the image's own release file: of its own name, else of the only one."""
    own = info.releases.get(info.name)
    found = [own] if own is not None else list(info.releases.values())
    return dict(found[0].fields) if found else {}
