"""Edits of bytes, for the tests that damage what is signed."""

from __future__ import annotations

from hypothesis import strategies as st

Edit = tuple[int, int, bytes]
"""Where, how many bytes are cut out there, and what is put in their place."""


def edits(last: int) -> st.SearchStrategy[list[Edit]]:
    """One to four edits, none behind the byte ``last``."""
    one = st.tuples(st.integers(0, last), st.integers(0, 8), st.binary(max_size=8))
    return st.lists(one, min_size=1, max_size=4)


def edited(data: bytes, changes: list[Edit]) -> bytes:
    """The data with some ranges cut out and other bytes put in their places."""
    for at, cut, new in changes:
        start = at % (len(data) + 1)
        data = data[:start] + new + data[start + cut :]
    return data
