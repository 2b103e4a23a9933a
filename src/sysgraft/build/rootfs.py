"""A root file system as an initrd: the whole system in one image, as Kairos starts it.

Any source of an extension will do (a folder, a package, a saved container image with all of its
layers). What only a running system has is left out, ``/init`` is added where it is missing, and
the result is a cpio archive, compressed with zstd, in one unnamed temporary file. The same source
gives the same bytes with the same release of zstd.
"""

from __future__ import annotations

import re
import stat
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from sysgraft.base.tree import Inode, is_below, printable
from sysgraft.build.path_rules import Rules
from sysgraft.build.sources.model import new_directory
from sysgraft.build.sources.opening import open_source
from sysgraft.build.tree_merge import TreeMerger
from sysgraft.build.tree_paths import paths_of
from sysgraft.errors import InputError, in_file
from sysgraft.formats import cpio
from sysgraft.host.zstd import compress

if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import ExitStack

    from sysgraft.base.blob import Blob
    from sysgraft.base.tree import MutableTree, Tree
    from sysgraft.build.nodes import Node
    from sysgraft.build.sources.model import Workspace
    from sysgraft.build.sources.spec import SourceSpec

MOUNT_POINTS: Final = (b"boot", b"dev", b"proc", b"run", b"sys", b"tmp")
"""Folders that stay, empty: what is in them belongs to a running system, or to the boot loader."""
_CONTAINER_FILES: Final = (b".dockerenv", b"run/.containerenv")
"""What container engines leave behind."""

# What may be the first program, in this order; the kernel starts /init.
_INITS: Final = (
    b"usr/bin/immucore",
    b"usr/lib/systemd/systemd",
    b"lib/systemd/systemd",
    b"usr/sbin/init",
    b"sbin/init",
)
_OS_RELEASE: Final = (b"etc/os-release", b"usr/lib/os-release")
# Where kernels are, the better place first: distributions that use it put a copy into /boot.
_KERNELS: Final = (
    re.compile(rb"(?:usr/)?lib/modules/[^/]+/vmlinuz"),
    re.compile(rb"boot/(?:vmlinuz|vmlinux|Image)[^/]*"),
)
_MAX_OS_RELEASE: Final = 1 << 20
_DEVICES: Final = (stat.S_IFCHR, stat.S_IFBLK)


@dataclass(frozen=True, slots=True)
class Rootfs:
    """A root file system whose contents can be read.

    Attributes:
        description: what it was made from.
        tree: what goes into the initrd.
        architecture: what the source says it is for, None if it says nothing.
        os_release: the content of its os-release file, None if it has none.
        kernels: its kernels by path; those below ``boot`` only if there are no others.
    """

    description: str
    tree: Tree
    architecture: str | None
    os_release: bytes | None
    kernels: dict[str, Blob]


def open_rootfs(spec: SourceSpec, workspace: Workspace, stack: ExitStack) -> Rootfs:
    """Read a root file system; its contents can be read as long as `stack` is open.

    Args:
        spec: the source.
        workspace: with options of the kind ``root``.
        stack: what closes the source.

    Raises:
        InputError: it cannot be read, breaks its format's rules, or holds no files.
    """
    with in_file(spec.path):
        source = stack.enter_context(open_source(spec, workspace))
        merger = TreeMerger(workspace.options)
        for layer in source.layers():
            merger.add(layer)
        everything = _flatten(merger.root, workspace)
        if not any(inode.is_file for inode in everything.values()):
            raise InputError("there is no file in this root file system")
        tree = _cleaned(everything, workspace)
    return Rootfs(
        description=source.description,
        tree=tree,
        architecture=source.architecture,
        os_release=_os_release(everything),
        kernels=_kernels(everything, Rules(workspace.options)),
    )


def _flatten(root: Node, workspace: Workspace) -> MutableTree:
    """All paths, the root's too, without deletions."""
    found = paths_of(root, workspace.options)
    tree = {path: inode for path, inode in found if not inode.is_whiteout}
    return {b"": root.inode or new_directory(workspace.options), **tree}


def _cleaned(everything: Tree, workspace: Workspace) -> Tree:
    """Without what a running system, a boot loader or a container engine put there."""
    rules = Rules(workspace.options)
    kept: MutableTree = {}
    dropped: set[bytes] = set()
    devices = 0
    for path in sorted(everything):
        inode = everything[path]
        if path.rpartition(b"/")[0] in dropped or rules.leave_out(path) or _is_volatile(path):
            dropped.add(path)
        elif stat.S_IFMT(inode.mode) in _DEVICES:
            devices += 1
        else:
            kept[path] = inode
    if devices:
        workspace.note(f"{devices} device nodes are left out: the kernel makes its own")
    _add_init(kept, workspace)
    return kept


def _is_volatile(path: bytes) -> bool:
    return path in _CONTAINER_FILES or any(
        is_below(path, top) and path != top for top in MOUNT_POINTS
    )


def _add_init(tree: MutableTree, workspace: Workspace) -> None:
    """Have ``/init`` lead to the first program, where nothing is called that."""
    if b"init" in tree:
        return
    for path in _INITS:
        if path in tree:
            time = workspace.options.source_date_epoch or 0
            tree[b"init"] = Inode(mode=stat.S_IFLNK | 0o777, mtime=time, target=b"/" + path)
            workspace.note(f"/init is a link to /{printable(path)}")
            return
    workspace.note(
        "there is no /init: the kernel starts nothing in this initrd unless another one or "
        "rdinit= on the command line says what"
    )


def _os_release(tree: Tree) -> bytes | None:
    for path in _OS_RELEASE:
        inode = tree.get(path)
        if inode is not None and inode.content is not None:
            if inode.content.size > _MAX_OS_RELEASE:
                raise InputError(f"/{printable(path)} has {inode.content.size} bytes")
            return inode.content.read_at(0, inode.content.size)
    return None


def _kernels(tree: Tree, rules: Rules) -> dict[str, Blob]:
    for place in _KERNELS:
        found = {
            printable(path): inode.content
            for path, inode in sorted(tree.items())
            if inode.content is not None and place.fullmatch(path) and not rules.leave_out(path)
        }
        if found:
            return found
    return {}


def pack(rootfs: Rootfs, workspace: Workspace, *, level: int) -> Blob:
    """The initrd, in the workspace's spool.

    Args:
        rootfs: what goes in.
        workspace: gives the spool; is told of what is lost.
        level: of zstd; 0 leaves the archive uncompressed.
    """
    archive = cpio.plan(_clamped(rootfs.tree, workspace))
    lost = archive.lost_xattrs
    if lost.inodes:
        examples = ", ".join(printable(path) for path in lost.examples)
        workspace.note(
            f"an initrd stores no extended attributes: {lost.inodes} files lose theirs ({examples})"
        )
    workspace.progress.start("packing the initrd", archive.size)
    pieces = _told(archive.chunks(), workspace)
    start, size = None, 0
    for piece in compress(pieces, level) if level else pieces:
        at = workspace.spool.append(piece)
        start = at if start is None else start
        size += len(piece)
    workspace.progress.finish()
    return workspace.spool.blob(start or 0, size)


def _told(chunks: Iterator[bytes], workspace: Workspace) -> Iterator[bytes]:
    for chunk in chunks:
        yield chunk
        workspace.progress.advance(len(chunk))


def _clamped(tree: Tree, workspace: Workspace) -> Tree:
    """No time is later than the epoch given; the format has whole seconds."""
    epoch = workspace.options.source_date_epoch
    if epoch is None:
        return tree
    seen: dict[int, Inode] = {}
    clamped: MutableTree = {}
    for path, inode in tree.items():
        if inode.mtime <= epoch:
            clamped[path] = inode
        else:  # the same object for the same file, or hard links would part
            clamped[path] = seen.setdefault(id(inode), replace(inode, mtime=epoch))
    return clamped
