"""Kernels on a boot partition: what is there, what starts next, and what is refused."""

from __future__ import annotations

import os
import shutil
import subprocess
from typing import TYPE_CHECKING, Any

import pytest

from command import sysgraft
from kernel_kit import EFIVARS, MACHINE_ID, UKIS, WHERE, make_system, uki
from node_root import listing
from sysgraft.errors import InputError, OutputError, SysgraftError, UsageError
from sysgraft.formats import load_option
from sysgraft.formats.device_path import file_of, partition_of
from sysgraft.formats.efivar import GLOBAL_VARIABLE
from sysgraft.kernel import default, removal, trial
from sysgraft.kernel.naming import kernel_name
from sysgraft.node.boot import LOADER_VARIABLES

if TYPE_CHECKING:
    from pathlib import Path

    from kernel_kit import System

NAME = f"{MACHINE_ID}-6.1"


@pytest.fixture
def system(tmp_path: Path) -> System:
    return make_system(tmp_path)


# --- Files ---------------------------------------------------------------------------------------


def test_a_uki_gets_its_name_with_what_lies_beside_it(system: System) -> None:
    image = system.kernel("6.1")
    beside = image.with_name("6.1.efi.extra.d")
    beside.mkdir()
    for name in ("fw.sysext.raw", "debug.addon.efi", "notes.txt"):
        (beside / name).write_bytes(name.encode())
    more = system.outside / "site.confext.raw"
    more.write_bytes(b"site")
    done = system.install(image, extras=(str(more),), tries=3)
    assert done.kernel.file == f"{UKIS}/{NAME}+3.efi"
    assert (done.kernel.left, done.kernel.done) == (3, 0)
    assert system.files() == [
        "EFI/BOOT/BOOTX64.EFI",
        f"{UKIS}/{NAME}+3.efi",
        # The stub leaves the counter out.
        f"{UKIS}/{NAME}.efi.extra.d/debug.addon.efi",
        f"{UKIS}/{NAME}.efi.extra.d/fw.sysext.raw",
        f"{UKIS}/{NAME}.efi.extra.d/site.confext.raw",
    ]
    assert (system.esp / done.kernel.file).read_bytes() == image.read_bytes()
    assert os.listdir(system.esp / UKIS / "SYSGRAFT.NEW") == []


def test_the_same_version_again_replaces_it_and_its_counter(system: System) -> None:
    system.install(system.kernel("6.1"))
    again = system.kernel("6.1", body=b"other")
    done = system.install(again, tries=2)
    assert [each.file for each in system.kernels()] == [f"{UKIS}/{NAME}+2.efi"]
    assert [each.what for each in done.changes.changes] == ["installed", "removed"]
    third = system.kernel("6.1", body=b"third")
    system.install(third, tries=2)
    assert (system.esp / UKIS / f"{NAME}+2.efi").read_bytes() == third.read_bytes()


def test_a_kernel_with_its_initrds_becomes_an_entry_of_type_1(system: System) -> None:
    image = system.outside / "vmlinuz"
    image.write_bytes(b"kernel")
    initrds = [system.outside / name for name in ("microcode.img", "initrd.img")]
    for path in initrds:
        path.write_bytes(path.name.encode())
    system.write("etc/kernel/cmdline", "root=LABEL=x\n quiet \n")
    words: dict[str, Any] = {"version": "6.1", "layout": "bls", "initrds": tuple(map(str, initrds))}
    done = system.install(image, **words, tries=1)
    folder = f"{MACHINE_ID}/6.1"
    assert done.kernel.kind == "entry"
    assert sorted(done.kernel.files) == sorted(
        [f"loader/entries/{NAME}+1.conf"]
        + [f"{folder}/{name}" for name in ("linux", "microcode.img", "initrd.img")]
    )
    text = (system.esp / done.kernel.file).read_text()
    assert text == (
        "title      Kit 1\nversion    6.1\n"
        f"machine-id {MACHINE_ID}\nsort-key   kit\n"
        f"options    root=LABEL=x quiet systemd.machine_id={MACHINE_ID}\n"
        f"linux      /{folder}/linux\n"
        f"initrd     /{folder}/microcode.img\ninitrd     /{folder}/initrd.img\n"
    )
    # With one initrd less the other one is gone.
    system.install(image, version="6.1", layout="bls", initrds=(str(initrds[1]),))
    assert sorted(os.listdir(system.esp / folder)) == ["initrd.img", "linux"]
    system.boot("none.conf")
    removal.remove(system.partition(), kernel_name(MACHINE_ID, "6.1"))
    assert system.files() == ["EFI/BOOT/BOOTX64.EFI"]
    assert not (system.esp / MACHINE_ID).exists()


@pytest.mark.parametrize(
    ("words", "error", "message"),
    [
        ({"version": "6.2"}, InputError, "it is a kernel 6.1, not 6.2"),
        ({"tries": 0}, UsageError, "0 tries"),
        ({"keep": 0}, UsageError, "one at least"),
        ({"shim": "EFI/shim.efi"}, UsageError, "--shim is for"),
        ({"tries": 3, "boot_entry": True}, UsageError, "--tries is for"),
        ({"initrds": ("x",)}, UsageError, "has its initrds"),
        ({"extras": ("/etc/hostname",)}, InputError, "nothing that lies beside"),
    ],
)
def test_what_makes_no_sense_is_refused_before_anything_is_written(
    system: System, words: dict[str, Any], error: type[SysgraftError], message: str
) -> None:
    before = listing(system.path)
    with pytest.raises(error, match=message):
        system.install(system.kernel("6.1"), **words)
    assert listing(system.path) == before


@pytest.mark.parametrize("layout", ["auto", "uki"])
def test_a_kernel_without_a_uki_is_refused(system: System, layout: str) -> None:
    image = system.outside / "vmlinuz"
    image.write_bytes(b"MZ" if layout == "uki" else b"kernel")
    with pytest.raises(InputError):
        system.install(image, version="6.1", layout=layout)
    result = sysgraft("kernel", "install", "--root", system.path, image, "--kernel-version", "6.1")
    assert result.code == 2
    assert "error: " in result.err


@pytest.mark.parametrize("share", [0.2, 0.5, 0.99])
def test_an_image_that_is_cut_short_is_refused(system: System, share: float) -> None:
    image = system.kernel("6.1", body=b"k" * 5000)
    data = image.read_bytes()
    image.write_bytes(data[: int(len(data) * share)])
    before = listing(system.esp)
    with pytest.raises(InputError):
        system.install(image)
    assert listing(system.esp) == before


def test_an_old_stub_would_lose_what_lies_beside_it(system: System) -> None:
    extra = system.outside / "fw.sysext.raw"
    extra.write_bytes(b"fw")
    image = system.kernel("6.1", stub="254.9")
    with pytest.raises(InputError, match="while boots are counted"):
        system.install(image, extras=(str(extra),), tries=3)
    system.install(image, extras=(str(extra),))


# --- Names ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("version", ["", ".6", "6/1", "6 1", "x" * 101, "6.1+3", "6.1\n"])
def test_versions_that_cannot_be_in_a_name_are_refused(version: str) -> None:
    with pytest.raises(UsageError):
        kernel_name("kit", version)


@pytest.mark.parametrize("version", ["6.1.0-12-amd64", "6.12.0-100.fc42.x86_64", "6.1+", "6.1+deb"])
def test_versions_of_distributions_can(version: str) -> None:
    assert kernel_name("kit", version).stem == f"kit-{version}"


def test_each_installation_has_its_own_kernels(system: System) -> None:
    system.install(system.kernel("6.1"))
    system.install(system.kernel("6.1"), on=system.partition(token="kit"))
    system.install(system.kernel("6.2"), on=system.partition(token="kit-2"))
    found = {each.file: (each.token, each.version) for each in system.kernels()}
    assert found == {
        f"{UKIS}/{NAME}.efi": (MACHINE_ID, "6.1"),
        f"{UKIS}/kit-6.1.efi": ("kit", "6.1"),
        f"{UKIS}/kit-2-6.2.efi": ("kit-2", "6.2"),
    }
    removal.remove(system.partition(token="kit"), kernel_name("kit", "6.1"))
    assert f"{UKIS}/kit-6.1.efi" not in system.files()
    assert len(system.kernels()) == 2
    done = removal.cleanup(system.partition(token="kit"), keep=1)
    assert done.changes == ()


@pytest.mark.parametrize("token", ["", ".x", "a/b", "EFI", "loader", " a", "a\n", "x" * 121])
def test_tokens_that_cannot_be_one_are_refused(system: System, token: str) -> None:
    """One that is EFI would make EFI/Linux the folder of a version."""
    with pytest.raises(UsageError, match="entry token"):
        _ = system.partition(token=f"literal:{token}").token
    if token == token.strip():
        system.write("etc/kernel/entry-token", f"{token}\n")
    assert system.partition().token == MACHINE_ID


def test_a_token_is_found_as_kernel_install_finds_it(system: System) -> None:
    assert system.partition().token == MACHINE_ID
    assert system.partition(token="os-id").token == "kit"
    system.write("etc/kernel/entry-token", "written\nand more\n")
    assert system.partition().token == "written"
    assert system.partition(token="machine-id").token == MACHINE_ID
    (system.path / "etc/kernel/entry-token").unlink()
    system.write("etc/machine-id", "uninitialized\n")
    assert system.partition().token == "kit"
    system.write("etc/os-release", "ID=kit\nIMAGE_ID=image\n")
    assert system.partition().token == "image"
    system.write("etc/os-release", "")
    with pytest.raises(InputError, match="says nothing of its token"):
        _ = system.partition().token


def test_both_kinds_of_one_version_go_with_all_they_have(system: System) -> None:
    extra = system.outside / "fw.sysext.raw"
    extra.write_bytes(b"fw")
    image = system.outside / "vmlinuz"
    image.write_bytes(b"kernel")
    for version in ("6.1", "6.2"):
        system.install(system.kernel(version), extras=(str(extra),))
        system.install(image, version=version, layout="bls", cmdline="quiet")
    removal.cleanup(system.partition(), keep=1)
    assert {each.version for each in system.kernels()} == {"6.2"}
    assert not [path for path in system.files() if "6.1" in path]
    removal.remove(system.partition(), kernel_name(MACHINE_ID, "6.2"), layout="bls")
    assert f"{UKIS}/{MACHINE_ID}-6.2.efi.extra.d/fw.sysext.raw" in system.files()
    assert [each.kind for each in system.kernels()] == ["uki"]


# --- Room ----------------------------------------------------------------------------------------


def test_without_room_nothing_is_written_and_what_can_go_is_told(
    system: System, monkeypatch: pytest.MonkeyPatch
) -> None:
    for version in ("6.1", "6.2"):
        system.install(system.kernel(version))
    before = listing(system.esp)
    monkeypatch.setattr("sysgraft.kernel.room.free_bytes", lambda _: 1000)
    with pytest.raises(OutputError, match="1000 bytes free") as caught:
        system.install(system.kernel("6.3"))
    assert "6.1 (" in caught.value.hint
    assert listing(system.esp) == before


def test_old_kernels_make_room_if_they_may(system: System, monkeypatch: pytest.MonkeyPatch) -> None:
    for version in ("6.1", "6.2", "6.3"):
        system.install(system.kernel(version))
    rooms = iter([10, 10**9])
    monkeypatch.setattr("sysgraft.kernel.room.free_bytes", lambda _: next(rooms))
    system.install(system.kernel("6.4"), keep=2)
    assert [each.version for each in system.kernels()] == ["6.4", "6.3"]


def test_what_runs_or_is_the_default_is_never_removed(system: System) -> None:
    for version in ("6.1", "6.2", "6.3", "6.4", "6.5"):
        system.install(system.kernel(version))
    system.boot(f"{NAME}.efi")
    system.loader("LoaderEntryDefault", f"{MACHINE_ID}-6.2.efi")
    told = removal.cleanup(system.partition(), keep=1, dry_run=True)
    assert {each.what for each in told.changes} == {"would be removed"}
    assert len(system.kernels()) == 5
    removal.cleanup(system.partition(), keep=1)
    assert [each.version for each in system.kernels()] == ["6.5", "6.2", "6.1"]
    with pytest.raises(InputError, match="what this system runs"):
        removal.remove(system.partition(), kernel_name(MACHINE_ID, "6.1"))
    assert [each.version for each in system.kernels() if each.booted] == ["6.1"]


def test_what_runs_is_known_without_a_boot_loader_that_tells(system: System) -> None:
    system.install(system.kernel("6.1"))
    system.boot("")
    system.write("proc/sys/kernel/osrelease", "6.1\n")
    with pytest.raises(InputError, match="what this system runs"):
        removal.remove(system.partition(), kernel_name(MACHINE_ID, "6.1"))


def test_kernels_that_never_came_up_do_not_count(system: System) -> None:
    for version in ("6.1", "6.2"):
        system.install(system.kernel(version))
    bad = system.install(system.kernel("6.3"), tries=1).kernel
    (system.esp / bad.file).rename(system.esp / UKIS / f"{MACHINE_ID}-6.3+0-1.efi")
    assert [each.version for each in system.kernels() if each.is_bad] == ["6.3"]
    removal.cleanup(system.partition(), keep=2)
    assert [each.version for each in system.kernels()] == ["6.2", "6.1"]


def test_what_an_interrupted_removal_has_left_goes(system: System) -> None:
    system.write(f"efi/{UKIS}/{NAME}.efi.extra.d/fw.sysext.raw", b"fw")
    done = removal.remove(system.partition(), kernel_name(MACHINE_ID, "6.1"))
    assert [each.what for each in done.changes] == ["removed"]
    assert system.files() == ["EFI/BOOT/BOOTX64.EFI"]
    done = removal.remove(system.partition(), kernel_name(MACHINE_ID, "6.1"))
    assert done.changes == ()
    assert "is not installed" in done.notes[0]


# --- What starts next ----------------------------------------------------------------------------


def test_the_boot_loader_starts_a_kernel_once_and_then_if_it_came_up(system: System) -> None:
    system.install(system.kernel("6.1"))
    system.boot(f"{NAME}.efi")
    new = system.install(system.kernel("6.2"), default="once", tries=3).kernel
    assert new.once
    assert new.identifier == f"{MACHINE_ID}-6.2.efi"
    assert system.said_to_loader("LoaderEntryOneShot") == new.identifier
    # By itself it would take the newest from now on.
    assert system.said_to_loader("LoaderEntryDefault") == f"{NAME}.efi"
    # systemd-boot takes the variable and counts.
    system.boot(new.identifier)
    system.variables.remove("LoaderEntryOneShot", LOADER_VARIABLES)
    (system.esp / new.file).rename(system.esp / UKIS / f"{MACHINE_ID}-6.2+2-1.efi")
    done = trial.bless(system.variables)
    assert [each.what for each in done.changes] == ["default"]
    assert system.said_to_loader("LoaderEntryDefault") == new.identifier
    assert trial.bless(system.variables).changes == ()


def test_a_kernel_that_does_not_come_up_changes_nothing(system: System) -> None:
    system.install(system.kernel("6.1"))
    system.boot(f"{NAME}.efi")
    system.install(system.kernel("6.2"), default="once")
    system.variables.remove("LoaderEntryOneShot", LOADER_VARIABLES)
    system.boot(f"{NAME}.efi")
    done = trial.bless(system.variables)
    assert done.changes == ()
    assert "did not come up" in done.notes[0]
    assert system.said_to_loader("LoaderEntryDefault") == f"{NAME}.efi"
    assert trial.bless(system.variables).notes == ()


def test_the_firmware_starts_a_kernel_once_and_then_if_it_came_up(system: System) -> None:
    system.firmware("BootOrder", 0, 7)
    system.variables.write("Boot0000", GLOBAL_VARIABLE, b"of somebody else")
    first = system.install(system.kernel("6.1"), boot_entry=True, default="now").kernel
    assert first.numbers == (1,)
    assert system.numbers("BootOrder") == (1, 0, 7)
    system.boot(f"{NAME}.efi", number=1)
    second = system.install(system.kernel("6.2"), boot_entry=True, default="once").kernel
    assert second.numbers == (2,)
    assert system.numbers("BootNext") == (2,)
    assert system.numbers("BootOrder") == (1, 0, 7, 2)
    found = system.variables.read("Boot0002", GLOBAL_VARIABLE)
    assert found is not None
    option = load_option.parse(found.data)
    assert partition_of(option.path) == WHERE
    assert file_of(option.path) == f"\\EFI\\Linux\\{MACHINE_ID}-6.2.efi"
    assert option.is_active
    # The firmware forgets BootNext and starts it.
    system.variables.remove("BootNext", GLOBAL_VARIABLE)
    system.boot(f"{MACHINE_ID}-6.2.efi", number=2)
    assert [each.version for each in system.kernels() if each.default] == ["6.1"]
    trial.bless(system.variables)
    assert system.numbers("BootOrder") == (2, 1, 0, 7)
    assert [each.version for each in system.kernels() if each.default] == ["6.2"]
    # Who removes the old one takes its entry along.
    removal.remove(system.partition(), kernel_name(MACHINE_ID, "6.1"))
    assert system.numbers("BootOrder") == (2, 0, 7)
    assert "Boot0001" not in system.variables.names(GLOBAL_VARIABLE)
    assert "Boot0000" in system.variables.names(GLOBAL_VARIABLE)


def test_a_boot_loader_that_heeds_nothing_is_told_nothing(system: System) -> None:
    """As GRUB, which says what it is, and reads no variables."""
    kernel = system.kernel("6.1")
    system.variables.write("LoaderFeatures", LOADER_VARIABLES, bytes(8))
    before = listing(system.path)
    with pytest.raises(InputError, match="no boot loader that can be told"):
        system.install(kernel, default="once")
    assert listing(system.path) == before
    system.install(kernel, boot_entry=True, default="once")
    assert system.said_to_loader("LoaderEntryOneShot") == ""
    assert system.numbers("BootNext") == (0,)


def test_an_entry_of_another_partition_is_left_alone(system: System) -> None:
    other = WHERE._replace(uuid=WHERE.uuid.__class__(int=5))
    system.firmware("BootOrder", 7)
    system.install(system.kernel("6.1"), on=system.partition(where=other), boot_entry=True)
    assert system.numbers("BootOrder") == (7, 0)
    (kernel,) = system.kernels()
    assert kernel.numbers == ()
    removal.remove(system.partition(), kernel_name(MACHINE_ID, "6.1"))
    assert system.numbers("BootOrder") == (7, 0)


def test_shim_is_told_which_kernel(system: System) -> None:
    words: dict[str, Any] = {"boot_entry": True, "shim": "EFI/kit/shimx64.efi", "default": "now"}
    with pytest.raises(InputError, match="no such file on the partition"):
        system.install(system.kernel("6.1"), **words)
    system.write("efi/EFI/kit/shimx64.efi", b"shim")
    done = system.install(system.kernel("6.1"), **words)
    found = system.variables.read("Boot0000", GLOBAL_VARIABLE)
    assert found is not None
    option = load_option.parse(found.data)
    assert file_of(option.path) == "\\EFI\\kit\\shimx64.efi"
    assert option.data.decode("utf-16-le") == f"\\EFI\\Linux\\{NAME}.efi\0"
    assert done.kernel.numbers == (0,)


def test_variables_that_cannot_be_changed_are_found_before_anything_is_written(
    system: System, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sysgraft.host.efivars_changing.is_read_only", lambda _: True)
    before = listing(system.path)
    for words in ({"boot_entry": True}, {"default": "once"}):
        with pytest.raises(OutputError, match="cannot be changed here"):
            system.install(system.kernel("6.1"), **words)
    assert listing(system.path) == before
    system.install(system.kernel("6.1"))
    with pytest.raises(OutputError, match="cannot be changed here"):
        default.set_default(system.partition(), "6.1")


def test_a_system_that_does_not_run_has_no_firmware(system: System) -> None:
    partition = system.partition(running=False)
    system.install(system.kernel("6.1"), on=partition)
    with pytest.raises(InputError, match="no EFI variables"):
        default.set_default(partition, "6.1")
    with pytest.raises(InputError, match="no EFI variables"):
        system.install(system.kernel("6.2"), on=partition, boot_entry=True)
    # Nothing runs there: everything may go.
    removal.remove(partition, kernel_name(MACHINE_ID, "6.1"))


def test_a_name_that_is_not_there_is_told_with_those_that_are(system: System) -> None:
    system.install(system.kernel("6.1"))
    with pytest.raises(UsageError, match="no kernels") as caught:
        default.set_default(system.partition(), "6.2")
    assert f"{NAME}.efi" in caught.value.hint
    default.set_default(system.partition(), NAME)
    assert system.said_to_loader("LoaderEntryDefault") == f"{NAME}.efi"


# --- What runs, by whatever name -----------------------------------------------------------------


def test_a_uki_and_an_entry_of_one_version_are_two(system: System) -> None:
    image = system.outside / "vmlinuz"
    image.write_bytes(b"kernel")
    system.install(image, version="6.1", layout="bls", cmdline="quiet")
    system.boot(f"{NAME}.conf")
    system.install(system.kernel("6.1"), default="once")
    assert system.said_to_loader("LoaderEntryDefault") == f"{NAME}.conf"
    assert [e.identifier for e in system.kernels() if e.booted] == [f"{NAME}.conf"]
    # It did not come up; the one of the same name that did is not it.
    system.variables.remove("LoaderEntryOneShot", LOADER_VARIABLES)
    assert "did not come up" in trial.bless(system.variables).notes[0]
    assert system.said_to_loader("LoaderEntryDefault") == f"{NAME}.conf"
    removal.remove(system.partition(), kernel_name(MACHINE_ID, "6.1"), layout="uki")


def test_what_runs_by_an_entry_of_another_name_stays(system: System) -> None:
    for version in ("6.1", "6.2", "6.3"):
        system.install(system.kernel(version))
    system.write("efi/loader/entries/prod.conf", f"title p\nuki /EFI/Linux/{NAME}.efi\n")
    system.boot("prod.conf")
    removal.cleanup(system.partition(), keep=1)
    assert [e.version for e in system.kernels() if e.kind == "uki"] == ["6.3", "6.1"]
    with pytest.raises(InputError, match="what this system runs"):
        removal.remove(system.partition(), kernel_name(MACHINE_ID, "6.1"))
    system.boot(f"{MACHINE_ID}-6.3.efi")
    with pytest.raises(InputError, match=r"prod\.conf needs it too"):
        removal.remove(system.partition(), kernel_name(MACHINE_ID, "6.1"))


def test_a_folder_that_another_entry_needs_stays(system: System) -> None:
    system.install(system.kernel("6.1"))
    system.write(f"efi/{MACHINE_ID}/6.1/linux", b"kernel")
    text = f"title r\nlinux /{MACHINE_ID}/6.1/linux\n"
    system.write("efi/loader/entries/rescue.conf", text)
    removal.remove(system.partition(), kernel_name(MACHINE_ID, "6.1"))
    assert f"{MACHINE_ID}/6.1/linux" in system.files()


def test_an_entry_of_the_firmware_goes_with_the_name_it_leads_to(system: System) -> None:
    system.firmware("BootOrder", 7)
    system.install(system.kernel("6.1"), boot_entry=True)
    assert system.numbers("BootOrder") == (7, 0)
    system.install(system.kernel("6.1"), tries=3)
    assert system.numbers("BootOrder") == (7,)


def test_what_runs_behind_another_boot_loader_is_known_by_its_version(system: System) -> None:
    system.install(system.kernel("6.1"))
    system.boot("grub.conf")
    system.write("proc/sys/kernel/osrelease", "6.1\n")
    with pytest.raises(InputError, match="what this system runs"):
        removal.remove(system.partition(), kernel_name(MACHINE_ID, "6.1"))


def test_only_what_is_certainly_ours_goes_by_itself(system: System) -> None:
    """A token may be the beginning of another one, and a rescue entry begin with it."""
    partition = system.partition(token="fedora")
    for version in ("6.1", "6.2"):
        system.install(system.kernel(version), on=partition)
    system.write(f"efi/{UKIS}/fedora-test-6.0.efi", uki(""))
    system.write("efi/loader/entries/fedora-rescue.conf", "title r\nlinux /r/linux\n")
    removal.cleanup(partition, keep=1)
    assert [path for path in system.files() if "fedora" in path] == [
        f"{UKIS}/fedora-6.2.efi",
        f"{UKIS}/fedora-test-6.0.efi",
        "loader/entries/fedora-rescue.conf",
    ]


def test_debians_versions_have_a_plus_that_old_counters_are_taken_for(system: System) -> None:
    image = system.kernel("6.12.57+deb13-amd64")
    extra = system.outside / "fw.sysext.raw"
    extra.write_bytes(b"fw")
    with pytest.raises(InputError, match="would not find what lies beside it"):
        system.install(image, extras=(str(extra),), tries=3)
    done = system.install(image, extras=(str(extra),), default="keep")
    assert any("extra.d" in path for path in done.kernel.files)
    system.install(system.kernel("6.12.58+deb13-amd64"), tries=3)


# --- Trials that would be none -------------------------------------------------------------------


def test_what_runs_is_not_tried_again(system: System) -> None:
    system.install(system.kernel("6.1"))
    system.boot(f"{NAME}.efi")
    done = system.install(system.kernel("6.1", body=b"again"), default="once")
    assert "is no trial" in done.changes.notes[0]
    assert system.said_to_loader("LoaderEntryOneShot") == ""


def test_a_default_that_is_tried_again_is_no_longer_the_default(system: System) -> None:
    for version in ("6.1", "6.2"):
        system.install(system.kernel(version))
    system.boot(f"{NAME}.efi")
    system.loader("LoaderEntryDefault", f"{MACHINE_ID}-6.2.efi")
    system.install(system.kernel("6.2", body=b"again"), default="once")
    assert system.said_to_loader("LoaderEntryDefault") == f"{NAME}.efi"


def test_a_firmware_without_a_list_is_given_none(system: System) -> None:
    system.install(system.kernel("6.1"), boot_entry=True, default="once")
    assert system.numbers("BootOrder") == ()
    assert system.numbers("BootNext") == (0,)


def test_a_trial_that_is_to_come_is_not_over(system: System) -> None:
    system.install(system.kernel("6.1"))
    system.boot(f"{NAME}.efi")
    for words in ({"default": "once"}, {"default": "once", "boot_entry": True}):
        system.install(system.kernel("6.2"), **words)
        assert trial.bless(system.variables).notes == ()
        assert trial.of(system.variables) == f"{MACHINE_ID}-6.2.efi"
        default.set_default(system.partition(), NAME)
        assert system.said_to_loader("LoaderEntryOneShot") == ""
        assert system.numbers("BootNext") == ()
        assert trial.of(system.variables) == ""


def test_a_failed_installation_is_no_trial(system: System, monkeypatch: pytest.MonkeyPatch) -> None:
    system.install(system.kernel("6.1"))
    system.boot(f"{NAME}.efi")

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("sysgraft.node.esp_files.copy_synced", full)
    with pytest.raises(OutputError):
        system.install(system.kernel("6.2"), default="once")
    assert system.said_to_loader("LoaderEntryDefault") == ""
    assert trial.of(system.variables) == ""


def test_a_default_that_is_removed_gives_way_to_what_runs(system: System) -> None:
    for version in ("6.1", "6.2", "6.3"):
        system.install(system.kernel(version))
    system.boot(f"{NAME}.efi")
    default.set_default(system.partition(), "6.2")
    default.set_default(system.partition(), "6.3", when="once")
    for version in ("6.2", "6.3"):
        removal.remove(system.partition(), kernel_name(MACHINE_ID, version))
    assert system.said_to_loader("LoaderEntryDefault") == f"{NAME}.efi"
    assert trial.of(system.variables) == ""


def test_a_kernel_that_never_came_up_is_no_default(system: System) -> None:
    bad = system.install(system.kernel("6.3"), tries=1).kernel
    (system.esp / bad.file).rename(system.esp / UKIS / f"{MACHINE_ID}-6.3+0-1.efi")
    with pytest.raises(UsageError, match="never came up"):
        default.set_default(system.partition(), "6.3")
    with pytest.raises(UsageError, match="--tries and --default now"):
        system.install(system.kernel("6.3"), tries=1, default="now")


# --- Odd partitions ------------------------------------------------------------------------------


def test_variables_that_nobody_can_read_are_passed_over(system: System) -> None:
    place = system.path / EFIVARS / f"Boot0009-{GLOBAL_VARIABLE}"
    place.write_bytes(b"")
    system.firmware("BootOrder", 9)
    done = system.install(system.kernel("6.1"), boot_entry=True)
    assert done.kernel.numbers == (0,)


def test_an_image_that_changes_is_not_installed(
    system: System, monkeypatch: pytest.MonkeyPatch
) -> None:
    image = system.kernel("6.1")

    def copied(source: str, target: str, **_: object) -> None:
        with open(target, "xb") as file:
            file.write(b"half")
        os.utime(source, (1, 1))

    monkeypatch.setattr("sysgraft.node.esp_files.copy_synced", copied)
    with pytest.raises(InputError, match="changed while"):
        system.install(image)
    assert system.kernels() == ()


def test_a_full_partition_can_be_emptied(system: System, monkeypatch: pytest.MonkeyPatch) -> None:
    system.install(system.kernel("6.1"))
    shutil.rmtree(system.esp / UKIS / "SYSGRAFT.NEW")

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "mkdir", full)
        done = removal.remove(system.partition(), kernel_name(MACHINE_ID, "6.1"))
    assert "deleted in place" in "".join(done.notes)
    assert system.kernels() == ()


def test_a_thousand_kernels_are_listed(system: System) -> None:
    for number in range(1000):
        system.write(f"efi/{UKIS}/{MACHINE_ID}-{number}.efi", uki(str(number)))
    assert len(system.kernels()) == 1000


# --- GRUB ----------------------------------------------------------------------------------------


@pytest.mark.oracle("grub-script-check")
def test_grub_gets_an_entry_for_each_kernel(system: System, tmp_path: Path) -> None:
    odd = system.partition(token="it's")
    system.install(system.kernel("6.1"), on=odd)
    image = system.outside / "vmlinuz"
    image.write_bytes(b"kernel")
    initrd = system.outside / "initrd.img"
    initrd.write_bytes(b"initrd")
    words: dict[str, Any] = {
        "version": "6.2",
        "initrds": (str(initrd),),
        "cmdline": "root=LABEL=a;b quiet",
    }
    system.install(image, layout="bls", **words)
    bad = system.install(system.kernel("6.3"), tries=1).kernel
    (system.esp / bad.file).rename(system.esp / UKIS / f"{MACHINE_ID}-6.3+0-1.efi")
    target = tmp_path / "custom.cfg"
    where = ("--root", system.path, "--esp-path", system.esp)
    assert sysgraft("kernel", "grub", *where, "--output", target).code == 0
    text = target.read_text()
    assert sysgraft("kernel", "grub", *where).out == text
    folder = f"/{MACHINE_ID}/6.2"
    assert text == (
        f"menuentry '{MACHINE_ID}-6.2' --id '{MACHINE_ID}-6.2.conf' {{\n"
        "\tinsmod part_gpt\n\tinsmod fat\n"
        f"\tsearch --no-floppy --file --set=root '{folder}/linux'\n"
        f"\tlinux '{folder}/linux' 'root=LABEL=a;b' 'quiet' 'systemd.machine_id={MACHINE_ID}'\n"
        f"\tinitrd '{folder}/initrd.img'\n}}\n"
        "menuentry 'it'\\''s-6.1' --id 'it'\\''s-6.1.efi' {\n"
        "\tinsmod part_gpt\n\tinsmod fat\n"
        "\tsearch --no-floppy --file --set=root '/EFI/Linux/it'\\''s-6.1.efi'\n"
        "\tchainloader '/EFI/Linux/it'\\''s-6.1.efi'\n}\n"
    )
    subprocess.run(["grub-script-check", str(target)], check=True)


# --- The command line ----------------------------------------------------------------------------


def test_an_installer_does_it_from_outside(system: System) -> None:
    where = ("--root", system.path, "--esp-path", system.esp)
    image = system.kernel("6.1")
    done = sysgraft("kernel", "install", image, *where, "--tries", "3", "--json")
    assert done.code == 0, done.err
    assert done.document["schema"] == "sysgraft.kernel.install/1"
    assert done.document["kernel"]["triesLeft"] == 3
    found = sysgraft("kernel", "list", *where, "--json").document
    assert [each["id"] for each in found["kernels"]] == [f"{NAME}.efi"]
    text = sysgraft("kernel", "list", *where).out
    assert f"{NAME}.efi" in text
    assert "3 left, 0 made" in text
    assert sysgraft("kernel", "cleanup", *where).out == "nothing to do\n"
    done = sysgraft("kernel", "remove", "6.1", *where)
    assert f"{UKIS}/{NAME}+3.efi: removed\n" in done.out
    assert "the last kernel" in done.err
    assert sysgraft("kernel", "list", *where).out == "no kernel is installed\n"
    assert sysgraft("kernel", "set-default", "6.1", *where).code == 2
