"""What a profile sees is what systemd-stub finds (src/boot/stub.c, find_sections)."""

from __future__ import annotations

from typing import Final, NamedTuple

from hypothesis import given
from hypothesis import strategies as st

from sysgraft.errors import FormatError
from sysgraft.formats import uki

NAMES: Final = (".linux", ".cmdline", ".profile", ".dtbauto", ".efifw", ".osrel")


class Part(NamedTuple):
    """A section, told apart by its number."""

    name: str
    size: int
    number: int


def found_by_stub(table: list[Part], profile: int | None, fitting: set[int]) -> dict[str, Part]:
    """What the stub takes from a part of the table, as its loops are written.

    Args:
        table: all sections.
        profile: which profile's part, None for the base's.
        fitting: numbers of the sections for certain hardware that fit the machine.
    """
    starts = [at for at, part in enumerate(table) if part.name == ".profile"]
    if profile is None:
        part_of_table = table[: starts[0] if starts else None]
    else:
        part_of_table = table[starts[profile] : (*starts, None)[profile + 1]]
    found: dict[str, Part] = {}
    for part in part_of_table:
        fits = part.name not in uki.BY_HARDWARE or part.number in fitting
        if fits and part.name not in found:
            found[part.name] = part
    return found


@given(
    st.lists(st.tuples(st.sampled_from(NAMES), st.integers(0, 2)), max_size=12),
    st.sets(st.integers(0, 11)),
)
def test_a_profile_sees_what_the_stub_finds(
    sections: list[tuple[str, int]], fitting: set[int]
) -> None:
    table = [Part(name, size, number) for number, (name, size) in enumerate(sections)]
    try:
        profiles = uki.profiles(table)
    except FormatError:
        words = " ".join(name for name, _ in sections if name not in uki.BY_HARDWARE)
        parts = [part.split() for part in words.split(".profile")]
        assert any(len(part) != len(set(part)) for part in parts)
        return
    count = sum(part.name == ".profile" for part in table)
    assert len(profiles) == max(count, 1)
    for number, seen in enumerate(profiles):
        expected = found_by_stub(table, None, fitting)
        if count:
            expected |= found_by_stub(table, number, fitting)
        for name in NAMES:
            of_name = [part for part in seen if part.name == name]
            if name in uki.BY_HARDWARE:
                # Which one is the machine's choice; that it is among those is ours.
                assert name not in expected or expected[name] in of_name
            else:
                assert of_name == ([expected[name]] if name in expected else [])


@given(st.lists(st.sampled_from(NAMES), max_size=8))
def test_sections_keep_the_order_of_the_file(names: list[str]) -> None:
    table = [Part(name, 1, number) for number, name in enumerate(names)]
    try:
        profiles = uki.profiles(table)
    except FormatError:
        return
    for seen in profiles:
        assert list(seen) == sorted(seen, key=lambda part: part.number)
