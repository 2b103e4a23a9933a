"""What has to be signed for one start, and whether all of it together opens what is sealed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal, TypeAlias

from sysgraft.seal.binding import GOES_ON_SINCE, tried

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from sysgraft.seal.binding import Binding
    from sysgraft.seal.plan_signatures import Answer
    from sysgraft.seal.plan_start import Start

Status: TypeAlias = Literal["signed", "unknown", "unsigned"]
_RANKS: Final[tuple[Status, ...]] = ("signed", "unknown", "unsigned")


@dataclass(frozen=True, slots=True)
class Question:
    """A policy that has to be signed, and whether it is.

    Attributes:
        binding: who wants it.
        phase: the phase path.
        policy: its digest.
        answer: by the signature files there are.
    """

    binding: Binding
    phase: str
    policy: bytes
    answer: Answer

    @property
    def status(self) -> Status:
        """What came of it; unknown is what is signed and may open or not."""
        if not self.answer.problem:
            return "signed"
        return "unknown" if self.answer.is_unknown else "unsigned"

    @property
    def is_to_be_signed(self) -> bool:
        """Whether a signature would help."""
        return self.status == "unsigned" and not self.binding.problems


@dataclass(frozen=True, slots=True)
class Combination:
    """One combination of old and new files of an entry.

    Attributes:
        done: numbers of the changes that are made; the other ones of the entry are not.
        start: what it does.
        questions: what it needs, answered by all signature files of both partitions.
        status: what comes of them.
        in_order: whether the suggested order leads through it.
    """

    done: frozenset[int]
    start: Start
    questions: tuple[Question, ...]
    status: Status
    in_order: bool

    @property
    def missing(self) -> tuple[Question, ...]:
        """What is not signed, and would have to be."""
        if self.status != "unsigned":
            return ()
        return tuple(each for each in self.questions if each.is_to_be_signed)


def status_of(
    questions: Iterable[Question], *, one_is_enough: bool, release: int = GOES_ON_SINCE
) -> Status:
    """What comes of all questions of a start; one that does not start has none, and is signed.

    Args:
        questions: all of them.
        one_is_enough: whether at each phase one binding is, as of the tokens of a volume.
        release: of the systemd that looks: see `sysgraft.seal.binding.GOES_ON_SINCE`.
    """
    phases: dict[str, list[Question]] = {}
    for each in questions:
        phases.setdefault(each.phase, []).append(each)
    ranks = [_rank(found, one_is_enough, release) for found in phases.values()]
    return _RANKS[max(ranks, default=0)]


def _rank(questions: Sequence[Question], one_is_enough: bool, release: int) -> int:  # noqa: FBT001
    if not one_is_enough:
        return max(_RANKS.index(each.status) for each in questions)
    asked = tried([each.binding for each in questions], release)
    return min(_RANKS.index(each.status) for each in questions if each.binding in asked)
