"""Commands that are cut short at any step: each boot entry has its old set, or its new one.

A power cut is an exception at the K-th call that changes something, and at every later one, so that
nothing is tidied up either. A failure is an error of that call alone.
"""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import pytest

from node_root import KAIROS, Root, listing, make_root
from steps_kit import STEPS, PowerCutError, Steps, half_copied
from sysgraft.host import renaming
from sysgraft.node.candidates import candidates
from sysgraft.node.node import Node, NodeOptions

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

ENTRIES: Final = ("active", "passive", "recovery")
Sets = dict[str, dict[str, str | bytes]]


@dataclass(frozen=True)
class Scenario:
    """A system, and a command that changes it."""

    words: tuple[str, ...]
    store: dict[str, tuple[str, ...]]
    sets: dict[str, tuple[str, ...]]


FW: Final[dict[str, tuple[str, ...]]] = {f"fw_{number}.sysext.raw": () for number in range(4)}
SCENARIOS: Final = {
    "enable in an empty place": Scenario(
        ("enable", "fw_1", "--active", "--passive", "--placement", "esp"), FW, {}
    ),
    "enable beside others": Scenario(
        ("enable", "fw_1", "--active", "--common", "--placement", "esp"),
        FW,
        {"active": ("other_1",), "recovery": ("fw_1", "other_1")},
    ),
    "enable in the store": Scenario(
        ("enable", "fw_1", "--active", "--common"), {**FW, "x.raw": ("active",)}, {}
    ),
    "disable": Scenario(
        ("disable", "fw_1", "--active", "--passive", "--placement", "esp"),
        FW,
        {"active": ("fw_1", "other_1"), "passive": ("fw_1",)},
    ),
    "remove": Scenario(
        ("remove", "fw_1"),
        {**FW, "fw_1.sysext.raw": ("active", "common")},
        {"active": ("fw_1", "other_1"), "recovery": ("fw_1",)},
    ),
    "upgrade on the partition": Scenario(
        ("upgrade", "fw_2"),
        FW,
        {"active": ("fw_1", "other_1"), "passive": ("fw_0", "other_1"), "recovery": ("fw_0",)},
    ),
    "upgrade in the store": Scenario(
        ("upgrade", "fw_2"),
        {**FW, "fw_1.sysext.raw": ("active",), "fw_0.sysext.raw": ("passive", "recovery")},
        {},
    ),
    "upgrade in both": Scenario(
        ("upgrade", "fw_2"),
        {**FW, "fw_1.sysext.raw": ("active", "passive")},
        {"active": ("fw_1",), "passive": ("fw_1",)},
    ),
    "downgrade": Scenario(
        ("upgrade", "fw_1", "--downgrade"),
        {**FW, "fw_2.sysext.raw": ("active",), "fw_1.sysext.raw": ("passive",)},
        {"active": ("fw_2",), "passive": ("fw_1",)},
    ),
    "rollback": Scenario(
        ("rollback", "fw"),
        {**FW, "fw_2.sysext.raw": ("active",), "fw_1.sysext.raw": ("passive",)},
        {"active": ("fw_2", "other_1"), "passive": ("fw_1",)},
    ),
}


def build(folder: Path, scenario: Scenario) -> Root:
    root = make_root(folder)
    for file, profiles in scenario.store.items():
        name = file.partition(".")[0]
        root.write(f"{KAIROS}/extensions/{file}", f"image {name}")
        root.write(f"{KAIROS}/extensions/{name}.pcrsig.json", f"policy {name}")
        for profile in profiles:
            root.link(f"{KAIROS}/extensions/{profile}/{file}", f"../{file}")
    for entry in ENTRIES:
        root.uki(entry)
        for name in scenario.sets.get(entry, ()):
            folder_of = f"efi/EFI/kairos/{entry}.efi.extra.d"
            root.write(f"{folder_of}/{name}.sysext.raw", f"image {name}")
            root.write(f"{folder_of}/{name}.pcrsig.json", f"policy {name}")
    return root


def sets(root: Root) -> Sets:
    """What the stub would find, and what an activation would take of the store, by entry."""
    found = {entry: listing(root.esp / f"EFI/kairos/{entry}.efi.extra.d") for entry in ENTRIES}
    for entry in ENTRIES:
        root.booted(entry)
        node = Node(NodeOptions(root=str(root.path), running=True))
        counting: dict[tuple[str, str], str] = {}
        for each in candidates(node, []):
            counting.setdefault(each.family, each.file)
        found[f"store for {entry}"] = {file: family for (_, family), file in counting.items()}
    return found


def debris(root: Root) -> list[str]:
    """What has no business to be there when all is done."""
    return [
        path
        for path in listing(root.path)
        if "SYSGRAFT" in path or ".old" in path or (".sysgraft-" in path and "whole" not in path)
    ]


def cut_short(
    root: Root, words: tuple[str, ...], steps: Steps, *, exchanges: bool
) -> tuple[int, str]:
    """Run a command that is cut short; its code and what it said, or -1 for a power cut."""
    with pytest.MonkeyPatch.context() as patch:
        for name in STEPS:
            patch.setattr(os, name, steps.wrap(name, getattr(os, name)))
        patch.setattr(shutil, "rmtree", steps.wrap("rmtree", shutil.rmtree))
        exchange = renaming.exchange if exchanges else lambda *_: False
        patch.setattr("sysgraft.node.esp_sets.exchange", steps.wrap("exchange", exchange))
        syncing = steps.wrap("sync", renaming.sync_all)
        patch.setattr("sysgraft.node.leftovers.sync_all", syncing)
        patch.setattr("sysgraft.node.esp_sets.copy_synced", half_copied(steps))
        try:
            done = root.run(*words)
        except PowerCutError:
            return -1, ""
    return done.code, done.err


def systems(tmp_path: Path, scenario: Scenario) -> Iterator[Root]:
    """The same system again and again."""
    first = build(tmp_path / "first", scenario)
    number = 0
    while True:
        number += 1
        place = tmp_path / f"system-{number}"
        shutil.copytree(first.path, place / "root", symlinks=True)
        yield Root(place / "root", first.images)
        shutil.rmtree(place)


@pytest.mark.parametrize("exchanges", [True, False], ids=["exchange", "renames"])
@pytest.mark.parametrize("cut", [True, False], ids=["cut", "failure"])
@pytest.mark.parametrize("name", SCENARIOS)
def test_every_step(tmp_path: Path, name: str, *, cut: bool, exchanges: bool) -> None:
    scenario = SCENARIOS[name]
    made = systems(tmp_path, scenario)
    root = next(made)
    old = sets(root)
    whole = Steps()
    assert cut_short(root, scenario.words, whole, exchanges=exchanges)[0] == 0
    new = sets(root)
    assert new != old
    assert debris(root) == []
    final = listing(root.path)
    for at in range(1, whole.done + 1):
        root = next(made)
        steps = Steps(at, cut)
        code, said = cut_short(root, scenario.words, steps, exchanges=exchanges)
        where = f"step {at} of {whole.done}: {steps.names[at - 1 :]}"
        if code == 0:
            # Something that is only tried: a folder's fsync, say.
            assert not cut, where
        if not cut and code:
            assert code == 2, where
            assert said.startswith("error: "), where
            assert "unexpected" not in said, where
        for entry, found in sets(root).items():
            is_gap = not exchanges and cut and "rename" in steps.names[: at - 1]
            allowed = [old[entry], new[entry], *([{}] if is_gap else [])]
            assert found in allowed, f"{where}: {entry} has {list(found)}"
        again = root.run(*scenario.words)
        if again.code and scenario.words[0] in ("remove", "rollback"):
            # It was done already, or nothing of it is left to be named.
            assert "no installed extension" in again.err or "no other version" in again.err, where
            root.run("gc", "--keep", "9")
        else:
            assert again.code == 0, f"{where}: {again.err}"
        assert sets(root) == new, where
        assert debris(root) == [], where
        left = listing(root.path)
        differing = [path for path in {*left, *final} if left.get(path) != final.get(path)]
        assert [path for path in differing if "efivars" not in path] == [], where


@pytest.mark.parametrize("cut", [True, False], ids=["cut", "failure"])
@pytest.mark.parametrize("force", [False, True], ids=["new", "replaced"])
def test_every_step_of_an_installation(tmp_path: Path, *, cut: bool, force: bool) -> None:
    """An image has its name with all its bytes or not at all, and no other image's policy."""
    made = systems(tmp_path, Scenario((), {}, {}))
    root = next(made)
    old, new = root.image("fw"), root.image("fw", files={"usr/share/new": "new" * 5000})
    policies = {}
    for name, text in (("old", '{"sha1": []}'), ("new", '{"sha256": []}')):
        policies[name] = root.images / f"{name}.json"
        policies[name].write_text(text)
    words = ("install", str(new), "--policy-signature", str(policies["new"]))
    before = ("install", str(old), "--policy-signature", str(policies["old"]))
    place = root.store / "fw.sysext.raw"

    def prepared(each: Root) -> tuple[str, ...]:
        if force:
            assert each.run(*before).code == 0
        return (*words, "--force") if force else words

    whole = Steps()
    assert cut_short(root, prepared(root), whole, exchanges=True)[0] == 0
    assert place.read_bytes() == new.read_bytes()
    for at in range(1, whole.done + 1):
        root = next(made)
        command = prepared(root)
        steps = Steps(at, cut)
        cut_short(root, command, steps, exchanges=True)
        where = f"step {at} of {whole.done}: {steps.names[at - 1 :]}"
        found = listing(root.store)
        image, policy = found.get("fw.sysext.raw"), found.get("fw.pcrsig.json")
        assert image in (None, old.read_bytes(), new.read_bytes()), where
        assert image is not None or not force, where
        if policy is not None and image is not None:
            is_old = image == old.read_bytes()
            assert policy == policies["old" if is_old else "new"].read_bytes(), where
        assert root.run(*command).code == 0, where
        found = listing(root.store)
        assert found["fw.sysext.raw"] == new.read_bytes()
        assert found["fw.pcrsig.json"] == policies["new"].read_bytes()
        assert debris(root) == [], where
