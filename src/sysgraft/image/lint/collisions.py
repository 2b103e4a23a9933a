"""Files that more than one layer has: the upper layer's is seen, and nobody says a word."""

from __future__ import annotations

import stat
from typing import TYPE_CHECKING

from sysgraft.base import version
from sysgraft.errors import InputError
from sysgraft.image.lint.finding import found
from sysgraft.image.lint.kernels import split_path
from sysgraft.image.lint.view import kind_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sysgraft.base.tree import Inode
    from sysgraft.formats.extension_release import Kind
    from sysgraft.image.lint.finding import Finding
    from sysgraft.image.lint.scene import Contents, Scene
    from sysgraft.image.lint.view import Covered, Seen

_CHUNK = 1 << 20


def check(scene: Scene) -> Iterator[Finding]:
    """What an upper layer does to lower ones."""
    for kind, view in scene.views.items():
        for each in view.covered:
            if not _is_for_others(each.path, kind):
                yield from _judge(each, scene.contents)


def _is_for_others(path: bytes, kind: Kind) -> bool:
    """Release files are read before the merge; modules' indexes have rules of their own."""
    split = split_path(path)
    is_index = split is not None and split[1].startswith(b"modules.")
    return is_index or path.startswith(kind.directory + b"/")


def _judge(each: Covered, contents: Contents) -> Iterator[Finding]:
    lower, upper = each.lower, each.upper
    if each.cover.is_whiteout or (each.cover.is_dir and each.by != each.path):
        yield _hidden(each)
    elif each.by != each.path:
        return  # told by the type of the path above
    elif lower.inode.is_dir or each.cover.is_dir:
        what = (
            f"{kind_of(each.cover)} of {upper.file} hides {kind_of(lower.inode)} of {_owner(lower)}"
        )
        yield found("type-collision", what, *_images(each), path=each.path)
    else:
        yield _same_type(each, contents)


def _owner(seen: Seen) -> str:
    return seen.owner.file if seen.owner else "the base"


def _images(each: Covered) -> tuple[str, ...]:
    lower = (each.lower.owner.file,) if each.lower.owner else ()
    return (each.upper.file, *lower)


def _hidden(each: Covered) -> Finding:
    problem = f"a deletion in {each.upper.file} hides what {_owner(each.lower)} has"
    code = "hidden-by-whiteout" if each.lower.owner else "replaces-base"
    return found(code, problem, *_images(each), path=each.path)


def _same_type(each: Covered, contents: Contents) -> Finding:
    """Two things at one path, neither of them a folder."""
    lower, upper = each.lower, each.upper
    if lower.owner is None:
        problem = f"{upper.file} replaces a file of the base"
        return found("replaces-base", problem, upper.file, path=each.path)
    different = _difference(each, contents)
    if not different:
        return found("same-file", "they have the same", *_images(each), path=each.path)
    is_open = version.key(lower.owner.name) == version.key(upper.name)
    seen = "which of them is seen is open" if is_open else f"that of {upper.file} is seen"
    problem = f"they differ in {different}; {seen}"
    return found("collision", problem, *_images(each), path=each.path)


def _difference(each: Covered, contents: Contents) -> str:
    """The first thing that is different; empty if nothing is."""
    one, two = each.lower.inode, each.cover
    if stat.S_IFMT(one.mode) != stat.S_IFMT(two.mode):
        return "type"
    if one.target != two.target or one.rdev != two.rdev:
        return "content"
    try:
        if not _have_same_content(one, two, contents):
            return "content"
    except InputError as error:
        contents.give_up(each.upper.file, each.path, error.message)
        return "content, as far as it can be read"
    if (one.mode, one.uid, one.gid) != (two.mode, two.uid, two.gid):
        return "mode or owner"
    return ""


def _have_same_content(one: Inode, two: Inode, contents: Contents) -> bool:
    """Whether both hold the same.

    Raises:
        InputError: one of them cannot be read.
    """
    first, second = one.content, two.content
    if first is None or second is None or first.size != second.size:
        return first is second
    contents.spend(2 * first.size)
    return all(
        first.read_at(at, length) == second.read_at(at, length)
        for at in range(0, first.size, _CHUNK)
        for length in (min(_CHUNK, first.size - at),)
    )
