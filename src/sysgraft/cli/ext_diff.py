"""``sysgraft ext diff``."""

from __future__ import annotations

import stat
from collections import Counter
from typing import TYPE_CHECKING

from sysgraft.base.tree import printable
from sysgraft.cli.output import counted, human_size
from sysgraft.image.difference import compare_images

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator

    from sysgraft.base.tree import Inode
    from sysgraft.cli.output import Output
    from sysgraft.image.difference import Difference, FileChange

_SIGNS = {"added": "+", "removed": "-", "changed": "~"}


def run(arguments: argparse.Namespace, out: Output) -> int:
    """Print the difference; 0 if there is none, else 1."""
    found = compare_images(arguments.old, arguments.new, progress=out.progress)
    if out.json_wanted:
        files = {"old": arguments.old, "new": arguments.new}
        out.json("ext.diff", 1, {**files, **_as_json(found)})
    else:
        _show(found, out)
    return 0 if found.is_same else 1


def _show(found: Difference, out: Output) -> None:
    if found.facts:
        out.table(
            [(name, f"{before or '-'} -> {after or '-'}") for name, before, after in found.facts]
        )
    if found.files:
        out.table([(_SIGNS[each.status], _path(each.path), _detail(each)) for each in found.files])
    for path, reason in found.not_compared:
        out.text(f"not compared: {_path(path)}: {reason}" if path else f"not compared: {reason}")
    numbers = Counter(each.status for each in found.files)
    counts = ", ".join(f"{numbers[status]} {status}" for status in numbers)
    files = f"{counted(len(found.files), 'file')}: {counts}" if counts else "no file is different"
    out.text("no difference" if found.is_same else files)


def _path(path: bytes) -> str:
    return f"/{printable(path)}"


def _detail(change: FileChange) -> str:
    if change.before is not None and change.after is not None:
        return ", ".join(_words(change, change.before, change.after))
    inode = change.before or change.after
    return _kind(inode) if inode else ""


def _words(change: FileChange, before: Inode, after: Inode) -> Iterator[str]:
    for what in change.what:
        if what == "size" and before.content and after.content:
            yield f"{human_size(before.content.size)} -> {human_size(after.content.size)}"
        elif what == "mode":
            yield f"{stat.filemode(before.mode)} -> {stat.filemode(after.mode)}"
        elif what == "owner":
            yield f"{before.uid}:{before.gid} -> {after.uid}:{after.gid}"
        elif what == "target":
            yield f"-> {printable(before.target)} is now -> {printable(after.target)}"
        else:
            yield what


def _kind(inode: Inode) -> str:
    if inode.content is not None:
        return human_size(inode.content.size)
    return f"-> {printable(inode.target)}" if inode.is_symlink else stat.filemode(inode.mode)


def _as_json(found: Difference) -> dict[str, object]:
    return {
        "same": found.is_same,
        "facts": [
            {"name": n, "old": old or None, "new": new or None} for n, old, new in found.facts
        ],
        "files": [
            {
                "path": _path(each.path),
                "status": each.status,
                "what": list(each.what),
                "old": _inode_json(each.before),
                "new": _inode_json(each.after),
            }
            for each in found.files
        ],
        "notCompared": [
            {"path": _path(path) if path else None, "reason": reason}
            for path, reason in found.not_compared
        ],
    }


def _inode_json(inode: Inode | None) -> dict[str, object] | None:
    if inode is None:
        return None
    return {
        "mode": f"{inode.mode:06o}",
        "uid": inode.uid,
        "gid": inode.gid,
        "size": None if inode.content is None else inode.content.size,
        "target": printable(inode.target) if inode.is_symlink else None,
    }
