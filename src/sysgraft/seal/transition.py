"""A partition on its way from one content to another, one file at a time.

Every file is either as it was or as it will be: new content is written under a name that nobody
looks for, and one rename, or one removal, changes what is seen. So a state of the partition is the
set of changes that have been made, here the bits of a number, and each state can be looked into as
a `sysgraft.seal.volume.Volume`. Which states can boot is not decided here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal

from sysgraft.errors import InputError, LimitError
from sysgraft.formats.fat import fold
from sysgraft.measure.sidecars import Entry

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from sysgraft.base.blob import Blob
    from sysgraft.seal.volume import Volume

MAX_FILES: Final = 1 << 14
"""Files of a partition: one for booting has some dozens."""
MAX_FOLDERS: Final = 1 << 10
"""Folders of a partition: in an image each one is found by its path."""
MAX_DEPTH: Final = 16
"""Folders in one another; a path of more is no longer one that firmware is given."""
_CHUNK: Final = 1 << 20

Action = Literal["add", "replace", "remove"]


def folded(path: str) -> str:
    """A path as FAT compares it, with slashes between names and none at its ends."""
    return "/".join(map(fold, filter(None, path.replace("\\", "/").split("/"))))


class PartitionFile:
    """A file as one of the two partitions has it.

    Attributes:
        path: as it is spelled there.
        place: its path as FAT compares it.
        steps: on the way to it, each folder's place, and the entry there by its folded name.
        label: how to name it in a message.
    """

    __slots__ = ("_blob", "_volume", "label", "path", "place", "steps")

    def __init__(self, volume: Volume, path: str) -> None:
        self._volume = volume
        self._blob: Blob | None = None
        self.path = path
        self.place = folded(path)
        self.steps = tuple(_steps(path))
        self.label = volume.label(path)

    @property
    def name(self) -> str:
        """The last part of its path."""
        return self.path.rpartition("/")[2]

    @property
    def blob(self) -> Blob:
        """Its content; always the same object, so that it is read once.

        Raises:
            InputError: it cannot be opened.
        """
        if self._blob is None:
            self._blob = self._volume.open(self.path)
        return self._blob


class Change:
    """A file that is different before and after.

    Attributes:
        path: as it is spelled in the end.
        before: None where it is added.
        after: None where it is removed.
    """

    __slots__ = ("after", "before", "path")

    def __init__(self, before: PartitionFile | None, after: PartitionFile | None) -> None:
        there = after or before
        if there is None:
            raise ValueError("a change has a file before or after it")
        self.before = before
        self.after = after
        self.path = there.path

    @property
    def action(self) -> Action:
        """What is done."""
        if self.before is None:
            return "add"
        return "replace" if self.after is not None else "remove"

    @property
    def versions(self) -> tuple[PartitionFile, ...]:
        """The file as it was and as it will be, as far as it is there."""
        return tuple(each for each in (self.before, self.after) if each is not None)


class _Tree:
    """Files by path and by folder."""

    def __init__(self, files: Iterable[PartitionFile]) -> None:
        self.files: dict[str, PartitionFile] = {}
        self.folders: dict[str, dict[str, Entry]] = {}
        for each in files:
            self.files[each.place] = each
            for folder, name, entry in each.steps:
                self.folders.setdefault(folder, {}).setdefault(name, entry)


def _steps(path: str) -> Iterator[tuple[str, str, Entry]]:
    parts = path.split("/")
    for depth, name in enumerate(parts):
        yield folded("/".join(parts[:depth])), fold(name), Entry(name, depth + 1 < len(parts))


class StateVolume:
    """The partition in one state; see `sysgraft.seal.volume.Volume`."""

    def __init__(self, name: str, unchanged: _Tree, others: Iterable[PartitionFile]) -> None:
        self.name = name
        self._trees = (unchanged, _Tree(others))

    def entries(self, folder: str) -> tuple[Entry, ...]:
        """See `Volume.entries`."""
        place = folded(folder)
        found: dict[str, Entry] = {}
        for tree in self._trees:
            found.update(tree.folders.get(place, {}))
        return tuple(sorted(found.values()))

    def file(self, path: str) -> PartitionFile | None:
        """The file with a path, None if there is none."""
        place = folded(path)
        return next((tree.files[place] for tree in self._trees if place in tree.files), None)

    def find(self, path: str) -> str | None:
        """See `Volume.find`."""
        found = self.file(path)
        return None if found is None else found.path

    def open(self, path: str) -> Blob:
        """See `Volume.open`."""
        found = self.file(path)
        if found is None:
            raise InputError("there is no such file", file=path)
        return found.blob

    def label(self, path: str) -> str:
        """See `Volume.label`."""
        found = self.file(path)
        return path if found is None else found.label


class Transition:
    """The way from one partition to another.

    Args:
        before: the partition as it is.
        after: as it will be.

    Attributes:
        changes: every file that is different, by path; their numbers are the bits of a state.

    Raises:
        InputError: a partition cannot be read.
        LimitError: more than `MAX_FILES` files or `MAX_FOLDERS` folders, or folders deeper than
            `MAX_DEPTH`.
    """

    def __init__(self, before: Volume, after: Volume) -> None:
        old, new = _read(before), _read(after)
        self._name = after.name
        changes, unchanged = [], []
        for place in sorted(old.keys() | new.keys()):
            pair = old.get(place), new.get(place)
            if pair[0] is not None and pair[1] is not None and _are_same(pair[0], pair[1]):
                unchanged.append(pair[0])
            else:
                changes.append(Change(*pair))
        self.changes = tuple(changes)
        self._changed = {folded(each.path): each for each in changes}
        self._unchanged = _Tree(unchanged)

    @property
    def end(self) -> int:
        """The state in which everything is done; none of it is 0."""
        return (1 << len(self.changes)) - 1

    def state(self, done: int) -> StateVolume:
        """The partition once some of the changes are made."""
        files = (
            each.after if done >> number & 1 else each.before
            for number, each in enumerate(self.changes)
        )
        return StateVolume(self._name, self._unchanged, [each for each in files if each])

    def versions(self, path: str) -> tuple[PartitionFile, ...]:
        """A file as it is before and after; once if it stays the same."""
        place = folded(path)
        if place in self._unchanged.files:
            return (self._unchanged.files[place],)
        change = self._changed.get(place)
        return change.versions if change else ()


def _read(volume: Volume) -> Mapping[str, PartitionFile]:
    found: dict[str, PartitionFile] = {}
    for path in _walk(volume):
        file = PartitionFile(volume, path)
        found[file.place] = file
        if len(found) > MAX_FILES:
            raise LimitError(f"more than {MAX_FILES} files", file=volume.name)
    return found


def _walk(volume: Volume) -> Iterator[str]:
    """The paths of all files, folder by folder."""
    waiting = [("", 1)]
    count = 0
    while waiting:
        folder, depth = waiting.pop()
        count += 1
        if count > MAX_FOLDERS:
            raise LimitError(f"more than {MAX_FOLDERS} folders", file=volume.name)
        if depth > MAX_DEPTH:
            raise LimitError(f"more than {MAX_DEPTH} folders in one another", file=volume.name)
        for each in volume.entries(folder):
            path = f"{folder}/{each.name}" if folder else each.name
            if not each.is_folder:
                yield path
            elif each.name not in (".", ".."):
                waiting.append((path, depth + 1))


def _are_same(one: PartitionFile, other: PartitionFile) -> bool:
    """The spelling counts too: it is part of what is measured."""
    if one.path != other.path or one.blob.size != other.blob.size:
        return False
    size = one.blob.size
    pieces = ((start, min(_CHUNK, size - start)) for start in range(0, size, _CHUNK))
    return all(one.blob.read_at(*piece) == other.blob.read_at(*piece) for piece in pieces)
