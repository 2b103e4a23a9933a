"""Reads a machine: this one, a copy of its files, or what programs printed of it.

The result is an inventory (`sysgraft.firmware.inventory`) that a fleet can collect. Without options
it is this machine. With listings or a log of another machine only those are read, unless a root is
named as well. Nothing is changed.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from sysgraft.errors import InputError, in_file
from sysgraft.firmware import devices, system
from sysgraft.firmware.device_names import DeviceNames
from sysgraft.firmware.inventory import Device, Machine
from sysgraft.firmware.log import LogFacts, read_log
from sysgraft.formats import kernel_log, lspci, lsusb, os_release, udev_db
from sysgraft.host.kernel_messages import KMSG, read_kernel_log
from sysgraft.host.small import read_small, read_small_or_stdin
from sysgraft.host.sysfs import SysfsFolder, machine_name

if TYPE_CHECKING:
    from collections.abc import Callable

    from sysgraft.firmware.devices import Placed
    from sysgraft.formats.kmsg import Record
    from sysgraft.host.sysfs import Sysfs

# What hw-probe keeps in the folder logs (hw-probe.pl, writeLog): lspci is -vmnnk, lspci_all -vvnn,
# lsusb -v, udev-db udevadm's export. Its own list, devices, has identifiers but no modaliases.
# Its file host has lines key:value. The log of an earlier start, dmesg.1, is left alone.
_SMALL: Final = 1 << 20


@dataclass(frozen=True, slots=True)
class ScanOptions:
    """What is read.

    Attributes:
        root: a folder with a copy of ``/sys`` and what else there is of a machine; ``/`` for this
            one.
        kmsg: a kernel's log, ``-`` for standard input.
        lspci: output of ``lspci -nnk``.
        lsusb: output of ``lsusb -v``.
        hw_probe: a folder that hw-probe has left.
    """

    root: str = ""
    kmsg: str = ""
    lspci: str = ""
    lsusb: str = ""
    hw_probe: str = ""

    @property
    def is_live(self) -> bool:
        """Whether this machine is meant."""
        return self.root == "/" or not (
            self.root or self.kmsg or self.lspci or self.lsusb or self.hw_probe
        )


@dataclass(frozen=True, slots=True)
class Scan:
    """What was read.

    Attributes:
        machine: the inventory.
        declared: files that an initrd was made without, as the log tells.
        notes: what could not be read, and why.
    """

    machine: Machine
    declared: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def scan_machine(options: ScanOptions | None = None) -> Scan:
    """Read a machine.

    Raises:
        InputError: a file or folder that was named cannot be read.
        FormatError: one has more than is read of such.
    """
    chosen = options or ScanOptions()
    scanning = _Scanning(chosen)
    if chosen.root or chosen.is_live:
        scanning.read_root(SysfsFolder(chosen.root or "/"))
    if chosen.hw_probe:
        scanning.read_probe(chosen.hw_probe)
    scanning.read_listings()
    scanning.read_log()
    return scanning.result()


@dataclass(slots=True)
class _Scanning:
    """Collects what each source tells; an earlier one counts more."""

    options: ScanOptions
    files: Sysfs | None = None
    placed: list[Placed] = field(default_factory=list)
    listed: list[list[Device]] = field(default_factory=list)
    records: list[Record] = field(default_factory=list)
    sources: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    facts: dict[str, str] = field(default_factory=dict)
    os: dict[str, str] = field(default_factory=dict)
    dmi: dict[str, str] = field(default_factory=dict)
    modules: tuple[str, ...] = ()

    def read_root(self, files: SysfsFolder) -> None:
        self.files = files
        self.sources.append("sysfs")
        self.placed += devices.of_sysfs(files)
        self.os = system.os_fields(files)
        self.dmi = system.dmi_fields(files)
        self.modules = system.modules(files)
        self.facts = {
            "kernel": system.kernel(files),
            "firmware_path": system.firmware_path(files),
            "architecture": system.architecture(files),
        }
        if self.options.is_live:
            self.facts["architecture"] = system.known_architecture(machine_name())
        if not self.placed:
            self.notes.append(f"{files.source} has no devices below sys/bus")

    def read_probe(self, folder: str) -> None:
        """What hw-probe has left: ``hw.info``, or the folder it is in."""
        logs = _probe_logs(folder)
        self.sources.append("hw-probe")
        readers: tuple[tuple[str, int, Callable[[bytes], object]], ...] = (
            ("udev-db", udev_db.MAX_SIZE, self._take_udev),
            ("lspci", lspci.MAX_SIZE, self._take_lspci),
            ("lspci_all", lspci.MAX_SIZE, self._take_lspci),
            ("lsusb", lsusb.MAX_SIZE, self._take_lsusb),
            ("lsmod", _SMALL, self._take_modules),
            ("os-release", os_release.MAX_SIZE, self._take_os),
            ("../host", _SMALL, self._take_host),
            ("dmesg", kernel_log.MAX_SIZE, self._take_log),
        )
        for name, limit, take in readers:
            path = os.path.join(logs, name)
            if os.path.isfile(path):
                with in_file(path):
                    take(read_small(path, limit, "log of hw-probe"))
                if name == "dmesg":
                    self.sources.append("kmsg")

    def read_listings(self) -> None:
        for path, limit, what, take in (
            (self.options.lspci, lspci.MAX_SIZE, "lspci", self._take_lspci),
            (self.options.lsusb, lsusb.MAX_SIZE, "lsusb", self._take_lsusb),
        ):
            if not path:
                continue
            self.sources.append(what)
            with in_file(path):
                if not take(read_small(path, limit, f"output of {what}")):
                    self.notes.append(f"{path}: no device with identifiers, {_HOW[what]}")

    def read_log(self) -> None:
        path = self.options.kmsg
        if path:
            self.sources.append("kmsg")
            with in_file(path):
                self._take_log(_log_of(path))
        elif self.options.is_live:
            try:
                self._take_log(read_kernel_log())
            except InputError as error:
                self.notes.append(f"{error}; {error.hint}")
            else:
                self.sources.append("kmsg")

    def _take_udev(self, data: bytes) -> None:
        self.placed += devices.of_udev(data)

    def _take_lspci(self, data: bytes) -> bool:
        self.listed.append(devices.of_lspci(data))
        return bool(self.listed[-1])

    def _take_lsusb(self, data: bytes) -> bool:
        # Where udev told of interfaces, by their places, these are the same ones again.
        found = devices.of_lsusb(data)
        if not any(each.device.bus == "usb" for each in self.placed):
            self.listed.append(found)
        return bool(found)

    def _take_modules(self, data: bytes) -> None:
        self.modules = system.module_names(data)

    def _take_os(self, data: bytes) -> None:
        self.os = system.chosen_fields(data)

    def _take_host(self, data: bytes) -> None:
        lines = data.decode("utf-8", "replace").splitlines()
        told = dict(line.partition(":")[::2] for line in lines)
        self.facts["kernel"] = told.get("kernel", "")
        self.facts["architecture"] = system.known_architecture(told.get("arch", ""))
        named = {"sys_vendor": told.get("vendor"), "product_name": told.get("model")}
        self.dmi = {key: value for key, value in named.items() if value}

    def _take_log(self, data: bytes) -> None:
        self.records += kernel_log.parse(data)

    def result(self) -> Scan:
        found = devices.joined([[each.device for each in self.placed], *self.listed])
        places = {f"{each.device.bus}:{each.device.name}": each.place for each in self.placed}
        path = self.facts.get("firmware_path", "")
        names = DeviceNames(found, self.files, places)
        facts = read_log(self.records, names, firmware_path=path) if self.records else LogFacts()
        machine = Machine(
            architecture=self.facts.get("architecture", ""),
            kernel=self.facts.get("kernel", "") or facts.kernel,
            os=self.os,
            dmi=self.dmi,
            devices=tuple(found),
            loaded=facts.loaded,
            failures=facts.failures,
            modules=self.modules,
            firmware_path=path or facts.firmware_path,
            sources=tuple(self.sources),
        )
        return Scan(machine, facts.declared, tuple(self.notes))


_HOW: Final = {"lspci": "use lspci -nnk", "lsusb": "use lsusb -v"}


def _log_of(path: str) -> bytes:
    if path == KMSG:
        return read_kernel_log()
    return read_small_or_stdin(path, kernel_log.MAX_SIZE, "log")


def _probe_logs(folder: str) -> str:
    """The folder with hw-probe's logs.

    Raises:
        InputError: there is none.
    """
    for inside in ("logs", "hw.info/logs"):
        path = os.path.join(folder, inside)
        if os.path.isdir(path):
            return path
    raise InputError(
        "not what hw-probe leaves: there is no folder logs",
        file=folder,
        hint="unpack hw.info.txz, and give the folder hw.info",
    )
