"""The files one run is made of, in a folder of its own: disk, variable store, strings, logs."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from sysgraft.build.enrolment import enroll_store
from sysgraft.errors import FormatError, InputError, in_file
from sysgraft.formats import pe
from sysgraft.host.files import OpenFile
from sysgraft.host.run import locate
from sysgraft.lab import probe
from sysgraft.lab.esp import File, files_of, make_esp
from sysgraft.lab.machine import Firmware, find_firmware, machine_for
from sysgraft.lab.tpm import PROGRAM

if TYPE_CHECKING:
    from sysgraft.lab.machine import Machine
    from sysgraft.lab.options import LabOptions

_DEFAULT_ARCHITECTURE: Final = "x86-64"
_BOOT_FOLDER: Final = "EFI/BOOT"
_SIDECARS: Final = ".extra.d"
"""What systemd-stub adds to its own file name, to find its sidecars (systemd-stub(7))."""


@dataclass(frozen=True, slots=True)
class Prepared:
    """Files of a run.

    Attributes:
        machine: the kind of machine they are for.
        firmware: its code as it is installed, and a variable store for this run.
        boot_disk: the disk with the EFI system partition, or the disc.
        oem_strings: the files that bring the probe into the guest.
        serial: what the serial port says.
        results: what the probe says.
        tpm_state: folder of the TPM.
        messages: folder for what the programs say.
    """

    machine: Machine
    firmware: Firmware
    boot_disk: str
    oem_strings: tuple[str, ...]
    serial: str
    results: str
    tpm_state: str
    messages: str


def prepare(options: LabOptions, work: str) -> Prepared:
    """Make the files of a run in the empty folder `work`.

    Raises:
        InputError: something that is to be booted or enrolled cannot be used.
        ToolError: a program or the firmware is missing.
    """
    machine = machine_for(_architecture(options.uki))
    for program in (machine.program, PROGRAM):
        locate(program)
    for disk in options.disks:
        _check_image(disk.path, writable=disk.writable)
    firmware = find_firmware(machine, secure=bool(options.secure_boot))
    serial, results = os.path.join(work, "serial"), os.path.join(work, "results")
    for path in (serial, results):
        with open(path, "xb"):
            pass
    return Prepared(
        machine=machine,
        firmware=Firmware(firmware.code, _variables(options, firmware, work)),
        boot_disk=_boot_disk(options, machine, os.path.join(work, "esp")),
        oem_strings=_oem_strings(options, work),
        serial=serial,
        results=results,
        tpm_state=options.tpm or os.path.join(work, "tpm"),
        messages=work,
    )


def _architecture(uki: str) -> str:
    """What a UKI is for; what is no program at all is for the firmware to judge."""
    if not uki:
        return _DEFAULT_ARCHITECTURE
    with in_file(uki), OpenFile(uki) as blob:
        try:
            return pe.parse(blob).architecture or _DEFAULT_ARCHITECTURE
        except FormatError:
            return _DEFAULT_ARCHITECTURE


def _variables(options: LabOptions, firmware: Firmware, work: str) -> str:
    """A variable store that only this run writes to."""
    path = os.path.join(work, "variables")
    source = options.secure_boot or firmware.variables
    if os.path.isdir(source):
        enroll_store(source, path, template=firmware.variables)
        return path
    try:
        shutil.copyfile(source, path)
    except OSError as error:
        raise InputError(
            error.strerror or str(error),
            file=source,
            hint="--secure-boot takes a folder of keys, or a variable store",
        ) from error
    return path


def _boot_disk(options: LabOptions, machine: Machine, path: str) -> str:
    if options.cdrom:
        _check_image(options.cdrom, writable=False)
        return options.cdrom
    if options.uki:
        make_esp(path, _uki_files(options, machine))
    elif os.path.isdir(options.esp):
        make_esp(path, files_of(options.esp))
    else:
        _check_image(options.esp, writable=False)
        return options.esp
    return path


def _check_image(path: str, *, writable: bool) -> None:
    """Open it now, for a message that is clearer than QEMU's."""
    with in_file(path), OpenFile(path) as blob:
        blob.read_at(0, min(1, blob.size))
    if writable and not os.access(path, os.W_OK):
        raise InputError("the disk cannot be written to", file=path)


def _uki_files(options: LabOptions, machine: Machine) -> list[File]:
    boot = f"{_BOOT_FOLDER}/{machine.boot_file}"
    sidecars = [
        File(f"{boot}{_SIDECARS}/{os.path.basename(path)}", path) for path in options.extras
    ]
    return [File(boot, options.uki), *sidecars]


def _oem_strings(options: LabOptions, work: str) -> tuple[str, ...]:
    paths = []
    strings = probe.oem_strings(options.script) if options.probe else []
    for number, text in enumerate(strings):
        path = os.path.join(work, f"oem-{number}")
        with open(path, "xb") as file:
            file.write(text)
        paths.append(path)
    return tuple(paths)
