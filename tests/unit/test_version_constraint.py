"""Semantic versions: their order by the specification's own example, and what constraints mean."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sysgraft.errors import UsageError
from sysgraft.formats.version_constraint import (
    SemanticVersion,
    parse_constraint,
    parse_version,
)

# Semantic Versioning 2.0.0, section 11.
ORDER = [
    "1.0.0-alpha", "1.0.0-alpha.1", "1.0.0-alpha.beta", "1.0.0-beta", "1.0.0-beta.2",
    "1.0.0-beta.11", "1.0.0-rc.1", "1.0.0", "1.0.1", "1.1.0", "2.0.0", "10.0.0",
]  # fmt: skip


def version(text: str) -> SemanticVersion:
    found = parse_version(text)
    assert found is not None, text
    return found


def test_the_order_of_the_specification() -> None:
    keys = [version(text).key for text in ORDER]
    assert all(older < newer for older, newer in pairwise(keys))
    assert version("v1.2") == version("1.2.0+build.5")


@pytest.mark.parametrize("text", ["", "v", "1.02", "1.2.3.4", "latest", "1.2.3-", "1" * 300, "²"])
def test_what_is_no_version(text: str) -> None:
    assert parse_version(text) is None


# As the README of Masterminds/semver has them.
@pytest.mark.parametrize(
    ("constraint", "yes", "no"),
    [
        ("1.2.3", ["1.2.3"], ["1.2.4", "1.2.3-rc1"]),
        ("= 1.2", ["1.2.0", "1.2.9"], ["1.3.0"]),
        ("!= 1.2.3", ["1.2.4"], ["1.2.3"]),
        ("!= 1.2", ["1.3.0", "1.1.9"], ["1.2.7"]),
        ("> 1.2", ["1.3.0"], ["1.2.0", "1.2.9"]),
        ("> 1.2.3", ["1.2.4", "2.0.0"], ["1.2.3"]),
        (">= 1.2", ["1.2.0", "9.0.0"], ["1.1.9"]),
        ("<= 1.2", ["1.2.9", "0.1.0"], ["1.3.0"]),
        ("< 2", ["1.9.9"], ["2.0.0", "2.0.0-rc1"]),
        (">= 1.2, < 3.0.0 || >= 4.2.3", ["1.2.0", "2.9.0", "4.2.3"], ["3.0.0", "4.2.2"]),
        ("1.2.x", ["1.2.0", "1.2.9"], ["1.3.0"]),
        ("*", ["0.0.0", "9.9.9"], ["1.0.0-rc1"]),
        ("~1.2.3", ["1.2.3", "1.2.9"], ["1.3.0", "1.2.2"]),
        ("~1", ["1.0.0", "1.9.9"], ["2.0.0"]),
        ("~> 2.3", ["2.3.0", "2.3.9"], ["2.4.0"]),
        ("^1.2.3", ["1.2.3", "1.9.0"], ["2.0.0"]),
        ("^0.2.3", ["0.2.3", "0.2.9"], ["0.3.0"]),
        ("^0.0.3", ["0.0.3"], ["0.0.4"]),
        ("^0.0", ["0.0.9"], ["0.1.0"]),
        ("^0", ["0.9.9"], ["1.0.0"]),
        (">=1.2 <3.0.0", ["1.2.0", "2.9.0"], ["1.1.0", "3.0.0"]),
        (">= 1.2 < 3.0.0 != 2.1.0", ["1.2.0", "2.9.0"], ["1.1.0", "2.1.0", "3.0.0"]),
        (">= 1.2.3-beta.2", ["1.2.3-beta.11", "1.2.3"], ["1.2.3-beta.1"]),
    ],
)
def test_constraints(constraint: str, yes: list[str], no: list[str]) -> None:
    meets = parse_constraint(constraint)
    assert [text for text in yes if not meets(version(text))] == []
    assert [text for text in no if meets(version(text))] == []


@pytest.mark.parametrize(
    "text", ["", ",", "||", "newest", ">= ", "1 - 2", "1.2.3.4", "^^1", "1" * 999]
)
def test_what_is_no_constraint(text: str) -> None:
    with pytest.raises(UsageError):
        parse_constraint(text)


@given(st.text(alphabet="0123456789.xX*<>=!~^|, -vra", max_size=30), st.sampled_from(ORDER))
def test_any_text_is_a_constraint_or_refused(text: str, other: str) -> None:
    try:
        meets = parse_constraint(text)
    except UsageError:
        return
    assert meets(version(other)) in (True, False)
