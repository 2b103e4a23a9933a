"""What a machine is put together from: options, arguments, firmware, modules, guests, the ESP."""

from __future__ import annotations

import base64
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from sysgraft.base.blob import SubBlob
from sysgraft.base.progress import NoProgress
from sysgraft.errors import (
    InputError,
    LimitError,
    OutputError,
    ToolError,
    UnsupportedError,
    UsageError,
)
from sysgraft.formats import fat
from sysgraft.host.files import OpenFile
from sysgraft.lab import cooking, esp, guests, keeping, modules, probe, recipe
from sysgraft.lab.machine import (
    MACHINES,
    Firmware,
    Parts,
    command_line,
    find_firmware,
    machine_for,
)
from sysgraft.lab.options import Disk, LabOptions, check

if TYPE_CHECKING:
    from collections.abc import Iterator

MACHINE = MACHINES["x86-64"]
PARTS = Parts(
    firmware=Firmware("/firmware/code", "/run/variables"),
    is_secure=False,
    boot_disk="/run/esp",
    is_disc=False,
    disks=(Disk("data.raw"), Disk("/odd,name", writable=True)),
    serial="/run/serial",
    results="/run/results",
    oem_strings=("/run/oem-0", "/run/oem,1"),
    memory=7,
    tpm=8,
    control=9,
)


# --- Options -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({}, "either --uki or --esp"),
        ({"uki": "a", "esp": "b"}, "either --uki or --esp"),
        ({"esp": "b", "cdrom": "c"}, "either --uki or --esp or --cdrom"),
        ({"esp": "b", "extras": ("c",)}, "--extra belongs to --uki"),
        ({"uki": "a", "script": "s", "probe": False}, "--script and --no-probe"),
        ({"uki": "a", "timeout": 0}, "a timeout of 0"),
        ({"uki": "a", "timeout": float("nan")}, "a timeout of nan"),
        ({"uki": "a", "reboots": -1}, "-1 reboots"),
        ({"uki": "a", "memory": 255}, "255 MiB"),
        ({"uki": "a", "cpus": 0}, "0 processors"),
        ({"uki": "a", "extras": ("x/a.raw", "y/A.RAW")}, "same name"),
    ],
)
def test_options_that_make_no_sense_are_refused(settings: dict[str, Any], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        check(LabOptions(**settings))


def test_options_that_make_sense_are_taken() -> None:
    check(LabOptions(uki="a", extras=("x.raw", "y.raw"), script="s", memory=256, cpus=255))
    check(LabOptions(esp="a", probe=False, timeout=0.1))


# --- QEMU ----------------------------------------------------------------------------------------


def pairs(argv: list[str]) -> Iterator[tuple[str, str]]:
    """Each option with its value."""
    for name, value in zip(argv, [*argv[1:], ""], strict=True):
        if name.startswith("-"):
            yield name, "" if value.startswith("-") else value


def test_a_disk_of_somebodys_is_not_written_to_unless_that_is_asked_for() -> None:
    found = [
        dict(word.partition("=")[::2] for word in value.replace(",,", "\0").split(","))
        for name, value in pairs(command_line(MACHINE, PARTS, LabOptions(uki="u")))
        if name == "-drive" and "if=none" in value
    ]
    assert [(each["id"], each["snapshot"], each["file"]) for each in found] == [
        ("esp", "on", "/run/esp"),
        ("disk0", "on", str(Path("data.raw").absolute())),
        ("disk1", "off", "/odd\0name"),
    ]
    assert {each["format"] for each in found} == {"raw"}


def test_a_disc_is_booted_and_never_written_to() -> None:
    parts = replace(PARTS, boot_disk="/odd,disc.iso", is_disc=True)
    argv = command_line(MACHINE, parts, LabOptions(cdrom="c"))
    drive = next(value for name, value in pairs(argv) if "id=disc" in value and name == "-drive")
    assert drive.endswith("media=cdrom,readonly=on,file=/odd,,disc.iso")
    assert ("-device", "ide-cd,drive=disc,serial=disc,bootindex=0") in pairs(argv)
    assert "id=esp" not in " ".join(argv)


def test_the_machine_stands_still_at_its_end_and_has_no_network() -> None:
    argv = command_line(MACHINE, PARTS, LabOptions(uki="u", qemu_arguments=("-more", "words")))
    assert argv[0] == "qemu-system-x86_64"
    assert {"-no-reboot", "-no-shutdown", "-nodefaults"} <= set(argv)
    assert "spawn=deny" in dict(pairs(argv))["-sandbox"].split(",")
    assert argv[-2:] == ["-more", "words"]
    assert not [word for word in argv if "nic" in word or "netdev" in word]
    assert ("-smbios", "type=11,path=/run/oem-0,path=/run/oem,,1") in pairs(argv)


def test_secure_boot_keeps_the_guest_from_the_variables() -> None:
    plain = command_line(MACHINE, PARTS, LabOptions(uki="u"))
    assert "driver=cfi.pflash01,property=secure,value=on" not in plain
    secure = command_line(MACHINE, replace(PARTS, is_secure=True), LabOptions(uki="u"))
    assert "driver=cfi.pflash01,property=secure,value=on" in secure
    assert dict(pairs(secure))["-machine"] == "q35,smm=on,memory-backend=memory"


@pytest.mark.parametrize(("kind", "said"), [("tcg", "tcg,thread=multi"), ("kvm", "kvm")])
def test_the_accelerator_is_chosen(kind: Any, said: str) -> None:
    argv = command_line(MACHINE, PARTS, LabOptions(uki="u", accelerator=kind, memory=512, cpus=3))
    found = dict(pairs(argv))
    assert (found["-accel"], found["-m"], found["-smp"]) == (said, "512M", "3")


def test_an_architecture_without_a_machine_is_said() -> None:
    with pytest.raises(UnsupportedError, match="no machine for arm64, only for x86-64"):
        machine_for("arm64")


@pytest.mark.parametrize("secure", [False, True])
def test_missing_firmware_names_its_package(secure: bool, tmp_path: Path) -> None:
    nowhere = (Firmware(str(tmp_path / "code"), str(tmp_path / "variables")),)
    machine = replace(MACHINE, plain=nowhere, enforcing=nowhere)
    with pytest.raises(ToolError, match="code is missing") as caught:
        find_firmware(machine, secure=secure)
    assert caught.value.hint == "on Debian it is in the package ovmf"
    for name in ("code", "variables"):
        (tmp_path / name).touch()
    assert find_firmware(machine, secure=secure) == nowhere[0]


# --- The probe -----------------------------------------------------------------------------------


def credentials(script: str) -> dict[str, bytes]:
    found = {}
    for text in probe.oem_strings(script):
        name, _, value = text.removeprefix(b"io.systemd.credential.binary:").partition(b"=")
        found[name.decode()] = base64.b64decode(value, validate=True)
    return found


def test_the_probe_travels_as_credentials(tmp_path: Path) -> None:
    (tmp_path / "script").write_bytes(b"\xff\0 anything")
    found = credentials(str(tmp_path / "script"))
    assert found["sysgraft.lab.script"] == b"\xff\0 anything"
    unit = found["systemd.extra-unit.sysgraft-lab.service"].decode()
    assert "ExecStart=/bin/sh %d/sysgraft.lab.probe %d/sysgraft.lab.script\n" in unit
    wants = found["systemd.unit-dropin.multi-user.target~sysgraft-lab"]
    assert wants == b"[Unit]\nWants=sysgraft-lab.service\n"


def test_without_a_script_none_is_named() -> None:
    found = credentials("")
    assert "sysgraft.lab.script" not in found
    unit = found["systemd.extra-unit.sysgraft-lab.service"].decode()
    assert "ExecStart=/bin/sh %d/sysgraft.lab.probe\n" in unit


def test_all_strings_fit_into_the_tables(tmp_path: Path) -> None:
    """QEMU refuses tables of more than 64 KiB; some go to other structures."""
    (tmp_path / "script").write_bytes(bytes(probe.MAX_SCRIPT))
    assert sum(map(len, probe.oem_strings(str(tmp_path / "script")))) < 60_000
    (tmp_path / "script").write_bytes(bytes(probe.MAX_SCRIPT + 1))
    with pytest.raises(LimitError, match="too large for a script") as caught:
        probe.oem_strings(str(tmp_path / "script"))
    assert "--disk" in caught.value.hint
    with pytest.raises(InputError):
        probe.oem_strings(str(tmp_path / "none"))


@pytest.mark.oracle("sh", "busybox")
@pytest.mark.parametrize("shell", [("sh",), ("busybox", "sh")])
def test_the_scripts_are_what_shells_read(shell: tuple[str, ...], tmp_path: Path) -> None:
    for name, text in {
        "probe": credentials("")["sysgraft.lab.probe"],
        "init": recipe.asset("small_init.sh"),
    }.items():
        (tmp_path / name).write_bytes(text)
        subprocess.run([*shell, "-n", tmp_path / name], check=True)


# --- Modules -------------------------------------------------------------------------------------

DEPENDENCIES = """\
kernel/a/top.ko.xz: kernel/a/mid-dle.ko.xz kernel/a/base.ko.xz
kernel/a/mid-dle.ko.xz: kernel/a/base.ko.xz
kernel/a/base.ko.xz:
kernel/b/alone.ko:
"""


def test_modules_come_with_what_they_need_in_order() -> None:
    builtin = "kernel/c/inside_it.ko\n"
    wanted = ("alone", "top", "mid_dle", "inside-it")
    assert modules.needed(DEPENDENCIES, builtin, wanted) == [
        "kernel/b/alone.ko",
        "kernel/a/base.ko.xz",
        "kernel/a/mid-dle.ko.xz",
        "kernel/a/top.ko.xz",
    ]


def test_an_unknown_module_is_an_error() -> None:
    with pytest.raises(InputError, match="no module other"):
        modules.needed(DEPENDENCIES, "", ("other",))


# --- The ESP -------------------------------------------------------------------------------------


def test_a_link_in_an_esp_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "EFI").mkdir()
    (tmp_path / "EFI/file").touch()
    assert esp.files_of(str(tmp_path)) == [esp.File("EFI/file", str(tmp_path / "EFI/file"))]
    (tmp_path / "link").symlink_to("EFI")
    with pytest.raises(InputError, match="no symbolic links"):
        esp.files_of(str(tmp_path))


@pytest.mark.parametrize(
    "path",
    [
        "x:y",
        "a/x:y/b",
        "what?",
        "back\\slash",
        "tab\tbed",
        "dot.",
        "space ",
        "folder./b",
        "\udcff",
        "\N{GRINNING FACE}",
        "a/con",
        "Nul.txt",
        "x" * 256,
    ],
)
def test_a_name_that_fat_would_change_is_refused(path: str, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="name"):
        esp.make_esp(str(tmp_path / "esp"), [esp.File(path, str(tmp_path / "file"))])


@pytest.mark.parametrize(
    "paths",
    [("a", "A"), ("efi/x", "EFI/y"), ("Grüße", "GRÜßE"), ("a/b", "a"), ("a", "A/b"), ("a", "a")],
)
def test_names_that_fat_takes_for_one_are_refused(paths: tuple[str, str], tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    source = str(tmp_path / "file")
    files = [esp.File(path, source) for path in paths]
    with pytest.raises(InputError, match="too"):
        esp.make_esp(str(tmp_path / "esp"), files)


@pytest.mark.oracle("mcopy")
def test_odd_names_are_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    names = ["-n", "grüße", "\N{CJK UNIFIED IDEOGRAPH-65E5}.raw", "a+b;c=d,e [f]", " x'", "a~1"]
    for name in names:
        Path(name).write_text(name)
    esp.make_esp("esp", [esp.File(f"E F/{name}", name) for name in names])
    with OpenFile("esp") as blob:
        volume = fat.open_volume(SubBlob(blob, 1 << 20, blob.size - (2 << 20)))
        for name in names:
            entry = volume.find(f"E F/{name}")
            assert entry is not None
            assert entry.name == name
            assert volume.content(entry).read_at(0, entry.size) == name.encode()


def test_a_name_that_is_changed_all_the_same_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setattr(fat.Volume, "walk", lambda _: iter([("FILE~1", None)]))
    with pytest.raises(ToolError, match="changed a name: FILE~1"):
        esp.make_esp(str(tmp_path / "esp"), [esp.File("file", str(tmp_path / "file"))])


def test_an_esp_too_large_is_refused(tmp_path: Path) -> None:
    with (tmp_path / "huge").open("wb") as file:
        file.truncate(esp.MAX_ESP)
    with pytest.raises(LimitError, match="32 GiB"):
        esp.make_esp(str(tmp_path / "esp"), [esp.File("huge", str(tmp_path / "huge"))])
    with pytest.raises(InputError):
        esp.make_esp(str(tmp_path / "esp"), [esp.File("none", str(tmp_path / "none"))])


# --- What is kept --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "safe"),
    [
        ("log", True),
        ("a.b-c_d+1@x=y,z", True),
        ("", False),
        (".hidden", False),
        ("..", False),
        ("a/b", False),
        ("a\nb", False),
        ("ä", False),
        ("x" * 201, False),
    ],
)
def test_only_plain_names_from_a_guest_name_files_here(name: str, safe: bool) -> None:
    assert keeping.is_safe(name) is safe


def test_a_folder_with_other_files_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "serial.log").touch()
    (tmp_path / "result-x").touch()
    keeping.check_place(str(tmp_path), replace=True)
    with pytest.raises(OutputError, match="not empty"):
        keeping.check_place(str(tmp_path), replace=False)
    (tmp_path / "mine").touch()
    with pytest.raises(OutputError, match="other files too"):
        keeping.check_place(str(tmp_path), replace=True)


# --- Guests --------------------------------------------------------------------------------------

MANIFEST = (
    '{"suite": "trixie", "kernel": "6.12", "cmdline": "quiet", "packages": {"systemd": "257"}}'
)


def test_guests_are_found_by_their_recipe(tmp_path: Path) -> None:
    assert guests.find_guests(str(tmp_path)) is None
    folder = tmp_path / recipe.fingerprint()
    folder.mkdir()
    (folder / "manifest.json").write_text(MANIFEST)
    found = guests.find_guests(str(tmp_path))
    assert found is not None
    assert (found.kernel, found.packages, found.made) == ("6.12", {"systemd": "257"}, False)
    assert found.path("small.efi") == str(folder / "small.efi")
    assert guests.make_guests(str(tmp_path)) == found
    with pytest.raises(UsageError, match=r"no large\.efi") as caught:
        found.path("large.efi")
    assert "debian.efi" in caught.value.hint


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"packages": []}', "\xff", MANIFEST[:-1]])
def test_a_damaged_manifest_is_an_error(tmp_path: Path, text: str) -> None:
    folder = tmp_path / recipe.fingerprint()
    folder.mkdir()
    (folder / "manifest.json").write_text(text, encoding="latin-1")
    with pytest.raises(InputError, match="not a manifest"):
        guests.find_guests(str(tmp_path))


def test_only_root_makes_guests(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    with pytest.raises(UsageError, match="only be made by root") as caught:
        guests.make_guests(str(tmp_path / "cache"))
    assert "lab guest" in caught.value.hint
    assert not (tmp_path / "cache").exists()


def test_guests_that_cannot_be_made_leave_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise ToolError("no mirror")

    monkeypatch.setattr("os.geteuid", lambda: 0)
    monkeypatch.setattr("sysgraft.lab.cooking.cook", fail)
    with pytest.raises(ToolError, match="no mirror"):
        guests.make_guests(str(tmp_path))
    assert list(tmp_path.iterdir()) == []


def test_guests_are_made_of_signed_packages_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ran: list[list[str]] = []

    def run(argv: list[str], **_: object) -> None:
        ran.append(argv)
        raise ToolError("not now")

    monkeypatch.setattr(cooking, "locate", str)
    monkeypatch.setattr(cooking, "run", run)
    monkeypatch.setattr(recipe, "KEYRING", str(tmp_path / "keyring"))
    make = {"mirror": "http://mirror", "progress": NoProgress()}
    with pytest.raises(ToolError, match="keys are not installed") as caught:
        cooking.cook(str(tmp_path), str(tmp_path), **make)  # type: ignore[arg-type]
    assert "debian-archive-keyring" in caught.value.hint
    assert ran == []
    (tmp_path / "keyring").touch()
    with pytest.raises(ToolError, match="not now"):
        cooking.cook(str(tmp_path), str(tmp_path), **make)  # type: ignore[arg-type]
    assert {"--force-check-gpg", f"--keyring={tmp_path}/keyring"} < set(ran[0])


def test_the_cache_is_the_users(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", "/somewhere")
    assert guests.default_cache() == "/somewhere/sysgraft/lab"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", "/home/me")
    assert guests.default_cache() == "/home/me/.cache/sysgraft/lab"


def test_another_recipe_has_another_name(monkeypatch: pytest.MonkeyPatch) -> None:
    before = recipe.fingerprint()
    monkeypatch.setattr(recipe, "MODULES", recipe.MODULES[1:])
    assert recipe.fingerprint() != before
