"""A root file system without firmware, as a tar archive: what ``--initrd tar:FILE`` takes.

The result is pax (IEEE 1003.1-2001), entries sorted by path; owners, modes, times, hard links,
extended attributes and devices are those of the source. Folders of firmware that are left empty go.
"""

from __future__ import annotations

import stat
import tarfile
from contextlib import ExitStack
from dataclasses import replace as replaced
from typing import IO, TYPE_CHECKING, Final

from sysgraft.base.progress import NoProgress
from sysgraft.build.sources.model import Options, Workspace
from sysgraft.build.sources.opening import open_source
from sysgraft.build.sources.spec import refuse_output_among_sources, resolve
from sysgraft.build.strip.report import PLACES, Decision, Keeping, StripReport, make_report
from sysgraft.build.tree_merge import TreeMerger
from sysgraft.build.tree_paths import paths_of
from sysgraft.errors import in_file
from sysgraft.host.files import close_files
from sysgraft.host.output import atomic_output
from sysgraft.host.spool import Spool

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sysgraft.base.blob import Blob
    from sysgraft.base.progress import Progress
    from sysgraft.base.tree import Inode
    from sysgraft.build.sources.spec import SourceSpec

_XATTR: Final = "SCHILY.xattr."
_KINDS: Final = {
    stat.S_IFREG: tarfile.REGTYPE,
    stat.S_IFDIR: tarfile.DIRTYPE,
    stat.S_IFLNK: tarfile.SYMTYPE,
    stat.S_IFCHR: tarfile.CHRTYPE,
    stat.S_IFBLK: tarfile.BLKTYPE,
    stat.S_IFIFO: tarfile.FIFOTYPE,
}


def strip_root(
    source: str,
    output: str,
    keeping: Keeping,
    *,
    options: Options | None = None,
    replace: bool = False,
    progress: Progress | None = None,
) -> StripReport:
    """Write a root file system without the firmware that need not stay.

    Args:
        source: of the root file system, as for an extension.
        output: the archive.
        keeping: what stays.
        options: of the kind ``root``: latest time, which image. Owners are kept if they do not
            say ``root``, and so are the times of folders.
        replace: whether an existing file is replaced.
        progress: told of reading and writing.

    Raises:
        UsageError: the archive would lie inside the source.
        InputError: the source cannot be read.
        OutputError: the archive exists or cannot be written.
    """
    options = options or Options(kind="root", layers="all", whiteouts="drop")
    # A program that runs as its owner must not become one that runs as root.
    options = replaced(options, owner=options.owner or "keep", folder_times="keep")
    spec = resolve(source)
    refuse_output_among_sources(output, [spec], hint="name a file elsewhere with --output")
    with ExitStack() as stack:
        stack.callback(close_files)
        spool = stack.enter_context(Spool())
        workspace = Workspace(options, spool, (b"",), progress or NoProgress())
        tree = _read(spec, source, workspace, stack)
        decision = Decision(tree, keeping)
        left = _without(tree, decision)
        with atomic_output(output, replace=replace) as file:
            _write(left, file, workspace)
            size = file.tell()
        return make_report(output, decision, sizes=(0, size), notes=workspace.notes)


def _read(
    spec: SourceSpec, source: str, workspace: Workspace, stack: ExitStack
) -> dict[str, Inode]:
    merger = TreeMerger(workspace.options)
    with in_file(source):
        for layer in stack.enter_context(open_source(spec, workspace)).layers():
            merger.add(layer)
    found = paths_of(merger.root, workspace.options)
    return {path.decode("utf-8", "surrogateescape"): inode for path, inode in sorted(found)}


def _without(tree: Mapping[str, Inode], decision: Decision) -> dict[str, Inode]:
    """The tree without what goes, and without folders of firmware that are empty then."""
    left = {path: inode for path, inode in tree.items() if path not in decision.removed}
    used: set[str] = set()
    for path, inode in left.items():
        if not inode.is_dir:
            used.update(_above(path))
    return {
        path: inode
        for path, inode in left.items()
        if path in used or not (inode.is_dir and path.startswith(PLACES))
    }


def _above(path: str) -> list[str]:
    parts = path.split("/")
    return ["/".join(parts[:count]) for count in range(1, len(parts))]


def _write(tree: Mapping[str, Inode], file: IO[bytes], workspace: Workspace) -> None:
    progress = workspace.progress
    progress.start("writing the archive", sum(map(_size, set(tree.values()))))
    first: dict[Inode, str] = {}
    with tarfile.TarFile(
        fileobj=file, mode="w", format=tarfile.PAX_FORMAT, errors="surrogateescape"
    ) as archive:
        for path, inode in tree.items():
            if stat.S_IFMT(inode.mode) not in _KINDS:
                workspace.note(f"a socket is left out: {path}")
                continue
            info = _member(path, inode, first)
            content = inode.content if info.isreg() else None
            archive.addfile(info, _Reader(content) if content else None)
            progress.advance(info.size)
    progress.finish()


def _member(path: str, inode: Inode, first: dict[Inode, str]) -> tarfile.TarInfo:
    info = tarfile.TarInfo(path)
    info.mode = stat.S_IMODE(inode.mode)
    info.uid, info.gid, info.mtime = inode.uid, inode.gid, inode.mtime
    info.type = _KINDS[stat.S_IFMT(inode.mode)]
    info.linkname = inode.target.decode("utf-8", "surrogateescape")
    info.devmajor, info.devminor = inode.rdev
    info.pax_headers = {
        _XATTR + name.decode("utf-8", "surrogateescape"): value.decode("utf-8", "surrogateescape")
        for name, value in inode.xattrs
    }
    if inode.mtime_nsec:
        info.pax_headers["mtime"] = f"{inode.mtime}.{inode.mtime_nsec:09}"
    if inode in first and not inode.is_dir:
        info.type, info.linkname, info.pax_headers = tarfile.LNKTYPE, first[inode], {}
    elif inode.content is not None:
        info.size = inode.content.size
    first.setdefault(inode, path)
    return info


class _Reader:
    """What `tarfile` reads a content from."""

    def __init__(self, blob: Blob) -> None:
        self._blob = blob
        self._at = 0

    def read(self, length: int = -1) -> bytes:
        left = self._blob.size - self._at
        data = self._blob.read_at(self._at, left if length < 0 else min(length, left))
        self._at += len(data)
        return data


def _size(inode: Inode) -> int:
    return inode.content.size if inode.content else 0
