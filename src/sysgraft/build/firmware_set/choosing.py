"""Which files of the firmware trees go into a set: those of a plan, and those that patterns name.

Patterns are those of find(1)'s ``-path``, on the path below the firmware folder, with or without
``/usr/lib/firmware/`` before it; ``*`` matches slashes too. A link comes along if what it leads to
does, in the end, unless a link on the way is left out; one that leads nowhere does not. A link that
a pattern names brings what it leads to.
"""

from __future__ import annotations

import fnmatch
import hashlib
import posixpath
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sysgraft.base.blob import chunks
from sysgraft.base.text import one_line
from sysgraft.build.firmware_set.links import follow
from sysgraft.build.firmware_set.trees import FIRMWARE
from sysgraft.build.sources.model import examples_of
from sysgraft.errors import FormatError, InputError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from sysgraft.base.blob import Blob
    from sysgraft.base.tree import Inode
    from sysgraft.build.firmware_set.trees import FirmwareTree
    from sysgraft.firmware.plan_document import File, Plan


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
    note: Callable[[str], object] = str,
) -> dict[str, Chosen]:
    """The set by path below the firmware folder, sorted.

    Args:
        plan: names files; None if patterns alone do.
        trees: in the order the plan's index was made from; of trees that have the same path the
            last one's file counts.
        keep: patterns of further files.
        drop: patterns of files that are left out, whoever names them.
        note: told of links that are left behind although they are wanted.

    Raises:
        InputError: no tree has a file of the plan, or it is another one there.
    """
    everything = {_full(path): inode for tree in trees for path, inode in tree.files.items()}
    files = {_full(path): chosen for path, chosen in _planned(plan, trees).items()} if plan else {}
    is_kept, is_dropped = matcher(keep), matcher(drop)
    wanted = {path for path in everything if is_kept(path)}
    for path in wanted:
        end = follow(everything, path).end
        if end in everything and everything[end].is_file:
            files.setdefault(end, Chosen(everything[end]))
    files = {path: chosen for path, chosen in files.items() if not is_dropped(path)}
    links = links_to(everything, files, is_dropped)
    wanted.update(_full(link.path) for link in (plan.links if plan else ()))
    _note_left_behind(sorted(wanted - files.keys() - links.keys()), is_dropped, note)
    return dict(sorted((_short(path), chosen) for path, chosen in {**files, **links}.items()))


def _full(path: str) -> str:
    return f"{FIRMWARE}/{path}"


def _short(path: str) -> str:
    return path.removeprefix(f"{FIRMWARE}/")


def _note_left_behind(
    links: Iterable[str], is_dropped: Callable[[str], bool], note: Callable[[str], object]
) -> None:
    left = [
        _short(path).encode("utf-8", "surrogateescape") for path in links if not is_dropped(path)
    ]
    if left:
        note(f"links that lead to nothing in the firmware are left behind: {examples_of(left)}")


def matcher(patterns: Iterable[str]) -> Callable[[str], bool]:
    """Whether any of `patterns` matches a path in the root, which lies in a firmware folder."""
    tests = [re.compile(fnmatch.translate(below_firmware(each))).match for each in patterns]
    return lambda path: any(test(below_firmware(path)) for test in tests)


def below_firmware(path: str) -> str:
    """A path or pattern without the firmware folder before it."""
    prefixes = (f"/{FIRMWARE}/", f"{FIRMWARE}/", "/lib/firmware/", "lib/firmware/")
    return path.removeprefix(next((each for each in prefixes if path.startswith(each)), ""))


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
    for data in chunks(content):
        state.update(data)
    return state.hexdigest()


# Links


def links_to(
    tree: Mapping[str, Inode],
    files: Mapping[str, Chosen],
    is_dropped: Callable[[str], bool],
) -> dict[str, Chosen]:
    """The links of firmware in `tree` that lead to chosen files, or to folders that hold some.

    Paths are those in the root.
    """
    folders = {above for path in files for above in _above(path)}
    early = {above for path, file in files.items() if file.is_early for above in _above(path)}
    links = {}
    for path, inode in tree.items():
        if not inode.is_symlink or below_firmware(path) == path:
            continue
        way = follow(tree, path)
        if way.end in files:
            chosen = Chosen(inode, is_early=files[way.end].is_early, final=_short(way.end))
        elif way.end in folders:
            chosen = Chosen(inode, is_early=way.end in early)
        else:
            continue
        if not any(map(is_dropped, (path, *way.links))):
            links[path] = chosen
    return links


def _above(path: str) -> Iterable[str]:
    while path := posixpath.dirname(path):
        yield path
