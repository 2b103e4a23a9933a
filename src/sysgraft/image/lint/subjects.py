"""Images made into subjects: opened, their files listed, their release file chosen."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sysgraft.base import version
from sysgraft.errors import FormatError, in_file
from sysgraft.formats import extension_release
from sysgraft.formats.extension_release import Kind
from sysgraft.host.files import OpenFile
from sysgraft.image import matching
from sysgraft.image.content import parse_release
from sysgraft.image.inspect import inspect_blob
from sysgraft.image.lint.finding import found
from sysgraft.image.lint.scene import Subject
from sysgraft.image.merge_order import merge_orders

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from sysgraft.base.tree import Tree
    from sysgraft.formats.extension_release import ExtensionRelease
    from sysgraft.image.inspect import ImageInfo
    from sysgraft.image.lint.finding import Finding


class Opened:
    """The set of images: what can be linted, and what stands in the way of that.

    Args:
        files: as the caller named them.
        release: of systemd.
        called: names under which systemd finds some of them, where those are other ones.

    Attributes:
        subjects: of each kind the lowest layer first.
        findings: about images that are not merged under their names, or cannot be read.

    Raises:
        InputError: a file cannot be read, or is neither a disk image nor a file system.
    """

    def __init__(
        self, files: Sequence[str], release: int, called: Mapping[str, str] | None = None
    ) -> None:
        self._release = release
        self._called = called or {}
        self.findings: list[Finding] = []
        subjects = [self._open(file) for file in dict.fromkeys(files)]
        kept = [each for each in self._unique(subjects) if self._is_found(each)]
        self.subjects = tuple(sorted(kept, key=lambda each: version.key(each.name)))

    def _open(self, file: str) -> Subject:
        with in_file(file):
            info = inspect_blob(OpenFile(file), file, files=True)
        subject = _subject(info, self._name(file), self._release)
        if info.tree is None:
            self.findings.append(found("unreadable", "; ".join(info.problems), file))
        elif subject.choice and subject.choice.name and subject.release is None:
            path = extension_release.path(subject.kind, subject.choice.name)
            problem = "its release file is none that can be read"
            self.findings.append(found("unreadable", problem, file, path=path))
        return subject

    def _name(self, file: str) -> str:
        return self._called.get(file) or file.rpartition("/")[2]

    def _unique(self, subjects: Sequence[Subject]) -> Iterator[Subject]:
        """Each name once; which of two is merged decide the folders they are put in."""
        first: dict[tuple[Kind, str], str] = {}
        for each in subjects:
            known = first.setdefault((each.kind, each.name), each.file)
            if known == each.file:
                yield each
                continue
            problem = f"both are the extension {each.name!r}: systemd merges one of them"
            self.findings.append(found("duplicate-name", problem, known, each.file))

    def _is_found(self, subject: Subject) -> bool:
        """Whether systemd takes the file for an image at all."""
        file = self._name(subject.file)
        (order,) = merge_orders([file], kind=subject.kind, release=self._release)
        for _, by, reason in order.passed_over:
            if by == "systemd":
                self.findings.append(found("not-an-image-name", reason, subject.file))
                return False
        return True


def _subject(info: ImageInfo, file: str, release: int) -> Subject:
    tree = info.tree or {}
    splits = map(extension_release.split_path, tree)
    kinds = frozenset(split[0] for split in splits if split is not None)
    kind = info.kind or Kind.SYSEXT
    choice = None
    if info.tree is not None:
        choice = matching.choose_release(file, _candidates(tree, kind), systemd_version=release)
    (order,) = merge_orders([file], kind=kind, release=release)
    return Subject(
        file=info.file,
        name=order.merged[0].name if order.merged else file,
        kind=kind,
        tree=tree,
        choice=choice,
        release=_release(tree, kind, choice.name if choice else None),
        kinds=kinds,
        dissection=info.dissection,
    )


def _candidates(tree: Tree, kind: Kind) -> list[matching.Candidate]:
    candidates = []
    for path, inode in tree.items():
        split = extension_release.split_path(path)
        if split is not None and split[0] is kind:
            value = dict(inode.xattrs).get(extension_release.STRICT_XATTR)
            strict = None if value is None else extension_release.parse_strict(value)
            candidates.append(matching.Candidate(split[1], strict=strict, regular=inode.is_file))
    return candidates


def _release(tree: Tree, kind: Kind, name: str | None) -> ExtensionRelease | None:
    if name is None:
        return None
    try:
        return parse_release(tree.get(extension_release.path(kind, name)), kind, name)
    except FormatError:
        return None
