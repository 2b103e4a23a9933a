"""``sysgraft pcr plan``: each combination of an upgrade, held against a partition laid out so."""

from __future__ import annotations

import shutil
from itertools import product
from typing import TYPE_CHECKING

import pytest

from command import sysgraft
from executables import make_pe
from uki_kit import make_kernel, make_stub, pcr11, policy
from upgrade_kit import GLOBAL, OS, SYSEXT, Upgrade, done, entry, make_uki, make_upgrade

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def upgrade(tmp_path: Path) -> Upgrade:
    return make_upgrade(tmp_path)


# --- Combinations --------------------------------------------------------------------------------


def test_every_combination_has_the_policy_of_a_partition_that_looks_like_it(
    upgrade: Upgrade,
) -> None:
    upgrade.write(f"to/{GLOBAL}", "for all")
    upgrade.write(f"from/{OS}.extra.d/old.raw", "goes")
    for side, options in (("from", "quiet"), ("to", "debug")):
        upgrade.write(f"{side}/loader/entries/t.conf", f"uki /{OS}\noptions {options}\n")
    plan = upgrade.plan("--pcr", "11+12+13")
    paths = (OS, SYSEXT, GLOBAL, f"{OS}.extra.d/old.raw", "loader/entries/t.conf")
    signatures = upgrade.write("none.json", '{"sha256": []}')
    for path, count in (("loader/entries/t.conf", 5), (OS, 4)):
        known = {frozenset(done(plan, each)): each for each in entry(plan, path)["combinations"]}
        assert len(known) == len(entry(plan, path)["combinations"]) == 1 << count
        for choice in product((False, True), repeat=count):
            state = upgrade.folder / "state"
            shutil.rmtree(state, ignore_errors=True)
            chosen = dict(zip(paths, (*choice, False), strict=False))
            for name, is_new in chosen.items():
                source = upgrade.folder / ("to" if is_new else "from") / name
                if source.exists():
                    upgrade.write(f"state/{name}", source.read_bytes())
            words = ("--esp", state, "--entry", "t" if count == 5 else OS, "--pcr", "11+12+13")
            checked = sysgraft("pcr", "check", signatures, *words, "--json").document
            combination = known[frozenset(name for name, is_new in chosen.items() if is_new)]
            (answer,) = checked["answers"]
            assert [each["policy"] for each in combination["policies"]] == [answer["policy"]]


def test_the_policy_is_that_of_the_sections(upgrade: Upgrade) -> None:
    plan = upgrade.plan("--pcr", "11", "--phase", "enter-initrd")
    found = {
        frozenset(done(plan, each)): each["policies"][0]["policy"]
        for each in entry(plan, OS)["combinations"]
    }
    expected = {
        frozenset[str](names): policy(
            pcr11(
                {".linux": make_kernel(body=body), ".osrel": b"ID=plan\n"}, "enter-initrd", "sha256"
            ),
            "sha256",
        )
        for names, body in (((), b"from"), ((OS,), b"to"))
    }
    assert found == expected  # no sysext is part of PCR 11


def test_what_is_the_same_is_one_combination(upgrade: Upgrade) -> None:
    for side in ("from", "to"):
        upgrade.write(f"{side}/EFI/Linux/fallback.efi", make_uki(b"fallback"))
    plan = upgrade.plan("--entry", "fallback")
    (combination,) = entry(plan, "EFI/Linux/fallback.efi")["combinations"]
    assert combination["done"] == []
    assert len(plan["entries"]) == 1


def test_entries_that_come_and_go_start_only_while_they_are_there(upgrade: Upgrade) -> None:
    upgrade.write("from/EFI/Linux/old.efi", make_uki(b"old"))
    upgrade.write("to/EFI/Linux/new.efi", make_uki(b"new"))
    plan = upgrade.plan()
    for path, starting in (
        ("EFI/Linux/old.efi", set()),
        ("EFI/Linux/new.efi", {"EFI/Linux/new.efi"}),
    ):
        (found,) = (each for each in entry(plan, path)["combinations"] if each["starts"])
        assert done(plan, found) == starting


def test_too_many_combinations_are_refused(upgrade: Upgrade) -> None:
    for number in range(13):
        upgrade.write(f"to/{OS}.extra.d/{number}.raw", "x")
    result = upgrade.run()
    assert result.code == 2
    assert "32768 combinations; the limit is 4096" in result.err


# --- For people, and what is refused -------------------------------------------------------------


def test_the_report_tells_what_only_another_order_meets(upgrade: Upgrade) -> None:
    result = upgrade.run(
        "--private-key", upgrade.folder / "k.key", "--output", upgrade.folder / "s"
    )
    assert "signed  only in another order  os.efi new, a.sysext.raw old" in result.out
    assert "order: it passes through signed combinations only" in result.out
    assert f" 2. replace {OS}" in " ".join(result.out.split())


def test_files_that_do_not_matter_can_go_at_any_time(upgrade: Upgrade) -> None:
    upgrade.write("to/loader/loader.conf", "timeout 3\n")
    upgrade.write(f"to/{OS}.extra.d/x.cred", "secret")
    plan = upgrade.plan()
    names = {plan["changes"][number]["path"] for number in plan["anyTime"]}
    assert names == {"loader/loader.conf", f"{OS}.extra.d/x.cred"}
    about_12 = upgrade.plan("--pcr", "12")
    names = {about_12["changes"][number]["path"] for number in about_12["anyTime"]}
    assert names == {"loader/loader.conf", SYSEXT}


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--pcr", "7"), "PCR 7 does not follow from these files"),
        (("--entry", "nothing"), "there is no boot entry called nothing"),
        (("--missing", "p.json"), "whose policies are to be signed is not known"),
        (("--private-key", "k"), "--private-key and --output go together"),
        (("--luks", "l", "--pcr", "11"), "leave --pcr and these out"),
        (("--phase", "never"), "never"),
        (("--signatures", "absent.json"), "absent.json"),
    ],
)
def test_bad_input_is_refused(upgrade: Upgrade, words: tuple[str, ...], message: str) -> None:
    result = upgrade.run(*words)
    assert result.code == 2
    assert message in result.err


def test_partitions_without_an_entry_are_refused(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    result = sysgraft("pcr", "plan", "--from", tmp_path / "a", "--to", tmp_path / "b")
    assert result.code == 2
    assert "there is no boot entry that starts a UKI" in result.err


def test_each_profile_is_an_entry(upgrade: Upgrade) -> None:
    pieces = [
        (".text", make_stub()[:64]),
        (".sdmagic", b"#### LoaderInfo: systemd-stub 258.3-1 ####\0"),
        (".linux", make_kernel()),
        (".profile", b"ID=main\n"),
        (".profile", b"ID=reset\n"),
        (".cmdline", b"reset"),
    ]
    upgrade.write("to/EFI/Linux/p.efi", make_pe(pieces))
    plan = upgrade.plan()
    policies = {
        entry(plan, "EFI/Linux/p.efi", number)["combinations"][1]["policies"][0]["policy"]
        for number in (0, 1)
    }
    assert len(policies) == 2
    only = upgrade.plan("--profile", "0", "--entry", "p")
    assert [each["profile"] for each in only["entries"]] == [0]
