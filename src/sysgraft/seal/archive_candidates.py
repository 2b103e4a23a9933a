"""What an archive would look like if it were made of other files than the approved ones."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sysgraft.errors import LimitError
from sysgraft.formats import stub_archive
from sysgraft.measure.sidecars import MAX_NAME, in_order
from sysgraft.seal.entry_extras import SINCE, pack_extras
from sysgraft.seal.hashing import Hashing
from sysgraft.seal.material import Source

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterable, Iterator, Mapping

    from sysgraft.base.blob import Blob
    from sysgraft.formats.stub_archive import Step
    from sysgraft.measure.sidecars import Kind
    from sysgraft.seal.hashing import Digests
    from sysgraft.seal.known import AtHand

Files = tuple[tuple[str, bytes], ...]
"""Names with the SHA-256 of contents, in the order in which they are packed."""

ENTRY_EVENTS: Final = frozenset(
    (
        "Entry credentials initrd",
        "Entry system extension initrd",
        "Entry configuration extension initrd",
    )
)
"""What the log calls the archives of a boot entry."""
_ENTRY_SUFFIXES: Final = (".cred", ".sysext.raw", ".confext.raw")


class Packer:
    """Gives the archives that would have been made of files.

    Args:
        kind: which of the stub's archives; None for those of a boot entry.
        at_hand: the contents.
    """

    def __init__(self, kind: Kind | None, at_hand: AtHand) -> None:
        self._contents = at_hand.contents
        self._kind = kind

    @property
    def is_sorted(self) -> bool:
        """Whether names alone decide the order."""
        return self._kind is not None

    @property
    def price(self) -> int:
        """How long an archive takes, as a multiple of one of the stub's."""
        return 1 if self._kind else 2

    def takes(self, name: str) -> bool:
        """Whether a file of that name goes into them."""
        suffixes = (self._kind.suffix,) if self._kind else _ENTRY_SUFFIXES
        return (
            name.isascii()
            and len(name) <= MAX_NAME
            and not name.startswith(".")
            and name.lower().endswith(suffixes)
        )

    def in_order(self, files: Files) -> Files:
        """As the stub sorts them; systemd-boot leaves them as the entry has them."""
        if self._kind is None:
            return files
        by_name = dict(files)
        return tuple((name, by_name[name]) for name in in_order(by_name))

    def with_one_more(self, files: Files, name: str, content: bytes) -> Iterator[Files]:
        """Where the file may have come: an entry lists it anywhere."""
        if self._kind is not None:
            yield self.in_order((*files, (name, content)))
            return
        for place in range(len(files), -1, -1):
            yield (*files[:place], (name, content), *files[place:])

    def archives(self, files: Files) -> dict[str, tuple[Step, ...]]:
        """Their parts, by what the log calls them; none if they cannot be computed."""
        if any(content not in self._contents for _, content in files):
            return {}
        try:
            return self._own(files) if self._kind else self._of_entry(files)
        except LimitError:
            return {}

    def _own(self, files: Files) -> dict[str, tuple[Step, ...]]:
        assert self._kind is not None  # noqa: S101  for the type checker
        packed = [
            stub_archive.File(name, self._contents[content].size, content)
            for name, content in files
        ]
        steps = stub_archive.pack(self._kind.folder, packed)
        return {self._kind.event: steps} if steps else {}

    def _of_entry(self, files: Files) -> dict[str, tuple[Step, ...]]:
        sources = [
            Source(name, content.hex(), self._contents[content].blob) for name, content in files
        ]
        recorder = _Recorder()
        return {
            packed.event: tuple(
                step._replace(key=bytes.fromhex(str(step.key)))
                for step in recorder.archives[id(packed.digests)]
            )
            for packed in pack_extras(sources, SINCE, recorder).packed()
        }

    def blob(self, content: bytes) -> Blob:
        """What a SHA-256 stands for."""
        return self._contents[content].blob


class _Recorder(Hashing):
    """Takes archives down instead of hashing them."""

    def __init__(self) -> None:
        super().__init__(())
        self.archives: dict[int, tuple[Step, ...]] = {}
        self._kept: list[Digests] = []

    def archive(
        self,
        steps: Iterable[Step],
        contents: Mapping[Hashable, Blob],
        tail: bytes = stub_archive.TRAILER,
    ) -> Digests:
        """See `Hashing.archive`."""
        del contents, tail
        digests: Digests = {}
        self._kept.append(digests)
        self.archives[id(digests)] = tuple(steps)
        return digests
