"""The options of ``sysgraft kernel``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sysgraft.cli.option_kit import JSON, several, switch, value

if TYPE_CHECKING:
    from sysgraft.cli.verbs import Options

_WHERE: Final[Options] = [
    (("--root",), value("DIR", "a system that is not running, such as /sysroot", default="/")),
    (
        ("--esp-path", "--esp"),
        value("DIR", "where its EFI system partition is mounted (default: found)", default=""),
    ),
    (
        ("--boot-path",),
        value("DIR", "the partition with the kernels, if it is another one", default=""),
    ),
    (
        ("--entry-token",),
        value(
            "TOKEN",
            "auto, machine-id, os-id, os-image-id, literal:… (default: auto)",
            default="auto",
        ),
    ),
]
_GROW: Final = (
    ("--grow",),
    switch("let a full folder of the partition grow, which a power cut could break"),
)
_LAYOUT: Final = ["auto", "uki", "bls"]

INSTALL: Final[Options] = [
    (("image",), {"metavar": "IMAGE", "help": "a UKI; a kernel with --layout bls"}),
    (
        ("--kernel-version",),
        value("VERSION", "as uname -r has it (default: what the image says)", default=""),
    ),
    (
        ("--layout",),
        value("LAYOUT", "uki, or bls: an entry of type #1", choices=_LAYOUT, default="auto"),
    ),
    (("--extra",), several("FILE", "goes beside the UKI, like what is in IMAGE.extra.d")),
    (("--initrd",), several("FILE", "an initrd, with --layout bls")),
    (
        ("--cmdline",),
        value("TEXT", "with --layout bls (default: /etc/kernel/cmdline)", default=""),
    ),
    (("--title",), value("TEXT", "of boot entries (default: of os-release)", default="")),
    (("--tries",), value("N", "boots until it counts as bad (default: no counting)", type=int)),
    (("--boot-entry",), switch("have the firmware start it without a boot loader")),
    (("--shim",), value("PATH", "shim on the partition, which starts it then", default="")),
    (
        ("--default",),
        value(
            "WHEN",
            "now; once: next, and from then on if it came up; keep (default: keep)",
            choices=["keep", "once", "now"],
            default="keep",
        ),
    ),
    (("--keep",), value("N", "remove all but the newest N versions", type=int)),
    (("--no-verify",), switch("install also what this firmware would not start")),
    _GROW,
    *_WHERE,
    *JSON,
]
INSTALL_EXAMPLE: Final = """\
Puts a kernel on the boot partition. A boot finds all of it or nothing, whenever the power fails.
Nothing is written if there is no room, the image is cut short, or Secure Boot would refuse the UKI.

examples:
  sysgraft kernel install /usr/lib/modules/6.12.0-1/vmlinuz-virt.efi --tries 3 --keep 3
  sysgraft kernel install linux.efi --boot-entry --default once
  sysgraft kernel install /boot/vmlinuz-6.12.0-1 --kernel-version 6.12.0-1 --layout bls \\
    --initrd /boot/initrd.img-6.12.0-1
"""

REMOVE: Final[Options] = [
    (("version",), {"metavar": "VERSION", "help": "of the kernel"}),
    (
        ("--layout",),
        value(
            "LAYOUT",
            "only UKIs (uki), or entries of type #1 (bls)",
            choices=_LAYOUT,
            default="auto",
        ),
    ),
    *_WHERE,
    *JSON,
]
REMOVE_EXAMPLE: Final = """\
Removes a kernel with what lies beside it and the firmware's entries for it. What runs stays.

example:
  sysgraft kernel remove 6.12.0-1
"""

LIST: Final[Options] = [*_WHERE, *JSON]
LIST_EXAMPLE: Final = """\
Lists the kernels on the boot partition, also those of other installations. Marks: * runs,
> is the default, 1 is started next, ! was tried in vain.

examples:
  sysgraft kernel list
  sysgraft kernel list --root /sysroot --esp /sysroot/efi --json
"""

SET_DEFAULT: Final[Options] = [
    (("name",), {"metavar": "NAME", "help": "a kernel's version, or the name of its entry"}),
    (("--once",), switch("only the next boot, and from then on if it came up")),
    *_WHERE,
    *JSON,
]
SET_DEFAULT_EXAMPLE: Final = """\
Tells the firmware, if it has an entry for the kernel, else the boot loader.

examples:
  sysgraft kernel set-default 6.12.0-1
  sysgraft kernel set-default fedora-6.12.0-1.efi --once
"""

BLESS: Final[Options] = [
    (
        ("--efivars",),
        value("DIR", "the firmware's variables (default: /sys/firmware/efi/efivars)", default=""),
    ),
    *JSON,
]
BLESS_EXAMPLE: Final = """\
Makes the kernel that runs the default if it was on trial, as the unit of `kernel plugin` does once
the boot is complete; does nothing otherwise.

example:
  sysgraft kernel bless
"""

CLEANUP: Final[Options] = [
    (("--keep",), value("N", "versions that stay (default: 3)", type=int, default=3)),
    (("--dry-run",), switch("only tell what would be removed")),
    *_WHERE,
    *JSON,
]
CLEANUP_EXAMPLE: Final = """\
Removes old kernels of this installation. What runs, the default and what is started next stay;
kernels that never came up do not count.

examples:
  sysgraft kernel cleanup --dry-run
  sysgraft kernel cleanup --keep 2
"""

GRUB: Final[Options] = [
    (("--output",), value("FILE", "write it there (default: print it)", default="")),
    *_WHERE,
]
GRUB_EXAMPLE: Final = """\
Writes menu entries for all kernels of the boot partition: UKIs are chain-loaded. GRUB reads them as
custom.cfg beside its grub.cfg. The file is replaced as a whole.

examples:
  sysgraft kernel grub
  sysgraft kernel grub --output /boot/grub/custom.cfg
"""

PLUGIN: Final[Options] = [
    (("--output",), value("DIR", "root of the system the files are for", required=True)),
    (("--boot-entry",), switch("have the firmware start kernels without a boot loader")),
    (("--shim",), value("PATH", "shim on the partition, which starts them then", default="")),
    (
        ("--default",),
        value(
            "WHEN",
            "how a new kernel becomes the default: keep, once or now (default: keep)",
            choices=["keep", "once", "now"],
            default="keep",
        ),
    ),
    (("--keep",), value("N", "remove all but the newest N versions", type=int)),
    (("--grub",), value("FILE", "GRUB's custom.cfg, kept up to date", default="")),
    _GROW,
    (
        ("--program",),
        value("PATH", "sysgraft on the system (default: /usr/bin/sysgraft)", default=""),
    ),
    (("--force",), switch("replace files that are there")),
    *JSON,
]
PLUGIN_EXAMPLE: Final = """\
Writes a plugin for kernel-install that stands for systemd's own 90-uki-copy.install, and a unit
that makes a kernel on trial the default once the boot is complete.

examples:
  sysgraft kernel plugin --output / --keep 3
  sysgraft kernel plugin --output ./rootfs --boot-entry --default once
"""
