"""The options and examples of ``sysgraft uki package``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sysgraft.cli.option_kit import JSON, several, switch, value

if TYPE_CHECKING:
    from sysgraft.cli.verbs import Options

PACKAGE_EXAMPLE: Final = """\
The UKI goes to /usr/lib/modules/KERNELVERSION/, and is packaged as it is: sign it before. When the
package is installed, kernel-install (systemd 254 and newer) puts it on the boot partition.
An --extra is installed with the UKI; an --addon is a package of its own, for those who want it.
rpmbuild or dpkg-deb makes the packages, without root; the same files make the same bytes.

examples:
  sysgraft uki package linux.efi --format rpm --output out
  sysgraft uki package linux.efi --format deb --maintainer "Some Body <body@example.org>" \\
    --addon debug=debug.addon.efi --output out
"""

PACKAGE: Final[Options] = [
    (("uki",), {"metavar": "UKI", "help": "unified kernel image, signed or not"}),
    (("--format",), {"choices": ["rpm", "deb"], "required": True, "help": "which packages"}),
    (
        ("--name",),
        value("NAME", "of the package (default: kernel-uki-virt, linux-image-uki-KERNELVERSION)"),
    ),
    (("--version",), value("VERSION", "of the package (default: from the kernel version)")),
    (
        ("--release",),
        value("RELEASE", "rpm's release, Debian's revision (default: from the kernel version; 1)"),
    ),
    (("--kernel-version",), value("VERSION", "what uname -r says (default: what the UKI says)")),
    (("--file-name",), value("NAME", "of the UKI in the package (default: vmlinuz-virt.efi)")),
    (("--extra",), several("FILE", ".addon.efi, .sysext.raw or .confext.raw beside the UKI")),
    (("--addon",), several("NAME=FILE", "such a file in a package of its own")),
    (
        ("--kernel-file",),
        several("FILE", "further file of the kernel, such as System.map, config, modules.builtin"),
    ),
    (("--standalone",), switch("ask for no package with the kernel's modules")),
    (("--depends",), several("PACKAGE", "package it needs, as the format writes it")),
    (("--recommends",), several("PACKAGE", "package it goes well with")),
    (("--provides",), several("NAME", "name it answers to")),
    (("--conflicts",), several("PACKAGE", "package it does not go with")),
    (
        ("--maintainer",),
        value("TEXT", "who looks after it, Name <address>; Debian packages need one", default=""),
    ),
    (("--vendor",), value("TEXT", "who publishes it (rpm)", default="")),
    (("--license",), value("TEXT", "of all in it (rpm; default: GPL-2.0-only)", default="")),
    (("--url",), value("URL", "where more is told", default="")),
    (("--summary",), value("TEXT", "one line", default="")),
    (("--description",), value("TEXT", "some lines", default="")),
    (("--copyright",), value("FILE", "whose work it is, and the terms", default="")),
    (
        ("--source-date-epoch",),
        value(
            "SECONDS", "time of everything in it (default: $SOURCE_DATE_EPOCH, else 0)", type=int
        ),
    ),
    (("--output", "-o"), value("DIR", "folder for the packages", default=".")),
    (("--force",), switch("replace existing packages")),
    *JSON,
]
