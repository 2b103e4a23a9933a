"""A classic kernel with its initrd apart, and a UKI, side by side on one partition: both boot.

Put there by the command an installer gives, started by systemd-boot and by GRUB.
"""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING, Final

import pytest

from boot.conftest import CMDLINE
from command import sysgraft

if TYPE_CHECKING:
    from pathlib import Path

    from boot.conftest import BuildUki, Lab
    from sysgraft.lab.guests import Guests

pytestmark = pytest.mark.boot

ENTRIES: Final = {"classic": "kit-1.conf", "uki": "kit-2.efi"}


@pytest.fixture
def esp(tmp_path: Path, guests: Guests, uki: BuildUki) -> Path:
    """What is on the partition but a boot loader: a system was installed there."""
    root = tmp_path / "root"
    (root / "etc/kernel").mkdir(parents=True)
    (root / "etc/os-release").write_text("ID=kit\nPRETTY_NAME='Kit 1'\n")
    (root / "etc/kernel/cmdline").write_text(f"{CMDLINE} lab.kind=classic\n")
    esp = root / "efi"
    (esp / "EFI/BOOT").mkdir(parents=True)
    (esp / "loader").mkdir()
    image = tmp_path / "linux.efi"
    uki(image, cmdline=f"{CMDLINE} lab.kind=uki", uname="")
    where = ("--root", root, "--esp-path", esp)
    classic = ("--layout=bls", "--kernel-version=1", "--initrd", guests.path("small.cpio.zst"))
    for words in (
        ("install", guests.path("vmlinuz"), *classic),
        ("install", image, "--kernel-version=2"),
    ):
        done = sysgraft("kernel", *words, *where)
        assert done.code == 0, done.err
    found = sysgraft("kernel", "list", *where, "--json").document["kernels"]
    assert [each["id"] for each in found] == ["kit-2.efi", "kit-1.conf"]
    menu = sysgraft("kernel", "grub", *where, "--output", tmp_path / "custom.cfg")
    assert menu.code == 0, menu.err
    return esp


def kind(lab: Lab, esp: Path) -> str:
    """What the guest was started as."""
    report = lab.boot(esp=str(esp))
    assert report.ending == "powered-off", report.serial
    assert report.guest is not None
    words = dict(word.partition("=")[::2] for word in report.guest.cmdline.split())
    return words["lab.kind"]


def test_systemd_boot_starts_both(lab: Lab, guests: Guests, esp: Path) -> None:
    loader = esp / "EFI/BOOT/BOOTX64.EFI"
    loader.hardlink_to(guests.path("systemd-bootx64.efi"))
    for wanted, entry in ENTRIES.items():
        (esp / "loader/loader.conf").write_text(f"timeout 0\ndefault {entry}\n")
        assert kind(lab, esp) == wanted


@pytest.mark.oracle("grub-mkstandalone")
def test_grub_starts_both(lab: Lab, esp: Path, tmp_path: Path) -> None:
    for wanted, entry in ENTRIES.items():
        config = tmp_path / f"{wanted}.cfg"
        menu = (tmp_path / "custom.cfg").read_text()
        config.write_text(f"set timeout=0\nset default={entry}\n{menu}")
        loader = esp / "EFI/BOOT/BOOTX64.EFI"
        words = ["grub-mkstandalone", "-O", "x86_64-efi", "-o", str(loader)]
        subprocess.run([*words, f"boot/grub/grub.cfg={config}"], check=True)
        assert kind(lab, esp) == wanted
