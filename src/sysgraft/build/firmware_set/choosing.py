"""Which files of the firmware trees go into a set: those of a plan, and those that patterns name.

Patterns are those of find(1)'s ``-path``, on the path below the firmware folder, with or without
``/usr/lib/firmware/`` before it; ``*`` matches slashes too. A link comes along if what it leads to
does, in the end; one that leads nowhere does not.
"""

from __future__ import annotations

import fnmatch
import hashlib
import posixpath
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from sysgraft.base.text import one_line
from sysgraft.build.firmware_set.trees import FIRMWARE
from sysgraft.errors import FormatError, InputError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from sysgraft.base.blob import Blob
    from sysgraft.base.tree import Inode
    from sysgraft.build.firmware_set.trees import FirmwareTree
    from sysgraft.firmware.plan_document import File, Plan

MAX_HOPS: Final = 40
"""Links one behind the other, as many as Linux follows."""

_CHUNK: Final = 1 << 20


@dataclass(frozen=True, slots=True)
class Chosen:
    """A file or link of the set.

    Attributes:
        inode: what it is.
        is_early: whether it is needed before extensions are merged.
        planned: what the plan says of it; None for what a pattern named, and for links.
        final: the chosen file that a link leads to in the end; empty for a file and for a link
            to a folder.
    """

    inode: Inode
    is_early: bool = False
    planned: File | None = None
    final: str = ""


def choose(
    plan: Plan | None,
    trees: Sequence[FirmwareTree],
    *,
    keep: Sequence[str] = (),
    drop: Sequence[str] = (),
) -> dict[str, Chosen]:
    """The set by path below the firmware folder, sorted.

    Args:
        plan: names files; None if patterns alone do.
        trees: in the order the plan's index was made from; of trees that have the same path the
            last one's file counts.
        keep: patterns of further files.
        drop: patterns of files that are left out, whoever names them.

    Raises:
        InputError: no tree has a file of the plan, or it is another one there.
    """
    everything = {path: inode for tree in trees for path, inode in tree.files.items()}
    files = _planned(plan, trees) if plan else {}
    is_kept, is_dropped = matcher(keep), matcher(drop)
    for path, inode in everything.items():
        if inode.is_file and is_kept(path):
            files.setdefault(path, Chosen(inode))
    files = {path: chosen for path, chosen in files.items() if not is_dropped(path)}
    return dict(sorted({**files, **links_to(everything, files, is_dropped)}.items()))


def matcher(patterns: Iterable[str]) -> Callable[[str], bool]:
    """Whether any of `patterns` matches a path."""
    prefixes = (f"/{FIRMWARE}/", f"{FIRMWARE}/", "/lib/firmware/")
    tests = []
    for pattern in patterns:
        prefix = next((each for each in prefixes if pattern.startswith(each)), "")
        tests.append(re.compile(fnmatch.translate(pattern.removeprefix(prefix))).match)
    return lambda path: any(test(path) for test in tests)


def _planned(plan: Plan, trees: Sequence[FirmwareTree]) -> dict[str, Chosen]:
    found = {}
    for file in plan.files:
        inode = _find(file, trees)
        _check_same(file, inode)
        found[file.path] = Chosen(inode, is_early=file.when == "early", planned=file)
    return found


def _find(file: File, trees: Sequence[FirmwareTree]) -> Inode:
    """In the tree the plan names, else in any, the last first."""
    named = trees[file.tree : file.tree + 1] if file.tree >= 0 else ()
    for tree in (*named, *reversed(trees)):
        inode = tree.files.get(file.path)
        if inode is not None and inode.is_file:
            return inode
    raise InputError(
        f"no firmware tree has {one_line(file.path)}, which the plan names",
        hint="give the trees that the plan's index was made from",
    )


def _check_same(file: File, inode: Inode) -> None:
    content = inode.content
    size = content.size if content else 0
    if content is None or size != file.size or (file.sha256 and digest(content) != file.sha256):
        raise FormatError(
            f"{one_line(file.path)} is not the file that was planned ({size} bytes, "
            f"{file.size} were planned)",
            hint="make index and plan anew from this firmware",
        )


def digest(content: Blob) -> str:
    """SHA-256 of all of it, lower-case hex."""
    state = hashlib.sha256()
    for start in range(0, content.size, _CHUNK):
        state.update(content.read_at(start, min(_CHUNK, content.size - start)))
    return state.hexdigest()


# Links


def links_to(
    everything: Mapping[str, Inode],
    files: Mapping[str, Chosen],
    is_dropped: Callable[[str], bool],
) -> dict[str, Chosen]:
    """The links among `everything` that lead to chosen files, or to folders that hold some."""
    folders = {above for path in files for above in _above(path)}
    early = {above for path, file in files.items() if file.is_early for above in _above(path)}
    links = {}
    for path, inode in everything.items():
        if not inode.is_symlink or is_dropped(path):
            continue
        final = resolve(everything, path)
        if final in files:
            links[path] = Chosen(inode, is_early=files[final].is_early, final=final)
        elif final in folders:
            links[path] = Chosen(inode, is_early=final in early)
    return links


def _above(path: str) -> Iterable[str]:
    while path := posixpath.dirname(path):
        yield path


def resolve(everything: Mapping[str, Inode], path: str) -> str:
    """Where `path` leads when every link on the way is followed; empty if nowhere inside."""
    for _ in range(MAX_HOPS):
        link = _first_link(everything, path)
        if link is None:
            return path
        target = everything[link].target.decode("utf-8", "surrogateescape")
        rest = path[len(link) :]
        path = posixpath.normpath(posixpath.join(posixpath.dirname(link), target) + rest)
        if target.startswith("/") or path.startswith("../") or path in ("..", "."):
            return ""
    return ""


def _first_link(everything: Mapping[str, Inode], path: str) -> str | None:
    """The uppermost link among `path` and the folders above it."""
    for part in (*reversed([*_above(path)]), path):
        inode = everything.get(part)
        if inode is not None and inode.is_symlink:
            return part
    return None
