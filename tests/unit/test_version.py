"""The order of version strings, held to the examples of UAPI.10 and of systemd's own tests."""

from __future__ import annotations

from itertools import combinations, pairwise

import pytest

from sysgraft.base.version import compare, key

# UAPI.10, "Examples": each is older than the next.
SPEC_CHAIN = (
    *("122.1", "123~rc1-1", "123", "123-a", "123-a.1", "123-1", "123-1.1"),
    *("123^post1", "123.a-1", "123.1-1", "123a-1", "124-1"),
)
# The total order systemd tests strverscmp_improved() with.
SYSTEMD_CHAIN = (
    *("~1", "", "ab", "abb", "abc", "0001", "002", "12", "122", "122.9", "123~rc1", "123"),
    *("123-a", "123-a.1", "123-a1", "123-a1.1", "123-3", "123-3.1", "123^patch1", "123^1"),
    *("123.a-1", "123.1-1", "123a-1", "124"),
)
OLDER_NEWER = (
    ("11", "111"),
    ("1.3.3", "1_2_3"),
    # A dropped character ends a segment, a separator among separators does not.
    ("._1-B", ".B"),
    ("1-^", "1-"),
    ("1-.", "1-~"),
    ("1-^", "1--"),
    ("~", "~_"),
    ("123.45-67.88", "123.45-67.89"),
    ("123.45-67.89", "123.45-67.89a"),
    ("123.45-67.ab", "123.45-67.89"),
    ("123.45-67.9", "123.45-67.89"),
    ("123.45-67", "123.45-67.89"),
    ("123.45-9.99", "123.45-67.89"),
    ("123.42-99.99", "123.45-67.89"),
    ("123-99.99", "123.45-67.89"),
    ("123~rc1-99.99", "123-45.67.89"),
    ("123~rc1-99.99", "123~rc2-67.89"),
    ("123~rc1-99.99", "123^aa2-67.89"),
    ("123-99.99", "123^aa2-67.89"),
    ("123-99.99", "123aa2-67.89"),
    ("123^45-67.89", "123.45-67.89"),
    ("123^aa2-67.89", "123aa2-67.89"),
    ("123.aa2-67.89", "123.ab2-67.89"),
    ("123", "123."),
    ("12_3", "123"),
    ("12", "12_3"),
    ("12.3", "12_3"),
    ("123", "123.0"),
    ("123", "123_0"),
    ("123..0", "123.0"),
    ("~", ""),
    ("Bbb", "aaa"),
    ("aaa_2", "aaa_10"),
)
EQUAL = (
    *(("123_aa2-67.89", "123aa+2-67.89"), ("0_", "0"), ("_0_", "0"), ("", "_"), ("~", "~")),
    *(("1\u0660\u0661", "1"), ("1\u0e50", "1"), ("007", "7"), ("1.00", "1.0"), ("é", "")),
)


@pytest.mark.parametrize("chain", [SPEC_CHAIN, SYSTEMD_CHAIN], ids=["UAPI.10", "systemd"])
def test_every_pair_of_a_published_chain_is_in_order(chain: tuple[str, ...]) -> None:
    for older, newer in combinations(chain, 2):
        assert compare(older, newer) == -1, (older, newer)
        assert compare(newer, older) == 1, (older, newer)


@pytest.mark.parametrize(("older", "newer"), OLDER_NEWER)
def test_the_older_one_is_lower(older: str, newer: str) -> None:
    assert (compare(older, newer), compare(newer, older)) == (-1, 1)


@pytest.mark.parametrize(("a", "b"), EQUAL)
def test_what_differs_in_ignored_characters_is_equal(a: str, b: str) -> None:
    assert compare(a, b) == 0
    assert key(a) == key(b)


def test_key_sorts_a_shuffled_chain_back() -> None:
    shuffled = [*SYSTEMD_CHAIN[::3], *SYSTEMD_CHAIN[2::3], *SYSTEMD_CHAIN[1::3]]
    assert tuple(sorted(shuffled, key=key)) == SYSTEMD_CHAIN


def test_bytes_and_text_have_the_same_order() -> None:
    for older, newer in pairwise(SYSTEMD_CHAIN):
        assert compare(older.encode(), newer) == -1


def test_names_that_are_not_utf8_can_be_compared() -> None:
    assert compare(b"\xff1", "1") == 0
    assert compare("a\udcff", b"a\xff") == 0


def test_a_number_of_any_length_is_compared_by_value() -> None:
    assert compare("1" * 100_000, "2" * 99_999) == 1
