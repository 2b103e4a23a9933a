"""The map, versions in names and configuration files, whatever anybody writes."""

from __future__ import annotations

import fnmatch
import importlib
import json
from typing import TYPE_CHECKING, Any

from hypothesis import given
from hypothesis import strategies as st

from sysgraft.errors import SysgraftError
from sysgraft.node.config_document import Document, parse_toml, parse_values
from sysgraft.node.config_kairos import parse_kairos
from sysgraft.node.config_merge import Merger
from sysgraft.node.config_yaml import load_yaml
from sysgraft.node.configuration import is_loosening_allowed
from sysgraft.node.mapping import extensions_for, matches, problem_of, profiles_for
from sysgraft.node.settings import SOURCES, Check, MapRule, Mode
from sysgraft.node.versions import newest, split_name, version_key

if TYPE_CHECKING:
    from collections.abc import Callable

yaml: Any = importlib.import_module("yaml")
names = st.one_of(st.text("ab019v._-+~^", max_size=14), st.text(max_size=8))
patterns = st.text("ab1.*?[]!-", min_size=1, max_size=8).filter(lambda text: not problem_of(text))
profiles = st.sampled_from(["active", "passive", "recovery", "common", "mine"])
rules = st.lists(
    st.builds(
        MapRule,
        st.lists(patterns, max_size=3).map(tuple),
        st.lists(profiles, min_size=1, max_size=3).map(tuple),
    ),
    max_size=4,
)
few_names = st.lists(st.text("ab1._-", min_size=1, max_size=6), max_size=8, unique=True)


@given(names)
def test_a_name_is_its_family_and_its_version(name: str) -> None:
    family, version = split_name(name)
    assert family or not name
    assert name in {family + mark + version for mark in ("", "-", "_")}
    assert split_name(family) == (family, "")


@given(st.lists(names))
def test_the_newest_is_one_of_each_family(given_names: list[str]) -> None:
    chosen = newest(given_names)
    families = [split_name(name)[0] for name in chosen]
    assert len(set(families)) == len(families)
    assert set(families) == {split_name(name)[0] for name in given_names}
    for name in given_names:
        best = chosen[families.index(split_name(name)[0])]
        assert version_key(best) >= version_key(name)


@given(patterns, st.text("ab1.-", max_size=8))
def test_patterns_mean_what_shells_mean(pattern: str, name: str) -> None:
    assert matches(pattern, name) == fnmatch.fnmatchcase(name, pattern)


@given(few_names, rules, st.sets(profiles))
def test_the_two_ways_to_ask_the_map_agree(
    some: list[str], some_rules: list[MapRule], wanted: set[str]
) -> None:
    by_name = profiles_for(some, some_rules)
    assert set(by_name) == (set(some) if some_rules else set())
    for profile in wanted:
        one = extensions_for([profile], some, some_rules)
        assert one == tuple(name for name in by_name if profile in by_name[name])
    together = extensions_for(wanted, some, some_rules)
    assert set(together) <= {n for p in wanted for n in extensions_for([p], some, some_rules)}
    assert newest(together) == together


@given(few_names, rules)
def test_nothing_goes_to_recovery_by_itself(some: list[str], some_rules: list[MapRule]) -> None:
    named = any("recovery" in rule.entries for rule in some_rules)
    assert named or not extensions_for(["recovery"], some, some_rules)


# --- Merging -------------------------------------------------------------------------------------

MODES = (Mode.DISABLED, Mode.PERMISSIVE, Mode.ENFORCED)
documents = st.builds(
    Document,
    file=st.just("f"),
    mode=st.none() | st.sampled_from(MODES),
    check=st.none() | st.sampled_from(Check),
    fail_boot=st.none() | st.booleans(),
    unsigned=st.none() | st.booleans(),
    deny=st.lists(st.sampled_from("abc"), max_size=2).map(tuple),
    sources=st.none() | st.lists(st.sampled_from(SOURCES), unique=True).map(tuple),
    certificates=st.lists(st.sampled_from(["/usr/a", "/etc/b", "PEM"]), max_size=2).map(tuple),
)


@given(st.lists(documents, max_size=3), st.lists(documents, max_size=4))
def test_what_is_writable_never_loosens(below: list[Document], above: list[Document]) -> None:
    merger = Merger(may_loosen=False)
    for layer, measured in ((below, True), (above, False)):
        merger.begin_layer(measured=measured)
        for document in layer:
            before = merger.settings
            merger.add(document)
            now = merger.settings
            assert set(now.deny) >= set(before.deny)
            if measured:
                continue
            assert MODES.index(now.mode) >= MODES.index(before.mode)
            assert (now.check, before.check) != (Check.SIGNATURE, Check.WHOLE)
            assert now.fail_boot >= before.fail_boot
            assert now.unsigned <= before.unsigned
            assert set(now.sources) <= set(before.sources)
            assert now.certificates == before.certificates
    assert "/etc/b" not in merger.finished().certificates


# --- Reading -------------------------------------------------------------------------------------

json_values: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.text("ab:#-'\" \n", max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("abc"), inner, max_size=3),
    max_leaves=12,
)


@given(json_values)
def test_yaml_is_read_as_pyyaml_reads_it(value: object) -> None:
    assert load_yaml(yaml.safe_dump(value).encode()) == value
    assert load_yaml(json.dumps(value).encode()) == value


@given(
    st.dictionaries(
        st.sampled_from(["mode", "deny", "trust", "map", "entries", "store", "image_policy"]),
        json_values,
    )
)
def test_values_of_any_kind_are_taken_or_refused(value: object) -> None:
    assert refusal(parse_values, value) in ("", "f")


@given(st.binary(max_size=200), st.sampled_from([b"", b"sysgraft: ", b"extensions:\n- ", b"deny="]))
def test_bytes_of_any_kind_are_taken_or_refused(data: bytes, before: bytes) -> None:
    for reader in (parse_toml, parse_kairos):
        assert refusal(reader, before + data) in ("", "f")


def refusal(reader: Callable[[Any, str], Document], value: object) -> str:
    """The file that an error names; empty if there is none."""
    try:
        reader(value, "f")
    except SysgraftError as error:
        return error.file
    return ""


@given(st.text('ab=" -', max_size=20), st.text('ab=" -', max_size=20))
def test_only_the_parameter_itself_is_the_switch(before: str, after: str) -> None:
    assert not is_loosening_allowed(f"{before}{after}", started_by_stub=True)
    if before.count('"') % 2 == 0 and "--" not in before:
        line = f"{before} sysgraft.config=trusted {after}"
        assert is_loosening_allowed(line, started_by_stub=True)
