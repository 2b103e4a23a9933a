"""The image policy language: reading, printing, meaning, combining."""

from __future__ import annotations

import pytest

from sysgraft.errors import FormatError, LimitError, UnsupportedError, UsageError
from sysgraft.formats import policy_builtin
from sysgraft.formats.image_policy import equivalent, parse
from sysgraft.formats.image_policy_algebra import intersect, union
from sysgraft.formats.image_policy_flags import DESIGNATORS, IGNORE, USE, Flag

# --- Text ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "short"),
    [
        ("", "-"),
        ("-", "-"),
        ("*", "*"),
        ("~", "~"),
        ("=absent", "~"),
        ("=unused+absent", "-"),
        ("root=ignore", "-"),
        ("=open", "*"),
        ("usr=verity:root=signed", "root=signed:usr=verity"),
        (" root = verity + signed : = absent ", "root=verity+signed:=absent"),
        ("root=signed+verity", "root=verity+signed"),
        ("root=unused+absent:usr=verity", "root=ignore:usr=verity"),
        ("root=growfs-off+read-only-on+read-only-off", "root=growfs-off"),
        ("root=", "root=-"),
        ("root=-", "root=-"),
        ("root=xfs+btrfs+signed", "root=signed+btrfs+xfs"),
        ("=verity", "=verity"),
    ],
)
def test_a_policy_prints_in_systemds_normal_form(text: str, short: str) -> None:
    assert str(parse(text)) == short


@pytest.mark.parametrize(
    ("text", "short"),
    [
        # Attributes alone say "open", the default says that home may not be used in any way.
        ("home=read-only-on+read-only-off+growfs-off+growfs-on:=signed", "home=-:=signed"),
        # The rule of root-verity derives from root's, which therefore is no repetition.
        (
            "root=verity+absent+read-only-on+read-only-off+growfs-off+growfs-on:=verity+absent",
            "root=verity+absent:=verity+absent",
        ),
        # A repetition like those above, of which nothing derives.
        ("esp=absent:=absent+verity", "=verity+absent"),
    ],
)
def test_the_short_form_leaves_out_only_what_says_nothing(text: str, short: str) -> None:
    policy = parse(text)
    assert str(policy) == short
    assert equivalent(parse(short), policy)


def test_the_long_form_spells_everything_out() -> None:
    assert parse("root=open").long_form == (
        "root=verity+signed+encrypted+encryptedwithintegrity+unprotected+unused+absent"
        ":=unused+absent"
    )
    assert parse("root=open", systemd_version=259).long_form == (
        "root=verity+signed+encrypted+unprotected+unused+absent:=unused+absent"
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("root", "no '='"),
        ("root=verity:", "no '='"),
        ("*:root=verity", "no '='"),
        ("foo=verity", "unknown partition 'foo'"),
        ("Root=verity", "unknown partition 'Root'"),
        ("root=foo", "unknown flag 'foo'"),
        ("root=verity=signed", "unknown flag 'verity=signed'"),
        ("root=verity+", "unknown flag ''"),
        ("root=verity+-", "unknown flag '-'"),
        ("root=verity:root=signed", "a rule for root is .* more than once"),
        ("=absent:=absent", "the default is .* more than once"),
        ("root=sig\\ned", "unknown flag"),
    ],
)
def test_what_is_no_policy_is_refused(text: str, message: str) -> None:
    with pytest.raises(FormatError, match=message):
        parse(text)


def test_a_long_text_is_refused_before_it_is_read() -> None:
    with pytest.raises(LimitError):
        parse("root=" + "+".join(["signed"] * 1000))


def test_graceful_reading_passes_over_unknown_words_only() -> None:
    policy = parse("foo=verity:root=signed+new+absent:usr=odd", graceful=True)
    assert str(policy) == "root=signed+absent:usr=-"
    with pytest.raises(FormatError):
        parse("foo=verity:root", graceful=True)
    with pytest.raises(FormatError):
        parse("root=new:root=signed", graceful=True)


@pytest.mark.parametrize("word", ["erofs", "encryptedwithintegrity"])
def test_words_of_260_are_unknown_to_259(word: str) -> None:
    assert word in str(parse(f"root={word}+verity"))
    with pytest.raises(FormatError, match="260 knows it"):
        parse(f"root={word}+verity", systemd_version=259)


def test_systemd_253_has_no_policies() -> None:
    with pytest.raises(UnsupportedError):
        parse("*", systemd_version=253)


# --- Meaning -------------------------------------------------------------------------------------


def meaning(text: str, designator: str) -> str:
    policy = parse(text)
    return policy.text_of(policy.allowed(designator))


@pytest.mark.parametrize(
    ("text", "designator", "allowed"),
    [
        ("root=signed+absent", "root", "signed+absent"),
        # Derived: the hash and signature partitions follow their data partition.
        ("root=signed+absent", "root-verity", "unprotected+absent"),
        ("root=signed+absent", "root-verity-sig", "unprotected+absent"),
        ("root=signed", "root-verity-sig", "unprotected"),
        ("root=verity+unused", "root-verity", "unprotected+unused"),
        ("root=verity+absent", "root-verity-sig", "ignore"),
        ("root=encrypted", "root-verity", "ignore"),
        ("root=signed+read-only-on", "root-verity", "unprotected+read-only-on"),
        ("root=signed+erofs", "root-verity", "unprotected"),
        # A rule of its own wins, and so does the default where the data has no rule.
        ("root=signed:root-verity=absent", "root-verity", "absent"),
        ("=signed", "root-verity", "-"),
        # What makes no sense for a designator is dropped.
        ("home=verity+signed+encrypted", "home", "encrypted"),
        ("esp=verity", "esp", "-"),
        ("root-verity=signed+encrypted+absent", "root-verity", "absent"),
        ("root=absent+read-only-on", "root", "absent"),
        # What is unsaid is allowed.
        ("root=read-only-on", "root", "open+read-only-on"),
        ("usr=-", "usr", "open"),
    ],
)
def test_what_a_policy_allows(text: str, designator: str, allowed: str) -> None:
    assert meaning(text, designator) == allowed


def test_absent_alone_leaves_the_attributes_open() -> None:
    assert parse("root=absent+growfs-on").allowed("root") == Flag.ABSENT


# --- Versions ------------------------------------------------------------------------------------


def test_open_stays_open_in_every_version() -> None:
    assert str(parse("*").at(255)) == "*"
    assert str(parse("root=open", systemd_version=255).at(262)) == "root=open"


def test_encryption_of_either_kind_is_encryption_to_older_versions() -> None:
    policy = parse("root=encrypted+encryptedwithintegrity+absent")
    assert str(policy.at(259)) == "root=encrypted+absent"


@pytest.mark.parametrize("text", ["root=encryptedwithintegrity", "root=signed+erofs"])
def test_a_policy_that_older_versions_cannot_say_is_not_weakened_for_them(text: str) -> None:
    with pytest.raises(UnsupportedError, match="systemd 259 does not know"):
        parse(text).at(259)


# --- Combining -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("a", "b", "alike"),
    [
        ("root=verity+signed", "root=signed+verity", True),
        ("root=signed", "root=signed:home=ignore", True),
        ("root=signed", "root=signed:root-verity=unprotected:root-verity-sig=unprotected", True),
        ("root=signed", "root=signed:root-verity=absent", False),
        ("root=absent+growfs-on", "root=absent", True),
        ("*", "root=open:=open", True),
        ("*", "-", False),
        ("root=signed", "root=signed+erofs", False),
    ],
)
def test_policies_are_equivalent_if_they_decide_alike(a: str, b: str, alike: bool) -> None:
    assert equivalent(parse(a), parse(b)) is alike
    assert equivalent(parse(b), parse(a)) is alike


@pytest.mark.parametrize(
    ("a", "b", "both"),
    [
        ("*", "*", "*"),
        ("~", "~", "~"),
        ("*", "~", "~"),
        ("*", "-", "-"),
        ("~", "-", "~"),
        ("root=verity+signed", "root=signed+absent", "root=signed"),
        ("root=signed+read-only-on", "root=signed", "root=signed+read-only-on"),
        ("root=absent:=open", "root=absent:=open", "root=absent:=open"),
        ("*", "root=signed+absent:usr=signed+absent", "root=signed+absent:usr=signed+absent"),
    ],
)
def test_an_intersection_allows_what_both_allow(a: str, b: str, both: str) -> None:
    assert equivalent(intersect(parse(a), parse(b)), parse(both))


@pytest.mark.parametrize(
    ("a", "b"),
    [
        ("root=verity", "root=signed"),
        ("=verity", "=absent"),
        ("root=signed+growfs-on", "root=signed+growfs-off"),
    ],
)
def test_an_intersection_without_a_way_out_is_refused(a: str, b: str) -> None:
    with pytest.raises(UsageError, match="allow nothing"):
        intersect(parse(a), parse(b))


def test_an_intersection_keeps_a_rule_that_derivation_would_loosen() -> None:
    policy = parse("root=signed:root-verity=absent:=absent")
    assert equivalent(intersect(policy, policy), policy)


def test_a_union_allows_what_either_allows() -> None:
    assert str(union(parse("root=verity"), parse("root=signed+absent"))) == (
        "root=verity+signed+absent:root-verity-sig=unprotected+unused+absent"
    )
    assert str(union(parse("*"), parse("~"))) == "*"
    assert str(union(parse("-"), parse("~"))) == "-"


# --- Built-ins -----------------------------------------------------------------------------------


def test_the_default_is_the_strict_one() -> None:
    strict = "root=signed+absent:usr=signed+absent"
    assert str(policy_builtin.builtin("@sysext-strict")) == strict


def test_a_built_in_speaks_the_language_of_the_version() -> None:
    for version in range(254, 263):
        policy = policy_builtin.builtin("@host", systemd_version=version)
        assert ("encryptedwithintegrity" in str(policy)) is (version >= 260)
        assert equivalent(policy, parse(str(policy), systemd_version=version))


def test_confext_looks_at_root_only() -> None:
    policy = policy_builtin.builtin("@confext")
    assert policy.allowed("usr") & USE == IGNORE
    assert Flag.UNPROTECTED in policy.allowed("root")


@pytest.mark.parametrize("name", ["@allow", "@", "sysext", "@SYSEXT"])
def test_an_unknown_name_is_refused(name: str) -> None:
    with pytest.raises(UsageError, match="no built-in policy"):
        policy_builtin.builtin(name)


def test_a_name_that_is_a_book_is_not_repeated() -> None:
    with pytest.raises(UsageError) as caught:
        policy_builtin.parse_or_builtin("@" + "x" * 10_000)
    assert len(str(caught.value)) < 100


def test_a_policy_may_be_given_by_name_or_as_text() -> None:
    assert str(policy_builtin.parse_or_builtin("@confext-strict")) == "root=signed+absent"
    assert str(policy_builtin.parse_or_builtin("root=signed")) == "root=signed"


def test_every_designator_of_systemd_is_known() -> None:
    assert len(DESIGNATORS) == 13
    for designator in DESIGNATORS:
        assert str(parse(f"{designator}=absent")) == f"{designator}=absent"
