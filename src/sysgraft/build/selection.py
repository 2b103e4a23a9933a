"""What of a merged tree goes into an extension, and what becomes of the rest.

What `sysgraft.build.path_rules` keep goes in; all else is counted with its reason. Refused is what
an extension must not hold: devices, sockets, FIFOs, and the file that tells an operating system's
root from an extension.
"""

from __future__ import annotations

import stat
from dataclasses import replace
from typing import TYPE_CHECKING, Final, Literal

from sysgraft.base.tree import Inode, is_below, parent, printable
from sysgraft.build.nodes import MAX_PATH_BYTES
from sysgraft.build.path_rules import Rules, parents
from sysgraft.build.sources.model import (
    MAX_EXAMPLES,
    AbsentContent,
    LeftOut,
    examples_of,
    new_directory,
)
from sysgraft.errors import InputError, LimitError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from sysgraft.base.tree import MutableTree, Tree
    from sysgraft.build.nodes import Node
    from sysgraft.build.sources.model import TreeKind, Workspace

MAX_PATH: Final = 4096
"""Bytes of one path: Linux' PATH_MAX."""

# systemd refuses both kinds for the first (extension_has_forbidden_content in
# src/shared/extension-util.c), a confext for its own too (extension-release(5)).
_OS_RELEASE: Final[dict[TreeKind, tuple[bytes, ...]]] = {
    "root": (),
    "sysext": (b"usr/lib/os-release",),
    "confext": (b"usr/lib/os-release", b"etc/os-release"),
}
_OPAQUE_XATTR: Final = (
    b"trusted.overlay.opaque",
    b"y",
)  # Linux, overlayfs.rst, "opaque directories"
_REFUSED: Final = {
    stat.S_IFCHR: "a character device",
    stat.S_IFBLK: "a block device",
    stat.S_IFIFO: "a FIFO",
    stat.S_IFSOCK: "a socket",
}


def select(root: Node, workspace: Workspace) -> Tree:
    """The extension's tree, sorted by path; what it leaves out goes to the workspace.

    Raises:
        InputError: the kept part is empty, or holds what an extension must not.
        LimitError: its paths are too many or too long.
    """
    return _Selection(workspace).run(root)


class _Tally:
    """A `LeftOut` in the making."""

    def __init__(self) -> None:
        self.files = self.directories = self.size = 0
        self.examples: list[str] = []
        self._sized: set[int] = set()

    def add(self, path: bytes, node: Node) -> None:
        inode = node.inode
        if inode is None or inode.is_dir:
            self.directories += 1
            return
        if node.is_whiteout:
            return  # it is no file, and deletes nothing an extension could hold
        self.files += 1
        if inode.content is not None and id(inode) not in self._sized:
            self.size += inode.content.size
            self._sized.add(id(inode))
        if len(self.examples) < MAX_EXAMPLES:
            self.examples.append(printable(path))

    def result(self, reason: Literal["outside", "excluded"]) -> LeftOut:
        return LeftOut(reason, self.files, self.directories, self.size, tuple(self.examples))


class _Selection:
    """One run of `select`."""

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace
        self._options = workspace.options
        self._rules = Rules(workspace.options)
        self._prefixes = self._rules.prefixes
        self._outside = _Tally()
        self._excluded = _Tally()
        self._tree: MutableTree = {}
        self._deletions: list[bytes] = []
        self._opaque: list[bytes] = []

    def run(self, root: Node) -> Tree:
        self._tree[b""] = new_directory(self._options)
        if root.opaque:
            self._opaque.append(b"")
        for path, node in _walk(root, self._kept_and_counted):
            self._add(path, node)
        self._drop_idle_parents()
        self._refuse_unfit()
        self._settle_deletions()
        self._refuse_empty()
        self._report()
        return dict(sorted(self._tree.items()))

    def _kept_and_counted(self, path: bytes, node: Node) -> bool:
        """Whether `path` is kept, or leads to what is; counts it if not."""
        verdict = self._rules.verdict(path)
        if verdict == "kept" or (verdict == "above" and node.children is not None):
            return True
        tally = self._excluded if verdict == "excluded" else self._outside
        return self._count(tally, path, node)

    @staticmethod
    def _count(tally: _Tally, path: bytes, node: Node) -> bool:
        tally.add(path, node)
        for below, child in _walk(node, lambda _path, _node: True):
            tally.add(path + b"/" + below, child)
        return False

    def _add(self, path: bytes, node: Node) -> None:
        self._tree[path] = node.inode or new_directory(self._options)
        if node.is_whiteout:
            self._deletions.append(path)
        if node.opaque:
            self._opaque.append(path)

    def _drop_idle_parents(self) -> None:
        """Folders above a prefix to include that is not there stay out."""
        above = {path for prefix in self._prefixes for path in parents(prefix)}
        for path in sorted(above, reverse=True):
            if path in self._tree and not any(parent(other) == path for other in self._tree):
                del self._tree[path]

    def _refuse_empty(self) -> None:
        if not all(inode.is_dir for inode in self._tree.values()):
            return
        names = " or ".join(f"/{printable(prefix)}" for prefix in self._prefixes)
        found = any(
            is_below(parent(path), prefix) for path in self._tree for prefix in self._prefixes
        )
        what = "nothing but folders" if found else "no files"
        raise InputError(f"the sources hold {what} in {names}", hint=self._where_else())

    def _where_else(self) -> str:
        hints = []
        if self._outside.files:
            paths = ", ".join(self._outside.examples)
            verb = "lies" if self._outside.files == 1 else "lie"
            hints.append(f"{_counted(self._outside.files, 'file')} {verb} elsewhere: {paths}")
        if any(left.reason == "layers" for left in self._workspace.left_out):
            hints.append("lower layers of the image were left out: use --layers all")
        return "; ".join(hints)

    def _refuse_unfit(self) -> None:
        hierarchy = self._tree.get(self._prefixes[0])
        if hierarchy is not None and not hierarchy.is_dir:
            raise InputError(f"/{printable(self._prefixes[0])} is not a folder")
        for os_release in _OS_RELEASE[self._options.kind]:
            self._refuse_os_release(os_release)
        for path, inode in self._tree.items():
            _refuse_unfit_inode(path, inode)

    def _refuse_os_release(self, path: bytes) -> None:
        if path in self._tree:
            raise InputError(
                f"/{path.decode()} must not be in a {self._options.kind}: it marks a whole "
                "operating system, and systemd refuses to merge it",
                hint=f"leave it out with --exclude /{path.decode()}",
            )

    def _settle_deletions(self) -> None:
        found = self._deletions + self._opaque
        if not found:
            return
        rule = self._options.whiteouts
        if rule == "error":
            raise InputError(
                f"the sources delete {_counted(len(found), 'path')} that none of them holds: "
                f"{examples_of(sorted(found))}",
                hint="--whiteouts drop ignores that, --whiteouts keep hides the files of the "
                "system the extension is for",
            )
        if rule == "drop":
            self._drop_deletions()
        else:
            self._keep_deletions()

    def _drop_deletions(self) -> None:
        for path in self._deletions:
            del self._tree[path]
        found = sorted(self._deletions + self._opaque)
        examples = tuple(printable(path) for path in found[:MAX_EXAMPLES])
        self._workspace.left_out.append(LeftOut("whiteouts", len(found), examples=examples))

    def _keep_deletions(self) -> None:
        for path in self._opaque:
            if path in (b"", *self._prefixes):
                # overlayfs merges the tops of hierarchies whatever they say.
                raise InputError(f"the sources hide everything in /{printable(path)}")
            inode = self._tree[path]
            xattrs = tuple(sorted({**dict(inode.xattrs), **dict([_OPAQUE_XATTR])}.items()))
            self._tree[path] = replace(inode, xattrs=xattrs)
        count = len(self._deletions) + len(self._opaque)
        verb = "hides" if count == 1 else "hide"
        self._workspace.note(
            f"{_counted(count, 'path')} {verb} files of the system the extension is for"
        )

    def _report(self) -> None:
        for left in (self._outside.result("outside"), self._excluded.result("excluded")):
            if left.files or left.directories:
                self._workspace.left_out.append(left)
        raised = sorted(path for path, inode in self._tree.items() if _raises_privileges(inode))
        if raised:
            self._workspace.note(
                f"run with their owner's or group's rights (setuid, setgid): {examples_of(raised)}",
            )


def _walk(root: Node, enter: Callable[[bytes, Node], bool]) -> Iterator[tuple[bytes, Node]]:
    """Every path below `root` that `enter` lets in, in no order; bounded by `MAX_PATH_BYTES`."""
    pending = [(b"", root)]
    total = 0
    while pending:
        folder, node = pending.pop()
        for name, child in (node.children or {}).items():
            path = folder + b"/" + name if folder else name
            total += len(path)
            if len(path) >= MAX_PATH or total > MAX_PATH_BYTES:
                raise LimitError(
                    f"paths are too long: one may have {MAX_PATH - 1} bytes, all {MAX_PATH_BYTES}",
                )
            if enter(path, child):
                yield path, child
                pending.append((path, child))


def _counted(number: int, thing: str) -> str:
    return f"{number} {thing}" if number == 1 else f"{number} {thing}s"


def _refuse_unfit_inode(path: bytes, inode: Inode) -> None:
    if isinstance(inode.content, AbsentContent):
        raise InputError(
            f"/{printable(path)} is a hard link to a file of a lower layer outside what is kept",
            hint="decompress the image's layers, or keep that file with --include-path",
        )
    what = _REFUSED.get(stat.S_IFMT(inode.mode))
    if what is not None and not inode.is_whiteout:
        raise InputError(
            f"{what} cannot be in an extension: /{printable(path)}",
            hint=f"leave it out with --exclude /{printable(path)}",
        )


def _raises_privileges(inode: Inode) -> bool:
    return inode.is_file and bool(inode.mode & (stat.S_ISUID | stat.S_ISGID))
