"""What is different between the files that were approved and those that were there."""

from __future__ import annotations

from collections import defaultdict, deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from sysgraft.seal.archive_candidates import Files
    from sysgraft.seal.known import AtHand

ChangeKind = Literal["changed", "missing", "added", "renamed", "reordered"]


@dataclass(frozen=True, slots=True)
class FileChange:
    """One difference.

    Attributes:
        kind: what happened to the file.
        name: as it was approved; as it was there, if it is not approved.
        found_name: as it was there; empty if it was not.
        approved: SHA-256 of its content as approved; None if it is not approved.
        found: SHA-256 of its content as it was; None if it was not there.
        label: where that content lies; empty if nowhere at hand.
    """

    kind: ChangeKind
    name: str
    found_name: str = ""
    approved: bytes | None = None
    found: bytes | None = None
    label: str = ""

    @property
    def text(self) -> str:
        """A sentence for a person, without its full stop."""
        where = f" ({self.label})" if self.label else ""
        if self.kind == "changed":
            return f"{self.name} had another content{where}"
        if self.kind == "missing":
            return f"{self.name} was missing"
        if self.kind == "added":
            return f"{self.found_name} was there, and is not approved{where}"
        if self.kind == "renamed":
            return f"{self.name} was called {self.found_name}"
        return f"the files were packed in another order: {self.found_name}"


def changes(approved: Files, found: Files, at_hand: AtHand) -> tuple[FileChange, ...]:
    """The differences, none if there are none."""
    wanted, there = dict(approved), dict(found)
    lost = {name: content for name, content in wanted.items() if name not in there}
    extra = {name: content for name, content in there.items() if name not in wanted}
    listed = [*_changed(wanted, there, at_hand), *_renamed(lost, extra)]
    listed += [FileChange("missing", name, approved=content) for name, content in lost.items()]
    listed += [
        FileChange("added", name, name, found=content, label=_label(at_hand, content))
        for name, content in extra.items()
    ]
    if not listed and tuple(approved) != tuple(found):
        names = ", ".join(name for name, _ in found)
        listed.append(FileChange("reordered", "", names))
    return tuple(listed)


def _changed(
    wanted: Mapping[str, bytes], there: Mapping[str, bytes], at_hand: AtHand
) -> Iterator[FileChange]:
    for name, content in wanted.items():
        found = there.get(name, content)
        if found != content:
            yield FileChange("changed", name, name, content, found, _label(at_hand, found))


def _renamed(lost: dict[str, bytes], extra: dict[str, bytes]) -> Iterable[FileChange]:
    """Files that are there under another name; taken out of both."""
    names: defaultdict[bytes, deque[str]] = defaultdict(deque)
    for name, content in extra.items():
        names[content].append(name)
    found = []
    for name, content in list(lost.items()):
        if names[content]:
            other = names[content].popleft()
            found.append(FileChange("renamed", name, other, content, content))
            del lost[name], extra[other]
    return found


def _label(at_hand: AtHand, content: bytes) -> str:
    known = at_hand.contents.get(content)
    return known.label if known else ""
