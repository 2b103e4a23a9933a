"""The text of what the set's own units run: to see whether one of them does a certain thing.

Command lines of ``Exec…=`` and, where the program is a small file of the set, its text. Rules look
for words in it: whether the unit is started, or the command works, is not told.
"""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Final

from sysgraft.errors import FormatError
from sysgraft.formats import unit_file
from sysgraft.formats.extension_release import Kind

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from sysgraft.base.tree import Inode
    from sysgraft.formats.unit_file import Unit
    from sysgraft.image.lint.scene import Contents, Scene, Subject

UNITS: Final[Mapping[Kind, bytes]] = {
    Kind.SYSEXT: b"usr/lib/systemd/system",
    Kind.CONFEXT: b"etc/systemd/system",
}
"""Where extensions of a kind have their units."""

MAX_UNITS: Final = 32 << 20
"""Bytes of all units of an extension; Debian's systemd has 400 KB of them."""
MAX_SCRIPT: Final = 1 << 20
MAX_WORDS: Final = 10_000
"""Words of command lines that are taken for programs."""
MAX_SCRIPTS: Final = 200
"""Programs of the set that are looked into."""

_PREFIXES: Final = "-@:+!|"
"""Before the path of a program (systemd.service(5), "Special executable prefixes")."""


def text(scene: Scene) -> bytes:
    """All of it, of all extensions."""
    lines = [line for units in scene.units.values() for line in _command_lines(units)]
    return b"\n".join([*(line.encode() for line in lines), *_scripts(scene, lines)])


def unit_files(subject: Subject, contents: Contents) -> Iterator[tuple[bytes, Unit]]:
    """The unit files and drop-ins of an extension, by their paths below its folder of units."""
    folder, left = UNITS[subject.kind], MAX_UNITS
    for path, inode in subject.below(folder):
        if inode.content is None or path.rpartition(b".")[2] not in _SUFFIXES:
            continue
        left -= inode.content.size
        if left < 0:
            contents.give_up(subject.file, path, f"more than {MAX_UNITS} bytes of units")
            return
        data = contents.read(subject.file, path, inode, limit=unit_file.MAX_SIZE)
        if data is None:
            continue
        try:
            yield path[len(folder) + 1 :], unit_file.parse(data)
        except FormatError as error:
            contents.give_up(subject.file, path, error.message)


_SUFFIXES: Final = frozenset(
    (
        *(b"service", b"socket", b"target", b"timer", b"path", b"mount", b"automount", b"swap"),
        *(b"slice", b"scope", b"device", b"conf"),
    )
)


def _command_lines(units: Mapping[bytes, Unit]) -> Iterator[str]:
    for unit in units.values():
        for section, key, value in unit.assignments:
            if section == "Service" and key.startswith("Exec"):
                yield value


def _scripts(scene: Scene, lines: list[str]) -> Iterator[bytes]:
    """The text of the set's own programs among those that are run."""
    words = dict.fromkeys(
        word.lstrip(_PREFIXES).strip("\"'") for line in lines for word in line.split()
    )
    paths = (word.encode() for word in islice(words, MAX_WORDS) if word.startswith("/"))
    own = (each for path in paths for each in _own(scene, path))
    for path, owner, inode in islice(own, MAX_SCRIPTS):
        yield scene.contents.read(owner.file, path, inode, limit=MAX_SCRIPT) or b""


def _own(scene: Scene, path: bytes) -> Iterator[tuple[bytes, Subject, Inode]]:
    """The set's small file that a path leads to, if it does."""
    for view in scene.views.values():
        end = view.resolve(path)
        seen = view.seen.get(end) if end is not None else None
        if end is None or seen is None or seen.owner is None or seen.inode.content is None:
            continue
        if seen.inode.content.size <= MAX_SCRIPT:
            yield end, seen.owner, seen.inode
