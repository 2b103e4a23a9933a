"""Goes through an EROFS image: every path, or down a single one.

Without recursion. `walk` enters no directory twice: a loop, or a directory with two parents, is a
`FormatError`. `resolve` goes down one path and follows symbolic links inside the image only.
"""

from __future__ import annotations

import stat
from typing import TYPE_CHECKING, Final, NamedTuple

from sysgraft.base.tree import printable
from sysgraft.errors import FormatError, LimitError
from sysgraft.formats.erofs.data import open_data
from sysgraft.formats.erofs.directory import find_entry, follow, iter_entries
from sysgraft.formats.erofs.ondisk import MAX_PATH, MAX_TARGET

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from sysgraft.formats.erofs.dirent import Entry
    from sysgraft.formats.erofs.limits import Budget
    from sysgraft.formats.erofs.volume import Found, Volume

MAX_LINKS: Final = 40
"""Symbolic links followed on one path, as many as Linux follows (``MAXSYMLINKS``)."""

MAX_STEPS: Final = MAX_PATH // 2 + 1
"""Names looked up for one path, those of links included: as many as the longest path has."""


class Visit(NamedTuple):
    """A path (empty: the root), its inode, and the number of the directory it is in."""

    path: bytes
    found: Found
    parent: int

    @property
    def is_dir(self) -> bool:
        """Whether this is a directory."""
        return stat.S_ISDIR(self.found.disk.mode)


def root_of(volume: Volume) -> Found:
    """The root directory's inode.

    Raises:
        FormatError: it is no directory.
    """
    root = volume.inode(volume.superblock.root_nid)
    if not stat.S_ISDIR(root.disk.mode):
        raise FormatError("the root of the image is not a directory")
    return root


def walk(
    volume: Volume,
    budget: Budget,
    *,
    on_error: Callable[[bytes, FormatError], None] | None = None,
) -> Iterator[Visit]:
    """Every path of the image, each directory before what is in it.

    Args:
        volume: the image.
        budget: what may be read.
        on_error: called with the path for whatever cannot be read, which is then left out;
            without it, the error is raised.

    Raises:
        LimitError: the budget is used up.
        FormatError: a directory or an inode makes no sense; names the path.
    """
    return _Walker(volume, budget, on_error).run()


class _Walker:
    __slots__ = ("_budget", "_on_error", "_seen", "_volume")

    def __init__(
        self,
        volume: Volume,
        budget: Budget,
        on_error: Callable[[bytes, FormatError], None] | None,
    ) -> None:
        self._volume = volume
        self._budget = budget
        self._on_error = on_error
        self._seen: set[int] = set()

    def run(self) -> Iterator[Visit]:
        root = root_of(self._volume)
        self._seen.add(root.nid)
        self._budget.spend_entry(0)
        todo = [Visit(b"", root, root.nid)]
        yield todo[0]
        while todo:
            above = todo.pop()
            for entry in self._entries(above):
                visit = self._visit(above, entry)
                if visit is not None:
                    todo += [visit] if visit.is_dir else []
                    yield visit

    def _entries(self, above: Visit) -> list[Entry]:
        """What is in a directory; what comes before an error, if errors do not end the walk."""
        entries: list[Entry] = []
        found, budget = above.found, self._budget
        try:
            for entry in iter_entries(self._volume, found, parent=above.parent, budget=budget):
                budget.spend_entry(len(above.path) + len(entry.name) + 1)
                entries.append(entry)
        except FormatError as error:
            self._report(above.path, error)
        return entries

    def _visit(self, above: Visit, entry: Entry) -> Visit | None:
        path = above.path + b"/" + entry.name if above.path else entry.name
        try:
            visit = Visit(path, follow(self._volume, entry), above.found.nid)
            self._check(visit)
        except FormatError as error:
            self._report(path, error)
            return None
        return visit

    def _check(self, visit: Visit) -> None:
        if len(visit.path) > MAX_PATH:
            raise LimitError(f"a path of {len(visit.path)} bytes; {MAX_PATH} are possible")
        if visit.is_dir:
            if visit.found.nid in self._seen:
                raise FormatError("a directory that has another path already")
            self._seen.add(visit.found.nid)

    def _report(self, path: bytes, error: FormatError) -> None:
        if self._on_error is None or isinstance(error, LimitError):
            raise name_path(path, error) from error
        self._on_error(path, error)


def name_path(path: bytes, error: FormatError) -> FormatError:
    """The same error, led by the path it is about."""
    return type(error)(f"{printable(path[:MAX_PATH]) or '/'}: {error.message}")


def read_target(volume: Volume, found: Found) -> bytes:
    """Where a symbolic link points.

    Raises:
        FormatError: it is empty, too long, or holds a NUL.
    """
    if not 0 < found.disk.size <= MAX_TARGET:
        raise FormatError(
            f"a symbolic link's target has {found.disk.size} bytes, 1 to {MAX_TARGET} are possible",
        )
    target = open_data(volume, found, name="a symbolic link").read_at(0, found.disk.size)
    if b"\0" in target:
        raise FormatError(f"a symbolic link's target holds a NUL: {printable(target)}")
    return target


def resolve(volume: Volume, path: bytes, *, follow_last: bool) -> Found | None:
    """The inode at `path`, or None where there is none; reads no more than it needs.

    Symbolic links on the way are followed inside the image: an absolute target starts at its
    root, and ``..`` stays below that.

    Args:
        volume: the image.
        path: relative to the root; empty for the root itself.
        follow_last: whether a symbolic link at the very end is followed too.

    Raises:
        FormatError: what is on the way makes no sense, or links lead in circles.
    """
    stack = [root_of(volume)]
    parts = path.split(b"/")[::-1]
    links = steps = 0
    while parts:
        part = parts.pop()
        if part == b"..":
            del stack[max(1, len(stack) - 1) :]
        if part in (b"", b".", b".."):
            continue
        steps += 1
        found = _step(volume, stack[-1], part)
        if found is None:
            return None
        if not (stat.S_ISLNK(found.disk.mode) and (parts or follow_last)):
            stack.append(found)
            continue
        links += 1
        _check_effort(path, links, steps)
        target = read_target(volume, found)
        parts += target.split(b"/")[::-1]
        del stack[1 if target.startswith(b"/") else len(stack) :]
    return stack[-1]


def _check_effort(path: bytes, links: int, steps: int) -> None:
    """Without links a path ends by itself, so this is asked at links only."""
    if links > MAX_LINKS:
        raise FormatError(f"more than {MAX_LINKS} symbolic links in {printable(path)}")
    if steps > MAX_STEPS:
        raise LimitError(f"more than {MAX_STEPS} names to look up for {printable(path)}")


def _step(volume: Volume, above: Found, name: bytes) -> Found | None:
    if not stat.S_ISDIR(above.disk.mode):
        return None
    entry = find_entry(volume, above, name)
    return None if entry is None else follow(volume, entry)
