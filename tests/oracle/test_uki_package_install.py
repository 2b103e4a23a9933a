"""Packages of UKIs, installed and removed: dpkg, rpm and kernel-install of two systemd releases.

The boot partition is a folder that ``/etc/kernel/install.conf`` names.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest

from command import sysgraft
from conftest import DEBIAN_13, DEBIAN_SID
from debian_kit import ChangedDebian
from uki_kit import RELEASE, Kit, make_kit

if TYPE_CHECKING:
    from collections.abc import Sequence

pytestmark = [
    pytest.mark.root,
    pytest.mark.oracle("dpkg-deb"),
    pytest.mark.oracle("rpmbuild"),
    pytest.mark.oracle("debian-13"),
    pytest.mark.oracle("debian-sid"),
]

MODULES: Final = f"usr/lib/modules/{RELEASE}"
ENTRY: Final = f"EFI/Linux/token-{RELEASE}.efi"
NAME: Final = f"linux-image-uki-{RELEASE}"
# Debian 13 has systemd 257, sid a newer one than 258.
SYSTEMS: Final = {"257": DEBIAN_13, "newest": DEBIAN_SID}


@pytest.fixture
def kit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Kit:
    kit = make_kit(tmp_path / "kit", monkeypatch)
    kit.build("linux.efi", "--cmdline", "quiet")
    for name in ("base", "debug"):
        kit.build(f"{name}.addon.efi", "--cmdline", name, kernel=False)
    return kit


@pytest.fixture(params=SYSTEMS, ids=str)
def system(request: pytest.FixtureRequest, tmp_path: Path) -> ChangedDebian:
    made = ChangedDebian(SYSTEMS[request.param], tmp_path / "system")
    made.write("etc/kernel/install.conf", f"BOOT_ROOT=/esp\nMACHINE_ID={'1' * 32}\n")
    made.write("etc/kernel/entry-token", "token\n")
    made.write("esp/other/file", "stays")
    return made


class Installer:
    """dpkg or rpm on a changed Debian."""

    def __init__(self, system: ChangedDebian, kit: Kit, form: str) -> None:
        self.system = system
        self.form = form
        self._kit = kit
        self._out = kit.folder / "out"

    def make(self, *words: str | Path) -> list[Path]:
        """Packages of the UKI, and of an addon."""
        return self.make_only(
            *("--extra", self._kit.folder / "base.addon.efi"),
            *("--addon", f"debug={self._kit.folder / 'debug.addon.efi'}", *words),
        )

    def make_only(self, *words: str | Path) -> list[Path]:
        """Packages of the UKI, and of what the words say."""
        result = sysgraft(
            *("uki", "package", self._kit.folder / "linux.efi", "--format", self.form),
            *("--maintainer", "Some Body <body@example.org>", "--version", "6.12.1"),
            *("--release", "1", "--output", self._out, "--json", "--force", *words),
        )
        assert result.code == 0, result.err
        return [self._out / package["file"] for package in result.document["packages"]]

    def install(self, packages: Sequence[Path]) -> None:
        if self.form == "deb":
            for package in packages:
                self.system.write(f"packages/{package.name}", package.read_bytes())
            names = [f"/packages/{package.name}" for package in packages]
            self.system.run("dpkg", "-i", *names)
        else:
            self._rpm("-i", "--nodeps", *map(str, packages))

    def upgrade(self, packages: Sequence[Path], *words: str) -> str:
        """What rpm says of it; dpkg has no other way than to install."""
        if self.form == "deb":
            self.install(packages)
            return ""
        return self._rpm("-U", "--nodeps", *words, *map(str, packages))

    def remove(self, *names: str) -> None:
        if self.form == "deb":
            self.system.run("dpkg", "--purge", *names)
        else:
            self._rpm("-e", *names)

    def _rpm(self, *words: str) -> str:
        said = self.rpm(*words)
        # rpm goes on where a scriptlet fails, and says so.
        assert "scriptlet failed" not in said, said
        return said

    def rpm(self, *words: str) -> str:
        """What rpm says."""
        return self.system.run("rpm", "--root", str(self.system.root), *words, beside=True)

    @property
    def names(self) -> tuple[str, str]:
        """Of the package with the UKI, and that with the addon."""
        if self.form == "deb":
            return NAME, f"linux-image-uki-addon-debug-{RELEASE}"
        return "kernel-uki-virt", "kernel-uki-virt-addon-debug"


@pytest.fixture(params=["deb", "rpm"])
def installer(request: pytest.FixtureRequest, system: ChangedDebian, kit: Kit) -> Installer:
    return Installer(system, kit, request.param)


def test_installed_and_removed(installer: Installer, kit: Kit) -> None:
    uki, addon = installer.make()
    system = installer.system
    base, debug = (kit.folder / f"{name}.addon.efi" for name in ("base", "debug"))

    installer.install([uki])
    assert system.below("esp") == {
        "other/file": b"stays",
        ENTRY: (kit.folder / "linux.efi").read_bytes(),
        f"{ENTRY}.extra.d/base.addon.efi": base.read_bytes(),
    }
    installer.install([addon])
    assert system.below("esp")[f"{ENTRY}.extra.d/debug.addon.efi"] == debug.read_bytes()

    installer.remove(installer.names[1])
    assert sorted(system.below("esp")) == [
        ENTRY,
        f"{ENTRY}.extra.d/base.addon.efi",
        "other/file",
    ]
    installer.remove(installer.names[0])
    assert system.below("esp") == {"other/file": b"stays"}
    assert not system.below(MODULES)
    assert not system.below("usr/lib/kernel/install.d")


def test_both_at_once(installer: Installer) -> None:
    packages = installer.make()
    installer.install(packages)
    assert f"{ENTRY}.extra.d/debug.addon.efi" in installer.system.below("esp")
    installer.remove(*installer.names)
    assert installer.system.below("esp") == {"other/file": b"stays"}


@pytest.mark.parametrize("place", [f"boot/vmlinuz-{RELEASE}", f"{MODULES}/vmlinuz"])
def test_another_kernel_of_the_version_keeps_its_entry(installer: Installer, place: str) -> None:
    system = installer.system
    theirs = {
        place: "kernel",
        f"{MODULES}/modules.dep": "index",
        f"{MODULES}/kernel/a.ko": "module",
        f"esp/loader/entries/token-{RELEASE}.conf": "entry",
        f"esp/token/{RELEASE}/linux": "kernel",
    }
    for path, content in theirs.items():
        system.write(path, content)
    installer.install(installer.make()[:1])
    assert ENTRY in system.below("esp")
    installer.remove(installer.names[0])
    assert ENTRY not in system.below("esp")
    for path, content in theirs.items():
        folder, _, name = path.rpartition("/")
        assert system.below(folder).get(name) == content.encode(), path


def test_what_others_put_beside_the_uki_stays_while_it_is_there(installer: Installer) -> None:
    system = installer.system
    uki, addon = installer.make()
    installer.install([uki, addon])
    system.write(f"esp/{ENTRY}.extra.d/mine.cred", "secret")
    installer.remove(installer.names[1])
    assert sorted(system.below(f"esp/{ENTRY}.extra.d")) == ["base.addon.efi", "mine.cred"]


def test_a_system_without_kernel_install(kit: Kit, system: ChangedDebian) -> None:
    """A container has neither a boot partition nor a need for one."""
    installer = Installer(system, kit, "deb")
    system.run("rm", "/usr/bin/kernel-install")
    installer.install(installer.make())
    assert f"{RELEASE}/vmlinuz-virt.efi" in system.below("usr/lib/modules")
    installer.remove(*installer.names)
    assert system.below("esp") == {"other/file": b"stays"}


def test_a_system_without_a_boot_partition(kit: Kit, system: ChangedDebian) -> None:
    """kernel-install takes /boot then."""
    installer = Installer(system, kit, "deb")
    system.write("etc/kernel/install.conf", "")
    installer.install(installer.make()[:1])
    assert ENTRY in system.below("boot")
    installer.remove(installer.names[0])
    assert not system.below("boot")


def test_installed_again(installer: Installer, kit: Kit) -> None:
    """An upgrade that keeps the kernel version: the new UKI takes the old one's place."""
    uki = installer.make()[0]
    installer.install([uki])
    kit.build("linux.efi", "--cmdline", "verbose", "--force")
    installer.upgrade(installer.make("--release", "2")[:1])
    assert installer.system.below("esp")[ENTRY] == (kit.folder / "linux.efi").read_bytes()


def add_failing(system: ChangedDebian, command: str, number: int = 99) -> str:
    """A plugin of kernel-install that fails at one command; where it is."""
    path = f"etc/kernel/install.d/{number}-fail.install"
    system.write(path, f'#!/bin/sh\n[ "$1" != {command} ]\n')
    system.run("chmod", "+x", f"/{path}")
    return path


def test_a_failed_installation_can_be_finished(kit: Kit, system: ChangedDebian) -> None:
    installer = Installer(system, kit, "deb")
    plugin = add_failing(system, "add")
    uki = installer.make()[0]
    system.write(f"packages/{uki.name}", uki.read_bytes())
    said = system.run("dpkg", "-i", f"/packages/{uki.name}", code=1)
    assert "script subprocess" in said
    assert "exit status 1" in said
    system.run("rm", f"/{plugin}")
    system.run("dpkg", "--configure", "-a")
    assert ENTRY in system.below("esp")


def test_a_failed_removal_is_taken_back(kit: Kit, system: ChangedDebian) -> None:
    installer = Installer(system, kit, "deb")
    installer.install(installer.make()[:1])
    plugin = add_failing(system, "remove")
    system.run("dpkg", "--remove", NAME, code=1)
    assert system.below("esp")[ENTRY] == (kit.folder / "linux.efi").read_bytes()
    assert f"{ENTRY}.extra.d/base.addon.efi" in system.below("esp")
    system.run("rm", f"/{plugin}")
    installer.remove(NAME)
    assert system.below("esp") == {"other/file": b"stays"}


@pytest.mark.parametrize("words", [(), ("--replacepkgs",)], ids=["upgrade", "again"])
def test_a_failed_rpm_upgrade_leaves_the_old_entry(
    words: tuple[str, ...], kit: Kit, system: ChangedDebian
) -> None:
    """Such as where the boot partition has no room."""
    installer = Installer(system, kit, "rpm")
    installer.install(installer.make()[:1])
    before = system.below("esp")[ENTRY]
    add_failing(system, "add", 10)
    kit.build("linux.efi", "--cmdline", "new", "--force")
    release = "1" if words else "2"
    newer = installer.make("--release", release)[0]
    said = installer.rpm("-U", "--nodeps", *words, str(newer))
    assert "%posttrans(kernel-uki-virt" in said
    assert system.below("esp")[ENTRY] == before


def test_an_rpm_upgrade_removes_nothing(kit: Kit, system: ChangedDebian) -> None:
    """Where kernel-install refuses to remove, as for the running kernel, nothing is in the way."""
    installer = Installer(system, kit, "rpm")
    installer.install(installer.make()[:1])
    add_failing(system, "remove", 10)
    kit.build("linux.efi", "--cmdline", "new", "--force")
    installer.upgrade(installer.make_only("--release", "2", "--file-name", "linux.efi"))
    assert (
        installer.rpm("-q", "kernel-uki-virt").splitlines()[-1] == "kernel-uki-virt-6.12.1-2.x86_64"
    )
    assert system.below("esp")[ENTRY] == (kit.folder / "linux.efi").read_bytes()


def test_a_refused_removal_is_a_warning_of_rpm(kit: Kit, system: ChangedDebian) -> None:
    system.write(f"{MODULES}/kernel/a.ko", "module")
    system.write(f"{MODULES}/modules.dep", "index")
    installer = Installer(system, kit, "rpm")
    installer.install(installer.make()[:1])
    # What stands for systemd's plugin is what refuses, as that of `sysgraft kernel plugin` does.
    plugin = "etc/kernel/install.d/90-uki-copy.install"
    system.write(plugin, '#!/bin/sh\n[ "$1" != remove ]\n')
    system.run("chmod", "+x", f"/{plugin}")
    said = installer.rpm("-e", "kernel-uki-virt")
    assert "the boot entry of Linux" in said
    assert "scriptlet failed" not in said
    assert "kernel-uki-virt" not in installer.rpm("-qa", "kernel-uki-virt*").splitlines()[-1:]
    assert ENTRY in system.below("esp")
    assert system.below(MODULES) == {"kernel/a.ko": b"module", "modules.dep": b"index"}


def test_the_index_of_modules_that_stay_stays(installer: Installer) -> None:
    system = installer.system
    system.write(f"{MODULES}/kernel/a.ko", "module")
    system.write(f"{MODULES}/modules.dep", "index")
    installer.install(installer.make()[:1])
    installer.remove(installer.names[0])
    assert system.below("esp") == {"other/file": b"stays"}
    assert system.below(MODULES) == {"kernel/a.ko": b"module", "modules.dep": b"index"}


def test_what_a_newer_package_does_not_bring_is_taken_off(installer: Installer, kit: Kit) -> None:
    system = installer.system
    addons = [kit.folder / f"{name}.addon.efi" for name in ("base", "debug")]
    beside = f"esp/{ENTRY}.extra.d"
    for release, words in (
        ("1", ("--extra", addons[0])),
        ("2", ("--extra", addons[1])),
        ("3", ()),
    ):
        installer.upgrade(installer.make_only("--release", release, *words))
        assert list(system.below(beside)) == [Path(word).name for word in words[1:]]
    assert [path for path in system.below("usr/lib/kernel/install.d") if "91-" in path] == []
    assert system.below("esp")[ENTRY] == (kit.folder / "linux.efi").read_bytes()


def test_an_addon_goes_though_kernel_install_fails(installer: Installer) -> None:
    installer.install(installer.make())
    system = installer.system
    add_failing(system, "add", 10)
    if installer.form == "rpm":
        installer.rpm("-e", installer.names[1])
    else:
        system.run("dpkg", "--remove", installer.names[1], code=1)
    assert list(system.below(f"esp/{ENTRY}.extra.d")) == ["base.addon.efi"]


def test_another_layout_keeps_the_entry_of_another_kernel(installer: Installer) -> None:
    system = installer.system
    config = f"BOOT_ROOT=/esp\nMACHINE_ID={'1' * 32}\nlayout=bls\n"
    system.write("etc/kernel/install.conf", config)
    kernel = f"/boot/vmlinuz-{RELEASE}"
    system.write(kernel, "kernel")
    system.run("kernel-install", "add", RELEASE, kernel)
    before = system.below("esp")
    assert f"loader/entries/token-{RELEASE}.conf" in before
    installer.install(installer.make()[:1])
    assert system.below("esp") == before
    installer.remove(installer.names[0])
    assert system.below("esp") == before
