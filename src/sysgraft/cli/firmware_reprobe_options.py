"""Options of ``sysgraft firmware reprobe`` and ``units``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sysgraft.cli.option_kit import JSON, several, switch, value

if TYPE_CHECKING:
    from sysgraft.cli.verbs import Options

REPROBE_EXAMPLE: Final = """\
A device is named as below /sys/bus: usb:1-4:1.0, pci:0000:02:00.0. The steps that may help are
taken one after the other, from the one that disturbs least, each once, until the device has its
driver.

What the machine runs from, its way into the network and its console are left alone, and so is what
they hang on, and a device that was re-probed in this boot: --allow GUARD=BUS:NAME switches a guard
off for one device. GUARD is root-disk, mounted-disk, default-route, console or again.

examples:
  sysgraft firmware reprobe --all-failed --dry-run
  sysgraft firmware reprobe --device usb:1-4:1.0
  sysgraft firmware reprobe --device pci:0000:02:00.0 --rebind \\
    --allow default-route=pci:0000:02:00.0
"""
UNITS_EXAMPLE: Final = """\
A service that runs `sysgraft firmware reprobe` once in a boot, after systemd-sysext.service. With
--script it runs a POSIX shell script instead, for nodes without sysgraft; that needs to know its
devices. With --file nothing happens until the firmware is there, and a path unit waits for it. The
files go into the image of the system, where the unit is to be enabled, or with --extension into an
extension, which is to be built with --service-reload.

examples:
  sysgraft firmware units --output tree
  sysgraft firmware units --output tree --script --extension --file rtw88/rtw8821a_fw.bin \\
    --modalias 'usb:v2357p011E*'
  sysgraft ext build realtek tree --output . --service-reload \\
    --private-key db.key --certificate db.pem
"""

_DEVICE: Final = (("--device",), several("BUS:NAME", "a device"))
_MODALIAS: Final = (
    ("--modalias",),
    several("PATTERN", "the devices without driver that have such a modalias"),
)
_FILE: Final = (
    ("--file",),
    several("NAME", "firmware, as the kernel asks for it, without which nothing is done"),
)
_DEADLINE: Final = (
    ("--deadline",),
    value("SECONDS", "for everything (default: 30)", type=int, default=30),
)

REPROBE: Final[Options] = [
    _DEVICE,
    _MODALIAS,
    (
        ("--all-failed",),
        switch(
            "the devices that missed firmware, by the kernel's messages, and have no driver or one "
            "that made nothing of them; those without driver that a loaded module is for are asked "
            "for one"
        ),
    ),
    _FILE,
    (
        ("--kmsg",),
        value("FILE", "the kernel's messages (default with --all-failed: /dev/kmsg)"),
    ),
    (("--machine",), value("FILE", "an inventory that tells which devices missed firmware")),
    (("--after-merge",), switch("first have udev take notice of what extensions brought for it")),
    (("--rebind",), switch("named devices that have a driver lose it for a moment")),
    (("--allow",), several("GUARD=BUS:NAME", "switch a guard off for a device")),
    _DEADLINE,
    (("--dry-run",), switch("tell what would be done")),
    (
        ("--root",),
        value("DIR", "a recorded machine; only with --dry-run", default="/"),
    ),
    *JSON,
]

UNITS: Final[Options] = [
    (
        ("--output",),
        value("DIR", "the root of the tree that the files are written below", required=True),
    ),
    _DEVICE,
    _MODALIAS,
    _FILE,
    _DEADLINE,
    (("--script",), switch("a shell script does the work, not sysgraft")),
    (("--extension",), switch("the files go into an extension")),
    (
        ("--program",),
        value("PATH", "sysgraft on the node (default: /usr/bin/sysgraft)", default=""),
    ),
    (("--force",), switch("replace files that are there")),
    *JSON,
]
