"""Which extension lies over which, and in which order the stub packs them."""

from __future__ import annotations

import random

import pytest
from test_version import SYSTEMD_CHAIN

from command import sysgraft
from sysgraft.errors import UsageError
from sysgraft.formats.extension_release import Kind
from sysgraft.image.merge_order import MergeOrder, merge_orders


def only(*extensions: str, kind: Kind = Kind.SYSEXT, release: int = 262) -> MergeOrder:
    (order,) = merge_orders(extensions, kind=kind, release=release)
    return order


def names(order: MergeOrder) -> list[str]:
    return [each.name for each in order.merged]


def test_the_order_is_that_of_systemds_own_test() -> None:
    chain = [each for each in SYSTEMD_CHAIN if each]
    for seed in range(20):
        shuffled = random.Random(seed).sample(chain, len(chain))
        assert names(only(*shuffled)) == chain


def test_versions_of_one_extension_and_letters() -> None:
    order = only("/efi/x.extra.d/aaa_10.sysext.raw", "aaa_2.raw", "folder/Bbb/")
    assert names(order) == ["Bbb", "aaa_2", "aaa_10"]
    assert order.packed == ("Bbb.sysext.raw", "aaa_10.sysext.raw", "aaa_2.raw")
    assert not order.is_same
    assert order.undecided == order.passed_over == ()


def test_what_both_sort_alike_is_the_same() -> None:
    assert only("10-vendor", "90-site").is_same
    assert only("a", "ä.raw", "b").is_same  # the stub does not take the one in the middle


def test_names_that_are_equal_as_versions_are_undecided() -> None:
    order = only("fw_1", "fw+1", "fw_01", "fw_2")
    assert order.undecided == (("fw_1", "fw+1", "fw_01"),)


def test_system_and_configuration_extensions_are_merged_apart() -> None:
    orders = merge_orders(["b.confext.raw", "a.sysext.raw", "a.confext.raw"])
    assert [(each.kind, names(each)) for each in orders] == [
        ("sysext", ["a"]),
        ("confext", ["a", "b"]),
    ]


def test_a_name_without_a_suffix_is_of_the_kind_that_is_asked_for() -> None:
    order = only("b", "a.confext", "c.raw", kind=Kind.CONFEXT)
    assert [each.file for each in order.merged] == ["a.confext.raw", "b.confext.raw", "c.raw"]
    (passed_over,) = order.passed_over
    assert (passed_over.file, passed_over.by) == ("c.raw", "stub")


def test_before_255_the_suffix_is_part_of_the_name() -> None:
    files = ("a.raw", "a.sysext.raw")
    assert names(only(*files, release=254)) == ["a", "a.sysext"]
    with pytest.raises(UsageError, match=r"a\.raw and a\.sysext\.raw are both the extension 'a'"):
        merge_orders(files, release=255)


def test_before_256_the_stub_packs_no_configuration_extensions() -> None:
    order = only("a.confext.raw", release=255)
    assert names(order) == ["a"]
    assert order.packed == ()
    assert order.passed_over[0].by == "stub"


@pytest.mark.parametrize(
    ("file", "by"),
    [
        ("a.raw.xz", ["systemd", "stub"]),
        ("a.RAW", ["systemd"]),
        ("ä.raw", ["stub"]),
        (".#a.raw", ["systemd", "stub"]),
        (".a.raw", ["stub"]),
        (".raw", ["systemd", "stub"]),
        ("a\x07.raw", ["systemd"]),
        (f"{'a' * 251}.raw", []),
        (f"{'a' * 252}.raw", ["stub"]),
    ],
)
def test_what_one_of_them_does_not_take_is_named(file: str, by: list[str]) -> None:
    assert [each.by for each in only(file).passed_over] == by


@pytest.mark.parametrize("name", ["", "/", "..", "a/.", "a.sysext.raw.v"])
def test_what_names_no_extension_is_refused(name: str) -> None:
    with pytest.raises(UsageError):
        merge_orders([name])


def test_the_command() -> None:
    done = sysgraft("ext", "order", "a_2", "a_10", "a+2", "b.confext.raw", "c.img")
    assert done.code == 0
    rows = [line.split() for line in done.out.splitlines()]
    assert ["3", "a_10", "a_2.sysext.raw"] in rows
    assert "it is open which lies higher: a_2, a+2" in done.out
    assert "systemd does not merge c.img" in done.out
    assert sysgraft("ext", "order", "a", "--systemd-version", "200").code == 2
