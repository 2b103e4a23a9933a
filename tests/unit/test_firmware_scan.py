"""Reading a machine: its files, listings of it, its log."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from machine_kit import AFTER, BEFORE, LSPCI, LSUSB, MACHINE_FORM, UDEV
from sysgraft.errors import FormatError, InputError, LimitError
from sysgraft.firmware import devices, inventory, system
from sysgraft.firmware.devices import of_sysfs, of_udev
from sysgraft.firmware.inventory import Device, Machine, parse_machine, render_machine
from sysgraft.firmware.scan import ScanOptions, scan_machine
from sysgraft.testing.sysfs import FakeSysfs

if TYPE_CHECKING:
    from pathlib import Path

CARD = "sys/devices/pci0000:00/0000:00:02.0"
MACHINE: dict[str, bytes | str] = {
    f"{CARD}/modalias": "pci:v8086\n",
    f"{CARD}/subsystem_vendor": "0x1af4\n",
    f"{CARD}/subsystem_device": "0x1100\n",
    f"{CARD}/virtio0/uevent": "DRIVER=virtio_net\nMODALIAS=virtio:d1v1af4\n",
    f"{CARD}/virtio0/net/eth0/address": "52:54:00:12:34:56\n",
    "sys/devices/platform/soc/mmc/modalias": "of:Nmmc\n",
    "sys/devices/platform/soc/mmc/uevent": "",
    "sys/firmware/devicetree/base/soc/mmc/compatible": b"vendor,mmc\0generic-mmc\0",
    "sys/firmware/devicetree/base/soc/mmc/firmware-name": b"vendor/a.mbn\0",
    "sys/firmware/devicetree/base/compatible": b"vendor,board\0vendor,soc\0",
    "sys/devices/platform/none/uevent": "DRIVER=x\n",
    "sys/devices/system/cpu/cpu0/modalias": "cpu:type:x86\n",
    "sys/devices/system/cpu/cpu1/modalias": "cpu:type:x86\n",
    "sys/devices/vmbus/9b2f7a5c-1234-4321-8765-000000000001/modalias": "vmbus:f8615163\n",
    "sys/bus/pci/drivers/e100/uevent": "",
    "sys/module/e100/initstate": "live\n",
    "sys/module/printk/parameters/time": "Y\n",
    "sys/module/firmware_class/parameters/path": "/var/lib/firmware\n",
    "sys/devices/virtual/dmi/id/sys_vendor": "Vendor\n",
    "sys/devices/virtual/dmi/id/product_name": "Model\n",
    "sys/devices/virtual/dmi/id/product_serial": "S3CRET\n",
    "sys/devices/virtual/dmi/id/product_uuid": "5ec5ec5e-0000-4000-8000-000000000000\n",
    "proc/sys/kernel/osrelease": "6.12.48-amd64\n",
    "proc/sys/kernel/arch": "x86_64\n",
    "etc/os-release": 'ID=debian\nVERSION_ID="13"\nPRETTY_NAME="Debian"\n',
}
LINKS = {
    "sys/bus/pci/devices/0000:00:02.0": f"../../../../{CARD}",
    "sys/bus/virtio/devices/virtio0": f"../../../../{CARD}/virtio0",
    "sys/bus/platform/devices/mmc": "../../../devices/platform/soc/mmc",
    "sys/bus/platform/devices/none": "../../../devices/platform/none",
    "sys/bus/cpu/devices/cpu0": "../../../devices/system/cpu/cpu0",
    "sys/bus/cpu/devices/cpu1": "../../../devices/system/cpu/cpu1",
    "sys/bus/vmbus/devices/9b2f7a5c-1234-4321-8765-000000000001": (
        "../../../devices/vmbus/9b2f7a5c-1234-4321-8765-000000000001"
    ),
    f"{CARD}/driver": "../../../bus/pci/drivers/e100",
    "sys/bus/pci/drivers/e100/module": "../../../../module/e100",
    "sys/devices/platform/soc/mmc/of_node": "../../../../firmware/devicetree/base/soc/mmc",
    "sys/class/dmi/id": "../../devices/virtual/dmi/id",
}
FILES = FakeSysfs(MACHINE, LINKS)


def test_devices_of_sysfs() -> None:
    found = [each.device for each in of_sysfs(FILES)]
    assert found == [
        Device("cpu", "cpu0", "cpu:type:x86"),
        Device(
            "pci",
            "0000:00:02.0",
            "pci:v8086",
            driver="e100",
            module="e100",
            properties={"subsystem_vendor": "0x1af4", "subsystem_device": "0x1100"},
        ),
        Device(
            "platform",
            "mmc",
            "of:Nmmc",
            properties={"compatible": "vendor,mmc generic-mmc", "firmware-name": "vendor/a.mbn"},
        ),
        Device("virtio", "virtio0", "virtio:d1v1af4", parent="0000:00:02.0"),
        Device("vmbus", "device0", "vmbus:f8615163"),
    ]


def test_too_many_devices(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(devices, "MAX_DEVICES", 3)
    with pytest.raises(LimitError, match="more than 3 devices"):
        of_sysfs(FILES)
    with pytest.raises(LimitError):
        devices.joined([[Device("a", str(number), "m") for number in range(4)]])


def test_what_the_machine_is() -> None:
    assert system.os_fields(FILES) == {"ID": "debian", "VERSION_ID": "13"}
    assert system.dmi_fields(FILES) == {
        "sys_vendor": "Vendor",
        "product_name": "Model",
        "compatible": "vendor,board vendor,soc",
    }
    assert system.modules(FILES) == ("e100",)
    assert system.modules(FakeSysfs({"proc/modules": "b 1 0 - Live 0x0\na 1 0\n"})) == ("a", "b")
    assert (system.kernel(FILES), system.architecture(FILES)) == ("6.12.48-amd64", "x86-64")
    assert system.firmware_path(FILES) == "/var/lib/firmware"


def test_a_machine_that_tells_nothing() -> None:
    empty = FakeSysfs({"etc/os-release": b"\0", "proc/sys/kernel/arch": "quantum"})
    assert of_sysfs(empty) == []
    assert system.os_fields(empty) == {}
    assert system.dmi_fields(empty) == {}
    assert system.modules(empty) == ()
    assert system.architecture(empty) == ""


def copied(root: Path) -> Path:
    """The machine as files."""
    for path, data in MACHINE.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(data.encode() if isinstance(data, str) else data)
    for path, target in LINKS.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).symlink_to(target)
    return root


def test_a_copy_of_a_machine(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text(BEFORE)
    options = ScanOptions(root=str(copied(tmp_path / "root")), kmsg=str(log))
    scan = scan_machine(options)
    machine = scan.machine
    assert machine.devices == tuple(each.device for each in of_sysfs(FILES))
    assert (machine.kernel, machine.architecture) == ("6.12.48-amd64", "x86-64")
    assert machine.sources == ("sysfs", "kmsg")
    assert machine.failures[0].device == "usb:1-4:1.0"
    text = render_machine(machine).decode()
    assert parse_machine(text.encode()) == machine
    for secret in ("S3CRET", "5ec5ec5e", "52:54:00", "9b2f7a5c"):
        assert secret not in text


def test_a_log_alone(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text("[    0.0] Linux version 6.8.0-79-generic (x) #1\n" + BEFORE + AFTER)
    machine = scan_machine(ScanOptions(kmsg=str(log))).machine
    assert (machine.kernel, machine.devices, machine.sources) == ("6.8.0-79-generic", (), ("kmsg",))
    assert machine.failures[0].cured


def test_listings(tmp_path: Path) -> None:
    (tmp_path / "lspci").write_text(LSPCI)
    (tmp_path / "lsusb").write_text(LSUSB)
    options = ScanOptions(lspci=str(tmp_path / "lspci"), lsusb=str(tmp_path / "lsusb"))
    machine = scan_machine(options).machine
    assert [(each.bus, each.name, each.driver, each.module) for each in machine.devices] == [
        ("pci", "0000:00:0d.0", "xhci_hcd", ""),
        ("pci", "0000:00:14.3", "iwlwifi", "iwlwifi"),
        ("usb", "001/003:1.0", "", ""),
    ]
    assert "00e04c000001" not in render_machine(machine).decode()


def test_listings_without_identifiers(tmp_path: Path) -> None:
    (tmp_path / "lsusb").write_text("Bus 001 Device 003: ID 2357:011e TP-Link\n")
    scan = scan_machine(ScanOptions(lsusb=str(tmp_path / "lsusb")))
    assert scan.notes == (f"{tmp_path}/lsusb: no device with identifiers, use lsusb -v",)


@pytest.mark.parametrize("inside", ["", "hw.info"])
def test_what_hw_probe_leaves(tmp_path: Path, inside: str) -> None:
    logs = tmp_path / inside / "logs"
    logs.mkdir(parents=True)
    (logs / "lspci").write_text(MACHINE_FORM)
    (logs / "lspci_all").write_text(LSPCI)
    (logs / "lsusb").write_text(LSUSB)
    (logs / "dmesg").write_text(BEFORE)
    (logs / "dmesg.1").write_text(BEFORE.replace("rtw88/rtw8821a_fw.bin", "old.bin"))
    (logs / "lsmod").write_text("Module                  Size  Used by\niwlwifi 1 0\n")
    (logs / "os-release").write_text("ID=rosa\n")
    (logs.parent / "host").write_text("arch:x86_64\nkernel:6.1.0\nvendor:Dell\nmodel:XPS\nid:me\n")
    machine = scan_machine(ScanOptions(hw_probe=str(tmp_path))).machine
    assert [each.name for each in machine.devices] == [
        "0000:00:0d.0", "0000:00:14.3", "001/003:1.0",
    ]  # fmt: skip
    assert (machine.kernel, machine.architecture, machine.os) == ("6.1.0", "x86-64", {"ID": "rosa"})
    assert machine.dmi == {"sys_vendor": "Dell", "product_name": "XPS"}
    assert machine.modules == ("iwlwifi",)
    assert [each.name for each in machine.failures if each.name] == ["rtw88/rtw8821a_fw.bin"]


def test_udevs_list_of_hw_probe_comes_first(tmp_path: Path) -> None:
    (tmp_path / "logs").mkdir()
    (tmp_path / "logs/udev-db").write_text(UDEV)
    (tmp_path / "logs/lspci").write_text(MACHINE_FORM)
    (card,) = scan_machine(ScanOptions(hw_probe=str(tmp_path))).machine.devices
    assert card == Device("pci", "0000:00:14.3", "pci:v1", driver="iwlwifi")


def test_classes_and_names_of_one_machine_in_udevs_list() -> None:
    text = "\n\n".join(
        f"E: DEVPATH=/devices/{name}\nE: SUBSYSTEM={subsystem}\nE: MODALIAS=m"
        for subsystem, name in (
            ("dmi", "virtual/dmi/id"),
            ("input", "virtual/input/input1"),
            ("vmbus", "9b2f7a5c-1234-4321-8765-000000000001"),
        )
    )
    assert [each.device.name for each in of_udev(text.encode())] == ["device2"]


def test_parents_in_udevs_list() -> None:
    below = (
        "E: DEVPATH=/devices/pci0000:00/0000:00:14.3/virtio0\nE: SUBSYSTEM=virtio\nE: MODALIAS=v\n"
    )
    found = [each.device for each in of_udev((UDEV + "\n" + below).encode())]
    assert [(each.name, each.parent) for each in found] == [
        ("0000:00:14.3", ""),
        ("virtio0", "0000:00:14.3"),
    ]


def test_what_cannot_be_read(tmp_path: Path) -> None:
    for options in (
        ScanOptions(root=str(tmp_path / "none")),
        ScanOptions(kmsg=str(tmp_path / "none")),
        ScanOptions(hw_probe=str(tmp_path)),
    ):
        with pytest.raises(InputError):
            scan_machine(options)
    scan = scan_machine(ScanOptions(root=str(tmp_path)))
    assert scan.notes == (f"{tmp_path} has no devices below sys/bus",)


@pytest.mark.parametrize(
    "data", [b"", b"{}{}", b"[]", b'{"schema": "other/1"}', b'{"devices": [{}]}', b"\xff", b"[" * 9]
)
def test_what_is_no_inventory(data: bytes) -> None:
    with pytest.raises(FormatError):
        parse_machine(data)


def test_inventories_have_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    machine = render_machine(Machine(devices=tuple(Device("a", str(n), "m") for n in range(4))))
    monkeypatch.setattr(inventory, "MAX_DEVICES", 3)
    with pytest.raises(LimitError):
        parse_machine(machine)
    monkeypatch.setattr(inventory, "MAX_SIZE", 3)
    with pytest.raises(LimitError):
        parse_machine(machine)
