"""``sysgraft firmware reprobe`` on recorded machines: what it says, and its exit codes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import pytest
from test_schemas import errors_of

from command import sysgraft
from reprobe_kit import RELEASE, Kit, kit_in
from sysgraft.cli.firmware_reprobe import report_json
from sysgraft.testing.sysfs_control import Behaviour

if TYPE_CHECKING:
    from pathlib import Path

INTERFACE: Final = "usb:1-4:1.0"
PLACE: Final = "pci0000:00/0000:00:14.0/usb1/1-4"
FIRMWARE: Final = "rtw88/rtw8821a_fw.bin"
LOG: Final = f"""\
[   49.065898] rtw_8821au 1-4:1.0: Direct firmware load for {FIRMWARE} failed with error -2
[   49.065904] rtw_8821au 1-4:1.0: failed to request firmware
[   49.078480] rtw_8821au 1-4:1.0: probe with driver rtw_8821au failed with error -22
"""


@pytest.fixture
def kit(tmp_path: Path) -> Kit:
    """The machine of the published example."""
    kit = kit_in(tmp_path / "node")
    machine = kit.machine
    machine.device("pci:0000:00:14.0", "pci0000:00/0000:00:14.0", bound="xhci_hcd")
    machine.device("usb:1-4", PLACE, bound="usb", authorized="1")
    modalias = "usb:v2357p011Ed0200dc00dsc00dp00icFFiscFFipFFin00"
    behaviour = Behaviour(driver="rtw_8821au", firmware=FIRMWARE)
    path = f"{PLACE}/1-4:1.0"
    machine.device(INTERFACE, path, behaviour, authorized="1", modalias=modalias)
    (kit.root / "dmesg").write_text(LOG)
    return kit


def words(kit: Kit, *more: str | Path) -> tuple[str | Path, ...]:
    return ("firmware", "reprobe", "--root", kit.root, "--dry-run", *more)


def test_a_log_tells_which_device_missed_its_firmware(kit: Kit) -> None:
    log = kit.root / "dmesg"
    done = sysgraft(*words(kit, "--all-failed", "--kmsg", log))
    assert done.code == 0
    lines = done.out.splitlines()
    assert lines[0] == f"{INTERFACE}: would be re-probed (it missed {FIRMWARE})"
    assert [line.split() for line in lines[1:]] == [
        ["probe", "planned"],
        ["interface", "planned"],
        ["usb-device", "planned"],
    ]
    document = sysgraft(*words(kit, "--all-failed", "--kmsg", log, "--json")).document
    assert errors_of("firmware.reprobe", document) == []
    assert document["devices"][0]["evidence"] == "message"
    assert kit.machine.writes == []


def test_a_log_that_names_the_usb_device_by_its_number(kit: Kit) -> None:
    """As the kernel does where the driver asks for the whole device: bcm203x, isight_firmware."""
    kit.machine.link("sys/dev/char/189:3", f"sys/devices/{PLACE}")
    message = f"usb 1-4: Direct firmware load for {FIRMWARE} failed with error -2"
    about = " SUBSYSTEM=usb\n DEVICE=c189:3\n"
    (kit.root / "kmsg").write_text(f"4,700,49065898,-;{message}\n{about}")
    done = sysgraft(*words(kit, "--all-failed", "--kmsg", kit.root / "kmsg"))
    assert done.out.startswith(f"{INTERFACE}: would be re-probed (it missed {FIRMWARE})")


def test_an_inventory_tells_it_too(kit: Kit, tmp_path: Path) -> None:
    inventory = tmp_path / "machine.json"
    scan = ("firmware", "scan", "--root", kit.root, "--kmsg", kit.root / "dmesg")
    assert sysgraft(*scan, "--output", inventory).code == 0
    done = sysgraft(*words(kit, "--all-failed", "--machine", inventory))
    assert done.out.startswith(f"{INTERFACE}: would be re-probed")


def test_a_machine_without_failures(kit: Kit) -> None:
    done = sysgraft(*words(kit, "--all-failed"))
    assert (done.code, done.out) == (0, "no device missed its firmware\n")


def test_firmware_that_is_not_there(kit: Kit) -> None:
    done = sysgraft(*words(kit, "--device", INTERFACE, "--file", FIRMWARE))
    assert done.code == 0
    assert done.out == f"there is no firmware {FIRMWARE}: nothing is done\n"


def test_what_is_left_alone_has_its_reason(kit: Kit) -> None:
    kit.machine.disk("sda", f"{PLACE}/host6/target6:0:0/6:0:0:0/block/sda", "8:0")
    kit.mounted("8:0 / ext4 /dev/sda rw")
    device = ("--device", "pci:0000:00:14.0", "--rebind")
    done = sysgraft(*words(kit, *device))
    assert done.code == 1
    assert "pci:0000:00:14.0: left alone" in done.out
    assert "/ is on sda (root-disk)" in done.out
    allowed = sysgraft(*words(kit, *device, "--allow", "root-disk=pci:0000:00:14.0"))
    assert allowed.code == 0


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ((), "which devices"),
        (("--device", "usb"), "not a device"),
        (("--all-failed", "--deadline", "0"), "a deadline"),
        (("--device", INTERFACE, "--allow", "disk=usb:1"), "nothing that can be allowed"),
        (("--all-failed", "--machine", "x", "--kmsg", "y"), "--machine is an inventory"),
        (("--all-failed", "--machine", "/nowhere"), "/nowhere"),
        (("--all-failed", "--kmsg", "/nowhere"), "/nowhere"),
    ],
)
def test_what_makes_no_sense(kit: Kit, more: tuple[str, ...], message: str) -> None:
    done = sysgraft(*words(kit, *more))
    assert done.code == 2
    assert message in done.err
    assert done.err.startswith("error: ")


def test_a_recorded_machine_is_not_changed(kit: Kit) -> None:
    done = sysgraft("firmware", "reprobe", "--root", kit.root, "--device", INTERFACE)
    assert (done.code, "--root is for a recorded machine" in done.err) == (2, True)


def test_what_was_done_is_a_document_too(kit: Kit) -> None:
    kit.machine.text(f"usr/lib/firmware/{FIRMWARE}", "firmware")
    alias = "alias usb:v2357p011Ed*dc*dsc*dp*icFFiscFFipFFin* rtw_8821au\n"
    kit.machine.text(f"usr/lib/modules/{RELEASE}/modules.alias", alias)
    reports = (
        kit.reprobe(all_failed=True, after_merge=True),
        kit.reprobe(INTERFACE, "usb:9-9"),
    )
    for report in reports:
        document = {"schema": "sysgraft.firmware.reprobe/1", **report_json(report)}
        assert errors_of("firmware.reprobe", document) == []
