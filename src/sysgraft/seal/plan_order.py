"""In which order changes are made so that no state between them is a bad one.

A state is a set of changes, as the bits of a number. The search goes through the states from the
empty one, always on with the way that met the fewest bad ones, and among those with the one whose
steps come first in the order that was preferred. So the first way to the end is the best one.
"""

from __future__ import annotations

from heapq import heappop, heappush
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

MAX_STATES: Final = 1 << 15
"""States that are looked at; all of those of 15 changes."""
MAX_KEPT: Final = 1 << 22
"""Steps of all ways that wait to be gone on with: they are what takes memory."""


class Order(NamedTuple):
    """An order of changes.

    Attributes:
        steps: the numbers of the changes.
        cost: what its states cost together, the first one left out.
        is_best: whether no other order costs less.
    """

    steps: tuple[int, ...]
    cost: int
    is_best: bool


def find_order(
    changes: Sequence[int], cost: Callable[[int], int], *, limit: int = MAX_STATES
) -> Order:
    """The order that costs least; of several the one nearest to that of `changes`.

    Args:
        changes: numbers of the changes, in the order that is preferred.
        cost: how bad a state is, 0 for a good one.
        limit: states to look at; past them, and past `MAX_KEPT`, the preferred order is
            the answer.
    """
    total = sum(map(cost, states_of(changes)[1:]))
    if not total:
        return Order(tuple(changes), 0, is_best=True)
    end = sum(1 << number for number in changes)
    waiting: list[tuple[int, tuple[int, ...], int]] = [(0, (), 0)]
    seen: set[int] = set()
    kept = 0
    while waiting and len(seen) < limit and kept < MAX_KEPT:
        so_far, places, state = heappop(waiting)
        if state == end:
            return Order(tuple(changes[place] for place in places), so_far, is_best=True)
        if state in seen:
            continue
        seen.add(state)
        kept += len(changes) * (len(places) + 1)
        for place, number in enumerate(changes):
            following = state | 1 << number
            if following != state and following not in seen:
                heappush(waiting, (so_far + cost(following), (*places, place), following))
    return Order(tuple(changes), total, is_best=False)


def states_of(steps: Sequence[int]) -> tuple[int, ...]:
    """Every state that an order leaves behind, the one before it among them."""
    found = [0]
    for number in steps:
        found.append(found[-1] | 1 << number)
    return tuple(found)
