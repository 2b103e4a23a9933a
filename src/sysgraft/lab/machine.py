"""The virtual machines the lab knows, and the command line that makes QEMU be one.

One machine for each architecture; so far x86-64. Nothing is in it that is not asked for: no
network card (firmware would try to boot from it), no display, no default devices.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Final, NamedTuple

from sysgraft.errors import ToolError, UnsupportedError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from sysgraft.lab.options import Disk, LabOptions

RESULTS_PORT: Final = "sysgraft.results"
"""The virtio port over which the guest reports, ``/sys/class/virtio-ports/*/name``."""


# A guest that takes QEMU over finds no programs to start and no rights to gain (seccomp).
_SANDBOX: Final = "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny"


class Firmware(NamedTuple):
    """A firmware: its code, and an empty variable store for it."""

    code: str
    variables: str


@dataclass(frozen=True, slots=True)
class Machine:
    """A kind of virtual machine.

    Attributes:
        architecture: systemd's name.
        program: QEMU's.
        boot_file: what the firmware starts when no boot entry says otherwise (UEFI 2.10 §3.5.1.1).
        machine: QEMU's ``-machine``.
        secure: what is added to it for firmware with Secure Boot, where the variable store must be
            out of the guest's reach.
        secure_arguments: further arguments for that.
        tpm_device: QEMU's model of the TPM.
        plain: firmware without Secure Boot, where distributions keep it; the first one found is
            taken.
        enforcing: firmware with Secure Boot, likewise.
        package: the Debian package of the firmware.
    """

    architecture: str
    program: str
    boot_file: str
    machine: str
    secure: str
    secure_arguments: tuple[str, ...]
    tpm_device: str
    plain: tuple[Firmware, ...]
    enforcing: tuple[Firmware, ...]
    package: str


_DEBIAN: Final = "/usr/share/OVMF"
_FEDORA: Final = "/usr/share/edk2/ovmf"
_ARCH: Final = "/usr/share/edk2/x64"
_SUSE: Final = "/usr/share/qemu"

MACHINES: Final[Mapping[str, Machine]] = MappingProxyType(
    {
        "x86-64": Machine(
            architecture="x86-64",
            program="qemu-system-x86_64",
            boot_file="BOOTX64.EFI",
            machine="q35",
            secure=",smm=on",
            secure_arguments=("-global", "driver=cfi.pflash01,property=secure,value=on"),
            tpm_device="tpm-tis",
            plain=(
                Firmware(f"{_DEBIAN}/OVMF_CODE_4M.fd", f"{_DEBIAN}/OVMF_VARS_4M.fd"),
                Firmware(f"{_FEDORA}/OVMF_CODE.fd", f"{_FEDORA}/OVMF_VARS.fd"),
                Firmware(f"{_ARCH}/OVMF_CODE.4m.fd", f"{_ARCH}/OVMF_VARS.4m.fd"),
                Firmware(f"{_SUSE}/ovmf-x86_64-code.bin", f"{_SUSE}/ovmf-x86_64-vars.bin"),
            ),
            enforcing=(
                Firmware(f"{_DEBIAN}/OVMF_CODE_4M.secboot.fd", f"{_DEBIAN}/OVMF_VARS_4M.fd"),
                Firmware(f"{_FEDORA}/OVMF_CODE.secboot.fd", f"{_FEDORA}/OVMF_VARS.fd"),
                Firmware(f"{_ARCH}/OVMF_CODE.secboot.4m.fd", f"{_ARCH}/OVMF_VARS.4m.fd"),
                Firmware(f"{_SUSE}/ovmf-x86_64-smm-code.bin", f"{_SUSE}/ovmf-x86_64-smm-vars.bin"),
            ),
            package="ovmf",
        ),
    }
)
"""The machines by architecture."""


@dataclass(frozen=True, slots=True)
class Parts:
    """What one machine is put together from; descriptors are those QEMU inherits.

    Attributes:
        firmware: its code, and the variable store this machine may write to.
        is_secure: whether it is firmware with Secure Boot.
        boot_disk: the disk with the EFI system partition, or the disc.
        is_disc: whether it is a disc.
        disks: further disks.
        serial: the file the serial port writes to.
        results: the file the results port writes to.
        oem_strings: files, each of which is one string of SMBIOS type 11.
        memory: descriptor of the file that is the guest's memory.
        tpm: descriptor of the socket to the TPM.
        control: descriptor of the socket for QMP.
    """

    firmware: Firmware
    is_secure: bool
    boot_disk: str
    is_disc: bool
    disks: tuple[Disk, ...]
    serial: str
    results: str
    oem_strings: tuple[str, ...]
    memory: int
    tpm: int
    control: int


def machine_for(architecture: str) -> Machine:
    """The machine that runs programs of an architecture.

    Raises:
        UnsupportedError: the lab has none.
    """
    machine = MACHINES.get(architecture)
    if machine is None:
        known = ", ".join(MACHINES)
        raise UnsupportedError(f"the lab has no machine for {architecture}, only for {known}")
    return machine


def find_firmware(machine: Machine, *, secure: bool) -> Firmware:
    """This computer's firmware for a machine.

    Raises:
        ToolError: there is none where distributions keep it.
    """
    known = machine.enforcing if secure else machine.plain
    for each in known:
        if os.path.isfile(each.code) and os.path.isfile(each.variables):
            return each
    kind = "firmware with Secure Boot" if secure else "firmware"
    raise ToolError(
        f"no {kind} for {machine.architecture} is installed: {known[0].code} is missing",
        hint=f"on Debian it is in the package {machine.package}",
    )


def command_line(machine: Machine, parts: Parts, options: LabOptions) -> list[str]:
    """QEMU and its arguments."""
    return [
        machine.program,
        *("-nodefaults", "-no-user-config", "-display", "none"),
        *("-sandbox", _SANDBOX),
        *_base(machine, parts, options),
        *_firmware(parts.firmware),
        *_boot_medium(parts),
        *(word for each in _disks(parts.disks) for word in each),
        *("-chardev", f"file,id=serial,path={_escaped(parts.serial)}", "-serial", "chardev:serial"),
        *_results(parts.results),
        *_tpm(machine, parts.tpm),
        *("-chardev", f"socket,id=control,fd={parts.control}"),
        *("-mon", "chardev=control,mode=control"),
        *_oem_strings(parts.oem_strings),
        # When the guest ends the machine stands still: the TPM is not reset or shut down.
        *("-no-reboot", "-no-shutdown"),
        *options.qemu_arguments,
    ]


def _base(machine: Machine, parts: Parts, options: LabOptions) -> Iterator[str]:
    secure = machine.secure if parts.is_secure else ""
    yield from ("-machine", f"{machine.machine}{secure},memory-backend=memory")
    yield from machine.secure_arguments if parts.is_secure else ()
    emulated = options.accelerator == "tcg"
    yield from ("-accel", "tcg,thread=multi" if emulated else "kvm")
    yield from ("-cpu", "max" if emulated else "host")
    yield from ("-smp", str(options.cpus), "-m", f"{options.memory}M")
    where = f"mem-path=/proc/self/fd/{parts.memory},share=on"
    yield from ("-object", f"memory-backend-file,id=memory,size={options.memory}M,{where}")


def _firmware(firmware: Firmware) -> tuple[str, ...]:
    flash = "if=pflash,format=raw"
    return (
        *("-drive", f"{flash},unit=0,readonly=on,file={_escaped(firmware.code)}"),
        *("-drive", f"{flash},unit=1,file={_escaped(firmware.variables)}"),
    )


def _boot_medium(parts: Parts) -> tuple[str, ...]:
    if not parts.is_disc:
        return _disk("esp", parts.boot_disk, writable=False, more=",bootindex=0")
    file = _escaped(os.path.abspath(parts.boot_disk))
    return (
        *("-drive", f"if=none,id=disc,format=raw,media=cdrom,readonly=on,file={file}"),
        *("-device", "ide-cd,drive=disc,serial=disc,bootindex=0"),
    )


def _disks(disks: Sequence[Disk]) -> Iterator[tuple[str, ...]]:
    for number, disk in enumerate(disks):
        yield _disk(f"disk{number}", disk.path, writable=disk.writable)


def _disk(name: str, path: str, *, writable: bool, more: str = "") -> tuple[str, ...]:
    """A raw image; ``snapshot`` has QEMU write to a temporary file that has no name."""
    # An absolute path is not taken for a protocol's name, whatever is in it.
    file = _escaped(os.path.abspath(path))
    snapshot = "off" if writable else "on"
    return (
        *("-drive", f"if=none,id={name},format=raw,snapshot={snapshot},file={file}"),
        *("-device", f"virtio-blk-pci,drive={name},serial={name}{more}"),
    )


def _results(path: str) -> tuple[str, ...]:
    return (
        *("-device", "virtio-serial-pci"),
        *("-chardev", f"file,id=results,path={_escaped(path)}"),
        *("-device", f"virtserialport,chardev=results,name={RESULTS_PORT}"),
    )


def _tpm(machine: Machine, descriptor: int) -> tuple[str, ...]:
    return (
        *("-chardev", f"socket,id=tpm,fd={descriptor}"),
        *("-tpmdev", "emulator,id=tpm0,chardev=tpm"),
        *("-device", f"{machine.tpm_device},tpmdev=tpm0"),
    )


def _oem_strings(files: Sequence[str]) -> tuple[str, ...]:
    if not files:
        return ()
    return ("-smbios", "type=11," + ",".join(f"path={_escaped(file)}" for file in files))


def _escaped(path: str) -> str:
    """In the values of QEMU's options a comma is written twice."""
    return path.replace(",", ",,")
