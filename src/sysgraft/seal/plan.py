"""Plans an upgrade of an EFI system partition: what can boot meanwhile, and is all of it signed?

Each combination of old and new files of a boot entry leads to values of its own, and a volume that
is sealed to signed policies opens only if a signature for them is there at that moment. The plan
tells which combinations are signed, in which order the files are best put there, and which policies
still have to be signed. Nothing is changed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from sysgraft.errors import InputError, LimitError
from sysgraft.formats import pcrsig
from sysgraft.measure.policy import policy_pcr
from sysgraft.seal.check import NOT_VERIFIED
from sysgraft.seal.esp_material import ENTRIES
from sysgraft.seal.plan_order import MAX_STATES, find_order, states_of
from sysgraft.seal.plan_signatures import Documents
from sysgraft.seal.plan_start import with_key
from sysgraft.seal.plan_status import Combination, Question, status_of
from sysgraft.seal.transition import folded

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from sysgraft.seal.binding import Binding
    from sysgraft.seal.plan_entries import PlanEntry
    from sysgraft.seal.plan_signatures import Document
    from sysgraft.seal.plan_status import Status
    from sysgraft.seal.plan_values import Combinations, Planned
    from sysgraft.seal.transition import Change

_MAX_JUDGED: Final = 1 << 22
"""How often a search for an order asks what comes of an entry."""


@dataclass(frozen=True, slots=True)
class EntryPlan:
    """An entry with all its combinations.

    Attributes:
        entry: the entry.
        changes: numbers of the changes that matter to it.
        combinations: all of them, by how many changes are made.
    """

    entry: PlanEntry
    changes: tuple[int, ...]
    combinations: tuple[Combination, ...]


@dataclass(frozen=True, slots=True)
class State:
    """What the suggested order leaves behind after a step.

    Attributes:
        number: of the change that is made; None for the partition as it is.
        unsigned: entries that would start and not open what is sealed.
        unknown: entries that are signed, but of which nobody can tell whether they open it.
    """

    number: int | None
    unsigned: tuple[PlanEntry, ...]
    unknown: tuple[PlanEntry, ...] = ()


@dataclass(frozen=True, slots=True)
class Plan:
    """The plan.

    Attributes:
        changes: every file that is different.
        entries: each with its combinations.
        states: along the suggested order, the present one first.
        any_time: numbers of changes that do not matter to these PCRs.
        is_best: whether it is known that no other order meets fewer unsigned combinations.
        bindings: what is wanted of the signatures.
        notes: what a person should know.
    """

    changes: tuple[Change, ...]
    entries: tuple[EntryPlan, ...]
    states: tuple[State, ...]
    any_time: tuple[int, ...]
    is_best: bool
    bindings: tuple[Binding, ...]
    notes: tuple[str, ...]

    @property
    def ok(self) -> bool:
        """Whether everything that the suggested order can leave behind is known to open."""
        return not any(each.unsigned or each.unknown for each in self.states)

    def missing(self, *, only_order: bool = False) -> pcrsig.Signatures:
        """The policies that are not signed.

        Args:
            only_order: of combinations that the suggested order leads through, not of all.

        Raises:
            LimitError: they are more than one document can have.
        """
        found: dict[str, dict[pcrsig.Entry, None]] = {}
        for each in self._missing(only_order=only_order):
            wanted = each.binding
            entry = pcrsig.Entry(wanted.pcrs, b"", each.policy, reference=wanted.reference)
            found.setdefault(wanted.bank, {})[entry] = None
        if sum(map(len, found.values())) > pcrsig.MAX_ENTRIES:
            raise LimitError(f"more than {pcrsig.MAX_ENTRIES} policies are not signed")
        return {bank: tuple(entries) for bank, entries in found.items()}

    def _missing(self, *, only_order: bool) -> Iterator[Question]:
        for entry in self.entries:
            for combination in entry.combinations:
                if combination.in_order or not only_order:
                    yield from combination.missing


def make_plan(
    planned: Planned,
    bindings: Sequence[Binding],
    *,
    phases: Sequence[str] = ("enter-initrd",),
    given: Mapping[str, pcrsig.Signatures] | None = None,
    one_is_enough: bool = False,
) -> Plan:
    """Hold signatures against all combinations, and find an order.

    Args:
        planned: all combinations (`sysgraft.seal.plan_values.measure`).
        bindings: what is wanted of the signatures; where no key is known, the one that all images
            have is taken.
        phases: phase paths at which volumes are unlocked.
        given: signatures that are there in every state, by a name for them.
        one_is_enough: whether one of the bindings is, as of the tokens of a volume.

    Raises:
        InputError: there is no boot entry.
    """
    if not planned.entries:
        raise InputError("there is no boot entry that starts a UKI", file=planned.request.after)
    starts = (start for each in planned.entries for start in each.starts.values())
    wanted = with_key(bindings, starts)
    return _Judge(planned, wanted, phases, given or {}, one_is_enough=one_is_enough).plan()


class _Judge:
    def __init__(
        self,
        planned: Planned,
        bindings: tuple[Binding, ...],
        phases: Sequence[str],
        given: Mapping[str, pcrsig.Signatures],
        *,
        one_is_enough: bool,
    ) -> None:
        self._one_is_enough = one_is_enough
        self._planned = planned
        self._transition = planned.transition
        self._bindings = bindings
        self._phases = tuple(phases)
        self._documents = Documents(given)
        self._policies: dict[tuple[PlanEntry, int], tuple[tuple[Binding, str, bytes], ...]] = {}
        self._there: dict[tuple[str, bool, str, int], tuple[Document, ...]] = {}
        self._status: dict[tuple[PlanEntry, int], Status] = {}
        self._ends = (self._transition.state(0), self._transition.state(self._transition.end))

    def plan(self) -> Plan:
        signing = {number for each in self._planned.entries for number in each.signature_changes}
        counting = {number for each in self._planned.entries for number in each.changes} | signing
        preferred = sorted(counting, key=lambda number: self._rank(number, signing))
        looked_at = max(1, len(preferred) * len(self._planned.entries))
        limit = min(MAX_STATES, _MAX_JUDGED // looked_at)
        order = find_order(preferred, lambda state: len(self._unsigned(state)), limit=limit)
        states = states_of(order.steps)
        steps = (None, *order.steps)
        return Plan(
            changes=self._transition.changes,
            entries=tuple(self._entry_plan(each, states) for each in self._planned.entries),
            states=tuple(
                map(State, steps, map(self._unsigned, states), map(self._unknown, states))
            ),
            any_time=tuple(n for n in range(len(self._transition.changes)) if n not in counting),
            is_best=order.is_best,
            bindings=self._bindings,
            notes=tuple(self._notes()),
        )

    def _rank(self, number: int, signing: set[int]) -> tuple[int, str]:
        """Signatures first, then what lies beside images, the entries; removed the other way."""
        change = self._transition.changes[number]
        place = folded(change.path)
        rank = 1
        if number in signing:
            rank = 0
        elif place.startswith(folded(ENTRIES) + "/"):
            rank = 3
        elif place.endswith(folded(".efi")) and not place.endswith(folded(".addon.efi")):
            rank = 2
        return (7 - rank if change.action == "remove" else rank), place

    def _unsigned(self, state: int) -> tuple[PlanEntry, ...]:
        return self._entries_with("unsigned", state)

    def _unknown(self, state: int) -> tuple[PlanEntry, ...]:
        return self._entries_with("unknown", state)

    def _entries_with(self, status: Status, state: int) -> tuple[PlanEntry, ...]:
        entries = self._planned.entries
        return tuple(each.entry for each in entries if self._status_in(each, state) == status)

    def _status_in(self, entry: Combinations, state: int) -> Status:
        signing = state & sum(1 << number for number in entry.signature_changes)
        key = entry.entry, state & entry.mask | signing
        if key not in self._status:
            start = entry.starts[state & entry.mask]
            where = start.image, start.is_image_known, start.signatures[0], signing
            if where not in self._there:
                volumes = (self._transition.state(signing),)
                self._there[where] = self._documents.there(start, volumes) if start.image else ()
            questions = self._questions(entry, state & entry.mask, self._there[where])
            self._status[key] = status_of(
                questions, one_is_enough=self._one_is_enough, release=start.systemd
            )
        return self._status[key]

    def _questions(
        self, entry: Combinations, state: int, documents: Sequence[Document]
    ) -> tuple[Question, ...]:
        release = entry.starts[state].systemd
        return tuple(
            Question(*each, self._documents.answer(each[0], each[2], documents, release=release))
            for each in self._wanted(entry, state)
        )

    def _wanted(self, entry: Combinations, state: int) -> tuple[tuple[Binding, str, bytes], ...]:
        """The policies of a combination; none if it does not start."""
        key = entry.entry, state
        if key not in self._policies:
            start = entry.starts[state]
            self._policies[key] = tuple(
                (binding, phase, policy_pcr(binding.bank, values))
                for binding in self._bindings
                for phase in self._phases
                if start.boot is not None
                for values in (start.values(phase, binding.bank, binding.pcrs),)
            )
        return self._policies[key]

    def _entry_plan(self, entry: Combinations, states: Sequence[int]) -> EntryPlan:
        reached = {state & entry.mask for state in states}
        found = []
        for state, start in entry.starts.items():
            documents = self._documents.there(start, self._ends) if start.image else ()
            questions = self._questions(entry, state, documents)
            found.append(
                Combination(
                    frozenset(number for number in entry.changes if state >> number & 1),
                    start,
                    questions,
                    status_of(questions, one_is_enough=self._one_is_enough, release=start.systemd),
                    state in reached,
                )
            )
        return EntryPlan(entry.entry, entry.changes, tuple(found))

    def _notes(self) -> Iterator[str]:
        yield from self._planned.notes
        yield from self._documents.notes
        if any(each.key is None for each in self._bindings):
            yield NOT_VERIFIED
        for binding in self._bindings:
            for text in binding.skipped:
                yield f"{binding.name}: {text}"
