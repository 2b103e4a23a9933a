"""What is different between two images: files, release fields, signer, root hash.

Compared is what images hold and claim; whether one is genuine is for `sysgraft.image.verify` to
say. Times of files are not compared, nor how an image lies on the disk: the same files at other
places are no difference. Two images with one root hash and one signature have one content.
"""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING, Final, Literal, NamedTuple

from sysgraft.base.progress import NoProgress
from sysgraft.errors import FormatError, in_file
from sysgraft.host.files import OpenFile
from sysgraft.image.inspect import inspect_blob

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sysgraft.base.blob import Blob
    from sysgraft.base.progress import Progress
    from sysgraft.base.tree import Inode, Tree
    from sysgraft.image.inspect import ImageInfo

MAX_COMPARED: Final = 64 << 30
"""Bytes of content that are compared; an image may claim that one block is a million files."""

_CHUNK: Final = 1 << 20


class FactChange(NamedTuple):
    """Something that both images say of themselves, each in its way.

    Attributes:
        name: what it is.
        before: what the first says; empty if it does not.
        after: what the second says.
    """

    name: str
    before: str
    after: str


class FileChange(NamedTuple):
    """A file that is not the same.

    Attributes:
        path: in the mounted image, without a leading slash.
        before: the file of the first image; its content cannot be read any more.
        after: that of the second.
        what: what is different; nothing for a file that only one of them has.
    """

    path: bytes
    before: Inode | None
    after: Inode | None
    what: tuple[str, ...] = ()

    @property
    def status(self) -> Literal["added", "removed", "changed"]:
        """What became of it."""
        if self.before is None:
            return "added"
        return "removed" if self.after is None else "changed"


class NotCompared(NamedTuple):
    """What could not be compared.

    Attributes:
        path: of a file; empty for an image's whole content.
        reason: why.
    """

    path: bytes
    reason: str


@dataclass(frozen=True, slots=True)
class Difference:
    """All that is different.

    Attributes:
        facts: what the images say.
        files: what they hold, by path.
        not_compared: what nobody looked at.
    """

    facts: tuple[FactChange, ...]
    files: tuple[FileChange, ...]
    not_compared: tuple[NotCompared, ...]

    @property
    def is_same(self) -> bool:
        """Whether everything was compared and nothing is different."""
        return not (self.facts or self.files or self.not_compared)


def compare_images(
    before: str | os.PathLike[str],
    after: str | os.PathLike[str],
    *,
    progress: Progress | None = None,
) -> Difference:
    """Tell what is different between two images.

    Raises:
        InputError: a file cannot be read.
        FormatError: one is neither a disk image nor a known file system, or is damaged.
    """
    paths = os.fspath(before), os.fspath(after)
    with OpenFile(paths[0]) as first, OpenFile(paths[1]) as second:
        infos = _inspected(first, paths[0]), _inspected(second, paths[1])
        unread = [
            NotCompared(b"", f"{path}: {problem}")
            for path, info in zip(paths, infos, strict=True)
            for problem in info.problems
        ]
        files: tuple[FileChange, ...] = ()
        if infos[0].tree is not None and infos[1].tree is not None:
            work = _Comparison(infos[0].tree, infos[1].tree, progress or NoProgress())
            files = tuple(work.changes())
            unread += work.not_compared
    return Difference(tuple(_facts(*infos)), files, tuple(unread))


def _inspected(blob: Blob, path: str) -> ImageInfo:
    with in_file(path):
        return inspect_blob(blob, path, files=True)


def _facts(before: ImageInfo, after: ImageInfo) -> Iterator[FactChange]:
    one, two = dict(_claims(before)), dict(_claims(after))
    for name in dict.fromkeys(chain(one, two)):
        if one.get(name) != two.get(name):
            yield FactChange(name, one.get(name, ""), two.get(name, ""))


def _claims(info: ImageInfo) -> Iterator[tuple[str, str]]:
    data = info.dissection.data
    yield "type", str(info.kind or "")
    yield "architecture", info.dissection.architecture or ""
    yield "partitions", " ".join(member.designator for member in info.members)
    yield "file system", (data.fstype if data else info.dissection.bare_fstype) or ""
    for name, release in info.releases.items():
        yield from ((f"release {name} {key}", value) for key, value in release.fields.items())
    yield "root hash", info.root_hash.hex() if info.root_hash else ""
    if info.signature:
        yield "signed by", info.signature.signer


class _Comparison:
    """Compares two trees; hard links and files of which one is known to differ are read once."""

    def __init__(self, before: Tree, after: Tree, progress: Progress) -> None:
        self._before = before
        self._after = after
        self._progress = progress
        self._known: dict[tuple[Inode, Inode], tuple[str, ...]] = {}
        self._left = MAX_COMPARED
        self.not_compared: list[NotCompared] = []

    def changes(self) -> Iterator[FileChange]:
        self._progress.start("compare", self._total())
        for path in sorted(self._before.keys() | self._after.keys()):
            one, two = self._before.get(path), self._after.get(path)
            what = self._compare(path, one, two) if one and two else ()
            if what or one is None or two is None:
                yield FileChange(path, one, two, what)
        self._progress.finish()

    def _total(self) -> int:
        pairs = {(one, self._after.get(path)) for path, one in self._before.items()}
        sizes = (one.content.size for one, two in pairs if two and one.content and two.content)
        return min(sum(sizes), MAX_COMPARED)

    def _compare(self, path: bytes, one: Inode, two: Inode) -> tuple[str, ...]:
        if (one, two) not in self._known:
            self._known[one, two] = (*_of_inode(one, two), *self._of_content(path, one, two))
        return self._known[one, two]

    def _of_content(self, path: bytes, one: Inode, two: Inode) -> Iterator[str]:
        if one.content is None or two.content is None:
            return
        if one.content.size != two.content.size:
            yield "size"
            yield "content"
            return
        try:
            if not self._are_equal(one.content, two.content):
                yield "content"
        except FormatError as error:
            self.not_compared.append(NotCompared(path, error.message))

    def _are_equal(self, one: Blob, two: Blob) -> bool:
        if one.size > self._left:
            raise FormatError(f"the images claim more than {MAX_COMPARED} bytes of content")
        self._left -= one.size
        for at in range(0, one.size, _CHUNK):
            length = min(_CHUNK, one.size - at)
            if one.read_at(at, length) != two.read_at(at, length):
                self._progress.advance(one.size - at)
                return False
            self._progress.advance(length)
        return True


def _of_inode(one: Inode, two: Inode) -> Iterator[str]:
    if stat.S_IFMT(one.mode) != stat.S_IFMT(two.mode):
        yield "type"
    pairs = {
        "mode": (stat.S_IMODE(one.mode), stat.S_IMODE(two.mode)),
        "owner": ((one.uid, one.gid), (two.uid, two.gid)),
        "target": (one.target, two.target),
        "device": (one.rdev, two.rdev),
        "attributes": (one.xattrs, two.xattrs),
    }
    yield from (name for name, (before, after) in pairs.items() if before != after)
