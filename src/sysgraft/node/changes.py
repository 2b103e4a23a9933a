"""What a verb did, for people and machines: one line for each thing that changed."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence


class Change(NamedTuple):
    """One thing that changed, or would.

    Attributes:
        what: installed, enabled, disabled, removed, placed, taken off, merged, not merged, kept.
        name: of the extension.
        where: a profile's or boot entry's name; empty for the store.
        file: the file.
    """

    what: str
    name: str
    where: str = ""
    file: str = ""


@dataclass(frozen=True, slots=True)
class Changes:
    """All that a verb did.

    Attributes:
        changes: in their order.
        notes: what a person should know.
        ok: whether everything that was wanted was done.
    """

    changes: tuple[Change, ...] = ()
    notes: tuple[str, ...] = ()
    ok: bool = True


@dataclass(eq=False)
class Record:
    """Collects what is done while it is done."""

    changes: list[Change] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    ok: bool = True

    def add(self, what: str, name: str, where: str = "", file: str = "") -> None:
        """Something was done."""
        self.changes.append(Change(what, name, where, file))

    def note(self, *notes: str) -> None:
        """Something is worth knowing."""
        self.notes += notes

    def done(self) -> Changes:
        """All of it."""
        return Changes(tuple(self.changes), tuple(dict.fromkeys(self.notes)), self.ok)


def joined(parts: Sequence[str]) -> str:
    """Words for a sentence."""
    return ", ".join(parts[:-1]) + (" and " if len(parts) > 1 else "") + "".join(parts[-1:])
