"""Says of each difference between a log and what was approved what it means, and which file it is.

Texts of a log are shown only where the digest is theirs: anybody may write anything beside it.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final, NamedTuple

from sysgraft.formats.device_path import loaded_file
from sysgraft.measure.comparison import program_name
from sysgraft.seal.archive_origin import Origins, files_of, role_of
from sysgraft.seal.file_changes import changes
from sysgraft.seal.finding import Finding, called, component_of, name_of, plain_text, text_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from sysgraft.base.progress import Progress
    from sysgraft.formats.eventlog import Event as LogEvent
    from sysgraft.measure.comparison import Difference
    from sysgraft.measure.events import Component
    from sysgraft.seal.approved import ApprovedSet
    from sysgraft.seal.known import AtHand

MAX_FINDINGS: Final = 64
"""Differences of one PCR that are told one by one."""


class Told(NamedTuple):
    """What there is to tell of one PCR.

    Attributes:
        findings: the first ones.
        left_out: how many differences more there are.
    """

    findings: tuple[Finding, ...]
    left_out: int


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
    _origins: Origins | None = None
    _behind: dict[int, str] | None = None

    @property
    def origins(self) -> Origins:
        """Of which files archives were made."""
        if self._origins is None:
            self._origins = Origins(
                bank=self.bank,
                best=self.best,
                sets=self.sets,
                now=self.now,
                log=self.log,
                at_hand=lambda: self.at_hand,
                progress=self.progress,
            )
        return self._origins

    @property
    def at_hand(self) -> AtHand:
        """The contents to look for."""
        if self._gathered is None:
            self._gathered = self.gather()
        return self._gathered

    def notes(self, findings: Iterable[Finding]) -> Iterator[str]:
        """What a person should know of these findings."""
        roles = {role_of(each.name) for each in findings if each.explained is False}
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

    def expect(self, pcr: int, differences: Iterable[Difference]) -> None:
        """Announce the differences of a PCR: those of all before `findings` is asked for any."""
        self.origins.expect(
            name_of(each, "archive")
            for each in differences
            if each.kind != "moved" and component_of(each, pcr) == "archive"
        )

    def findings(self, pcr: int, differences: Iterable[Difference]) -> Told:
        """What the differences of one PCR mean."""
        found: list[Finding] = []
        seen: set[tuple[str, str]] = set()
        left_out = 0
        for each in differences:
            component = component_of(each, pcr)
            name = name_of(each, component)
            # A section is measured by name and by content; that is one thing to tell.
            if component == "section":
                if (each.kind, name) in seen:
                    continue
                seen.add((each.kind, name))
            if len(found) == MAX_FINDINGS:
                left_out += 1
            else:
                found.append(self._finding(pcr, each, component, name))
        return Told(tuple(found), left_out)

    def _finding(
        self, pcr: int, each: Difference, component: Component | str, name: str
    ) -> Finding:
        if each.kind == "moved":
            text = f"{name} was measured in another order than is approved"
            return self._made(pcr, each, component, name, text)
        if component == "section":
            return self._made(pcr, each, component, name, self._section_text(each, name))
        if component == "program":
            return self._made(pcr, each, component, name, self._program_text(each, name))
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

    def _program_text(self, each: Difference, name: str) -> str:
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
        behind = self._next_program(each.found)
        before = f" before {called(behind)}" if behind else ""
        return f"another program was loaded{before}, which is not approved: {what}"

    def _next_program(self, found: LogEvent) -> str:
        """The approved program that was loaded after another one; empty if none was."""
        if self._behind is None:
            names = {
                each.digests[self.bank]: each.name
                for each in self.best.events
                if each.component == "program"
            }
            self._behind = {}
            behind = ""
            for each in reversed(self.log):
                self._behind[id(each)] = behind
                behind = names.get(each.digests.get(self.bank, b""), behind)
        return self._behind[id(found)]

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
        role = role_of(name)
        approved = files_of(self.best, role)
        targets = self.origins.targets(name, each.found)
        if not targets:
            files = changes(approved, (), self.at_hand)
            names = ", ".join(file for file, _ in approved) or "its files"
            made = self._made(pcr, each, "archive", name, f"no {name}: {names} missing")
            return replace(made, files=files, explained=True)
        found, why = self.origins.find(name, targets)
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
