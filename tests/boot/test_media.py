"""Media that `media disk` and `media iso` make, on a firmware without keys.

systemd-boot enrols the keys by itself, starts the machine anew, and the entry that is asked for
comes up with Secure Boot, with its own extensions and none of another entry's. What the TPM then
holds is what the image alone foretold.
"""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Final

import pytest

from extension_cases import extension
from guest_kit import agent_initrd
from sysgraft.build.media.disk import build_disk
from sysgraft.build.media.iso import build_iso
from sysgraft.build.media.options import (
    BootImage,
    DiskOptions,
    Extra,
    IsoOptions,
    MediaOptions,
    PartitionFile,
)
from sysgraft.build.resign import Target
from sysgraft.build.uki_sign import sign_executable
from sysgraft.lab.machine import MACHINES, find_firmware
from sysgraft.seal.prediction import BootRequest, predict

if TYPE_CHECKING:
    from pathlib import Path

    from boot.conftest import BuildUki, Keys, Lab
    from sysgraft.lab.guests import Guests
    from sysgraft.lab.report import LabReport

pytestmark = pytest.mark.boot

STATE: Final = r"""
efi=/sys/firmware/efi/efivars
global=8be4df61-93ca-11d2-aa0d-00e098032b8c
for each in SecureBoot SetupMode; do
    cat "$efi/$each-$global" | tail -c 1 | od -An -tu1 | tr -d ' ' > "$SYSGRAFT_RESULTS/$each"
done
cat $efi/LoaderEntrySelected-* | tail -c +5 | tr -d '\000' > "$SYSGRAFT_RESULTS/entry"
systemd-sysext status --json=short > "$SYSGRAFT_RESULTS/merged"
"""
CARRIED: Final = r"""
mkdir /run/media
mount -o ro "$medium" /run/media
sha256sum < /run/media/extensions/carried.sysext.raw > "$SYSGRAFT_RESULTS/carried"
"""


# What an installer does: everything below the medium, for a system that does not run yet.
INSTALLED: Final = r"""
root=/run/target
mkdir -p $root/etc $root/efi/EFI/Linux $root/usr/lib
cp /usr/lib/os-release $root/usr/lib/
cp --parents /usr/lib/*/systemd/libsystemd-shared-* $root/
sysgraft node install /run/media --root $root --esp $root/efi > "$SYSGRAFT_RESULTS/install" 2>&1
echo "install $?" >> "$SYSGRAFT_RESULTS/install"
sysgraft node list --root $root --esp $root/efi --json > "$SYSGRAFT_RESULTS/installed"
"""
# systemd's own boot loader tool on the partition it was started from.
BOOTCTL: Final = r"""
export SYSTEMD_RELAX_ESP_CHECKS=1
bootctl --esp-path=/run/media status > "$SYSGRAFT_RESULTS/bootctl" 2>&1
echo "status $?" >> "$SYSGRAFT_RESULTS/bootctl"
bootctl --esp-path=/run/media list --json=short > "$SYSGRAFT_RESULTS/listed"
"""


@pytest.fixture(scope="module")
def image(uki: BuildUki, keys: Keys, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A UKI of the large guest with the agent, signed."""
    folder = tmp_path_factory.mktemp("uki")
    initrds = (agent_initrd(folder),)
    return uki(folder / "debian.efi", "debian", initrds=initrds, signing=keys.pair("db"))


def options(folder: Path, image: str, guests: Guests, keys: Keys, default: str) -> MediaOptions:
    """Two entries of one UKI with an extension each, and one that is carried."""
    signing = keys.pair("db")
    one, two, carried = (
        str(extension(folder, name, signing)) for name in ("one", "two", "carried")
    )
    return MediaOptions(
        images=(BootImage("active", image), BootImage("passive", image)),
        extras=(Extra("active", one), Extra("passive", two)),
        carried=(carried,),
        boot_loader=guests.path("systemd-bootx64.efi"),
        signing=signing,
        keys=str(keys.folder),
        default=default,
        timeout="1",
        tries=3,
    )


def empty_variables() -> str:
    """A firmware in setup mode."""
    return find_firmware(MACHINES["x86-64"], secure=True).variables


def files(report: LabReport) -> dict[str, str]:
    assert report.script is not None, report.serial
    assert report.succeeded, report.serial
    return {name: data.decode() for name, data in report.script.files.items()}


def merged(found: dict[str, str]) -> set[str]:
    status = json.loads(found["merged"])
    return {name for each in status if each["extensions"] != "none" for name in each["extensions"]}


def check(report: LabReport, image: Path, entry: str, extensions: set[str]) -> None:
    found = files(report)
    prediction = predict(BootRequest(esp=str(image), entry=entry.removesuffix(".efi")), phases=[""])
    predicted = prediction.sets[0].values("", "sha256")
    for pcr in (4, 12, 13):
        assert report.pcrs["sha256"][pcr] == predicted[pcr], pcr
    assert report.secure_boot is True
    assert (found["SecureBoot"], found["SetupMode"]) == ("1\n", "0\n")
    assert found["entry"] == entry
    assert merged(found) == extensions
    digest = hashlib.sha256((image.parent / "carried.sysext.raw").read_bytes()).hexdigest()
    assert found["carried"].split()[0] == digest


@pytest.mark.parametrize(("entry", "extensions"), [("active", {"one"}), ("passive", {"two"})])
def test_a_disk_enrols_its_keys_and_starts_what_is_asked_for(
    entry: str,
    extensions: set[str],
    lab: Lab,
    guests: Guests,
    keys: Keys,
    image: str,
    tmp_path: Path,
) -> None:
    wanted = options(tmp_path, image, guests, keys, entry)
    data = tmp_path / "data"
    data.write_bytes(b"data" * 1000)
    disk = tmp_path / "disk.img"
    further = DiskOptions(partitions=(PartitionFile("home", str(data)),))
    report = build_disk(str(disk), wanted, further)
    assert (report.ok, report.written) == (True, True)
    home = report.partitions[1].uuid
    script = f"medium=/dev/disk/by-id/virtio-esp-part1\n{STATE}{CARRIED}"
    script += f'head -c 4000 /dev/disk/by-partuuid/{home} > "$SYSGRAFT_RESULTS/home"\n'
    script += BOOTCTL
    booted = lab.boot(script, esp=str(disk), secure_boot=empty_variables(), reboots=1)
    check(booted, disk, f"{entry}.efi", extensions)
    found = files(booted)
    assert found["home"] == "data" * 1000
    assert found["bootctl"].endswith("status 0\n"), found["bootctl"]
    listed = {each["id"]: each for each in json.loads(found["listed"])}
    assert {"active.efi", "passive.efi"} <= set(listed)
    assert listed[f"{entry}.efi"]["isSelected"]


@pytest.mark.parametrize(
    ("sector", "size", "bits"), [(512, 32, 16), (512, 1024, 32), (4096, 64, 16), (4096, 300, 32)]
)
def test_firmware_starts_from_every_form_of_file_system(
    sector: int, size: int, bits: int, lab: Lab, guests: Guests, keys: Keys, tmp_path: Path
) -> None:
    """FAT16, and clusters of 4096 bytes; the others have FAT32 in clusters of 512."""
    signing = keys.pair("db")
    image = tmp_path / "small.efi"
    sign_executable(guests.path("small.efi"), signing, target=Target(str(image)))
    wanted = MediaOptions(
        images=(BootImage("small", str(image)),),
        boot_loader=guests.path("systemd-bootx64.efi"),
        signing=signing,
        keys=str(keys.folder),
    )
    disk = tmp_path / "disk.img"
    shape = DiskOptions(sector_size=sector, esp_size=size << 20)
    report = build_disk(str(disk), wanted, shape)
    assert (report.written, report.volume.bits) == (True, bits)
    booted = lab.boot(
        "cat /sys/block/vda/queue/logical_block_size",
        esp=str(disk),
        secure_boot=empty_variables(),
        reboots=1,
        qemu_arguments=(
            *("-global", f"virtio-blk-device.physical_block_size={sector}"),
            *("-global", f"virtio-blk-device.logical_block_size={sector}"),
        ),
    )
    assert booted.secure_boot is True
    assert booted.script is not None, booted.serial
    assert booted.script.output.decode() == f"{sector}\n"


@pytest.mark.parametrize("way", ["disc", "stick"])
def test_an_iso_image_starts_from_a_disc_and_from_a_stick(
    way: str, lab: Lab, guests: Guests, keys: Keys, image: str, tmp_path: Path
) -> None:
    wanted = options(tmp_path, image, guests, keys, "active")
    iso = tmp_path / "image.iso"
    report = build_iso(str(iso), wanted, IsoOptions(volume_id="UKI_ISO_INSTALL"))
    assert (report.ok, report.written) == (True, True)
    script = f"medium=/dev/disk/by-label/UKI_ISO_INSTALL\n{STATE}{CARRIED}{INSTALLED}"
    place = {"cdrom" if way == "disc" else "esp": str(iso)}
    booted = lab.boot(script, **place, secure_boot=empty_variables(), reboots=1)
    check(booted, iso, "active.efi", {"one"})
    found = files(booted)
    assert found["install"].endswith("install 0\n"), found["install"]
    (installed,) = json.loads(found["installed"])["installed"]
    assert installed["name"] == "carried"
    assert installed["enabled"] == ["active", "passive"]
