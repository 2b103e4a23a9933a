"""Which boot entry a system was started by, from whatever tells it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import pytest

from node_root import Root, make_root
from sysgraft.errors import InputError
from sysgraft.formats.efivar import EfiVariable
from sysgraft.host.sysfs import SysfsFolder
from sysgraft.node.boot import LOADER_VARIABLES, Boot, entry_name, read_boot
from sysgraft.node.layout import Role
from sysgraft.testing.efivars import FakeEfiVariables

if TYPE_CHECKING:
    from pathlib import Path
    from uuid import UUID

STUB: Final = {"StubInfo": "systemd-stub 257.1"}


def variables(**values: str) -> FakeEfiVariables:
    return FakeEfiVariables(
        {
            (name, LOADER_VARIABLES): EfiVariable(6, f"{text}\0".encode("utf-16-le"))
            for name, text in values.items()
        }
    )


class Unreadable(FakeEfiVariables):
    """Firmware that gives some variables and fails on the others."""

    def read(self, name: str, guid: UUID) -> EfiVariable | None:
        found = super().read(name, guid)
        if found is None:
            raise InputError("Input/output error", file=name)
        return found


def boot(
    tmp_path: Path, told: FakeEfiVariables | None, *sentinels: str, cmdline: str = "quiet"
) -> Boot:
    for name in sentinels:
        (tmp_path / "run/cos").mkdir(parents=True, exist_ok=True)
        (tmp_path / "run/cos" / name).write_text("1")
    (tmp_path / "proc").mkdir()
    (tmp_path / "proc/cmdline").write_text(f"{cmdline}\n")
    return read_boot(SysfsFolder(str(tmp_path)), told, lambda entry: Role(entry[:6] and "active"))


@pytest.mark.parametrize(
    ("identifier", "name"),
    [
        ("active.conf", "active"),
        ("active+3.conf", "active"),
        ("active+2-1.conf", "active"),
        ("active+0-3.efi", "active"),
        ("linux.efi@1", "linux"),
        ("linux+1-2.EFI@debug", "linux"),
        ("\\EFI\\kairos\\passive.efi", "passive"),
        ("/EFI/Linux/a b+3.efi", "a b"),
        ("k3s@prod.conf", "k3s@prod"),
        ("k3s@prod", "k3s@prod"),
        ("a+b.conf", "a+b"),
        ("debian-6.12.conf", "debian-6.12"),
        ("auto-windows", "auto-windows"),
        ("", ""),
    ],
)
def test_names_of_entries(identifier: str, name: str) -> None:
    assert entry_name(identifier) == name


def test_the_entry_that_was_chosen_comes_first(tmp_path: Path) -> None:
    told = variables(
        LoaderEntrySelected="passive+2-1.conf",
        StubImageIdentifier="\\EFI\\kairos\\active.efi",
        LoaderImageIdentifier="\\EFI\\BOOT\\BOOTX64.EFI",
        **STUB,
    )
    found = boot(tmp_path, told, "recovery_mode")
    assert (found.entry, found.source, found.by_stub) == ("passive", "LoaderEntrySelected", True)
    assert found.profiles == ("passive", "active", "common")
    assert (found.cmdline, found.notes) == ("quiet", ())


def test_without_a_boot_loader_the_image_tells(tmp_path: Path) -> None:
    told = variables(
        StubImageIdentifier="\\EFI\\kairos\\recovery.efi",
        LoaderImageIdentifier="\\EFI\\other.efi",
        **STUB,
    )
    found = boot(tmp_path, told)
    assert (found.entry, found.source) == ("recovery", "StubImageIdentifier")


def test_older_stubs_call_themselves_the_loader(tmp_path: Path) -> None:
    found = boot(tmp_path, variables(LoaderImageIdentifier="\\EFI\\Linux\\mine.efi"))
    assert (found.entry, found.source, found.by_stub) == ("mine", "LoaderImageIdentifier", False)


@pytest.mark.parametrize("mode", ["active", "passive", "recovery", "autoreset"])
@pytest.mark.parametrize("told", [None, FakeEfiVariables({})])
def test_sentinels_of_immucore(tmp_path: Path, mode: str, told: FakeEfiVariables | None) -> None:
    found = boot(tmp_path, told, f"{mode}_mode", "other")
    assert (found.entry, found.source, found.by_stub) == (mode, "/run/cos", False)


@pytest.mark.parametrize("sentinels", [(), ("active_mode", "passive_mode"), ("unknown_mode",)])
def test_where_nobody_knows_only_what_is_for_all_counts(
    tmp_path: Path, sentinels: tuple[str, ...]
) -> None:
    found = boot(tmp_path, None, *sentinels)
    assert (found.entry, found.role, found.source) == ("", None, "")
    assert found.profiles == ("common",)


def test_variables_that_cannot_be_read_are_noted_and_the_next_counts(tmp_path: Path) -> None:
    told = Unreadable(
        {
            ("StubImageIdentifier", LOADER_VARIABLES): EfiVariable(
                6, "\\EFI\\Linux\\here.efi".encode("utf-16-le")
            )
        }
    )
    found = boot(tmp_path, told)
    assert (found.entry, found.source, found.by_stub) == ("here", "StubImageIdentifier", True)
    assert [note.split(" cannot")[0] for note in found.notes] == [
        "the EFI variable LoaderEntrySelected",
        "variables of the stub",
    ]


@pytest.mark.parametrize("text", ["..", "a/..", ".hidden.conf", "a\nb.conf"])
def test_names_that_no_folder_has(tmp_path: Path, text: str) -> None:
    found = boot(tmp_path, variables(LoaderEntrySelected=text))
    assert found.profiles == ("common",)
    assert found.notes == ("the EFI variable LoaderEntrySelected names no boot entry",)


def test_bytes_that_are_no_text(tmp_path: Path) -> None:
    told = FakeEfiVariables({("LoaderEntrySelected", LOADER_VARIABLES): EfiVariable(6, b"\0\xd8x")})
    assert boot(tmp_path, told).entry == "\ufffd"


# --- What entries are there for -------------------------------------------------------------------

KAIROS_ROLES: Final = {
    "active": Role.ACTIVE,
    "active_install-mode": Role.ACTIVE,
    "passive": Role.PASSIVE,
    "recovery": Role.RECOVERY,
    "statereset": Role.RECOVERY,
    "autoreset": Role.RECOVERY,
    "customentry": None,
    "myactive": None,
    "Active": None,
}


@pytest.mark.parametrize(("entry", "role"), KAIROS_ROLES.items())
def test_roles_of_kairos(tmp_path: Path, entry: str, role: Role | None) -> None:
    assert make_root(tmp_path).node().role_of(entry) is role


def test_all_entries_of_others_are_active(tmp_path: Path) -> None:
    node = make_root(tmp_path, state="var/lib/sysgraft").node()
    assert node.layout.name == "generic"
    assert {node.role_of(entry) for entry in ("linux", "recovery", "x")} == {Role.ACTIVE}


@pytest.mark.parametrize("state", ["var/lib/kairos", "var/lib/sysgraft"])
def test_configured_entries_replace_those_of_the_layout(tmp_path: Path, state: str) -> None:
    root = make_root(tmp_path, state=state)
    root.write(
        "usr/lib/sysgraft/config.toml", '[entries]\nactive = ["linux-*"]\npassive = ["old"]\n'
    )
    node = root.node()
    roles = [node.role_of(entry) for entry in ("linux-6.12", "old", "active", "linux", "older")]
    assert roles == [Role.ACTIVE, Role.PASSIVE, None, None, None]


@pytest.mark.parametrize(
    ("entry", "profiles"),
    [
        ("active+2-1", ("active", "common")),
        ("active_debug", ("active_debug", "active", "common")),
        ("autoreset", ("autoreset", "recovery", "common")),
        ("custom", ("custom", "common")),
    ],
)
def test_the_folders_of_a_boot(tmp_path: Path, entry: str, profiles: tuple[str, ...]) -> None:
    root = make_root(tmp_path)
    root.booted(entry)
    assert root.node().boot.profiles == profiles


def test_of_a_system_that_does_not_run_nothing_is_known(tmp_path: Path) -> None:
    root = make_root(tmp_path)
    root.booted("active")
    assert root.node(running=False).boot == Boot()


@pytest.mark.parametrize(
    ("layout", "sign", "expected"),
    [
        ("auto", "etc/kairos-release", "kairos"),
        ("auto", "system/oem/x", "kairos"),
        ("auto", "etc/x", "generic"),
        ("generic", "etc/kairos-release", "generic"),
        ("kairos", "etc/x", "kairos"),
    ],
)
def test_layouts(tmp_path: Path, layout: str, sign: str, expected: str) -> None:
    root = Root(tmp_path / "root", tmp_path)
    root.write(sign)
    assert root.node(layout=layout).layout.name == expected
