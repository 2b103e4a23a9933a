"""Which extensions go to which boot entries, and which version of them."""

from __future__ import annotations

import subprocess
import sys
import time

import pytest

from sysgraft.errors import FormatError
from sysgraft.node.mapping import extensions_for, matches, problem_of, profiles_for
from sysgraft.node.settings import KEYS, MapRule, Settings
from sysgraft.node.versions import newest, split_name

# The map of Kairos' first design.
RULES = (
    MapRule(("k3sv1.29.*",), ("active", "customEntry")),
    MapRule(("k3sv1.30.*",), ("passive",)),
)
NAMES = ("k3sv1.29.4+k3s1", "k3sv1.30.0+k3s1", "firmware", "k3sv1x29y4")


def test_the_map_of_the_first_design() -> None:
    assert profiles_for(NAMES, RULES) == {
        "k3sv1.29.4+k3s1": ("active", "customEntry"),
        "k3sv1.30.0+k3s1": ("passive",),
        "firmware": ("active", "passive"),
        "k3sv1x29y4": ("active", "passive"),  # a point is a point
    }
    assert extensions_for(("customEntry", "common"), NAMES, RULES) == ("k3sv1.29.4+k3s1",)
    assert extensions_for(("recovery", "common"), NAMES, RULES) == ()


def test_without_rules_there_is_no_map() -> None:
    assert profiles_for(NAMES, ()) == {}
    assert extensions_for(("active", "common"), NAMES, ()) == ()


def test_several_rules_add_up() -> None:
    rules = (
        MapRule(("a*", "*b"), ("active",)),
        MapRule(("ab",), ("recovery", "active")),
        MapRule(("zz",), ("common",)),
    )
    assert profiles_for(["ab", "c"], rules) == {
        "ab": ("active", "recovery"),
        "c": ("active", "passive"),
    }


def test_of_several_versions_the_newest_goes_to_a_profile() -> None:
    rules = (*RULES, MapRule(("fw_1",), ("active",)), MapRule(("fw_2",), ("common",)))
    names = ("k3sv1.29.10+k3s1", "k3sv1.29.9+k3s1", "fw_1", "fw_2", "other-1.10", "other-1.9")
    assert profiles_for(names, rules) == {
        "k3sv1.29.10+k3s1": ("active", "customEntry"),
        "k3sv1.29.9+k3s1": (),
        "fw_1": ("active",),
        "fw_2": ("common",),
        "other-1.10": ("active", "passive"),
        "other-1.9": (),
    }
    # A boot is given all: which of them is good, the newest of these counts.
    assert extensions_for(("active", "common"), names, rules) == names


def test_names_are_given_in_their_order_and_once() -> None:
    rules = (MapRule(("*",), ("active",)),)
    assert extensions_for(("active",), ["b", "a", "b"], rules) == ("b", "a")


@pytest.mark.parametrize(
    ("pattern", "name", "matched"),
    [
        ("firmware", "firmware", True),
        ("firmware", "firmware2", False),
        ("firmware", "xfirmware", False),
        ("fw?", "fw1", True),
        ("fw?", "fw12", False),
        ("fw[0-3]", "fw2", True),
        ("fw[!0-3]", "fw2", False),
        ("fw[]]", "fw]", True),
        ("a.c", "abc", False),
        ("a+c", "aac", False),
        ("a(b|c)", "ab", False),
        ("*", "anything", True),
        ("K3S*", "k3s", False),
        ("a]", "a]", True),
    ],
)
def test_patterns_match_whole_names(pattern: str, name: str, matched: bool) -> None:
    assert problem_of(pattern) == ""
    assert matches(pattern, name) is matched


@pytest.mark.parametrize(
    "pattern",
    ["", "a[", "a[]", "[!]", "a[b]c[", "a/b", "a\\*", "a\0", "a\nb", "[z-a]", "?" * 129, "a" * 256],
)
def test_patterns_that_are_none(pattern: str) -> None:
    assert problem_of(pattern)


@pytest.mark.parametrize("text", ["[" * 1_000_000, "-1-" * 300_000, "v1" * 500_000])
def test_texts_that_are_far_too_long(text: str) -> None:
    start = time.monotonic()
    assert problem_of(text) == "it has more than 255 characters"
    assert split_name(text)[0]
    assert time.monotonic() - start < 5, "at once, even on a slow machine"


def test_a_pattern_that_was_not_checked() -> None:
    with pytest.raises(FormatError):
        matches("[z-a]", "x")


@pytest.mark.parametrize(
    ("name", "family", "version"),
    [
        ("firmware", "firmware", ""),
        ("fw_1.2", "fw", "1.2"),
        ("fw_v1", "fw", "v1"),
        ("fw-1.2", "fw", "1.2"),
        ("fw-v1.2", "fw", "v1.2"),
        ("fw_1.2-3_4", "fw", "1.2-3_4"),
        ("firmware-ubuntu-2404-2025.09.01", "firmware-ubuntu", "2404-2025.09.01"),
        ("k3sv1.30.0+k3s1", "k3s", "v1.30.0+k3s1"),
        ("k3s-v1.30.0+k3s1", "k3s", "v1.30.0+k3s1"),
        ("rke2v1.28.3+rke2r1", "rke2", "v1.28.3+rke2r1"),
        ("linux-firmware-amdgpu_20260622", "linux-firmware-amdgpu", "20260622"),
        # Merely a number, or not one: nothing is a version of something else by that.
        ("iwlwifi-9260", "iwlwifi-9260", ""),
        ("iwlwifi-9260_1.2", "iwlwifi-9260", "1.2"),
        ("lib-3d-tools", "lib-3d-tools", ""),
        ("my_tool", "my_tool", ""),
        ("my_tool_1.2", "my_tool", "1.2"),
        ("ipv6-tools", "ipv6-tools", ""),
        # A family is never empty.
        ("v1.30", "v1.30", ""),
        ("_1", "_1", ""),
        ("-1.2", "-1.2", ""),
        ("", "", ""),
    ],
)
def test_names_are_split(name: str, family: str, version: str) -> None:
    assert split_name(name) == (family, version)


@pytest.mark.parametrize(
    ("names", "chosen"),
    [
        (["a_1", "a_2", "b"], ("a_2", "b")),
        (["a_1.10", "a_1.9"], ("a_1.10",)),
        (["a_1.0~rc1", "a_1.0"], ("a_1.0",)),
        (["a", "a_1"], ("a_1",)),
        (["k3sv1.30.0", "k3s-1.29.0"], ("k3sv1.30.0",)),
        (["a_1", "a_01"], ("a_1",)),
        (["a_01", "a_1"], ("a_1",)),
        (["v1.1", "v1.2"], ("v1.1", "v1.2")),
        ([], ()),
    ],
)
def test_the_newest_of_each_family(names: list[str], chosen: tuple[str, ...]) -> None:
    assert newest(names) == chosen


def test_every_key_sets_an_attribute() -> None:
    for attribute in KEYS.values():
        getattr(Settings(), attribute)


@pytest.mark.parametrize("module", ["settings", "mapping", "versions", "configuration"])
def test_loading_them_is_cheap(module: str) -> None:
    code = f"import sys, sysgraft.node.{module}; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not set(done.stdout.split()) & {"tomllib", "yaml", "cryptography", "msgspec", "difflib"}
