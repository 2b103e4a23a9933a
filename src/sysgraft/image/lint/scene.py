"""What is linted: the extensions, the target, and the only way to the content of files.

Nothing here judges. Content is read in bounded pieces; what could not be read is remembered, so
that no rule passes over it in silence.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Final

from sysgraft.base import systemd
from sysgraft.errors import FormatError, InputError
from sysgraft.formats.extension_release import Kind

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from sysgraft.base.tree import Inode, Tree
    from sysgraft.formats.extension_release import ExtensionRelease
    from sysgraft.formats.unit_file import Unit
    from sysgraft.image.dissect import Dissection
    from sysgraft.image.lint.kernels import Kernel
    from sysgraft.image.lint.view import View
    from sysgraft.image.matching import Choice

MAX_CONTENT: Final = 16 << 30
"""Bytes of content that one run looks at; an image may claim that one block is a million files."""

HIERARCHIES: Final[Mapping[Kind, tuple[bytes, ...]]] = {
    Kind.SYSEXT: (b"usr", b"opt"),
    Kind.CONFEXT: (b"etc",),
}
"""What systemd merges if nothing else is said."""


@dataclass(frozen=True, slots=True)
class Subject:
    """One extension.

    Attributes:
        file: as the caller named it.
        name: what systemd calls the image.
        kind: by its name, else by its content; a system extension where neither tells.
        tree: its files; empty if they cannot be read.
        choice: which release file counts, None if the files cannot be read.
        release: the release file that counts.
        kinds: of all release files in it.
        dissection: its partitions.
    """

    file: str
    name: str
    kind: Kind
    tree: Tree
    choice: Choice | None
    release: ExtensionRelease | None
    kinds: frozenset[Kind]
    dissection: Dissection

    def below(self, folder: bytes) -> Iterator[tuple[bytes, Inode]]:
        """What is in a folder of the image, at any depth."""
        start = folder + b"/"
        return ((path, inode) for path, inode in self.tree.items() if path.startswith(start))


class Contents:
    """Reads content, and remembers what it could not read.

    Attributes:
        unread: files of the set by image and path, with the reason.
    """

    def __init__(self, budget: int = MAX_CONTENT) -> None:
        self._left = budget
        self.unread: dict[tuple[str, bytes], str] = {}

    def read(self, file: str, path: bytes, inode: Inode, *, limit: int) -> bytes | None:
        """The whole content of a file, None if that cannot be had.

        Args:
            file: the image; empty for what belongs to the target, which is not complained of.
            path: for the complaint.
            inode: the file.
            limit: bytes it may have.
        """
        blob = inode.content
        if blob is None:
            return None
        if blob.size > limit:
            self.give_up(file, path, f"more than {limit} bytes")
            return None
        return self._read(file, path, inode, blob.size)

    def head(self, file: str, path: bytes, inode: Inode, *, length: int) -> bytes | None:
        """The first bytes of a file, as many as there are up to `length`."""
        blob = inode.content
        return None if blob is None else self._read(file, path, inode, min(length, blob.size))

    def _read(self, file: str, path: bytes, inode: Inode, length: int) -> bytes | None:
        if inode.content is None:
            return None
        try:
            self.spend(length)
            return inode.content.read_at(0, length)
        except InputError as error:
            self.give_up(file, path, error.message)
            return None

    def spend(self, length: int) -> None:
        """Count bytes that are to be read.

        Raises:
            FormatError: they are more than one run looks at.
        """
        if length > self._left:
            raise FormatError("the images claim more content than is looked at")
        self._left -= length

    def give_up(self, file: str, path: bytes, reason: str) -> None:
        """Remember that a file could not be read."""
        if file:
            self.unread.setdefault((file, path), reason)


@dataclass(frozen=True, eq=False)
class Scene:
    """The set, and what it is held against.

    Attributes:
        subjects: the extensions, of each kind the lowest layer first.
        release: of systemd.
        hierarchies: the folders that are merged of system extensions.
        host: the files of the base below ``usr``, ``opt`` and ``etc``; None if they are not known.
        kernels: the target's kernels by their release; None if they are not known.
        contents: how to read files.
    """

    subjects: tuple[Subject, ...]
    release: int = systemd.LATEST
    hierarchies: tuple[bytes, ...] = HIERARCHIES[Kind.SYSEXT]
    host: Tree | None = None
    kernels: Mapping[str, Kernel] | None = None
    contents: Contents = field(default_factory=Contents)

    def merged_of(self, kind: Kind) -> tuple[bytes, ...]:
        """The folders that are merged of extensions of a kind."""
        return self.hierarchies if kind is Kind.SYSEXT else HIERARCHIES[kind]

    def of(self, kind: Kind) -> tuple[Subject, ...]:
        """The extensions of a kind, the lowest layer first."""
        return tuple(each for each in self.subjects if each.kind is kind)

    @cached_property
    def views(self) -> Mapping[Kind, View]:
        """What the target will see of each kind, with the base below."""
        from sysgraft.image.lint.view import merge  # noqa: PLC0415  needs this module

        return {kind: merge(self.of(kind), self.host or {}, self.merged_of(kind)) for kind in Kind}

    @cached_property
    def units(self) -> Mapping[str, Mapping[bytes, Unit]]:
        """The unit files and drop-ins of each extension, by their paths below its folder."""
        from sysgraft.image.lint.commands import unit_files  # noqa: PLC0415  needs this module

        return {each.file: dict(unit_files(each, self.contents)) for each in self.subjects}

    @cached_property
    def commands(self) -> bytes:
        """The text of what the set's units run."""
        from sysgraft.image.lint.commands import text  # noqa: PLC0415  needs this module

        return text(self)
