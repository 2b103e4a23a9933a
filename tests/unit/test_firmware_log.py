"""A log, folded: which files came, which did not, in the end."""

from __future__ import annotations

import pytest

from machine_kit import AFTER, BEFORE
from sysgraft.firmware.device_names import DeviceNames
from sysgraft.firmware.inventory import Device, Failure, Loaded
from sysgraft.firmware.log import LogFacts, name_of_path, read_log
from sysgraft.firmware.privacy import redact
from sysgraft.formats import kernel_log
from sysgraft.formats.kmsg import Record
from sysgraft.testing.sysfs import FakeSysfs

DONGLE = "usb:1-4:1.0"
SHA = "0123456789abcdef" * 4


def facts(text: str) -> LogFacts:
    return read_log(kernel_log.parse(text.encode()), DeviceNames())


def test_the_published_dongle() -> None:
    first, second, third = facts(BEFORE).failures
    assert first == Failure(
        "rtw88/rtw8821a_fw.bin",
        "rtw_8821au 1-4:1.0: Direct firmware load for rtw88/rtw8821a_fw.bin failed with error -2",
        DONGLE,
        "rtw_8821au",
        2,
    )
    assert (second.name, second.device) == ("", DONGLE)
    assert (third.name, third.error) == ("", 22)


def test_it_came_up_later() -> None:
    (failure,) = facts(BEFORE + AFTER).failures
    assert (failure.name, failure.cured) == ("rtw88/rtw8821a_fw.bin", True)


def test_it_failed_once_more() -> None:
    again = facts(BEFORE + AFTER + BEFORE.replace("[", "<4>["))
    assert [each.cured for each in again.failures] == [False, False, False]


def test_the_last_start_counts() -> None:
    start = "[    0.000000] Linux version 6.12.{}-amd64 (x) #1\n"
    log = facts(start.format(1) + BEFORE + start.format(2))
    assert (log.kernel, log.failures) == ("6.12.2-amd64", ())
    # What is pasted behind a log is no start.
    log = facts(start.format(1) + BEFORE + "Linux version 6.12.3-amd64 (x) #1\n")
    assert (log.kernel, len(log.failures)) == ("6.12.1-amd64", 3)


def test_a_file_that_came_at_the_second_try() -> None:
    log = facts(
        "a 0000:00:01.0: Direct firmware load for x.bin failed with error -2\n"
        "a 0000:00:01.0: Loading firmware from /lib/firmware/updates/x.bin.zst\n"
        f"a 0000:00:01.0: Loaded FW: x.bin, sha256: {SHA}\n"
    )
    assert log.failures == ()
    assert log.loaded == (
        Loaded("x.bin", "/lib/firmware/updates/x.bin.zst", SHA, "pci:0000:00:01.0"),
    )


def test_a_file_that_could_not_be_used_after_all() -> None:
    log = facts(
        "a 0000:00:01.0: Loading firmware from /lib/firmware/x.bin.zst\n"
        "a 0000:00:01.0: Direct firmware load for x.bin failed with error -22\n"
    )
    assert log.loaded == ()
    assert [(each.name, each.error) for each in log.failures] == [("x.bin", 22)]


def test_a_drivers_own_words_are_kept_rather_than_the_loaders() -> None:
    log = facts(
        "r8169 0000:03:00.0: Direct firmware load for rtl_nic/a.fw failed with error -2\n"
        "r8169 0000:03:00.0 eth0: Unable to load firmware rtl_nic/a.fw (-2)\n"
    )
    (failure,) = log.failures
    assert "Unable to load" in failure.message


def test_a_device_that_fails_for_other_reasons_lacks_no_firmware() -> None:
    assert facts("a 1-1:1.0: probe with driver a failed with error -110\n").failures == ()
    assert facts("mt7921e 0000:01:00.0: hardware init failed\n").failures == ()
    assert len(facts("iwlwifi 0000:00:14.3: no suitable firmware found!\n").failures) == 1


def test_what_initrds_were_made_without_is_no_failure() -> None:
    log = facts("W: Possible missing firmware /lib/firmware/i915/a.bin for module i915\n")
    assert (log.failures, log.declared) == ((), ("i915/a.bin",))


def test_what_the_kernel_says_of_itself() -> None:
    log = facts(
        "[    0.000000] Linux version 6.12.48-amd64 (debian) #1\n"
        "[    0.000000] Command line: quiet firmware_class.path=/var/lib/firmware\n"
    )
    assert (log.kernel, log.firmware_path) == ("6.12.48-amd64", "/var/lib/firmware")


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("/lib/firmware/rtw88/a.bin.zst", "rtw88/a.bin"),
        ("/usr/lib/firmware/a.bin.xz", "a.bin"),
        ("/lib/firmware/updates/6.12.48-amd64/a/b.bin", "a/b.bin"),
        ("/lib/firmware/6.12.48+deb13/a.bin", "a.bin"),
        ("/lib/firmware/updates/a.bin", "a.bin"),
        ("/var/lib/firmware/a.bin", "a.bin"),
        ("/srv/a.bin", "srv/a.bin"),
    ],
)
def test_names_of_paths(path: str, name: str) -> None:
    assert name_of_path(path, "/var/lib/firmware") == name


@pytest.mark.parametrize(
    ("text", "redacted"),
    [
        ("e100 0000:00:03.0 eth0: addr 52:54:00:12:34:56", ("e100 0000:00:03.0 eth0: addr "
         "xx:xx:xx:xx:xx:xx")),
        ("rtw 1-4:1.0 wlxec750c0937b1: renamed", "rtw 1-4:1.0 wlxxxxxxxxxxxxx: renamed"),
        ("usb 1-4: SerialNumber: 00e04c000001", "usb 1-4: SerialNumber: (removed)"),
        ("disk 12345678-90ab-cdef-1234-567890abcdef", "disk (uuid)"),
        ("naa.5000c500a1b2c3d4 found", "naa.x found"),
        ("intel/ice/ddp/ice-001122ffff334455.pkg", "intel/ice/ddp/ice-xxxxxxxxxxxxxxxx.pkg"),
        ("pci 0000:02:00.0 rtw88/rtw8821a_fw.bin -2", "pci 0000:02:00.0 rtw88/rtw8821a_fw.bin -2"),
        (f"sha256: {SHA}", f"sha256: {SHA}"),
    ],
)  # fmt: skip
def test_what_tells_machines_apart_is_taken_out(text: str, redacted: str) -> None:
    assert redact(text) == redacted


# --- Which device a message means ----------------------------------------------------------------

PLACE = "sys/devices/pci0/0000:00:14.0/usb1/1-4"
FILES = FakeSysfs(
    {
        f"{PLACE}/modalias": "",
        f"{PLACE}/1-4:1.0/net/wlan0/ifindex": "3\n",
        f"{PLACE}/1-4:1.0/bluetooth/hci0/uevent": "",
        "sys/class/net/lo/ifindex": "1\n",
    },
    {
        "sys/dev/char/189:3": f"../../../{PLACE}",
        "sys/class/net/wlan0": f"../../../{PLACE}/1-4:1.0/net/wlan0",
        "sys/class/bluetooth/hci0": f"../../../{PLACE}/1-4:1.0/bluetooth/hci0",
    },
)
DEVICES = (
    Device("usb", "1-4", "usb:v1"),
    Device("usb", "1-4:1.0", "usb:v1"),
    Device("platform", "20ec000.dma", "of:x"),
    Device("acpi", "same", "acpi:x"),
    Device("platform", "same", "acpi:x"),
)
NAMES = DeviceNames(DEVICES, FILES, {"usb:1-4": PLACE, DONGLE: f"{PLACE}/1-4:1.0"})


@pytest.mark.parametrize(
    ("about", "printed", "device"),
    [
        ("+usb:1-4:1.0", "", DONGLE),
        ("", DONGLE, DONGLE),
        ("c189:3", "", "usb:1-4"),
        ("n3", ":wlan0", DONGLE),
        ("n9", "", ""),
        ("", "bluetooth:hci0", DONGLE),
        ("", ":20ec000.dma", "platform:20ec000.dma"),
        ("", ":same", ""),
        ("", ":unknown", ""),
        ("+pci:0000:09:00.0", ":x", "pci:0000:09:00.0"),
        ("", "", ""),
    ],
)
def test_devices_are_found(about: str, printed: str, device: str) -> None:
    assert NAMES.find(about, printed) == device


def test_a_number_in_the_log() -> None:
    text = "a x: Direct firmware load for a.bin failed with error -2"
    log = read_log([Record(text, device="c189:3")], NAMES)
    assert log.failures[0].device == "usb:1-4"
