"""Of which files the archives in a log were made: an approved set's, those of now, or others.

Sets that are known are looked up by the digests of their archives. What is none of theirs is
searched for (`sysgraft.seal.archive_search`): once for each kind of archive, and all searches share
one budget, for a log may have any number of digests that lead nowhere.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from sysgraft.measure.comparison import archive_text
from sysgraft.seal import archive_search
from sysgraft.seal.archive_trial import Budget

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from sysgraft.base.progress import Progress
    from sysgraft.formats.eventlog import Event as LogEvent
    from sysgraft.seal.approved import ApprovedSet
    from sysgraft.seal.archive_candidates import Files
    from sysgraft.seal.known import AtHand

MAX_BASES: Final = 8
"""Approved lists of files that a search begins from."""
_SHOWN_FILES: Final = 12
_ENTRY_ROLE: Final = "entry extra"

_Key = tuple[str, frozenset[tuple[str, bytes]]]
"""The role of files, and names and digests of all archives of them."""


@dataclass(slots=True, kw_only=True)
class Origins:
    """Knows the archives of all sets, and searches for others.

    Attributes:
        bank: of the digests.
        best: the approved set that fits best.
        sets: all approved sets.
        now: the files as they are now, where something else is approved.
        log: all events of the log.
        at_hand: gives the contents to look for.
        progress: told of the bytes hashed.
    """

    bank: str
    best: ApprovedSet
    sets: tuple[ApprovedSet, ...]
    now: ApprovedSet | None
    log: tuple[LogEvent, ...]
    at_hand: Callable[[], AtHand]
    progress: Progress | None = None
    _budget: Budget = field(default_factory=Budget)
    _waiting: set[str] = field(default_factory=set)
    _searched: dict[str, tuple[dict[str, bytes], archive_search.Outcome]] = field(
        default_factory=dict
    )
    _known: dict[_Key, tuple[Files, str]] | None = None
    _entry_targets: dict[str, bytes] | None = None

    def expect(self, names: Iterable[str]) -> None:
        """Announce archives that `find` may be asked for, so that the budget is shared fairly."""
        self._waiting |= {role_of(name) for name in names}

    def targets(self, name: str, found: LogEvent | None) -> dict[str, bytes]:
        """The digests to look for: of all archives of a boot entry, or of this one."""
        if not archive_search.is_entry_archive(name):
            return {name: found.digests[self.bank]} if found is not None else {}
        if self._entry_targets is None:
            named = ((archive_text(each), each) for each in self.log)
            self._entry_targets = {
                text: each.digests[self.bank]
                for text, each in named
                if archive_search.is_entry_archive(text) and self.bank in each.digests
            }
        return self._entry_targets

    def find(self, name: str, targets: Mapping[str, bytes]) -> tuple[Files | None, str]:
        """The files that archives were made of, and where they are from, or why nobody knows."""
        role = role_of(name)
        known = self._sets().get((role, frozenset(targets.items())))
        if known is not None:
            return known
        earlier = self._searched.get(role)
        if earlier is not None and earlier[0] != targets:
            return None, "not searched for: another archive of the kind was"
        bases = self._bases(role)
        outcome = earlier[1] if earlier else self._search(role, targets, bases)
        if outcome.files is not None:
            return outcome.files, ""
        return None, _nothing_found(outcome, bases[0])

    def _search(
        self, role: str, targets: Mapping[str, bytes], bases: Sequence[Files]
    ) -> archive_search.Outcome:
        part = self._budget.take(max(1, len(self._waiting - self._searched.keys())))
        outcome = archive_search.search(
            targets,
            bases,
            self.at_hand(),
            bank=self.bank,
            budget=part,
            progress=self.progress,
        )
        self._budget.put_back(part)
        self._searched[role] = dict(targets), outcome
        return outcome

    def _sets(self) -> dict[_Key, tuple[Files, str]]:
        """The files of all known sets, by their archives; those of now go before others."""
        if self._known is None:
            self._known = {}
            if self.now is not None:
                self._add(self.now, ", but that of the files as they are now")
            for each in self.sets:
                self._add(each, f", but that of {each.title or 'another one'}")
        return self._known

    def _add(self, one: ApprovedSet, told: str) -> None:
        assert self._known is not None  # noqa: S101  for the type checker
        archives: dict[str, set[tuple[str, bytes]]] = {}
        for each in one.events:
            if each.component == "archive":
                of_role = archives.setdefault(role_of(each.name), set())
                of_role.add((each.name, each.digests[self.bank]))
        for role, made in archives.items():
            key = role, frozenset(made)
            if key not in self._known:
                self._known[key] = files_of(one, role), told

    def _bases(self, role: str) -> tuple[Files, ...]:
        """What a search begins from; the contents in the folder as it is now among it."""
        sets = [self.best, *([self.now] if self.now else []), *self.sets]
        found: dict[Files, None] = {}
        for each in sets:
            found[files_of(each, role)] = None
            if len(found) == MAX_BASES:
                break
        return tuple(found)


def files_of(approved: ApprovedSet, role: str) -> Files:
    """A set's files with a role, as far as their contents are known."""
    return tuple(
        (each.name, each.sha256)
        for each in approved.files
        if each.role == role and each.sha256 is not None
    )


def role_of(archive: str) -> str:
    """The role of the files in an archive; empty if nobody is known to make one called so."""
    kind = archive_search.kind_of(archive)
    if kind is not None:
        return kind.name
    return _ENTRY_ROLE if archive_search.is_entry_archive(archive) else ""


def _nothing_found(outcome: archive_search.Outcome, base: Files) -> str:
    names = ", ".join(name for name, _ in base[:_SHOWN_FILES]) or "none"
    if len(base) > _SHOWN_FILES:
        names += f" and {len(base) - _SHOWN_FILES} more"
    tried = f"{outcome.tried} archives tried" + ("" if outcome.complete else ", not all there are")
    return (
        "no combination of the known files gives this digest: an unknown or altered file "
        f"({tried}; approved: {names})"
    )
