"""Says of each difference between a log and what was approved what it means, and which file it is.

Texts of a log are shown only where the digest is theirs: anybody may write anything beside it.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final

from sysgraft.formats.device_path import loaded_file
from sysgraft.measure.comparison import archive_text, program_name
from sysgraft.seal import archive_search
from sysgraft.seal.file_changes import changes
from sysgraft.seal.finding import Finding, called, component_of, name_of, plain_text, text_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from sysgraft.base.progress import Progress
    from sysgraft.formats.eventlog import Event as LogEvent
    from sysgraft.measure.comparison import Difference
    from sysgraft.measure.events import Component
    from sysgraft.seal.approved import ApprovedSet
    from sysgraft.seal.archive_candidates import Files
    from sysgraft.seal.known import AtHand

MAX_BASES: Final = 8
"""Approved lists of files that a search begins from."""
_SHOWN_FILES: Final = 12
_ENTRY_ROLE: Final = "entry extra"


@dataclass(slots=True, kw_only=True)
class Judge:
    """Knows what was approved and what is at hand.

    Attributes:
        bank: of the digests.
        version: release of the stub.
        best: the approved set that fits best.
        sets: all approved sets.
        now: the files as they are now, where something else is approved.
        log: all events of the log.
        gather: hashes the contents to look for; not called before they are needed.
        progress: told of the bytes hashed.
    """

    bank: str
    version: int
    best: ApprovedSet
    sets: tuple[ApprovedSet, ...]
    now: ApprovedSet | None
    log: tuple[LogEvent, ...]
    gather: Callable[[], AtHand]
    progress: Progress | None = None
    _gathered: AtHand | None = None
    _outcomes: dict[tuple[tuple[str, bytes], ...], archive_search.Outcome] = field(
        default_factory=dict
    )

    @property
    def at_hand(self) -> AtHand:
        """The contents to look for."""
        if self._gathered is None:
            self._gathered = self.gather()
        return self._gathered

    def notes(self, findings: Iterable[Finding]) -> Iterator[str]:
        """What a person should know of these findings."""
        roles = {_role(each.name) for each in findings if each.explained is False}
        lacking = [
            each.name
            for each in self.best.files
            if each.role in roles
            and each.sha256 is not None
            and each.sha256 not in self.at_hand.contents
        ]
        if lacking:
            yield (
                "contents of approved files that are not at hand, so that nothing with them could "
                f"be tried (--known): {', '.join(lacking)}"
            )

    def findings(
        self, pcr: int, differences: Iterable[Difference], log: Sequence[LogEvent]
    ) -> Iterator[Finding]:
        """What the differences of one PCR mean."""
        seen: set[tuple[str, str, str]] = set()
        for each in differences:
            found = self._finding(pcr, each, log)
            # A section is measured by name and by content; that is one thing to tell.
            key = (found.kind, found.component, found.name)
            if found.component != "section" or key not in seen:
                yield found
            seen.add(key)

    def _finding(self, pcr: int, each: Difference, log: Sequence[LogEvent]) -> Finding:
        component = component_of(each, pcr)
        name = name_of(each, component)
        if each.kind == "moved":
            text = f"{name} was measured in another order than is approved"
            return self._made(pcr, each, component, name, text)
        if component == "section":
            return self._made(pcr, each, component, name, self._section_text(each, name))
        if component == "program":
            return self._made(pcr, each, component, name, self._program_text(each, name, log))
        if component == "cmdline":
            return self._cmdline(pcr, each, name)
        if component == "archive":
            return self._archive(pcr, each, name)
        return self._made(pcr, each, component, name, plain_text(each, name))

    def _made(
        self, pcr: int, each: Difference, component: Component | str, name: str, text: str
    ) -> Finding:
        return Finding(
            pcr=pcr,
            kind=each.kind,
            component=component,
            name=name,
            text=text,
            expected=each.expected.digests[self.bank] if each.expected else None,
            found=each.found.digests[self.bank] if each.found else None,
        )

    # --- Sections and programs -------------------------------------------------------------------

    def _section_text(self, each: Difference, name: str) -> str:
        if each.kind == "missing":
            return f"section {name} is approved, and was not measured"
        digest = each.found.digests[self.bank] if each.found else b""
        label = self.at_hand.sections.get((name, digest), "")
        where = f": it is that of {label}" if label else ""
        if each.kind == "added":
            return f"section {name} was measured, and is not approved{where}"
        return f"section {name} differs{where}"

    def _program_text(self, each: Difference, name: str, log: Sequence[LogEvent]) -> str:
        if each.found is None:
            return f"{called(name)} was not loaded"
        label = self.at_hand.programs.get(each.found.digests[self.bank], "")
        known = f" ({label})" if label else ""
        what = called(loaded_file(each.found.data)) + known
        if each.expected is not None:
            same = program_name(each.found).casefold() == name.casefold()
            if same:
                return f"{called(name)} is another program than is approved{known}"
            return f"another program was loaded in place of {called(name)}: {what}"
        behind = self._next_program(each.found, log)
        before = f" before {called(behind)}" if behind else ""
        return f"another program was loaded{before}, which is not approved: {what}"

    def _next_program(self, found: LogEvent, log: Sequence[LogEvent]) -> str:
        """The approved program that was loaded after another one; empty if none was."""
        names = {
            each.digests[self.bank]: each.name
            for each in self.best.events
            if each.component == "program"
        }
        place = next(number for number, each in enumerate(log) if each is found)
        behind = (names.get(each.digests[self.bank], "") for each in log[place + 1 :])
        return next(filter(None, behind), "")

    # --- Command lines ---------------------------------------------------------------------------

    def _cmdline(self, pcr: int, each: Difference, name: str) -> Finding:
        wanted = text_of(each.expected.data) if each.expected else None
        found = self._measured_text(each.found) if each.found else None
        shown = repr(found) if found is not None else "not the one that the log tells"
        if each.kind == "missing":
            text = f"no {name} was measured, approved is {wanted!r}"
        elif each.kind == "added":
            text = f"a command line was measured, and none is approved for it: {shown}"
        else:
            text = f"the {name} is {shown}, approved is {wanted!r}"
        made = self._made(pcr, each, "cmdline", name, text)
        return replace(made, expected_text=wanted, found_text=found)

    def _measured_text(self, found: LogEvent) -> str | None:
        """The text in the log, if it is what was measured."""
        if hashlib.new(self.bank, found.data).digest() != found.digests[self.bank]:
            return None
        return text_of(found.data)

    # --- Archives --------------------------------------------------------------------------------

    def _archive(self, pcr: int, each: Difference, name: str) -> Finding:
        role = _role(name)
        approved = _files(self.best, role)
        targets = self._targets(name, each.found)
        if not targets:
            files = changes(approved, (), self.at_hand)
            names = ", ".join(file for file, _ in approved) or "its files"
            made = self._made(pcr, each, "archive", name, f"no {name}: {names} missing")
            return replace(made, files=files, explained=True)
        found, why = self._origin(targets, role)
        head = f"{name}: not that of the approved set"
        if each.expected is None:
            head = f"{name}: nothing of the kind is approved"
        elif each.found is None:
            head = f"no {name}, which is approved"
        if found is None:
            made = self._made(pcr, each, "archive", name, f"{head}; {why}")
            return replace(made, explained=False)
        files = changes(approved, found, self.at_hand)
        told = "; ".join(file.text for file in files) or (
            f"its files are approved, but the approved stub (systemd {self.version}) does not pack "
            "them like this"
        )
        made = self._made(pcr, each, "archive", name, f"{head}{why}: {told}")
        return replace(made, files=files, explained=True)

    def _targets(self, name: str, found: LogEvent | None) -> dict[str, bytes]:
        """The digests to look for: of all archives of a boot entry, or of this one."""
        if archive_search.is_entry_archive(name):
            return {
                text: each.digests[self.bank]
                for each in self.log
                for text in (archive_text(each),)
                if archive_search.is_entry_archive(text) and self.bank in each.digests
            }
        return {name: found.digests[self.bank]} if found is not None else {}

    def _origin(self, targets: Mapping[str, bytes], role: str) -> tuple[Files | None, str]:
        """The files that archives were made of, and where they are from, or why nobody knows."""
        if self.now is not None and self._has(self.now, targets, role):
            return _files(self.now, role), ", but that of the files as they are now"
        for each in self.sets:
            if self._has(each, targets, role):
                return _files(each, role), f", but that of {each.title or 'another one'}"
        bases = self._bases(role)
        outcome = self._search(targets, bases)
        if outcome.files is not None:
            return outcome.files, ""
        return None, _nothing_found(outcome, bases[0])

    def _search(
        self, targets: Mapping[str, bytes], bases: Sequence[Files]
    ) -> archive_search.Outcome:
        key = tuple(targets.items())
        if key not in self._outcomes:
            self._outcomes[key] = archive_search.search(
                targets,
                bases,
                self.at_hand,
                bank=self.bank,
                progress=self.progress,
            )
        return self._outcomes[key]

    def _has(self, candidate: ApprovedSet, targets: Mapping[str, bytes], role: str) -> bool:
        """Whether a set makes exactly these archives of its files with a role."""
        return targets == {
            each.name: each.digests[self.bank]
            for each in candidate.events
            if each.component == "archive" and _role(each.name) == role
        }

    def _bases(self, role: str) -> tuple[Files, ...]:
        """What a search begins from; the contents in the folder as it is now among it."""
        sets = [self.best, *([self.now] if self.now else []), *self.sets]
        found = dict.fromkeys(_files(each, role) for each in sets)
        return tuple(found)[:MAX_BASES]


def _files(approved: ApprovedSet, role: str) -> Files:
    return tuple(
        (each.name, each.sha256)
        for each in approved.files
        if each.role == role and each.sha256 is not None
    )


def _role(archive: str) -> str:
    """The role of the files in an archive."""
    kind = archive_search.kind_of(archive)
    return kind.name if kind else _ENTRY_ROLE


def _nothing_found(outcome: archive_search.Outcome, base: Files) -> str:
    names = ", ".join(name for name, _ in base[:_SHOWN_FILES]) or "none"
    if len(base) > _SHOWN_FILES:
        names += f" and {len(base) - _SHOWN_FILES} more"
    tried = f"{outcome.tried} archives tried" + ("" if outcome.complete else ", not all there are")
    return (
        "no combination of the known files gives this digest: an unknown or altered file "
        f"({tried}; approved: {names})"
    )
