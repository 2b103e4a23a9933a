"""States of a changing partition and orders of its changes, held against all there are."""

from __future__ import annotations

from itertools import chain, combinations, permutations
from typing import TYPE_CHECKING

from hypothesis import given
from hypothesis import strategies as st

from memory_volume import Memory
from sysgraft.measure.sidecars import Entry
from sysgraft.seal.plan_order import find_order, states_of
from sysgraft.seal.plan_values import subsets
from sysgraft.seal.transition import Transition

if TYPE_CHECKING:
    from collections.abc import Iterable

NAMES = st.sampled_from(["a", "b", "d/a", "d/b", "d/e/c"])
PARTITION = st.dictionaries(NAMES, st.sampled_from([b"", b"1", b"2", b"22"]), max_size=5)


def powerset(numbers: Iterable[int]) -> set[frozenset[int]]:
    items = list(numbers)
    chosen = (combinations(items, count) for count in range(len(items) + 1))
    return set(map(frozenset, chain.from_iterable(chosen)))


def bits(numbers: Iterable[int]) -> int:
    return sum(1 << number for number in numbers)


@given(PARTITION, PARTITION)
def test_each_state_has_each_file_as_before_or_as_after(
    before: dict[str, bytes], after: dict[str, bytes]
) -> None:
    moving = Transition(Memory(before), Memory(after))
    different = {name for name in before | after if before.get(name) != after.get(name)}
    assert {each.path for each in moving.changes} == different
    for done in powerset(range(len(moving.changes))):
        changed = {moving.changes[number].path for number in done}
        expected = {
            name: (after if name in changed else before).get(name) for name in before | after
        }
        volume = moving.state(bits(done))
        for name, data in expected.items():
            file = volume.file(name)
            found = None if file is None else file.blob.read_at(0, file.blob.size)
            assert found == data
            folder, _, last = name.rpartition("/")
            assert (Entry(last) in volume.entries(folder)) is (data is not None)


@given(st.sets(st.integers(0, 40), max_size=7))
def test_all_subsets_are_there_once_and_the_smaller_ones_first(numbers: set[int]) -> None:
    found = list(subsets(sorted(numbers)))
    assert len(found) == len(set(found)) == 1 << len(numbers)
    assert set(found) == {bits(each) for each in powerset(numbers)}
    counts = [each.bit_count() for each in found]
    assert counts == sorted(counts)


@given(
    st.lists(st.integers(0, 6), unique=True, max_size=5),
    st.lists(st.integers(0, 2), min_size=128, max_size=128),
)
def test_no_order_is_better_and_of_equal_ones_it_is_the_preferred(
    preferred: list[int], costs: list[int]
) -> None:
    def price(steps: Iterable[int]) -> int:
        return sum(costs[state] for state in states_of(tuple(steps))[1:])

    order = find_order(preferred, costs.__getitem__)
    # permutations() gives them in the order of the list.
    best = min(permutations(preferred), key=price)
    assert order == (best, price(best), True)


@given(
    st.lists(st.integers(0, 6), unique=True, max_size=5),
    st.sets(st.integers(0, 127)),
    st.integers(0, 4),
)
def test_what_a_small_search_says_is_true_all_the_same(
    preferred: list[int], bad: set[int], limit: int
) -> None:
    order = find_order(preferred, lambda state: state in bad, limit=limit)
    assert sorted(order.steps) == sorted(preferred)
    assert order.cost == sum(state in bad for state in states_of(order.steps)[1:])
