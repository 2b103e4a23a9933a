"""A device that missed its firmware gets it from an extension, and its driver; no other is touched.

The devices are USB gadgets of the guest itself: Linux' dummy_hcd is a controller whose other end is
the same machine. One has the identifiers of a Bluetooth adapter whose driver (bcm203x) gives up in
its probe without two files of firmware, and is content with the device once it has them; the
other those of a camera whose firmware never comes. Both fail before the extension is merged, as the
kernel's messages say. The extension is signed and brings the firmware, the units and their script.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final

import pytest

from boot.conftest import initrd
from guest_kit import python_extension
from sysgraft.build.extension import BuildOptions, build_extension
from sysgraft.firmware.reprobe.units.tree import UnitOptions, write_units
from sysgraft.lab.report import Merged

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from boot.conftest import BuildUki, Keys, Lab

pytestmark = pytest.mark.boot

# What drivers/bluetooth/bcm203x.c and drivers/usb/misc/isight_firmware.c match and ask for.
FIRMWARE: Final = ("BCM2033-MD.hex", "BCM2033-FW.bin")
MODALIAS: Final = "usb:v0A5Cp2033*"
DEVICE: Final = "usb:1-1:1.0"

GADGETS: Final = r"""
set -eu
modprobe -a libcomposite usb_f_ss_lb
modprobe dummy_hcd num=2
cd /sys/kernel/config/usb_gadget
gadget() {
    mkdir "$1" "$1/configs/c.1" "$1/functions/Loopback.0"
    echo "$2" > "$1/idVendor"
    echo "$3" > "$1/idProduct"
    ln -s "$1/functions/Loopback.0" "$1/configs/c.1/"
    echo "$4" > "$1/UDC"
}
gadget adapter 0x0a5c 0x2033 dummy_udc.0
gadget camera 0x05ac 0x8300 dummy_udc.1
udevadm settle
tries=0
until [ -e /sys/bus/usb/drivers/bcm203x ] && [ -e /sys/bus/usb/drivers/isight_firmware ]; do
    sleep 0.1
    tries=$((tries + 1))
    [ "$tries" -lt 300 ]
done
sleep 1
sh /etc/lab/bindings > /run/before
dmesg > /run/messages
"""
# Kernfs gives a link that is made anew a number that no other had: a driver that was taken away and
# given back shows.
BINDINGS: Final = r"""
for driver in /sys/bus/*/devices/*/driver; do
    device=${driver%/driver}
    bus=${device%/devices/*}
    echo "${bus##*/}:${device##*/} $(stat -c %i "$driver") $(readlink "$driver")"
done
"""
SERVICE: Final = """\
[Unit]
DefaultDependencies=no
Requires=sys-kernel-config.mount
After=sys-kernel-config.mount systemd-udev-trigger.service
Before=systemd-sysext.service
[Service]
Type=oneshot
ExecStart=/bin/sh /etc/lab/gadgets
"""
CHECK: Final = r"""
unit=sysgraft-firmware-reprobe
tries=0
until systemctl is-active --quiet "$unit.service" || [ "$tries" -gt 240 ]; do
    sleep 0.5
    tries=$((tries + 1))
done
cd "$SYSGRAFT_RESULTS"
sh /etc/lab/bindings > after
cp /run/before /run/messages .
systemctl show --property=ActiveState,ExecMainStatus "$unit.service" > state
journalctl --boot --output=cat --unit="$unit.service" --identifier=firmware-reprobe > log
systemctl restart "$unit.service"
journalctl --boot --output=cat --unit="$unit.service" --identifier=firmware-reprobe > log-twice
printf '1-1:1.0' > /sys/bus/usb/drivers/bcm203x/unbind
mkdir -p /boot
mount -t vfat -o ro /dev/vda1 /boot
python3 /etc/lab/engine > engine
sh /etc/lab/bindings > at-last
exit 0
"""
# The engine of `sysgraft firmware reprobe`, on Debian's Python.
ENGINE: Final = r"""
import dataclasses, json, sys
sys.path.insert(0, "/usr/lib/sysgraft-python")
from sysgraft.firmware.reprobe.access import this_machine
from sysgraft.firmware.reprobe.engine import ReprobeOptions, reprobe
from sysgraft.host.merged import merged_files
machine = this_machine()
runs = [
    ReprobeOptions(modaliases=("usb:v0A5Cp2033*",), dry_run=True),
    ReprobeOptions(modaliases=("usb:v0A5Cp2033*",), after_merge=True),
    ReprobeOptions(devices=("usb:1-1:1.0",), rebind=True),
    ReprobeOptions(all_failed=True),
    ReprobeOptions(devices=("pnp:00:02", "virtio:virtio0"), rebind=True),
]
found = [dataclasses.asdict(reprobe(options, machine)) for options in runs]
print(json.dumps({"runs": found, "merged": merged_files("usr/lib/firmware")}))
"""


def extension(folder: Path, keys: Keys) -> Path:
    """The extension: firmware, units, script."""
    tree = folder / "tree"
    firmware = tree / "usr/lib/firmware"
    firmware.mkdir(parents=True)
    for name in FIRMWARE:
        (firmware / name).write_bytes(name.encode() * 500)
    options = UnitOptions(firmware=FIRMWARE, modaliases=(MODALIAS,), script=True, extension=True)
    write_units(str(tree), options)
    build_extension(
        "firmware",
        [str(tree)],
        output=str(folder),
        signing=keys.pair("extension"),
        options=BuildOptions(service_reload=True),
    )
    return folder / "firmware.sysext.raw"


def bindings(data: bytes) -> dict[str, str]:
    """What each device is bound to, by its name."""
    lines = (line.partition(" ") for line in data.decode().splitlines())
    return {device: binding for device, _, binding in lines}


@pytest.mark.oracle("debian-13")
def test_the_device_gets_its_driver_and_no_other_is_touched(
    lab: Lab, uki: BuildUki, keys: Keys, tmp_path: Path
) -> None:
    images = (extension(tmp_path, keys), python_extension(tmp_path, keys.pair("extension")))
    files = {
        "usr/lib/verity.d/extension.crt": (keys.folder / "extension.pem").read_bytes(),
        "etc/lab/gadgets": GADGETS.encode(),
        "etc/lab/bindings": BINDINGS.encode(),
        "etc/lab/engine": ENGINE.encode(),
        "usr/lib/systemd/system/lab-gadgets.service": SERVICE.encode(),
        "etc/systemd/system/sysinit.target.d/lab.conf": b"[Unit]\nWants=lab-gadgets.service\n",
    }
    report = lab.boot(
        CHECK,
        uki=uki(tmp_path / "full.efi", "debian", initrds=(initrd(tmp_path, files),)),
        extras=tuple(map(str, images)),
    )
    assert report.succeeded, report.serial
    assert report.guest is not None
    assert report.guest.sysext is not None
    assert Merged("/usr", ("firmware", "python")) in report.guest.sysext
    assert report.guest.failed_units == ()
    assert report.script is not None
    check_unit(report.script.files)
    check_engine(report.script.files)


def check_unit(found: Mapping[str, bytes]) -> None:
    """Both devices had failed; the unit gave its driver to the one, and did nothing else."""
    messages = found["messages"].decode()
    assert f"usb 1-1: Direct firmware load for {FIRMWARE[0]} failed with error -2" in messages
    assert "bcm203x 1-1:1.0: probe with driver bcm203x failed with error -5" in messages
    assert "usb 2-1: Direct firmware load for isight.fw failed with error -2" in messages
    before, after = bindings(found["before"]), bindings(found["after"])
    assert DEVICE not in before
    assert after.pop(DEVICE).endswith("/bus/usb/drivers/bcm203x")
    assert after == before
    assert set(found["state"].decode().split()) == {"ActiveState=active", "ExecMainStatus=0"}
    said = found["log"].decode()
    assert f"{DEVICE}: has the driver bcm203x now (by_bus)" in said
    assert "2-1" not in said
    assert f"{DEVICE}: has a driver, nothing to do" in found["log-twice"].decode()


def check_engine(found: Mapping[str, bytes]) -> None:
    """The same by the Python code, after the driver was taken away again."""
    answer = json.loads(found["engine"])
    planned, helped, again, others, needed = (run["devices"] for run in answer["runs"])
    assert [each["status"] for each in planned] == ["planned"]
    assert [(each["device"], each["status"]) for each in helped] == [(DEVICE, "recovered")]
    assert [step[:2] for step in helped[0]["steps"]] == [["probe", "helped"]]
    assert [each[1] for each in answer["runs"][1]["merge"]] == ["done", "done", "not-needed"]
    assert [each["status"] for each in again] == ["guarded"]
    assert "re-probed in this boot" in again[0]["steps"][0][2]
    statuses = {each["device"]: (each["evidence"], each["status"]) for each in others}
    assert statuses.pop("usb:2-1:1.0") == ("unbound", "still-unbound")
    assert {status for _, status in statuses.values()} <= {"still-unbound"}
    assert [each["status"] for each in needed] == ["guarded", "guarded"]
    reasons = [each["steps"][0][2] for each in needed]
    assert reasons == ["the console ttyS0 is there (console)", "/boot is on vda1 (root-disk)"]
    assert answer["merged"] == sorted(FIRMWARE)
    before, last = bindings(found["before"]), bindings(found["at-last"])
    assert last.pop(DEVICE).endswith("/bus/usb/drivers/bcm203x")
    assert last == before
