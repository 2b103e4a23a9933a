"""A kernel update on a machine with Secure Boot: tried once by the firmware, default if it came up.

The disk is one that ``media disk`` made, and enrols its keys first. The guest is a whole Debian 13;
kernel-install is systemd 257's own and calls our plugin, by hand and for a Debian package. One run
then starts five times: the old kernel, one that never comes up, the old one again, the new one out
of the package, and that once more by itself.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final

import pytest

from boot.conftest import CMDLINE, initrd
from command import sysgraft
from guest_kit import agent_initrd
from sysgraft.build.media.disk import build_disk
from sysgraft.build.media.options import BootImage, DiskOptions, MediaOptions
from sysgraft.kernel.plugin.tree import PluginOptions, files
from sysgraft.lab.esp import File, make_esp
from sysgraft.lab.machine import MACHINES, find_firmware
from sysgraft.lab.options import Disk

if TYPE_CHECKING:
    from pathlib import Path

    from boot.conftest import BuildUki, GuestName, Keys, Lab
    from sysgraft.lab.guests import Guests
    from sysgraft.lab.report import LabReport

pytestmark = pytest.mark.boot

TOKEN: Final = "lab"
OLD, BAD, NEW = "6.99.1", "6.99.2", "6.99.3"
HOPELESS: Final = b"#!/bin/busybox sh\n/bin/busybox reboot -f\n"
ESP: Final = 320 << 20
"""Room for two more kernels."""

# What is told of each start goes to the partition: results are those of the last one.
SCRIPT: Final = r"""
mkdir -p /efi /run/kernels
modprobe vfat
mount -t vfat /dev/disk/by-id/virtio-esp-part1 /efi
mkdir -p /etc/kernel
mount -t vfat -o ro /dev/disk/by-id/virtio-disk0-part1 /run/kernels
stage=$(cat /efi/stage 2> /dev/null || echo 0)
exec >> /efi/log 2>&1
next() {
    echo $((stage + 1)) > /efi/stage
    cp /efi/log "$SYSGRAFT_RESULTS/log"
    umount /efi
    sync
}
export SYSTEMD_RELAX_ESP_CHECKS=1
add() {
    kernel-install --esp-path=/efi add "$1" "/run/kernels/$1.efi"
    echo "$1 added: $?"
}
# The unit comes after the boot is complete, which this script is a part of.
settled() {
    for _ in $(seq 40); do
        [ -e /sys/firmware/efi/efivars/KernelTrial-* ] || return 0
        sleep 1
    done
}
systemctl --no-block start multi-user.target
settled
echo "start $stage: $(cat /proc/cmdline | tr ' ' '\n' | grep '^lab.version=')"
sysgraft kernel list --esp /efi
journalctl -b -o cat -u sysgraft-kernel-bless | grep -v systemd
case $stage in
0)
    add BAD
    next
    systemctl reboot --force --force
    ;;
1)
    # A whole package would need the folder that guests do without.
    mkdir -p /var/lib/dpkg/info
    dpkg -i /run/kernels/kernel.deb
    echo "NEW installed: $?"
    next
    systemctl reboot --force --force
    ;;
2)
    next
    systemctl reboot --force --force
    ;;
3)
    kernel-install --esp-path=/efi remove NEW
    echo "removing what runs: $?"
    kernel-install --esp-path=/efi remove BAD
    echo "removing another: $?"
    sysgraft kernel list --esp /efi --json > "$SYSGRAFT_RESULTS/list"
    bootctl --esp-path=/efi list --json=short > "$SYSGRAFT_RESULTS/bootctl" 2> /dev/null
    bootctl --esp-path=/efi status > "$SYSGRAFT_RESULTS/status" 2> /dev/null
    ls -R /efi/EFI/Linux
    cp /efi/log "$SYSGRAFT_RESULTS/log"
    ;;
esac
exit 0
"""


@pytest.fixture
def kernels(tmp_path: Path, uki: BuildUki, keys: Keys) -> dict[str, Path]:
    """Three signed UKIs by version; the middle one starts anew before anything runs."""
    plugin = {each.path: each for each in files(PluginOptions(boot_entry=True, default="once"))}
    more = {path: each.data for path, each in plugin.items() if each.mode}
    more |= {
        "etc/kernel/entry-token": f"{TOKEN}\n".encode(),
        "etc/kernel/install.conf": b"layout=uki\n",
        "etc/kernel/tries": b"3\n",
    }
    executable = [path for path, each in plugin.items() if each.mode & 0o111]
    links = {path: each.data for path, each in plugin.items() if not each.mode}
    own = initrd(tmp_path, more, executable=executable, links=links)
    hopeless = initrd(
        tmp_path,
        {"init": b"#!/bin/busybox sh\n/bin/busybox reboot -f\n"},
        "bad.cpio",
        executable=["init"],
    )
    whole = (agent_initrd(tmp_path), own)
    wanted: dict[str, tuple[GuestName, tuple[str, ...]]] = {
        OLD: ("debian", whole),
        BAD: ("small", (hopeless,)),
        NEW: ("debian", whole),
    }
    made = {}
    for version, (guest, initrds) in wanted.items():
        made[version] = tmp_path / f"{version}.efi"
        uki(
            made[version],
            guest,
            initrds=initrds,
            cmdline=f"{CMDLINE} lab.version={version}",
            signing=keys.pair("db"),
            uname="",
        )
    return made


def test_an_update_is_tried_once_and_stays_if_it_comes_up(
    lab: Lab, guests: Guests, keys: Keys, kernels: dict[str, Path], tmp_path: Path
) -> None:
    disk = tmp_path / "disk.img"
    wanted = MediaOptions(
        images=(BootImage(f"{TOKEN}-{OLD}", str(kernels[OLD])),),
        boot_loader=guests.path("systemd-bootx64.efi"),
        signing=keys.pair("db"),
        keys=str(keys.folder),
        timeout="0",
    )
    assert build_disk(str(disk), wanted, DiskOptions(esp_size=ESP)).written
    others = [
        File(f"{BAD}.efi", str(kernels[BAD])),
        File("kernel.deb", package(kernels[NEW], tmp_path)),
    ]
    make_esp(str(tmp_path / "kernels"), others)
    report = lab.boot(
        SCRIPT.replace("NEW", NEW).replace("BAD", BAD),
        esp=str(disk),
        disks=(Disk(str(tmp_path / "kernels")),),
        secure_boot=find_firmware(MACHINES["x86-64"], secure=True).variables,
        reboots=5,
    )
    log = result(report, "log")
    (tmp_path / "log").write_text(log)
    assert report.secure_boot is True
    starts = [line for line in log.splitlines() if line.startswith("start ")]
    assert starts == [
        f"start 0: lab.version={OLD}",
        f"start 1: lab.version={OLD}",  # the bad one was tried in between
        f"start 2: lab.version={NEW}",
        f"start 3: lab.version={NEW}",
    ], log
    assert f"{BAD} added: 0" in log
    assert f"{BAD}.efi was to be tried, and did not come up" in log
    assert f"{NEW} installed: 0" in log
    assert "removing what runs: 2" in log
    assert "removing another: 0" in log
    found = {each["id"]: each for each in json.loads(result(report, "list"))["kernels"]}
    assert set(found) == {f"{TOKEN}-{OLD}.efi", f"{TOKEN}-{NEW}.efi"}
    assert found[f"{TOKEN}-{NEW}.efi"]["default"]
    # systemd's own tool sees the same.
    listed = {each["id"]: each for each in json.loads(result(report, "bootctl"))}
    assert set(found) <= set(listed)
    assert listed[f"{TOKEN}-{NEW}.efi"]["isDefault"]
    status = result(report, "status")
    assert f"Title: {TOKEN}-{NEW}\n" in status
    assert f"EFI/Linux/{TOKEN}-{NEW}.efi\n" in status


def package(uki: Path, folder: Path) -> str:
    """A Debian package with a kernel."""
    words = ("--format=deb", "--maintainer=Lab <lab@example.org>", f"--kernel-version={NEW}")
    done = sysgraft("uki", "package", uki, *words, "--output", folder / "packages")
    assert done.code == 0, done.err
    (path,) = (folder / "packages").glob("*.deb")
    return str(path)


def result(report: LabReport, name: str) -> str:
    assert report.script is not None, report.serial
    return report.script.files[name].decode(errors="replace")
