"""The running system: ``--now``, what systemd made of it, and what is told of that."""

from __future__ import annotations

import functools
import os
from typing import TYPE_CHECKING, Any

import pytest

from command import Result, sysgraft
from node_root import KAIROS, STRANGER, Root, listing, make_root
from registry_kit import Reply, server
from sysgraft.errors import ToolError, UsageError
from sysgraft.formats.extension_release import Kind
from sysgraft.node.activate import activate
from sysgraft.node.document import write_activation
from sysgraft.node.enable import EnableOptions, disable, enable, remove
from sysgraft.node.masking import found_by_systemd
from sysgraft.node.node import NodeOptions
from sysgraft.node.status import Effect, Status, node_status
from sysgraft.node.upgrade import UpgradeOptions, rollback, upgrade
from sysgraft.testing.systemd import FakeSystemd
from sysgraft.transport import http

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def root(tmp_path: Path) -> Root:
    root = make_root(tmp_path)
    root.booted("active")
    return root


@pytest.fixture
def systemd(root: Root) -> FakeSystemd:
    """Merges whatever images lie where systemd looks."""

    def finds(kind: Kind) -> list[str]:
        found = found_by_systemd(root.node(), kind, 257)
        return [name for name, path in found.items() if not os.path.isdir(path)]

    return FakeSystemd(finds)


def now(systemd: FakeSystemd) -> EnableOptions:
    return EnableOptions(now=True, systemd=systemd)


def told(changes: Any) -> list[tuple[str, str, str]]:
    return [(each.what, each.name, each.where) for each in changes.changes]


def effects(status: Status) -> dict[str, Effect]:
    return {each.name: each.effect for each in status.images}


# --- Now ------------------------------------------------------------------------------------------


def test_enabled_now_and_disabled_now(root: Root, systemd: FakeSystemd) -> None:
    root.put("one")
    root.put("two", "common")
    done = enable(root.node(), "one", ["active"], now(systemd))
    assert done.ok
    assert told(done) == [
        ("enabled", "one", "active"),
        ("merged", "one", "now"),
        ("merged", "two", "now"),
    ]
    assert systemd.refreshed == [Kind.SYSEXT]
    assert systemd.names[Kind.SYSEXT] == ("one", "two")
    done = disable(root.node(), "one", ["active"], now(systemd))
    assert told(done) == [("disabled", "one", "active"), ("merged", "two", "now")]
    assert systemd.names[Kind.SYSEXT] == ("two",)
    assert (root.store / "one.sysext.raw").exists()


def test_removed_now_is_gone_from_systemd_before_the_file_goes(
    root: Root, systemd: FakeSystemd
) -> None:
    image = root.put("one", "active", "passive")
    enable(root.node(), "one", ["active"], now(systemd))
    there: list[bool] = []
    finds = systemd._finds

    def watch(kind: Kind) -> list[str]:
        there.append(image.exists())
        assert finds is not None
        return finds(kind)

    systemd._finds = watch
    done = remove(root.node(), "one", now(systemd))
    assert told(done) == [
        ("disabled", "one", "active"),
        ("disabled", "one", "passive"),
        ("removed", "one", ""),
    ]
    assert (there, systemd.names[Kind.SYSEXT]) == ([True], ())
    assert [path for path in listing(root.store) if "whole" not in path] == []
    assert listing(root.path / "run/extensions") == {}


def test_one_bad_image_of_this_boot_is_left_out(root: Root, systemd: FakeSystemd) -> None:
    root.put("good")
    root.put("bad", signer=STRANGER)
    done = enable(root.node(), "*", ["active"], now(systemd))
    assert ("merged", "good", "now") in told(done)
    assert systemd.names[Kind.SYSEXT] == ("good",)
    assert any(note.startswith("bad.sysext.raw is left out: ") for note in done.notes)


def test_one_bad_image_that_is_not_ours_stops_it(root: Root, systemd: FakeSystemd) -> None:
    """It cannot be masked, and systemd would merge nothing at all any more."""
    root.put("good")
    root.put("top", into="etc/extensions", signer=None)
    systemd.names[Kind.SYSEXT] = ("before",)
    done = enable(root.node(), "good", ["active"], now(systemd))
    assert not done.ok
    assert (systemd.refreshed, systemd.names[Kind.SYSEXT]) == ([], ("before",))
    assert done.notes[-1].startswith("nothing was merged anew")
    assert any("etc/extensions/top.sysext.raw" in note for note in done.notes)


def test_other_entries_do_not_concern_this_boot(root: Root, systemd: FakeSystemd) -> None:
    root.put("one")
    done = enable(root.node(), "one", ["passive", "recovery"], now(systemd))
    assert done.notes == ("this boot (active) is not concerned",)
    assert systemd.refreshed == []


def test_what_lies_on_the_partition_counts_later(root: Root, systemd: FakeSystemd) -> None:
    root.put("one")
    root.uki("active")
    options = EnableOptions(now=True, placement="esp", systemd=systemd)
    done = enable(root.node(), "one", ["active"], options)
    assert done.notes == ("what lies on the EFI system partition counts from the next boot on",)
    assert systemd.refreshed == []


def test_kinds_are_merged_each_by_its_own(root: Root, systemd: FakeSystemd) -> None:
    root.put("one")
    files = {"etc/x": "x"}
    root.put("one", into=f"{KAIROS}/confexts", kind=Kind.CONFEXT, files=files)
    done = enable(root.node(), "one", ["active"], now(systemd))
    assert systemd.refreshed == [Kind.SYSEXT, Kind.CONFEXT]
    assert done.ok
    assert systemd.names == {Kind.SYSEXT: ("one",), Kind.CONFEXT: ("one",)}


def test_an_upgrade_now_and_back(root: Root, systemd: FakeSystemd) -> None:
    root.put("fw_1", "active")
    root.put("fw_2")
    done = upgrade(root.node(), "fw_2", UpgradeOptions(now=True, systemd=systemd))
    assert told(done) == [
        ("enabled", "fw_1", "passive"),
        ("enabled", "fw_2", "active"),
        ("disabled", "fw_1", "active"),
        ("merged", "fw_2", "now"),
    ]
    done = rollback(root.node(), "fw", now(systemd))
    assert told(done)[-1] == ("merged", "fw_1", "now")
    assert systemd.names[Kind.SYSEXT] == ("fw_1",)


def test_a_merge_that_fails_all_the_same(root: Root, systemd: FakeSystemd) -> None:
    root.put("one")
    systemd.failure = "systemctl failed"
    with pytest.raises(ToolError, match="systemctl failed"):
        enable(root.node(), "one", ["active"], now(systemd))
    systemd.failure = ""
    systemd._finds = lambda _: []
    done = enable(root.node(), "one", ["active"], now(systemd))
    assert not done.ok
    assert "one.sysext.raw was not merged, although nothing speaks against it" in done.notes


@pytest.mark.parametrize("verb", ["enable", "disable", "remove", "upgrade", "rollback"])
def test_now_is_for_the_running_system(root: Root, verb: str) -> None:
    root.put("one")
    more = ["--active"] if verb in ("enable", "disable") else []
    message = root.refused(verb, "one", "--now", *more)
    assert message == "error: --now is for the running system, not for one below --root"


# --- Status ---------------------------------------------------------------------------------------


def test_what_became_of_each(root: Root, systemd: FakeSystemd) -> None:
    for name, signer in (("bad", STRANGER), ("none", None)):
        root.put(name, "active", signer=signer)
    for name in ("denied", "failed", "gone", "good", "taken", "fw_1", "fw_2"):
        root.put(name, "active")
    root.put("theirs", into="var/lib/extensions")
    root.write("usr/lib/sysgraft/config.toml", 'deny = ["denied"]\n')
    node = root.node()
    write_activation(activate(node), node.root)
    systemd.refresh(Kind.SYSEXT)
    merged = set(systemd.names[Kind.SYSEXT]) - {"failed", "gone"}
    systemd.names[Kind.SYSEXT] = (*merged, "ghost")
    (root.store / "gone.sysext.raw").unlink()
    root.put("taken", into="etc/extensions")
    root.put("later", "active")
    root.put("other", "passive")
    status = node_status(root.node(), systemd=systemd)
    assert effects(status) == {
        "bad": Effect.SKIPPED,
        "denied": Effect.DENIED,
        "failed": Effect.FAILED,
        "fw_1": Effect.SHADOWED,
        "fw_2": Effect.MERGED,
        "ghost": Effect.FOREIGN,
        "gone": Effect.FAILED,
        "good": Effect.MERGED,
        "later": Effect.PENDING,
        "none": Effect.SKIPPED,
        "taken": Effect.FAILED,
        "theirs": Effect.FOREIGN,
    }
    reasons = {each.name: each.reason for each in status.images}
    assert reasons["gone"] == "the image is gone"
    assert reasons["good"] == ""
    assert "journalctl -b -u systemd-sysext.service" in reasons["failed"]
    assert reasons["taken"].endswith("etc/extensions/taken.sysext.raw")
    assert reasons["theirs"].endswith("var/lib/extensions/theirs.sysext.raw")
    assert reasons["ghost"] == "nobody knows where it came from"
    assert not status.ok


def test_all_is_well(root: Root, systemd: FakeSystemd) -> None:
    root.put("good", "active")
    root.put("denied", "active")
    root.write("usr/lib/sysgraft/config.toml", 'deny = ["denied"]\n')
    node = root.node()
    write_activation(activate(node), node.root)
    systemd.refresh(Kind.SYSEXT)
    status = node_status(root.node(), systemd=systemd)
    assert status.ok
    assert [(each.kind, each.profile) for each in status.images] == [
        (Kind.SYSEXT, "active"),
        (Kind.SYSEXT, "active"),
    ]


def test_without_an_activation(root: Root, systemd: FakeSystemd) -> None:
    root.put("one", "active")
    status = node_status(root.node(), systemd=systemd)
    assert not status.ok
    assert status.notes == ("nothing was activated in this boot",)
    assert effects(status) == {"one": Effect.PENDING}


def test_systemd_that_cannot_be_asked(root: Root, systemd: FakeSystemd) -> None:
    root.put("one", "active")
    root.put("bad", "active", signer=STRANGER)
    node = root.node()
    write_activation(activate(node), node.root)
    systemd.failure = "no such program"
    status = node_status(root.node(), systemd=systemd)
    assert effects(status) == {"one": Effect.UNKNOWN, "bad": Effect.SKIPPED}
    assert not status.ok
    assert any("no such program" in note for note in status.notes)


def test_a_folder_of_links_that_is_a_link(root: Root, systemd: FakeSystemd, tmp_path: Path) -> None:
    """Status tells of it, and of everything else."""
    root.put("one", "active")
    node = root.node()
    write_activation(activate(node), node.root)
    systemd.refresh(Kind.SYSEXT)
    root.link(f"{KAIROS}/extensions/common", str(tmp_path))
    status = node_status(root.node(), systemd=systemd)
    assert effects(status) == {"one": Effect.MERGED}
    assert any("symbolic link" in note for note in status.notes)


def test_status_is_of_the_running_system(root: Root, systemd: FakeSystemd) -> None:
    with pytest.raises(UsageError, match="is for the running system"):
        node_status(root.node(running=False), systemd=systemd)


# --- kairos-agent's own words ---------------------------------------------------------------------

# As its users have written them, one after another on one system.
LINES = """\
kairos-agent sysext install https://example.org/firmware-ubuntu-2404.sysext.raw
kairos-agent sysext enable --common --now firmware-ubuntu-2404
kairos-agent sysext install file:/tmp/firmware-ubuntu-2404.sysext.raw
kairos-agent sysext enable --common --now firmware-ubuntu-2404
kairos-agent sysext list --active
kairos-agent sysext install https://example.org/firmware-ubuntu-2404-2025.06.01.sysext.raw
kairos-agent sysext install https://example.org/firmware-ubuntu-2404-2025.09.01.sysext.raw
kairos-agent sysext enable --common --now firmware-ubuntu-2404-2025.09.01
kairos-agent sysext remove firmware-ubuntu-2404-2025.06.01
kairos-agent sysext install file:/tmp/firmware.sysext.raw
kairos-agent sysext list
kairos-agent sysext enable --now --active firmware
""".splitlines()


@pytest.fixture
def live(root: Root, systemd: FakeSystemd, monkeypatch: pytest.MonkeyPatch) -> Root:
    """The commands without ``--root`` work on this system."""
    options = functools.partial(NodeOptions, running=True)

    def here(**more: Any) -> NodeOptions:
        return options(**{**more, "root": str(root.path)})

    for module in ("node_common", "node_status", "node_activate"):
        monkeypatch.setattr(f"sysgraft.cli.{module}.NodeOptions", here)
    monkeypatch.setattr("sysgraft.node.now.RunningSystemd", lambda *_: systemd)
    monkeypatch.setattr("sysgraft.node.status.RunningSystemd", lambda *_: systemd)
    return root


@pytest.mark.parametrize("noun", [("sysext",), ()], ids=["sysext", "short"])
def test_the_lines_of_kairos_agents_users(
    live: Root, systemd: FakeSystemd, noun: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http.Http, "pause", lambda *_: None)
    names = ("", "-2025.06.01", "-2025.09.01")
    images = {
        f"firmware-ubuntu-2404{name}.sysext.raw": live.image(f"firmware-ubuntu-2404{name}")
        for name in names
    }
    images["firmware.sysext.raw"] = live.image("firmware")

    def run(line: str, host: str) -> Result:
        words = line.split()[2:]
        for at, word in enumerate(words):
            file = word.rpartition("/")[2]
            if word.startswith("https:"):
                words[at] = f"http://{host}/{file}"
            elif word.startswith("file:"):
                words[at] = f"file:{images[file]}"
        return sysgraft("node", *noun, *words)

    with server(lambda asked: Reply(200, images[asked.path[1:]].read_bytes())) as host:
        for line in LINES:
            done = run(line, host)
            assert done.code == 0, (line, done.err)
    assert sorted(path for path in listing(live.store) if "whole" not in path) == [
        "active/firmware.sysext.raw",
        "common/firmware-ubuntu-2404-2025.09.01.sysext.raw",
        "common/firmware-ubuntu-2404.sysext.raw",
        "firmware-ubuntu-2404-2025.09.01.sysext.raw",
        "firmware-ubuntu-2404.sysext.raw",
        "firmware.sysext.raw",
    ]
    assert set(systemd.names[Kind.SYSEXT]) >= {"firmware", "firmware-ubuntu-2404-2025.09.01"}
    assert sysgraft("node", "activate").code == 0
    assert sysgraft("node", "status").code == 0


def test_the_noun_narrows_the_kind(live: Root) -> None:
    live.put("one")
    live.put("one", into=f"{KAIROS}/confexts", kind=Kind.CONFEXT, files={"etc/x": "x"})
    assert sysgraft("node", "confext", "enable", "one", "--active").code == 0
    assert listing(live.store).keys() == {"one.sysext.raw"}
    assert "active/one.confext.raw" in listing(live.confexts)
    listed = sysgraft("node", "sysext", "list", "--json").document["installed"]
    assert [each["file"] for each in listed] == ["one.sysext.raw"]
    wrong = sysgraft("node", "sysext", "install", live.image("c", kind=Kind.CONFEXT, files={}))
    assert (wrong.code, "a sysext is wanted" in wrong.err) == (2, True)


@pytest.mark.parametrize("words", [(), ("sysext",), ("sysext", "nonsense"), ("nonsense", "list")])
def test_words_that_are_no_verbs(words: tuple[str, ...]) -> None:
    assert sysgraft("node", *words).code == 2


# --- What the verbs print -------------------------------------------------------------------------


def test_what_activate_and_status_say(live: Root, systemd: FakeSystemd) -> None:
    live.put("good", "active")
    live.put("bad", "active", signer=STRANGER)
    done = sysgraft("node", "activate")
    assert done.code == 1
    assert done.out.splitlines()[0] == "boot entry active, mode enforced: 2 images"
    assert "good.sysext.raw (active): merged: " in done.out
    assert "bad.sysext.raw (active): skipped: no trusted certificate" in done.out
    systemd.refresh(Kind.SYSEXT)
    status = sysgraft("node", "status")
    assert status.code == 1
    lines = [line.split() for line in status.out.splitlines()]
    assert lines[0] == ["boot", "entry", "active,", "mode", "enforced,", "systemd", "257"]
    assert lines[1] == ["NAME", "TYPE", "NOW", "FROM", "WHY"]
    assert sorted(line[:4] for line in lines[2:]) == [
        ["bad", "sysext", "skipped", "active"],
        ["good", "sysext", "merged", "active"],
    ]
    # Before boot-complete.target it fails only if the configuration wants that.
    assert sysgraft("node", "status", "--boot").code == 0
    live.write("usr/lib/sysgraft/config.toml", "fail_boot = true\n")
    assert sysgraft("node", "status", "--boot").code == 1


def test_what_list_says(live: Root) -> None:
    assert sysgraft("node", "list").out == "nothing is installed\n"
    live.uki("active")
    live.put("one_1.2", "active", "mine")
    live.put("two")
    assert sysgraft("node", "enable", "two", "--active", "--placement", "esp").code == 0
    live.link(f"{KAIROS}/extensions/active/gone.raw", "../gone.raw")
    done = sysgraft("node", "list")
    assert [line.split()[:4] for line in done.out.splitlines() if line] == [
        ["NAME", "TYPE", "ENABLED", "FOR"],
        ["one_1.2", "sysext", "active,", "mine"],
        ["two", "sysext", "-", done.out.splitlines()[2].split()[3]],
        ["ON", "THE", "ESP", "FOR"],
        ["two.sysext.raw", "active", "EFI/kairos/active.efi.extra.d"],
    ]
    assert done.err.endswith("gone.raw: the image it leads to is not there\n")
    document = sysgraft("node", "list", "--json", "--entry", "mine").document
    assert [each["name"] for each in document["installed"]] == ["one_1.2"]
    assert document["installed"][0]["family"] == "one"
    assert document["installed"][0]["version"] == "1.2"
    assert document["installed"][0]["enabled"] == ["active", "mine"]
    assert document["placed"] == []
