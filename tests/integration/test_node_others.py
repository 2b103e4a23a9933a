"""What others have put where systemd looks, under whatever names, and what is not what it seems."""

from __future__ import annotations

import errno
import os
import shutil
from typing import TYPE_CHECKING, Any

import pytest

from node_root import KAIROS, Root, make_root
from sysgraft.base.blob import BytesBlob
from sysgraft.errors import OutputError
from sysgraft.formats import gpt
from sysgraft.formats.extension_release import Kind
from sysgraft.node import activate as activation
from sysgraft.node import now
from sysgraft.node.activate import activate
from sysgraft.node.candidates import candidates
from sysgraft.node.changes import Record
from sysgraft.node.clock import Clock, OutOfTimeError
from sysgraft.node.collect import collect
from sysgraft.node.enable import EnableOptions, enable
from sysgraft.node.judge import Judge
from sysgraft.node.masking import names_of
from sysgraft.node.upgrade import rollback
from sysgraft.testing.systemd import FakeSystemd

if TYPE_CHECKING:
    from pathlib import Path

    from sysgraft.node.activation import Activation
    from sysgraft.node.placing import SetPlan

OTHERS = "var/lib/extensions"


@pytest.fixture
def root(tmp_path: Path) -> Root:
    root = make_root(tmp_path)
    root.booted("active")
    return root


def run(root: Root, kind: str = "extensions") -> list[str]:
    return sorted(os.listdir(root.path / "run" / kind))


def others(done: Activation) -> dict[str, bool]:
    return {os.path.basename(each.path): each.masked for each in done.others}


def told(done: Activation) -> dict[str, str]:
    return {e.candidate.file: str(e.judgement.state) for e in done.images if e.judgement}


def configure(root: Root, text: str) -> None:
    root.write("usr/lib/sysgraft/config.toml", text)


def damage(image: Path) -> None:
    """Flip a bit of the data."""
    data = bytearray(image.read_bytes())
    data[gpt.parse(BytesBlob(bytes(data))).partitions[0].offset + 5000] ^= 1
    image.write_bytes(data)


# --- Names ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("file", "is_folder", "release", "names"),
    [
        ("fw.sysext.raw", False, 254, ("fw.sysext",)),
        ("fw.sysext.raw", False, 255, ("fw",)),
        ("fw.confext.raw", False, 257, ("fw.confext",)),
        ("fw.raw.raw", False, 257, ("fw.raw",)),
        ("fw.img", False, 257, ()),
        ("fw.raw", True, 257, ("fw.raw",)),
        ("fw.sysext", True, 254, ("fw.sysext",)),
        ("fw.sysext", True, 257, ("fw",)),
        ("fw.v", True, 255, ("fw.v",)),
        ("fw.v", True, 256, ("fw",)),
        ("fw.sysext.raw.v", True, 256, ("fw",)),
        ("fw.mstack", True, 259, ("fw.mstack",)),
        ("fw.mstack", True, 260, ("fw.mstack", "fw")),
    ],
)
def test_names_are_those_of_systemd(
    file: str, is_folder: bool, release: int, names: tuple[str, ...]
) -> None:
    assert names_of(file, Kind.SYSEXT, release, is_folder=is_folder) == names


def test_folders_are_masked_under_the_names_they_have(root: Root) -> None:
    for name in ("one.raw", "two.img", "two", "three.v/three_1", "four.sysext"):
        root.write(f"{OTHERS}/{name}/usr/bin/x", "x")
    done = activate(root.node())
    assert run(root) == ["four", "one.raw", "three", "two", "two.img"]
    named = ("one.raw", "two.img", "two", "three.v", "four.sysext")
    assert others(done) == dict.fromkeys(named, True)


def test_a_mask_has_a_name_that_systemd_does_not_cut_again(root: Root) -> None:
    for name in ("one.v.sysext", "two.sysext.sysext"):
        root.write(f"{OTHERS}/{name}/usr/bin/x", "x")
    root.put("three.v", into=OTHERS, signer=None)
    done = activate(root.node())
    assert run(root) == ["one.v.sysext", "three.v.sysext", "two.sysext.sysext"]
    assert others(done) == dict.fromkeys(
        ("one.v.sysext", "two.sysext.sysext", "three.v.sysext.raw"), True
    )


def test_what_systemd_passes_over_hides_nothing(root: Root) -> None:
    for name in ("one", "two", "three"):
        root.write(f"{OTHERS}/{name}/usr/bin/x", "x")
    for name in ("one.v", "two.mstack"):
        (root.path / "etc/extensions" / name).mkdir(parents=True)
    root.link("etc/extensions/three.raw", "/gone")
    root.link("run/extensions/one.raw", "/dev/null")
    done = activate(root.node())
    assert others(done) == dict.fromkeys(("one", "two", "three"), True)


def test_a_link_in_a_circle_is_told(root: Root) -> None:
    root.put("fw", "active")
    root.link(f"{OTHERS}/self", "self")
    done = activate(root.node())
    assert others(done) == {"self": False}
    assert not done.ok
    (refused,) = now.refused(root.node(), Kind.SYSEXT, done)
    assert "self: systemd looks no further" in refused


def test_a_link_in_place_of_the_folder_in_run_is_left_alone(root: Root) -> None:
    root.put("fw", "common")
    (root.path / "run").mkdir(exist_ok=True)
    root.link("run/extensions", f"../{KAIROS}/extensions/common")
    done = activate(root.node())
    assert os.listdir(root.store / "common") == ["fw.sysext.raw"]
    assert not done.ok


def test_a_fallback_has_no_mask_of_its_name(root: Root) -> None:
    damage(root.put("fw_2", "active"))
    root.put("fw_1", "active")
    root.write(f"{OTHERS}/fw_1/usr/bin/x", "x")
    root.write(f"{OTHERS}/fw_2/usr/bin/x", "x")
    done = activate(root.node())
    assert run(root) == ["fw_1.sysext.raw", "fw_2"]
    assert others(done) == {"fw_2": True}


def test_an_odd_record_of_links_ends_nothing(root: Root) -> None:
    root.put("fw", "active")
    activate(root.node())
    record = root.path / "run/sysgraft/links.json"
    record.write_text(record.read_text().replace("[", '5, "x": ['))
    activate(root.node())
    assert run(root) == ["fw.sysext.raw"]


def test_folders_of_versions_do_not_stand_in_the_way(root: Root) -> None:
    configure(root, "judge_others = false\n")
    image = root.image("fw_1")
    root.write(f"etc/extensions/fw.v/{image.name}", image.read_bytes())
    root.write(f"{OTHERS}/odd/usr/lib/extension-release.d/extension-release.other", "ID=_any\n")
    done = activate(root.node())
    assert others(done) == {"odd": True}
    assert list(now.refused(root.node(), Kind.SYSEXT, done)) == []


def test_an_empty_folder_hides_nothing_beside_it(root: Root) -> None:
    configure(root, 'deny = ["fw"]\n')
    (root.path / OTHERS / "fw").mkdir(parents=True)
    root.put("fw", into=OTHERS)
    done = activate(root.node())
    assert (run(root), others(done)) == (["fw"], {"fw.sysext.raw": True})


def test_two_of_one_name_are_kept_out_by_one_mask(root: Root) -> None:
    root.write(f"{OTHERS}/fw/usr/bin/x", "x")
    root.put("fw", into=OTHERS, signer=None)
    done = activate(root.node())
    assert (run(root), others(done)) == (["fw"], {"fw": True, "fw.sysext.raw": True})
    assert done.ok


def test_a_link_is_judged_by_the_name_it_gives(root: Root) -> None:
    good = root.put("good", into="srv")
    root.link(f"{OTHERS}/other.raw", f"/srv/{good.name}")
    done = activate(root.node())
    assert others(done) == {"other.raw": True}
    configure(root, 'mode = "permissive"\n')
    done = activate(root.node())
    assert others(done) == {"other.raw": True}


def test_names_of_before_255_and_folders_of_before_254(root: Root) -> None:
    (root.path / "usr/lib/systemd/libsystemd-shared-257.so").unlink()
    root.write("usr/lib/systemd/libsystemd-shared-252.so")
    root.put("bad", into=OTHERS, signer=None)
    root.write("usr/local/lib/extensions/local/usr/bin/x", "x")
    done = activate(root.node())
    assert done.systemd == 252
    assert run(root) == ["bad.sysext", "local"]
    assert others(done) == {"bad.sysext.raw": True, "local": True}


# --- In /run itself -------------------------------------------------------------------------------


def test_links_of_somebody_else_into_the_store_go(root: Root) -> None:
    """Immucore links whatever is enabled, before anybody has looked at it."""
    configure(root, 'deny = ["denied"]\n')
    root.put("denied", "active")
    root.put("plain", "common", signer=None)
    root.put("fw_1", "active")
    root.put("fw_2", "active")
    for name in ("denied", "plain", "fw_1", "fw_2"):
        target = f"/{KAIROS}/extensions/active/{name}.sysext.raw"
        root.link(f"run/extensions/{name}.sysext.raw", target)
    root.link("run/extensions/gone.sysext.raw", f"/{KAIROS}/extensions/gone.sysext.raw")
    done = activate(root.node())
    assert run(root) == ["fw_2.sysext.raw"]
    assert others(done) == {}


def test_what_else_lies_there_is_told(root: Root) -> None:
    root.put("plain", into="run/extensions", signer=None)
    root.put("fine", into="run/extensions")
    root.write("run/extensions/folder/usr/bin/x", "x")
    (root.path / "run/extensions/mask").mkdir()
    done = activate(root.node())
    assert others(done) == {"plain.sysext.raw": False, "folder": False}
    assert not done.ok


def test_a_file_in_place_of_a_folder_keeps_the_other_kind(root: Root) -> None:
    root.put("fw", "active")
    root.write("run/confexts", "no folder")
    done = activate(root.node())
    assert run(root) == ["fw.sysext.raw"]
    assert not done.ok


# --- Whatever else goes wrong ---------------------------------------------------------------------


@pytest.mark.parametrize("judges", [True, False])
def test_one_large_certificate_lets_nobody_in(root: Root, *, judges: bool) -> None:
    configure(root, f"judge_others = {str(judges).lower()}\n")
    root.write("etc/verity.d/big.crt", b"x" * (9 << 20))
    root.put("plain", into=OTHERS, signer=None)
    assert others(activate(root.node())) == {"plain.sysext.raw": True}


def test_masks_are_there_before_data_are_read(root: Root, monkeypatch: pytest.MonkeyPatch) -> None:
    root.put("fw", "active")
    root.write(f"{OTHERS}/evil/usr/bin/x", "x")

    def ends(*_: Any, **__: Any) -> None:
        raise SystemExit

    monkeypatch.setattr(Judge, "read", ends)
    with pytest.raises(SystemExit):
        activate(root.node())
    assert run(root) == ["evil", "fw.sysext.raw"]


def test_what_a_damaged_image_has_hidden_is_judged_too(root: Root) -> None:
    image = root.put("fw", "active")
    damage(image)
    root.put("fw", into=OTHERS, signer=None)
    done = activate(root.node())
    assert told(done) == {"fw.sysext.raw": "damaged"}
    assert (run(root), others(done)) == (["fw"], {"fw.sysext.raw": True})


def test_reading_ends_in_the_middle_of_an_image(
    root: Root, monkeypatch: pytest.MonkeyPatch
) -> None:
    root.put("fw", "active")
    root.put("tool", "active")
    monkeypatch.setattr(activation, "READ_SECONDS", -1)
    done = activate(root.node())
    assert run(root) == ["fw.sysext.raw", "tool.sysext.raw"]
    assert "not all data were read in -1 seconds" in done.notes
    assert all(each.judgement and not each.judgement.read for each in done.images)

    monkeypatch.setattr(activation, "READ_SECONDS", 1000)
    monkeypatch.setattr(Clock, "check", time_for_one_question())
    done = activate(root.node())
    assert "not all data were read in 1000 seconds" in done.notes


def time_for_one_question() -> Any:
    """A clock whose time is up as soon as the first bytes were read."""
    asked: list[int] = []

    def check(_clock: Any) -> None:
        asked.append(1)
        if len(asked) > 1:
            raise OutOfTimeError

    return check


@pytest.mark.parametrize("name", ["cx.confext.raw", "cx.raw"])
def test_a_confext_among_system_extensions_takes_nobody_along(root: Root, name: str) -> None:
    image = root.image("cx", kind=Kind.CONFEXT, files={"etc/x": "x"})
    root.write(f".extra/sysext/{name}", image.read_bytes())
    root.put("fw", "active")
    if name == "cx.raw":
        shutil.copy(image, root.store / "plain.raw")
        shutil.copy(image, root.store / "cx.raw")
        root.link(f"{KAIROS}/extensions/active/cx.raw", "../cx.raw")
    done = activate(root.node())
    assert run(root) == ["fw.sysext.raw"]
    if name == "cx.raw":
        assert told(done)["cx.raw"] == "misnamed"
    else:
        assert told(done) == {"fw.sysext.raw": "good", name: "good"}
        assert run(root, "confexts") == [name]
    assert list(now.refused(root.node(), Kind.SYSEXT, done)) == []
    root.write("srv/cx.raw", image.read_bytes())
    root.link("run/extensions/cx.raw", "/srv/cx.raw")
    assert len(list(now.refused(root.node(), Kind.SYSEXT, done))) == 1


def test_a_renamed_file_stays_denied(root: Root) -> None:
    configure(root, 'deny = ["fw"]\n')
    image = root.image("fw")
    shutil.copy(image, root.store / "fw_9.sysext.raw")
    root.link(f"{KAIROS}/extensions/active/fw_9.sysext.raw", "../fw_9.sysext.raw")
    root.write(f"{OTHERS}/fw_8.raw", image.read_bytes())
    done = activate(root.node())
    assert (run(root), others(done)) == (["fw_8"], {"fw_8.raw": True})


def test_of_what_the_map_gives_a_good_version_counts(root: Root) -> None:
    text = '[[map]]\nextension = "fw_*"\nentries = ["active"]\n'
    configure(root, text)
    root.put("fw_1")
    root.put("fw_2", signer=None)
    activate(root.node())
    assert run(root) == ["fw_1.sysext.raw"]
    root.put("fw_3")
    configure(root, f'deny = ["fw_3"]\n{text}')
    activate(root.node())
    assert run(root) == ["fw_1.sysext.raw"]
    (root.store / "fw_2.sysext.raw").unlink()
    removed = [each.name for each in collect(root.node(), dry_run=True).changes]
    assert removed == ["fw_3"]


def test_one_link_that_cannot_be_read_takes_nobody_along(
    root: Root, monkeypatch: pytest.MonkeyPatch
) -> None:
    root.put("bad", "active")
    root.put("fw", "common")
    root.put("tool", "active")
    read = os.readlink

    def readlink(path: Any, *more: Any, **rest: Any) -> Any:
        if "active/bad" in os.fspath(path):
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return read(path, *more, **rest)

    monkeypatch.setattr(os, "readlink", readlink)
    notes: list[str] = []
    found = [each.file for each in candidates(root.node(), notes)]
    assert found == ["tool.sysext.raw", "fw.sysext.raw"]
    assert any("bad.sysext.raw: Input/output error" in each for each in notes)


# --- Now, and back --------------------------------------------------------------------------------


def test_what_is_asked_for_and_left_out_is_no_success(root: Root) -> None:
    systemd = FakeSystemd(lambda _: ["tool"])
    root.put("plain", signer=None)
    root.put("tool")
    done = enable(root.node(), "plain", ["active"], EnableOptions(now=True, systemd=systemd))
    assert not done.ok
    done = enable(root.node(), "tool", ["active"], EnableOptions(now=True, systemd=systemd))
    assert done.ok
    root.write(
        "etc/extensions/evil/usr/lib/extension-release.d/extension-release.evil", "ID=_any\n"
    )
    done = enable(root.node(), "tool", ["common"], EnableOptions(now=True, systemd=systemd))
    assert not done.ok
    assert any("etc/extensions/evil cannot be kept out" in note for note in done.notes)


def test_what_is_denied_and_asked_for_is_no_success(root: Root) -> None:
    configure(root, 'deny = ["fw"]\n')
    root.put("fw")
    root.put("tool_1")
    root.put("tool_2", "active")
    options = EnableOptions(now=True, systemd=FakeSystemd(lambda _: ["tool_2"]))
    done = enable(root.node(), "fw", ["common"], options)
    assert not done.ok
    assert any("fw.sysext.raw is left out" in note for note in done.notes)
    done = enable(root.node(), "tool_1", ["common"], options)
    assert done.ok
    assert any("tool_1.sysext.raw is left out" in note for note in done.notes)


def test_a_folder_without_release_file_ends_the_merge(root: Root) -> None:
    configure(root, "judge_others = false\n")
    root.write(f"{OTHERS}/bare/usr/bin/x", "x")
    done = activate(root.node())
    assert others(done) == {"bare": True}
    record = Record()
    root.write("etc/extensions/bare2/usr/bin/x", "x")
    now.refresh(root.node(), Kind.SYSEXT, record, systemd=FakeSystemd(lambda _: []))
    assert not record.ok
    assert any("it has no release file" in note for note in record.done().notes)


def test_a_rollback_begins_with_the_partition(root: Root, monkeypatch: pytest.MonkeyPatch) -> None:
    root.put("fw_1", "passive")
    root.put("fw_2", "active")
    root.write("efi/EFI/kairos/active.efi", "x")

    def full(*_: Any, **__: Any) -> tuple[SetPlan, ...]:
        raise OutputError("no room")

    monkeypatch.setattr("sysgraft.node.upgrade.carry_out", full)
    monkeypatch.setattr("sysgraft.node.upgrade._back_on_esp", lambda *_: [])
    node = root.node()
    assert node.esp
    with pytest.raises(OutputError):
        rollback(node, "fw")
    assert root.node().store(Kind.SYSEXT).enabled("active") == ("fw_2.sysext.raw",)
