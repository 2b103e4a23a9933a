"""What a target sees once extensions are laid over each other and over the base.

Overlayfs (Linux ``Documentation/filesystems/overlayfs.rst``): folders are merged, anything else of
an upper layer hides what lower ones have at its path; whiteouts and opaque folders hide too. Only
what is below a merged folder takes part.
"""

from __future__ import annotations

import stat
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, NamedTuple

from sysgraft.base.tree import is_below, parent

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sysgraft.base.tree import Inode, Tree
    from sysgraft.image.lint.scene import Subject

OPAQUE: Final = b"trusted.overlay.opaque"
MAX_LINKS: Final = 40
"""Links followed on one path, as many as Linux follows."""

# Top-level links of a base with a merged /usr.
_TO_USR: Final = (b"bin", b"sbin", b"lib", b"lib32", b"lib64", b"libx32")


class Seen(NamedTuple):
    """One thing in the merged tree.

    Attributes:
        inode: it.
        owner: the extension it is from, None for the base.
    """

    inode: Inode
    owner: Subject | None


class Covered(NamedTuple):
    """Something that is not seen because of an upper layer.

    Attributes:
        path: of what is covered.
        lower: what it is, and whose.
        upper: the extension that covers it.
        by: the path that covers it: the same, or a folder's above.
        cover: what stands there.
    """

    path: bytes
    lower: Seen
    upper: Subject
    by: bytes
    cover: Inode


@dataclass(slots=True)
class View:
    """The merged tree of one kind of extensions.

    Attributes:
        seen: everything in it, by path.
        covered: what is not in it.
        merged: the folders it is about.
    """

    merged: tuple[bytes, ...]
    seen: dict[bytes, Seen] = field(default_factory=dict)
    covered: list[Covered] = field(default_factory=list)

    def resolve(self, path: bytes) -> bytes | None:
        """Where a path leads when links are followed, as in a chroot.

        Returns:
            A path in `seen`; or one outside of what is merged, of which nothing is known; None
            for a path that leads nowhere or in circles.
        """
        parts = _parts(path)
        done: list[bytes] = []
        links = 0
        while parts:
            part = parts.pop(0)
            if part == b"..":
                del done[-1:]
                continue
            here = b"/".join([*done, part])
            found = self.seen.get(here)
            if found is None and self.is_known(here):
                return None
            if found is None or not found.inode.is_symlink:
                done.append(part)
                continue
            links += 1
            if links > MAX_LINKS:
                return None
            target = found.inode.target
            done = [] if target.startswith(b"/") else done
            parts = _parts(target) + parts
        return b"/".join(done)

    def is_known(self, path: bytes) -> bool:
        """Whether the path is below a merged folder, so that what is not there is not there."""
        return any(path != each and is_below(path, each) for each in self.merged)


def _parts(path: bytes) -> list[bytes]:
    parts = [part for part in path.split(b"/") if part not in (b"", b".")]
    is_top = path.startswith(b"/") and parts and parts[0] in _TO_USR
    return [b"usr", *parts] if is_top else parts


def merge(subjects: Sequence[Subject], host: Tree, merged: tuple[bytes, ...]) -> View:
    """Lay extensions over a base.

    Args:
        subjects: the lowest layer first.
        host: the base; empty where it is not known.
        merged: the folders that are merged.
    """
    view = View(merged)
    view.seen = {path: Seen(inode, None) for path, inode in host.items() if view.is_known(path)}
    for subject in subjects:
        _lay_over(view, subject)
    return view


def _lay_over(view: View, subject: Subject) -> None:
    layer = {path: inode for path, inode in subject.tree.items() if view.is_known(path)}
    folders: dict[bytes, Inode] = {}
    for path, inode in layer.items():
        lower = view.seen.get(path)
        if lower is None or (inode.is_dir and lower.inode.is_dir and not is_opaque(inode)):
            continue
        if lower.inode.is_dir:
            folders[path] = inode
        else:
            view.covered.append(Covered(path, view.seen.pop(path), subject, path, inode))
    if folders:
        _cover(view, folders, subject)
    for path, inode in layer.items():
        if not inode.is_whiteout:
            view.seen[path] = Seen(inode, subject)


def is_opaque(inode: Inode) -> bool:
    """Whether a folder hides what lower layers have in it."""
    return inode.is_dir and dict(inode.xattrs).get(OPAQUE) == b"y"


def _cover(view: View, covers: Mapping[bytes, Inode], subject: Subject) -> None:
    """Take folders out with what they hold: one pass, however many there are."""
    kept: dict[bytes, Seen] = {}
    inside: dict[bytes, bytes | None] = {}
    for path, lower in view.seen.items():
        above = _cover_above(path, covers, inside)
        by = path if above is None and path in covers else above
        if by is None or (by == path and is_opaque(covers[by])):
            kept[path] = lower
        else:
            view.covered.append(Covered(path, lower, subject, by, covers[by]))
    view.seen = kept


def _cover_above(
    path: bytes, covers: Mapping[bytes, Inode], inside: dict[bytes, bytes | None]
) -> bytes | None:
    """The uppermost cover among the folders above a path; folders are asked about once."""
    pending = []
    folder = parent(path)
    while folder and folder not in inside:
        pending.append(folder)
        folder = parent(folder)
    for each in reversed(pending):
        above = inside.get(parent(each))
        inside[each] = above if above is not None else each if each in covers else None
    return inside.get(parent(path))


def kind_of(inode: Inode) -> str:
    """What something is, for a message."""
    names = {stat.S_IFDIR: "a folder", stat.S_IFREG: "a file", stat.S_IFLNK: "a link"}
    return names.get(stat.S_IFMT(inode.mode), "a special file")
