"""PCR 7 and 9 of an assembled boot, for which more is needed than the files of the boot.

PCR 7 follows from the firmware's keys; PCR 9 from the whole initrd, as far as the stub makes it of
nothing else (up to v260). Where they cannot be known, the error says why.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sysgraft.errors import UsageError
from sysgraft.measure import pcr9
from sysgraft.seal import secure_boot

if TYPE_CHECKING:
    from sysgraft.measure.events import Event
    from sysgraft.seal.assembly import Assembly
    from sysgraft.seal.file_set import FileSet


def secure_boot_events(assembly: Assembly, own: FileSet) -> tuple[Event, ...]:
    """What is measured into PCR 7, once everything is hashed.

    Raises:
        UsageError: the firmware's keys were not given.
        UnsupportedError: it cannot be known.
    """
    keys = assembly.keys
    if keys is None or assembly.uki is None:
        raise UsageError("PCR 7 follows from the firmware's keys: give --efivars and the image")
    verdicts = [
        secure_boot.judge(keys, executable, program.digests)
        for executable, program in zip(assembly.executables, assembly.programs, strict=True)
    ]
    assembly.notes += [each.note for each in (*verdicts, *own.verdicts) if each.note]
    addons = (*assembly.common.verdicts, *own.verdicts)
    return secure_boot.predict(keys, verdicts, addons, assembly.banks)


def kernel_events(assembly: Assembly, own: FileSet) -> tuple[Event, ...]:
    """What Linux measures into PCR 9, once everything is hashed.

    Raises:
        UnsupportedError: it cannot be known.
    """
    embedded = assembly.uki.text(".cmdline") if assembly.uki else None
    text = pcr9.final_cmdline(assembly.boot(own), embedded)
    return pcr9.predict(text, own.initrd, assembly.banks)
