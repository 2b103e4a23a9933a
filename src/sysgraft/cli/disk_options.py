"""The options and examples of ``disk check`` and ``disk retype``, as argparse takes them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sysgraft.cli.option_kit import JSON, several, switch, value

if TYPE_CHECKING:
    from sysgraft.cli.verbs import Options

CHECK_EXAMPLE: Final = """\
What a partition is for is told by what this machine has mounted, by --partition, by what is in it
where that is certain, and by its type, in this order. Nothing is written or mounted.
Exit 0: systemd will find what is there. Exit 1: something has to be mended, which is said.

examples:
  sysgraft disk check /dev/sda
  sysgraft disk check /dev/sda --root /mnt/sysroot --kickstart >> /root/mend.sh
  sysgraft disk check disk.raw --partition 3=root --arch arm64
"""
RETYPE_EXAMPLE: Final = """\
Types that follow from what is mounted (--root) or in a partition are set besides those named. The
partition tables are saved first; --restore puts them back, and so does sgdisk --load-backup. Works
while partitions are in use: types matter at the next boot.

examples:
  sysgraft disk retype /dev/sda --root /mnt/sysroot --dry-run
  sysgraft disk retype disk.raw --partition 1=esp --partition 3=root --no-auto 3=off
  sysgraft disk retype disk.raw --restore disk.raw.gpt-backup
"""

_DISK: Final[Options] = [
    (("disk",), {"metavar": "DISK", "help": "a disk, or the image of one"}),
    (
        ("--root",),
        value("DIR", "where an installer has mounted the new root (default: the running system)"),
    ),
    (("--arch",), value("ARCH", "of the machine that will start from it (default: this one)")),
    (
        ("--partition",),
        several("N=ROLE", "what a partition is for: root, usr, home, srv, var, tmp, esp, swap…"),
    ),
]
CHECK: Final[Options] = [
    *_DISK,
    (("--kickstart",), switch("print what is to be mended as lines of a shell script")),
    *JSON,
]
RETYPE: Final[Options] = [
    *_DISK,
    (("--no-auto",), several("N=on|off", "whether systemd is to leave a partition alone")),
    (("--growfs",), several("N=on|off", "whether its file system is to grow when it is mounted")),
    (
        ("--backup",),
        value("FILE", "where the tables are saved (default: NAME.gpt-backup in this folder)"),
    ),
    (("--restore",), value("FILE", "put back what was saved, and change nothing else")),
    (("--dry-run",), switch("write nothing, only tell")),
    (
        ("--force",),
        switch("also if a partition holds something else, or a damaged table has to be made anew"),
    ),
    *JSON,
]
