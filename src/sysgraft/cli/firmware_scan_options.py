"""The options of ``sysgraft firmware scan`` and ``sysgraft firmware doctor``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sysgraft.cli.option_kit import JSON, several, switch, value

if TYPE_CHECKING:
    from sysgraft.cli.verbs import Options

_MACHINE: Final[Options] = [
    (
        ("--root",),
        value("DIR", "a copy of a machine's files (sys, proc, etc); / is this machine"),
    ),
    (
        ("--kmsg",),
        value(
            "FILE",
            "a kernel's log: of dmesg, journalctl, syslog or /dev/kmsg, or pasted; - is stdin",
        ),
    ),
    (("--lspci",), value("FILE", "output of lspci -nnvk")),
    (("--lsusb",), value("FILE", "output of lsusb -v")),
    (("--hw-probe",), value("DIR", "what hw-probe has left, unpacked: hw.info")),
]

SCAN_EXAMPLE: Final = """\
The inventory has devices with their modaliases, the kernel and the system, and which firmware the
kernel's log says was loaded or missed; no serial numbers, addresses or names of machines. Without
options it is of this machine; with a file, of the machine the file is from. Few messages tell of
firmware that was loaded: --enable-debug lets the kernel log all that it loads from then on.

examples:
  sysgraft firmware scan --output machine.json
  sysgraft firmware scan --root ./copied-from-a-node --kmsg node.log
  sysgraft firmware scan --hw-probe hw.info --json
"""
SCAN: Final[Options] = [
    *_MACHINE,
    (("--output",), value("FILE", "write the inventory there, and a summary on stdout")),
    (("--force",), switch("replace the file of --output")),
    (
        ("--enable-debug",),
        switch("first let this machine's kernel log what it loads, until it is started again"),
    ),
    *JSON,
]

DOCTOR_EXAMPLE: Final = """\
Exit code 1 if a device lacks firmware, or if the kernel loaded something else than what is there.
Folders, then extensions, lie over each other in the order given; the machine's own firmware, where
its files are at hand, is below all of them.

examples:
  sysgraft firmware doctor
  sysgraft firmware doctor --extension /var/lib/kairos/extensions
  dmesg | sysgraft firmware doctor --kmsg - --extension firmware.sysext.raw
  sysgraft firmware doctor --machine machine.json --firmware-tree ./linux-firmware
"""
DOCTOR: Final[Options] = [
    (("--machine",), value("FILE", "an inventory that firmware scan made")),
    *_MACHINE,
    (
        ("--extension",),
        several("FILE|DIR", "an extension image, or a folder of them", dest="extensions"),
    ),
    (
        ("--firmware-tree",),
        several(
            "DIR", "a folder with firmware, or with usr/lib/firmware in it", dest="firmware_trees"
        ),
    ),
    *JSON,
]
