"""Logs and listings as the programs of this machine print them, against the machine itself."""

from __future__ import annotations

import os
import re
import subprocess
from typing import TYPE_CHECKING, Final

import pytest

from machine_kit import BEFORE
from sysgraft.firmware.device_names import DeviceNames
from sysgraft.firmware.devices import of_sysfs, of_udev
from sysgraft.firmware.log import read_log
from sysgraft.formats import kernel_log, lspci, modalias
from sysgraft.host.sysfs import SysfsFolder

if TYPE_CHECKING:
    from pathlib import Path

    from conftest import Debian13
    from sysgraft.firmware.devices import Placed

DONGLE: Final = "rtw88/rtw8821a_fw.bin"
RECORDS: Final = """\
4,811,49065898,-;rtw_8821au 1-4:1.0: Direct firmware load for rtw88/rtw8821a_fw.bin failed with error -2
 SUBSYSTEM=usb
 DEVICE=+usb:1-4:1.0
4,812,49065899,-,caller=T12;two\\x0alines and a \\x5c
30,813,49065900,-;systemd[1]: Started
6,814,49066000,-;last
"""  # noqa: E501


def output(*argv: str) -> bytes:
    environment = {**os.environ, "LC_ALL": "C.UTF-8", "TZ": "UTC"}
    return subprocess.run(argv, capture_output=True, check=True, env=environment).stdout


def missed(log: bytes) -> list[tuple[str, str, int]]:
    facts = read_log(kernel_log.parse(log), DeviceNames())
    return [(each.name, each.device, each.error) for each in facts.failures if each.name]


# --- dmesg of util-linux -------------------------------------------------------------------------


@pytest.mark.oracle("dmesg")
@pytest.mark.parametrize(
    "options",
    [
        "", "--decode", "--ctime", "--ctime --decode", "--human", "--human --decode", "--reltime",
        "--show-delta", "--notime", "--time-format=iso", "--time-format=iso --decode", "--json",
    ],
)  # fmt: skip
def test_every_form_of_dmesg(tmp_path: Path, options: str) -> None:
    raw = tmp_path / "raw"
    lines = BEFORE.splitlines()
    raw.write_text("".join(f"<4>{line}\n" for line in lines))
    printed = output("dmesg", "--file", str(raw), "--color=never", *options.split())
    # util-linux 2.38 takes the first entry of a raw file for all of the file in JSON.
    records = [record.text.split("\n")[0] for record in kernel_log.parse(printed)]
    assert records == [line.partition("] ")[2] for line in lines]
    assert missed(printed) == [(DONGLE, "usb:1-4:1.0", 2)]


@pytest.mark.oracle("debian-13")
def test_records_as_dmesg_reads_them(debian13: Debian13, tmp_path: Path) -> None:
    # Each record has a NUL behind it: dmesg(1).
    separated = re.sub(r"\n(?=\d)", "\n\0", RECORDS) + "\0"
    (tmp_path / "kmsg").write_text(separated)
    done = debian13.run(["dmesg", "--kmsg-file", "/mnt/kmsg", "--json"], binds={tmp_path: "/mnt"})
    theirs = kernel_log.parse(done.stdout.encode())
    ours = kernel_log.parse(RECORDS.encode())
    assert kernel_log.parse(separated.encode()) == ours
    assert [(each.text, each.time) for each in ours] == [(each.text, each.time) for each in theirs]


# --- This machine --------------------------------------------------------------------------------


@pytest.mark.oracle("lspci")
@pytest.mark.parametrize(
    "options", ["-nnvk", "-nnk", "-nnvvv", "-vmnnk", "-vmmnnk", "-D -nnvk", "-D -vmmnnk"]
)
def test_devices_of_lspci_are_those_of_the_kernel(options: str) -> None:
    listed = lspci.parse(output("lspci", *options.split()))
    ours = {each.name: (modalias.of_pci(each.ids), each.driver) for each in listed}
    assert ours == {
        each.device.name: (each.device.modalias, each.device.driver)
        for each in of_sysfs(SysfsFolder())
        if each.device.bus == "pci"
    }


@pytest.mark.oracle("udevadm")
def test_devices_of_udev_are_those_of_sysfs() -> None:
    ours = of_sysfs(SysfsFolder())
    buses = {each.device.bus for each in ours} - {"cpu"}  # of processors one is enough
    listed = of_udev(output("udevadm", "info", "--export-db"))
    assert facts(listed, buses) == facts(ours, buses)


def facts(found: list[Placed], buses: set[str]) -> set[tuple[str, ...]]:
    return {
        (each.bus, each.name, each.modalias, each.driver, each.parent, place)
        for each, place in found
        if each.bus in buses
    }
