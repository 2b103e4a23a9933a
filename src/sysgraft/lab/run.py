"""Boots a machine and tells what came of it.

    report = run_lab(LabOptions(uki="linux.efi", extras=("firmware.sysext.raw",)))
    report.pcrs["sha256"][13].hex()

QEMU is the machine, swtpm its TPM; nothing needs root. What is booted is not changed, and PCRs and
event log are read from outside: out of swtpm when QEMU has been killed, and out of the memory the
guest leaves behind. All that was started is ended, whatever happens; what is written lies in a
temporary folder until the end.
"""

from __future__ import annotations

import os
import socket
import sys
import tempfile
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from sysgraft.base.progress import NoProgress
from sysgraft.errors import UsageError
from sysgraft.formats.eventlog_events import secure_boot
from sysgraft.host.background import background
from sysgraft.host.spool import spool_folder
from sysgraft.lab import answers, keeping, measured
from sysgraft.lab.afterwards import read_ima, read_records
from sysgraft.lab.assembly import Prepared, prepare
from sysgraft.lab.control import Control
from sysgraft.lab.machine import Parts, command_line
from sysgraft.lab.memory import guest_memory
from sysgraft.lab.options import check
from sysgraft.lab.report import LabReport
from sysgraft.lab.serial import MAX_SERIAL, SerialLog, readable
from sysgraft.lab.tpm import running_tpm
from sysgraft.lab.watch import End, Watch, Written

if TYPE_CHECKING:
    from sysgraft.base.progress import Progress
    from sysgraft.lab.afterwards import Record
    from sysgraft.lab.memory import GuestMemory
    from sysgraft.lab.options import LabOptions
    from sysgraft.lab.report import EventLog, Guest
    from sysgraft.lab.tpm import Tpm


# QEMU warns of what a guest does wrong.
_MAX_MESSAGES: Final = 16 << 20


def run_lab(options: LabOptions, *, progress: Progress | None = None) -> LabReport:
    """Boot once.

    Raises:
        UsageError: options that contradict each other.
        InputError: a file that cannot be used.
        ToolError: a program is missing or failed; a guest that fails is a report.
        OutputError: the output folder cannot be written.
    """
    check(options)
    if not sys.platform.startswith("linux"):
        raise UsageError("the lab needs Linux")
    if options.output:
        keeping.check_place(options.output, replace=options.replace)
    with tempfile.TemporaryDirectory(prefix="sysgraft-lab-", dir=spool_folder()) as work:
        report = _Session(options, prepare(options, work), progress or NoProgress()).run()
        if options.output:
            keeping.keep(report, options.output, replace=options.replace)
    return report


@dataclass(frozen=True, slots=True)
class _Session:
    """One run that is ready to start."""

    options: LabOptions
    prepared: Prepared
    progress: Progress

    def run(self) -> LabReport:
        prepared = self.prepared
        with (
            guest_memory(self.options.memory) as memory,
            running_tpm(prepared.tpm_state, self._messages("swtpm")) as tpm,
            open(prepared.serial, "rb") as file,
        ):
            serial = SerialLog(file)
            end, emulator = self._boot(memory, tpm, serial)
            pcrs = tpm.read_pcrs()
            guest = self._guest()
            records = _records(guest) if guest else ()
            log, searched = measured.search(memory, pcrs, records)
            end = believed(end, log)
        return LabReport(
            ending=end.ending,
            reason=end.reason,
            seconds=end.seconds,
            serial=readable(serial.data),
            pcrs=pcrs,
            event_log=log,
            memory_searched=searched,
            secure_boot=secure_boot(log.log.events) if log else None,
            guest=guest,
            script_wanted=bool(self.options.script),
            emulator=emulator,
            firmware=prepared.firmware.code,
            output=self.options.output,
        )

    def _boot(self, memory: GuestMemory, tpm: Tpm, serial: SerialLog) -> tuple[End, str]:
        """Run the machine to its end; also QEMU's version."""
        ours, theirs = socket.socketpair()
        with ours, theirs:
            keep = [memory.descriptor, tpm.machine_end, theirs.fileno()]
            argv = command_line(self.prepared.machine, self._parts(*keep), self.options)
            # What the guest writes to a disk that is not to change goes there.
            temporary = {"TMPDIR": self.prepared.messages}
            with background(
                argv, messages=self._messages("qemu"), keep=keep, env=temporary
            ) as process:
                theirs.close()  # so that its end is seen
                control = Control(ours)
                watch = Watch(
                    process=process,
                    control=control,
                    serial=serial,
                    timeout=self.options.timeout,
                    reboots=self.options.reboots,
                    progress=self.progress,
                    written=self._written(),
                )
                end = watch.wait()
        serial.read()
        return end, control.version

    def _written(self) -> tuple[Written, ...]:
        """What grows as the guest wishes."""
        return (
            Written(self.prepared.serial, MAX_SERIAL, "to its serial port"),
            Written(self.prepared.results, answers.MAX_ANSWERS, "to the results port"),
            Written(self._messages("qemu"), _MAX_MESSAGES, "of QEMU's messages"),
        )

    def _parts(self, memory: int, tpm: int, control: int) -> Parts:
        prepared = self.prepared
        return Parts(
            firmware=prepared.firmware,
            is_secure=bool(self.options.secure_boot),
            boot_disk=prepared.boot_disk,
            is_disc=bool(self.options.cdrom),
            disks=self.options.disks,
            serial=prepared.serial,
            results=prepared.results,
            oem_strings=prepared.oem_strings,
            memory=memory,
            tpm=tpm,
            control=control,
        )

    def _guest(self) -> Guest | None:
        with open(self.prepared.results, "rb") as file:
            return answers.parse(file.read(answers.MAX_ANSWERS))

    def _messages(self, program: str) -> str:
        return os.path.join(self.prepared.messages, f"{program}.log")


def believed(end: End, log: EventLog | None) -> End:
    """The end as it is told: that the firmware refused the TPM has to confirm."""
    if end.ending != "refused" or (log and not measured.left_firmware(log.log)):
        return end
    reason = f"only the serial port says that the firmware refused it: {end.reason}"
    return End("stopped", reason, end.seconds)


def _records(guest: Guest) -> tuple[Record, ...]:
    """What kernel and systemd say they extended."""
    return (
        *read_ima(guest.items.get(answers.IMA_LOG, b"")),
        *read_records(guest.items.get(answers.USERSPACE_LOG, b"")),
    )
