"""`sysgraft.base.version` is a total order, whatever the strings."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from sysgraft.base.version import compare, key

versions = st.one_of(st.text("0129abzABZ~-^._+é", max_size=12), st.binary(max_size=12), st.text())


@given(versions, versions)
def test_swapping_the_sides_changes_the_sign(a: str | bytes, b: str | bytes) -> None:
    assert compare(a, b) == -compare(b, a)


@given(versions, versions, versions)
def test_the_order_is_transitive(a: str | bytes, b: str | bytes, c: str | bytes) -> None:
    low, middle, high = sorted((a, b, c), key=key)
    assert compare(low, middle) <= 0
    assert compare(middle, high) <= 0
    assert compare(low, high) <= 0


@given(versions)
def test_a_version_equals_itself(a: str | bytes) -> None:
    assert compare(a, a) == 0


@given(st.text("0129ab.-^", max_size=8), st.text("0129ab.-^", max_size=4))
def test_a_pre_release_is_older_than_what_it_precedes(version: str, suffix: str) -> None:
    assert compare(f"{version}~{suffix}", version) == -1
