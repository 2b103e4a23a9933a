"""Files that are unusual in an extension: modes, owners, devices, links to nothing."""

from __future__ import annotations

import stat
from typing import TYPE_CHECKING, Final

from sysgraft.formats.extension_release import Kind
from sysgraft.image.lint.finding import found
from sysgraft.image.lint.firmware import FIRMWARE

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sysgraft.base.tree import Inode
    from sysgraft.image.lint.finding import Finding
    from sysgraft.image.lint.scene import Scene

_CAPABILITY: Final = b"security.capability"


def check(scene: Scene) -> Iterator[Finding]:
    """Every file of every extension."""
    for subject in scene.subjects:
        for path, inode in subject.tree.items():
            for code, problem in _judge(inode):
                yield found(code, problem, subject.file, path=path)
    if scene.host is not None:
        yield from _dangling(scene)


def _judge(inode: Inode) -> Iterator[tuple[str, str]]:
    """Names of findings, each with what is wrong."""
    if inode.is_whiteout:
        return
    mode = inode.mode
    is_sticky_folder = inode.is_dir and bool(mode & stat.S_ISVTX)
    if mode & stat.S_IWOTH and not inode.is_symlink and not is_sticky_folder:
        yield "world-writable", "everybody may write it, by its mode"
    if stat.S_ISCHR(mode) or stat.S_ISBLK(mode):
        yield "device-node", "it is a device node"
    if inode.is_file and mode & (stat.S_ISUID | stat.S_ISGID):
        yield "setuid", "it runs with the rights of its owner or group"
    if any(name == _CAPABILITY for name, _ in inode.xattrs):
        yield "setuid", "it runs with capabilities of its own"
    if inode.uid or inode.gid:
        yield "owner", f"it belongs to user {inode.uid} and group {inode.gid}, not to root"


def _dangling(scene: Scene) -> Iterator[Finding]:
    """Links to nothing; those of firmware have a rule of their own."""
    for kind, view in scene.views.items():
        for path, (inode, owner) in view.seen.items():
            is_firmware = kind is Kind.SYSEXT and path.startswith(FIRMWARE + b"/")
            if owner is None or not inode.is_symlink or is_firmware:
                continue
            if view.resolve(path) is None:
                problem = "it links to what neither the set nor the base has"
                yield found("dangling-link", problem, owner.file, path=path)
