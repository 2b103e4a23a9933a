"""Where firmware is taken from: folders, packages, images, as any source of an extension.

A source with ``usr/lib/firmware`` (or ``lib/firmware``) gives what lies there, and papers from
``usr/share/doc``; a folder without is a firmware folder itself, or a checkout of linux-firmware.
"""

from __future__ import annotations

import stat
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from sysgraft.build.sources.model import Options, Workspace
from sysgraft.build.sources.opening import open_source
from sysgraft.build.sources.spec import resolve
from sysgraft.build.tree_merge import TreeMerger
from sysgraft.build.tree_paths import paths_of
from sysgraft.build.usr_merge import merge_usr
from sysgraft.errors import InputError, in_file
from sysgraft.host.files import close_files
from sysgraft.host.spool import Spool

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from sysgraft.base.progress import Progress
    from sysgraft.base.tree import Inode
    from sysgraft.build.sources.spec import SourceSpec

_AS_OWNER: Final = stat.S_ISUID | stat.S_ISGID

FIRMWARE: Final = "usr/lib/firmware"
"""Where the kernel looks, through ``/lib`` as a link to ``/usr/lib``."""


@dataclass(frozen=True, slots=True)
class FirmwareTree:
    """One source of firmware.

    Attributes:
        name: as it was given.
        spec: what that means.
        files: files and links by their path below the firmware folder.
        papers: files below ``usr/share/doc`` by their path in the root; empty for bare folders.
    """

    name: str
    spec: SourceSpec
    files: Mapping[str, Inode]
    papers: Mapping[str, Inode]


@contextmanager
def open_trees(
    arguments: Sequence[str], *, epoch: int | None, progress: Progress
) -> Iterator[tuple[list[FirmwareTree], Workspace]]:
    """The trees that `arguments` name; contents are valid inside the context.

    Args:
        arguments: sources, as `sysgraft.build.collect.open_tree` takes them.
        epoch: latest time of a file, in seconds; None for those of the archives.
        progress: told of reading.

    Raises:
        InputError: one cannot be read, or holds no firmware.
    """
    options = Options(
        kind="root", layers="all", whiteouts="drop", owner="keep", source_date_epoch=epoch
    )
    with ExitStack() as stack:
        stack.callback(close_files)
        workspace = Workspace(options, stack.enter_context(Spool()), (b"",), progress)
        yield [_open(argument, workspace, stack) for argument in arguments], workspace


def _open(argument: str, workspace: Workspace, stack: ExitStack) -> FirmwareTree:
    spec = resolve(argument)
    merger = TreeMerger(workspace.options)
    with in_file(argument):
        for layer in stack.enter_context(open_source(spec, workspace)).layers():
            merger.add(layer)
        merge_usr(merger.root)
        found = {
            path.decode("utf-8", "surrogateescape"): inode
            for path, inode in _of_root(paths_of(merger.root, workspace.options))
            if not inode.is_dir
        }
        files = _below(found, FIRMWARE + "/")
        if not files and spec.kind == "dir":
            return FirmwareTree(argument, spec, found, {})
        if not files:
            raise InputError(f"there is no {FIRMWARE} in it")
    papers = {path: inode for path, inode in found.items() if path.startswith("usr/share/doc/")}
    return FirmwareTree(argument, spec, files, papers)


def _of_root(paths: Iterable[tuple[bytes, Inode]]) -> Iterator[tuple[bytes, Inode]]:
    """All as root's, and without the bits that run it as its owner; hard links stay one file."""
    made: dict[Inode, Inode] = {}
    for path, inode in paths:
        if inode not in made:
            made[inode] = replace(inode, uid=0, gid=0, mode=inode.mode & ~_AS_OWNER)
        yield path, made[inode]


def _below(found: Mapping[str, Inode], prefix: str) -> dict[str, Inode]:
    return {
        path.removeprefix(prefix): inode for path, inode in found.items() if path.startswith(prefix)
    }
