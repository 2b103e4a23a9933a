"""Targets: kernel modules and units, what a machine says of its devices, images held together."""

from __future__ import annotations

import functools
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Final

from elf_kit import program
from lint_kit import (
    EVERYTHING,
    RELOADED,
    Maker,
    module,
    zstd,
)
from machine_kit import AFTER, BEFORE, LSPCI, LSUSB, MACHINE_FORM, UDEV
from repair import image
from seeds import ec_identity
from sysgraft.base.blob import BytesBlob
from sysgraft.errors import SysgraftError
from sysgraft.firmware import devices, privacy
from sysgraft.firmware.device_names import DeviceNames
from sysgraft.firmware.doctor import diagnose_firmware
from sysgraft.firmware.inventory import Machine, parse_machine, render_machine
from sysgraft.firmware.log import read_log
from sysgraft.firmware.scan import ScanOptions, scan_machine
from sysgraft.formats import (
    elf,
    elf_dynamic,
    firmware_file,
    kernel_log,
    lspci,
    lsusb,
    modinfo,
    module_signature,
    modules_dep,
    udev_db,
    unit_file,
)
from sysgraft.image.firmware_files import firmware_of_image
from sysgraft.image.lint.lint import LintOptions, lint_images
from target import File, Target, as_text

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


# --- Modules, units, firmware --------------------------------------------------------------------


@functools.cache
def modules() -> Sequence[bytes]:
    """Kernel modules in both widths and orders, signed and not."""
    return (
        module(signer=ec_identity()),
        module("other", depends=("one", "two")),
        module(bits=32, order=">"),
        module(bits=32),
    )


def read_module(data: bytes) -> None:
    """A module, and who signed it."""
    blob = BytesBlob(data)
    try:
        module_signature.parse(blob)
    finally:
        found = modinfo.parse(blob)
    assert isinstance(found.name + found.vermagic, str)
    modinfo.fits(found.vermagic, "6.1.0")


def programs() -> Sequence[bytes]:
    """Programs and libraries in both widths and orders."""
    loader, runpath = "/lib64/ld-linux-x86-64.so.2", "$ORIGIN/../lib:/opt"
    return (
        program(interpreter=loader, needed=("liba.so.1", "libb.so.1"), runpath=runpath),
        program(name="liba.so.1", rpath="/opt", bits=32),
        program(name="libb.so.1", needed=("liba.so.1",), order=">"),
    )


def read_program(data: bytes) -> None:
    """What a program asks of the loader."""
    blob = BytesBlob(data)
    found = elf_dynamic.read_dynamic(blob)
    elf.architecture(blob)
    assert all("\0" not in each for each in (found.interpreter, found.name, *found.needed))


def read_lists(data: bytes) -> None:
    """modules.dep, and names of modules and firmware."""
    for name in modules_dep.listed(data):
        modinfo.module_name(name)
        plain, _ = firmware_file.split(name)
        assert len(plain) <= len(name)
    for name in (b"x", b"x.zst", b"x.xz"):
        firmware_file.problem(name, data)


def read_unit(data: bytes) -> None:
    """A unit file."""
    found = unit_file.parse(data)
    for section, key in (("Service", "ExecStart"), ("Install", "WantedBy"), ("Unit", "Upholds")):
        found.values(section, key)
        found.words(section, key)


# --- Images held together ------------------------------------------------------------------------

OTHER: Final = File("other.sysext.raw")


@functools.cache
def images() -> Sequence[bytes]:
    """An image with something for every family of checks."""
    with tempfile.TemporaryDirectory() as folder:
        return (Maker(Path(folder)).image("other", EVERYTHING, release=RELOADED).read_bytes(),)


@functools.cache
def _good() -> str:
    with tempfile.TemporaryDirectory() as folder:
        made = Maker(Path(folder)).image("good", {"usr/lib/firmware/a.bin": b"b"})
        return File("good.sysext.raw").put(made.read_bytes())


def lint(data: bytes) -> bool:
    """``ext lint``, beside a good image."""
    options = LintOptions(os_release={"ID": "debian"}, architecture="x86-64")
    report = lint_images([_good(), OTHER.put(data)], options)
    assert report.merges
    firmware_of_image(OTHER.put(data))
    return True


# --- A machine -----------------------------------------------------------------------------------


LOG: Final = File("dmesg")


def read_kernel_log(data: bytes) -> None:
    """A kernel's log, and what it means for firmware."""
    facts = read_log(kernel_log.parse(data), DeviceNames())
    machine = Machine(loaded=facts.loaded, failures=facts.failures)
    assert parse_machine(render_machine(machine)) == machine
    scan_machine(ScanOptions(kmsg=LOG.put(data)))
    diagnosis = diagnose_firmware(machine)
    assert diagnosis.ok in (True, False)
    privacy.redact(as_text(data[:4000]))


def read_listings(data: bytes) -> None:
    """What lspci, lsusb and udevadm list: each reads whatever it is, and devices are made of it."""
    found, refused = [], 0
    for read in (devices.of_lspci, devices.of_lsusb):
        try:
            found.append(read(data))
        except SysgraftError:
            refused += 1
    parsers: tuple[Callable[[bytes], object], ...] = (
        lspci.parse,
        lsusb.parse,
        udev_db.parse,
        devices.of_udev,
    )
    for parse in parsers:
        try:
            parse(data)
        except SysgraftError:
            refused += 1
    assert isinstance(devices.joined(found), list)
    if refused == 6:
        raise SysgraftError("refused by all of them")


def logs() -> Sequence[bytes]:
    """Logs in each form they are kept in."""
    return (
        (
            b"4,812,49065898,-;rtw 1-4:1.0: Direct firmware load for rtw88/a.b failed with error -"
            b"2\n SUBSYSTEM=usb\n DEVICE=+usb:1-4:1.0\n6,813,49065899,c;a\\x0ab\n"
        ),
        (BEFORE + AFTER).encode(),
        b"__CURSOR=s=1\n_TRANSPORT=kernel\nMESSAGE\n\x03\0\0\0\0\0\0\0a\nb\nPRIORITY=4\n\n",
        b'{"MESSAGE": "a", "_TRANSPORT": "kernel", "_KERNEL_DEVICE": "+usb:1-4"}\n',
        b'{"dmesg": [{"pri": 4, "time": 49.065898, "msg": "a"}]}',
    )


TARGETS: Final = (
    Target(
        name="kernel-module",
        seeds=modules,
        read=read_module,
        tokens=(b"vermagic=", b"firmware=", b"\0", b"~Module signature appended~\n", b".modinfo\0"),
        weight=20,
    ),
    Target(name="elf-dynamic", seeds=programs, read=read_program, weight=10),
    Target(
        name="module-lists",
        seeds=lambda: (b"kernel/a.ko.xz: kernel/b.ko\nupdates/c.ko:\n", zstd(b"x" * 900)),
        read=read_lists,
        tokens=(b".ko", b".zst", b".xz", b": ", b"\n", b"../"),
        weight=8,
    ),
    Target(
        name="unit-file",
        seeds=lambda: (
            b"[Unit]\nUpholds=a.service b.service\n[Service]\nExecStart=/x \\\n y\n#c\n[Install]\n",
        ),
        read=read_unit,
        tokens=(b"[Service]\n", b"ExecStart=", b"\\\n", b"WantedBy=", b"=", b";"),
        weight=10,
    ),
    Target(name="ext-lint", seeds=images, read=lint, repair=image, weight=4),
    Target(
        name="kernel-log",
        seeds=logs,
        read=read_kernel_log,
        tokens=(
            b"Direct firmware load for ",
            b" failed with error -2",
            b" DEVICE=+pci:",
            b"\\x0a",
            b"\n ",
            b"[   12.345678] ",
            b"firmware: ",
            b"__CURSOR=",
            b'"MESSAGE"',
            b"Loading firmware: ",
        ),
        weight=20,
    ),
    Target(
        name="device-listings",
        seeds=lambda: tuple(each.encode() for each in (LSPCI, MACHINE_FORM, LSUSB, UDEV)),
        read=read_listings,
        tokens=(b"Slot:\t", b"idVendor ", b"P: /devices/", b"E: MODALIAS=", b"Driver:", b"\n\n"),
        weight=15,
    ),
)
