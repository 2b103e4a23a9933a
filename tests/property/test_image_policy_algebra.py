"""Laws that hold for every image policy."""

from __future__ import annotations

from functools import reduce
from operator import and_, or_
from typing import TYPE_CHECKING

from hypothesis import given, settings
from hypothesis import strategies as st

from sysgraft.errors import FormatError, UsageError
from sysgraft.formats.image_policy import ImagePolicy, equivalent, parse
from sysgraft.formats.image_policy_algebra import intersect, union
from sysgraft.formats.image_policy_flags import (
    DATA_OF,
    DESIGNATORS,
    FSTYPES,
    GROWFS,
    NOTHING,
    READ_ONLY,
    USE,
    Flag,
)
from sysgraft.image.policy import Found, evaluate

if TYPE_CHECKING:
    from collections.abc import Callable


def any_of(group: Flag) -> st.SearchStrategy[Flag]:
    """Some flags of a group, few more often than many.

    Given the class itself, Hypothesis draws sets of combinations of flags: each policy would take
    a thousand draws, and several allow everything.
    """
    members = [flag for flag in Flag if flag in group]
    return st.lists(st.sampled_from(members), max_size=4).map(lambda s: reduce(or_, s, NOTHING))


# Of the attributes every combination is as likely as the next, so that rules come about that speak
# of nothing else.
flags = st.builds(
    lambda *groups: reduce(or_, groups),
    any_of(USE),
    st.sampled_from([NOTHING, READ_ONLY, Flag.READ_ONLY_ON, Flag.READ_ONLY_OFF]),
    st.sampled_from([NOTHING, GROWFS, Flag.GROWFS_ON, Flag.GROWFS_OFF]),
    st.one_of(st.just(NOTHING), any_of(FSTYPES)),
)
policies = st.builds(
    lambda rules, default: ImagePolicy(
        tuple(sorted(rules.items(), key=lambda r: DESIGNATORS.index(r[0]))), default
    ),
    st.dictionaries(st.sampled_from(DESIGNATORS), flags, max_size=5),
    flags,
)
images = st.dictionaries(
    st.sampled_from(DESIGNATORS),
    st.builds(
        Found,
        read_only=st.booleans(),
        growfs=st.booleans(),
        fstype=st.sampled_from([None, "crypto_LUKS"]),
        integrity=st.booleans(),
    ),
    max_size=6,
)
versions = st.integers(254, 262)


@settings(max_examples=150)
@given(policies)
def test_the_long_form_says_the_same(policy: ImagePolicy) -> None:
    assert parse(policy.long_form) == policy


@settings(max_examples=150)
@given(policies)
def test_the_short_form_decides_the_same(policy: ImagePolicy) -> None:
    assert equivalent(parse(str(policy)), policy)


def combined(
    join: Callable[[ImagePolicy, ImagePolicy], ImagePolicy], a: ImagePolicy, b: ImagePolicy
) -> ImagePolicy | None:
    """The result, None where nothing would be allowed for something."""
    try:
        return join(a, b)
    except UsageError:
        return None


@settings(max_examples=150)
@given(policies, policies)
def test_combining_does_not_depend_on_the_order(a: ImagePolicy, b: ImagePolicy) -> None:
    for join in (union, intersect):
        one, other = combined(join, a, b), combined(join, b, a)
        assert (one is None) is (other is None)
        assert one is None or other is None or equivalent(one, other)


@settings(max_examples=150)
@given(policies, policies)
def test_combining_is_done_partition_by_partition(a: ImagePolicy, b: ImagePolicy) -> None:
    named = {*dict(a.rules), *dict(b.rules)}
    for join, operator in ((intersect, and_), (union, or_)):
        result = combined(join, a, b)
        for designator in DESIGNATORS if result else ():
            assert result is not None
            if {designator, DATA_OF.get(designator)} & named:
                expected = operator(a.allowed(designator), b.allowed(designator))
                # Of what has to be absent the attributes do not matter.
                matters = USE if expected & USE == Flag.ABSENT else ~NOTHING
                assert (result.allowed(designator) ^ expected) & matters == NOTHING


@settings(max_examples=150)
@given(images, versions)
def test_the_allowing_policy_allows_and_the_denying_one_does_not(
    image: dict[str, Found], version: int
) -> None:
    assert evaluate(parse("*"), image, systemd_version=version).ok
    assert evaluate(parse("-"), image, systemd_version=version).ok
    assert evaluate(parse("~"), image, systemd_version=version).ok is not bool(image)


@given(st.text("rootusrverityhome=+:*~- \t", max_size=40))
def test_any_text_is_a_policy_or_a_format_error(text: str) -> None:
    try:
        policy = parse(text)
    except FormatError:
        return
    assert equivalent(parse(str(policy)), policy)
