"""What a run of the lab is made of."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Final, Literal, NamedTuple

from sysgraft.errors import UsageError

Accelerator = Literal["tcg", "kvm"]

DEFAULT_TIMEOUT: Final = 600.0
"""Seconds: a systemd guest under software emulation takes about 40, on a busy machine thrice."""
DEFAULT_MEMORY: Final = 2048
"""MiB: enough for a UKI of 300 MB, which is in memory several times while it starts."""
MIN_MEMORY: Final = 256
MAX_MEMORY: Final = 1 << 20
MAX_CPUS: Final = 255
"""What QEMU's q35 machine has without an IOMMU."""


class Disk(NamedTuple):
    """A raw disk image beside the one that is booted; ``/dev/disk/by-id/virtio-diskN``.

    Attributes:
        path: the image.
        writable: whether what the guest writes stays; otherwise it is thrown away.
    """

    path: str
    writable: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class LabOptions:
    """One run.

    Attributes:
        uki: the UKI (or other EFI program) to boot, as it is; empty if `esp` has it.
        extras: files for its ``.extra.d`` folder.
        esp: a folder that becomes the EFI system partition, or a disk image that has one.
        cdrom: an ISO image to boot as a disc, which nobody can write to.
        disks: further disks.
        script: a shell script that runs in the guest once it is up; empty for none.
        probe: whether the guest is asked about itself and ended (see `sysgraft.lab.probe`).
        secure_boot: a folder with the keys to enrol, or a variable store that has them; empty for
            firmware without Secure Boot.
        tpm: a folder that keeps the TPM's state for the next run; empty for a new TPM.
        timeout: seconds after which the machine is switched off.
        reboots: how many times the guest may start anew; one more ends the run.
        memory: MiB.
        cpus: how many.
        accelerator: ``tcg`` emulates the processor; ``kvm`` is faster and does not work inside
            most virtual machines.
        qemu_arguments: further arguments for QEMU.
        output: a folder for the serial log, the event log and the results; empty keeps no files.
        replace: whether files of an earlier run in it may be replaced.
    """

    uki: str = ""
    extras: tuple[str, ...] = ()
    esp: str = ""
    cdrom: str = ""
    disks: tuple[Disk, ...] = ()
    script: str = ""
    probe: bool = True
    secure_boot: str = ""
    tpm: str = ""
    timeout: float = DEFAULT_TIMEOUT
    reboots: int = 0
    memory: int = DEFAULT_MEMORY
    cpus: int = 2
    accelerator: Accelerator = "tcg"
    qemu_arguments: tuple[str, ...] = ()
    output: str = ""
    replace: bool = False


def check(options: LabOptions) -> None:
    """Refuse what contradicts itself.

    Raises:
        UsageError: two options exclude each other, or one is out of range.
    """
    if sum(map(bool, (options.uki, options.esp, options.cdrom))) != 1:
        raise UsageError("what is to be booted: either --uki or --esp or --cdrom")
    if options.extras and not options.uki:
        raise UsageError("--extra belongs to --uki", hint="put the files into the --esp folder")
    if options.script and not options.probe:
        raise UsageError("--script and --no-probe exclude each other: the probe runs the script")
    if not options.timeout > 0:
        raise UsageError(f"a timeout of {options.timeout:g} seconds")
    if options.reboots < 0:
        raise UsageError(f"{options.reboots} reboots")
    if not MIN_MEMORY <= options.memory <= MAX_MEMORY:
        raise UsageError(f"{options.memory} MiB of memory; {MIN_MEMORY} to {MAX_MEMORY} will do")
    if not 1 <= options.cpus <= MAX_CPUS:
        raise UsageError(f"{options.cpus} processors; 1 to {MAX_CPUS} are possible")
    _check_names(options.extras)


def _check_names(extras: tuple[str, ...]) -> None:
    """Names on FAT are not told apart by case."""
    seen: dict[str, str] = {}
    for path in extras:
        name = os.path.basename(path).casefold()
        if name in seen:
            raise UsageError(f"{seen[name]} and {path} would have the same name on the ESP")
        seen[name] = path
