"""Media that boot: what cannot work is refused or told before anything is written."""

from __future__ import annotations

import os
import shutil
import sys
from typing import TYPE_CHECKING

import pytest

from command import sysgraft
from media_kit import MediaKit, media_kit, on_esp
from uki_kit import make_kernel, make_kit, make_stub

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

__all__ = ["media_kit"]

MIB = 1 << 20
ESP = "c12a7328-f81f-11d2-ba4b-00a0c93ec93b"
NIL = "00000000-0000-0000-0000-000000000000"


@pytest.fixture(autouse=True)
def _no_epoch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SOURCE_DATE_EPOCH", raising=False)


def refusals(kit: MediaKit, folder: Path) -> Iterator[tuple[list[str], str]]:
    active, stray = kit.path("active.efi"), folder / "stray.txt"
    stray.write_text("stray")
    (folder / "empty").mkdir()
    (folder / "größe.sysext.raw").write_text("name")
    (folder / "a.sysext.raw").write_text("a")
    (folder / "A.sysext.raw").write_text("A")
    yield ["--uki", f"a={active}", "--uki", f"A={active}"], "on FAT its name is that of"
    yield ["--uki", f"a={active}", "--uki", f"a={active}"], "have it twice"
    yield ["--uki", f"a+3={active}"], "cannot be called"
    yield ["--uki", f"auto-x={active}"], "entries like"
    yield ["--uki", str(stray)], "executable"
    yield ["--uki", kit.path("boot.efi")], "not a UKI"
    yield ["--uki", kit.path("missing.efi")], "No such file"
    yield ["--uki", active, "--default", "other"], "there is no boot entry"
    yield ["--uki", active, "--extra", f"other={stray}"], "there is no boot entry"
    yield ["--uki", active, "--extra", str(stray)], "systemd-stub passes over"
    yield ["--uki", active, "--extra", str(folder / "größe.sysext.raw")], "systemd-stub passes over"
    yield ["--uki", active, "--carry", str(stray)], "an installer passes over"
    yield ["--uki", active, "--carry", str(folder / "empty")], "no extension image below"
    yield ["--uki", active, "--timeout", "soon"], "no timeout"
    yield ["--uki", active, "--console-mode", "huge"], "no console mode"
    yield ["--uki", active, "--tries", "0"], "0 tries"
    yield ["--uki", active, "--title", "Title"], "--layout kairos"
    yield ["--uki", active, "--keys", str(folder)], "no PK.auth"
    yield ["--uki", active, "--private-key", kit.path("keys/db.key")], "a key and its certificate"
    yield ["--uki", active, "--seed", "x"], "not a UUID"
    yield ["--uki", active, "--efi-size-warn", "0"], "at least 1"
    if len(list(folder.glob("[aA].sysext.raw"))) == 2:
        extras = ["--extra", str(folder / "a.sysext.raw"), "--extra", str(folder / "A.sysext.raw")]
        yield ["--uki", active, *extras], "on FAT its name is that of"


@pytest.mark.parametrize("verb", ["disk", "iso"])
def test_what_cannot_work_is_refused(verb: str, media_kit: MediaKit, tmp_path: Path) -> None:
    image = tmp_path / "image"
    for words, message in refusals(media_kit, tmp_path):
        done = media_kit.media(verb, image, *words)
        assert (done.code, message in done.err) == (2, True), (words, done.err)
        assert not image.exists()


def test_partitions_that_cannot_be(media_kit: MediaKit, tmp_path: Path) -> None:
    (tmp_path / "empty").write_bytes(b"")
    (tmp_path / "file").write_bytes(b"file")
    for text, message in (
        (f"rout={tmp_path / 'file'}", "there is no partition type"),
        (f"esp={tmp_path / 'file'}", "one EFI system partition"),
        (f"root={tmp_path / 'empty'}", "a partition is not"),
        (f"root={tmp_path / 'missing'}", "No such file"),
        (str(tmp_path / "file"), "ROLE=FILE"),
        (f"home:x={tmp_path / 'file'}", "not a UUID"),
        (f"{ESP}={tmp_path / 'file'}", "one EFI system partition"),
        (f"{NIL}={tmp_path / 'file'}", "stands for no partition"),
        (f"home:{NIL}={tmp_path / 'file'}", "cannot have the UUID"),
    ):
        done = media_kit.media("disk", tmp_path / "i", *media_kit.signed, "--partition", text)
        assert (done.code, message in done.err) == (2, True), done.err


@pytest.mark.parametrize("plan", [(), ("--plan",)])
def test_a_plan_refuses_what_cannot_be_written(
    plan: tuple[str, ...], media_kit: MediaKit, tmp_path: Path
) -> None:
    (tmp_path / "file").write_bytes(b"file")
    uuid = "f1a7e405-5d08-57b1-a49f-eadfb05abf11"
    same = [f"{role}:{uuid}={tmp_path / 'file'}" for role in ("home", "srv")]
    for partitions, message in (
        (same, "two partitions would have the UUID"),
        ([f"home={tmp_path / 'file'}"] * 128, "a disk has 128 at most"),
    ):
        words = [word for text in partitions for word in ("--partition", text)]
        done = media_kit.media("disk", tmp_path / "i", *media_kit.signed, *words, *plan)
        assert (done.code, message in done.err) == (2, True), done.err
    words = [word for text in partitions[1:] for word in ("--partition", text)]
    done = media_kit.media("disk", tmp_path / "i", *media_kit.signed, *words, *plan)
    assert done.code == 0, done.err


def test_partitions_count_for_identifiers(media_kit: MediaKit, tmp_path: Path) -> None:
    """Two disks that differ in them are two disks."""
    found = set()
    for role, content in (("home", b"a"), ("home", b"ab"), ("srv", b"a")):
        (tmp_path / "file").write_bytes(content)
        words = ("--partition", f"{role}={tmp_path / 'file'}", "--plan", "--json")
        done = media_kit.media("disk", tmp_path / "i", *media_kit.signed, *words)
        found.add(done.document["partitions"][0]["uuid"])
    assert len(found) == 3


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have names in UTF-8 only")
def test_names_that_are_not_utf8(media_kit: MediaKit, tmp_path: Path) -> None:
    name = b"caf\xe9.sysext.raw"
    folder = tmp_path / "overlay"
    folder.mkdir()
    (folder / os.fsdecode(name)).write_bytes(b"x")
    image = tmp_path / "image"
    words = ("--uki", media_kit.path("active.efi"))
    for more in (("--carry", folder), ("--extra", folder / os.fsdecode(name))):
        done = media_kit.media("disk", image, *words, *more)
        assert done.code == 2
        assert "Traceback" not in done.err
        assert "name" in done.err
    done = media_kit.media("iso", image, *words, "--overlay", folder, "--json")
    assert done.code == 0, done.err
    assert name in image.read_bytes()


def test_nothing_to_be_carried_is_left_out(media_kit: MediaKit, tmp_path: Path) -> None:
    folder = tmp_path / "carried"
    folder.mkdir()
    (folder / "a.sysext.raw").write_bytes(b"a")
    image = tmp_path / "image"
    words = ("--uki", media_kit.path("active.efi"), "--carry", folder, "--plan")
    (folder / "README").symlink_to("nowhere")
    assert media_kit.media("disk", image, *words).code == 0
    odd = folder / "odd.sysext.raw"
    for target in ("nowhere", tmp_path, None):
        if target is None:
            os.mkfifo(odd)
        else:
            odd.symlink_to(target)
        done = media_kit.media("disk", image, *words)
        assert (done.code, "is no file" in done.err) == (2, True), done.err
        odd.unlink()


def test_programs_have_to_be_what_they_are_for(media_kit: MediaKit, tmp_path: Path) -> None:
    image, active = tmp_path / "image", media_kit.path("active.efi")
    (tmp_path / "stub.efi").write_bytes(make_stub())
    for loader in (active, media_kit.path("debug.addon.efi"), str(tmp_path / "stub.efi")):
        words = ("--uki", active, "--boot-loader", loader)
        done = media_kit.media("disk", image, *words)
        assert (done.code, "is no boot loader" in done.err) == (2, True), done.err
    # Of one that says nothing of itself, such as shim, nothing is known.
    other = tmp_path / "shim.efi"
    other.write_bytes(make_kernel())
    done = media_kit.media("disk", image, "--uki", active, "--boot-loader", other, "--plan")
    assert done.code == 0, done.err
    fake = tmp_path / "fake.addon.efi"
    for content, message in (
        ((media_kit.folder / "active.efi").read_bytes(), "no addon, but: uki"),
        (b"nothing", "executable"),
        (make_stub(name="systemd-addon", machine=0xAA64), "it is for arm64"),
    ):
        fake.write_bytes(content)
        for option in ("--extra", "--global"):
            done = media_kit.media("disk", image, "--uki", active, option, fake)
            assert (done.code, message in done.err) == (2, True), done.err


def test_hints(media_kit: MediaKit, tmp_path: Path) -> None:
    spaced = tmp_path / "my kernel.efi"
    shutil.copy(media_kit.path("active.efi"), spaced)
    done = media_kit.media("disk", tmp_path / "image", "--uki", spaced)
    assert (done.code, "--uki NAME=FILE" in done.err) == (2, True), done.err
    done = media_kit.media("disk", tmp_path / "image", *media_kit.signed, "--esp-size", "1M")
    assert (done.code, "--esp-size" in done.err) == (2, True), done.err


def test_an_image_is_not_put_into_itself(media_kit: MediaKit, tmp_path: Path) -> None:
    folder = tmp_path / "overlay"
    folder.mkdir()
    words = ("--uki", media_kit.path("active.efi"), "--overlay", folder)
    done = media_kit.media("iso", folder / "deep/x.iso", *words)
    assert (done.code, "in the folder that is put into it" in done.err) == (2, True), done.err
    assert list(folder.iterdir()) == []


def test_extensions_for_all_need_a_stub_that_looks_for_them(
    media_kit: MediaKit, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kit = make_kit(tmp_path / "old", monkeypatch)
    kit.stub.write_bytes(make_stub("257.9-1"))
    old = kit.build("old.efi")
    extension = kit.file("a.sysext.raw", "a")
    words = ("--uki", old, "--global", extension)
    done = media_kit.media("disk", tmp_path / "image", *words)
    assert (done.code, "that came with 258" in done.err) == (2, True)
    assert "--extra" in done.err


def test_counting_boots_loses_what_lies_beside_on_an_old_stub(
    media_kit: MediaKit, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kit = make_kit(tmp_path / "old", monkeypatch)
    kit.stub.write_bytes(make_stub("252.9-1"))
    words = ("--uki", kit.build("old.efi"), "--extra", kit.file("a.sysext.raw", "a"))
    done = media_kit.media("disk", tmp_path / "image", *words, "--tries", "3")
    assert (done.code, "is of systemd 252, which loses" in done.err) == (2, True)
    for more in ((), ("--tries", "3", "--layout", "kairos")):
        done = media_kit.media("disk", tmp_path / "image", *words, *more, "--force")
        assert done.code == 0, done.err


def test_a_boot_loader_has_to_be_for_the_same_machine(media_kit: MediaKit, tmp_path: Path) -> None:
    (tmp_path / "arm.efi").write_bytes(make_stub(name="systemd-boot", machine=0xAA64))
    words = ("--uki", media_kit.path("active.efi"), "--boot-loader", tmp_path / "arm.efi")
    done = media_kit.media("disk", tmp_path / "image", *words)
    assert (done.code, "it is for arm64, the UKIs for x86-64" in done.err) == (2, True)


def test_a_missing_boot_loader_is_told_with_a_hint(
    media_kit: MediaKit, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sysgraft.build.uki.stub.FOLDER", str(tmp_path))
    words = ("--uki", media_kit.path("active.efi"), "--boot-loader", "")
    done = media_kit.media("disk", tmp_path / "image", *words)
    assert (done.code, "there is no boot loader" in done.err) == (2, True)
    assert "--boot-loader" in done.err
    # A signed one is taken before the other.
    shutil.copy(media_kit.path("unsigned-boot.efi"), tmp_path / "systemd-bootx64.efi")
    shutil.copy(media_kit.path("boot.efi"), tmp_path / "systemd-bootx64.efi.signed")
    done = media_kit.media("disk", tmp_path / "image", *media_kit.signed, "--boot-loader", "")
    assert done.code == 0, done.err


def test_large_images_are_worth_a_warning(media_kit: MediaKit, tmp_path: Path) -> None:
    large = tmp_path / "large.efi"
    shutil.copy(media_kit.path("active.efi"), large)
    with large.open("ab") as file:
        file.truncate(3 * MIB)
    words = ("--uki", large, "--efi-size-warn", "2", "--plan", "--json")
    done = media_kit.media("disk", tmp_path / "image", *words)
    assert done.code == 0, done.err
    (warning,) = done.document["warnings"]
    assert "more than 2 MB" in warning


def test_extensions_that_the_keys_do_not_prove_are_told(
    media_kit: MediaKit, sample_tree: Path, tmp_path: Path
) -> None:
    keys = tmp_path / "keys"
    made = sysgraft("keys", "generate", "own", "--output", keys, "--extension-key")
    assert made.code == 0, made.err
    for name, key in (
        ("by-db", keys / "db"),
        ("by-extension", keys / "extension"),
        ("by-others", media_kit.folder / "other/db"),
    ):
        pair = (f"--private-key={key}.key", f"--certificate={key}.pem")
        done = sysgraft("ext", "build", name, sample_tree, "--output", tmp_path, *pair)
        assert done.code == 0, done.err
    unsigned = ("ext", "build", "unsigned", sample_tree, "--output", tmp_path, "--unsigned")
    assert sysgraft(*unsigned).code == 0
    (tmp_path / "broken.sysext.raw").write_bytes(
        (tmp_path / "by-db.sysext.raw").read_bytes()[:20_000]
    )
    words = ["--uki", media_kit.path("active.efi"), "--carry", str(tmp_path), "--plan", "--json"]
    done = media_kit.media("disk", tmp_path / "image", *words)
    assert [name_in(each) for each in done.document["warnings"]] == ["broken"]
    words += ["--keys", str(keys), "--extra", str(tmp_path / "by-others.sysext.raw")]
    done = media_kit.media("disk", tmp_path / "image", *words)
    # The boot loader and the UKI are signed with other keys, which is no matter of extensions.
    assert done.code == 1
    told = {name_in(each): each for each in done.document["warnings"]}
    assert set(told) == {"broken", "by-others", "unsigned"}
    assert "not an extension image" in told["broken"]
    assert "other db" in told["by-others"]
    assert "is not signed" in told["unsigned"]


def name_in(warning: str) -> str:
    return warning.partition(".sysext.raw: ")[0].rpartition("/")[2]


def test_every_architecture_has_its_own_names(
    media_kit: MediaKit, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for machine, name, arch in ((0xAA64, "aa64", "arm64"), (0x5064, "riscv64", "riscv64")):
        kit = make_kit(tmp_path / name, monkeypatch)
        kit.stub.write_bytes(make_stub(machine=machine))
        kit.kernel.write_bytes(make_kernel(machine=machine))
        loader = kit.file("boot.efi", make_stub(name="systemd-boot", machine=machine))
        image, data = tmp_path / f"{name}.img", kit.file("root", "root")
        words = (
            "--uki",
            kit.build("a.efi"),
            "--boot-loader",
            loader,
            "--partition",
            f"root={data}",
        )
        done = media_kit.media("disk", image, *words, "--json")
        assert done.code == 0, done.err
        assert done.document["architecture"] == arch
        assert done.document["partitions"][1]["role"] == f"root-{arch}"
        assert {f"EFI/BOOT/BOOT{name.upper()}.EFI", f"EFI/systemd/systemd-boot{name}.efi"} < set(
            on_esp(image)
        )
    both = ("--uki", tmp_path / "aa64/a.efi", "--uki", f"b={media_kit.path('active.efi')}")
    done = media_kit.media("disk", tmp_path / "both", *both)
    assert (done.code, "it is for x86-64" in done.err) == (2, True)
