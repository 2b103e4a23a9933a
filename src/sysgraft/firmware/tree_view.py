"""The firmware folder as the kernel sees it: names, links followed, globs.

A kernel that is asked for a name tries the paths `sysgraft.formats.firmware_search` gives, and
follows links in every part of them as path_resolution(7) has it. Links that lead out of the folder
lead nowhere here: what is built of a plan has the folder only.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from sysgraft.errors import FormatError
from sysgraft.formats import firmware_file, firmware_search
from sysgraft.formats.glob import Glob

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from sysgraft.firmware.index import Entry

MAX_GLOB_STEPS: Final = 200_000
"""Names one glob is compared with."""

_ROOTS: Final = ("usr/lib/firmware/", "lib/firmware/")


class Found(NamedTuple):
    """Where a path leads.

    Attributes:
        entry: the file.
        links: on the way to it, in the order they were met.
    """

    entry: Entry
    links: tuple[Entry, ...]


class TreeView:
    """Files and links of an index.

    Args:
        entries: sorted by path.
    """

    def __init__(self, entries: Iterable[Entry]) -> None:
        self._entries = {entry.path: entry for entry in entries}
        self._folders: dict[str, list[str]] = {"": []}
        for path in self._entries:
            self._add(path)
        self._asked: dict[tuple[str, str], Found | None] = {}

    def _add(self, path: str) -> None:
        """Enter a path into its folder, and folders that are new into theirs."""
        while path:
            folder, _, name = path.rpartition("/")
            is_new = folder not in self._folders
            self._folders.setdefault(folder, []).append(name)
            if not is_new:
                return
            path = folder

    def ask(self, name: str, release: str) -> Found | None:
        """What a kernel loads that is asked for `name`; None if it finds nothing."""
        key = (name, release)
        if key not in self._asked:
            paths = firmware_search.candidates(name, release)
            self._asked[key] = next(filter(None, map(self.follow, paths)), None)
        return self._asked[key]

    def follow(self, path: str) -> Found | None:
        """The file at a path, links followed; None for a folder, a loop, or nothing."""
        links: list[Entry] = []
        real = self._resolve(path, links)
        entry = None if real is None else self._entries.get(real)
        return None if entry is None else Found(entry, tuple(dict.fromkeys(links)))

    def _resolve(self, path: str, links: list[Entry]) -> str | None:
        """The path without links, None if it leads out, in circles, or to nothing."""
        entry = self._entries.get(path)
        if entry is not None and not entry.target:
            return path
        pending = path.split("/")[::-1]
        here = ""
        while pending:
            part = pending.pop()
            if part in ("", "."):
                continue
            if part == "..":
                if not here:
                    return None
                here = here.rpartition("/")[0]
                continue
            here = f"{here}/{part}" if here else part
            entry = self._entries.get(here)
            if entry is not None and entry.target:
                links.append(entry)
                target = _inside(entry.target)
                if len(links) > firmware_search.MAX_LINKS or target is None:
                    return None
                here = "" if entry.target.startswith("/") else here.rpartition("/")[0]
                pending.extend(target.split("/")[::-1])
            elif pending and entry is not None:
                return None  # a file where a folder is wanted
        return here if here in self._entries or here in self._folders else None

    def expand(self, pattern: str, release: str) -> tuple[str, ...]:
        """Names that a glob stands for: ``*`` and ``?`` do not cross ``/`` (glob(3))."""
        if not firmware_search.is_acceptable(pattern):
            return ()
        names: set[str] = set()
        for folder in firmware_search.folders(release):
            base = [folder] if folder else []
            names.update(self._expand(base, pattern.split("/")))
        return tuple(sorted(names))

    def _expand(self, base: list[str], parts: Sequence[str]) -> Iterator[str]:
        found = [""]
        steps = 0
        for number, part in enumerate(parts):
            pattern = _pattern(part)
            is_last = number == len(parts) - 1
            names = []
            for above in found:
                for name in self._list("/".join([*base, above] if above else base)):
                    steps += 1
                    if steps > MAX_GLOB_STEPS:
                        return
                    plain = _plain(name) if is_last else name
                    if pattern is not None and _matches(pattern, part, {plain, name}):
                        names.append(f"{above}/{plain}" if above else plain)
            found = names
        yield from found

    def _list(self, path: str) -> list[str]:
        real = self._resolve(path, []) if path else ""
        return self._folders.get(real, []) if real is not None else []


def _plain(name: str) -> str:
    return firmware_file.split_text(name)[0]


def _inside(target: str) -> str | None:
    """A link's target, below the firmware folder if it is absolute; None if it leads out."""
    if not target.startswith("/"):
        return target
    path = target.lstrip("/")
    return next((path.removeprefix(root) for root in _ROOTS if path.startswith(root)), None)


def _pattern(part: str) -> Glob | None:
    """One part of a glob; None for one that is broken and matches nothing."""
    try:
        return Glob(part)
    except FormatError:
        return None


def _matches(pattern: Glob, part: str, names: set[str]) -> bool:
    """Whether a pattern matches one of the names; a leading dot it has to have itself."""
    return any(
        pattern.matches(name) for name in names if part[:1] == "." or not name.startswith(".")
    )


def is_glob(name: str) -> bool:
    """Whether a name has to be expanded."""
    return any(character in name for character in "*?[")
