"""The options and examples of ``sysgraft lab``, verb by verb, as argparse takes them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sysgraft.cli.option_kit import JSON, several, switch, value

if TYPE_CHECKING:
    from sysgraft.cli.verbs import Options

RUN_EXAMPLE: Final = """\
Needs QEMU, OVMF, swtpm and mtools (on Debian: qemu-system-x86 ovmf swtpm mtools), no root. What is
booted is not changed. PCRs and the event log are read from outside the guest. A guest with systemd
256 or newer also tells about itself, runs the script and switches off; any other one has to switch
itself off (--no-probe keeps the lab out of every guest).

The script is run by sh, or by what its #! says, once the guest is up. What it leaves in the folder
$SYSGRAFT_RESULTS comes back. A --disk is /dev/disk/by-id/virtio-disk0, the next one virtio-disk1.

Exit 0: the guest switched itself off, and the script succeeded. Exit 1: it did not.

examples:
  sysgraft lab run --uki linux.efi --extra firmware.sysext.raw --script check.sh --output result
  sysgraft lab run --uki linux.efi --secure-boot keys --tpm tpm --disk data.raw --json
  sysgraft lab run --esp disk.raw --timeout 300
"""
GUEST_EXAMPLE: Final = """\
Needs root, debootstrap, and Debian's packages from a mirror; takes a few minutes. What is made is
kept and found again, also by users who are not root: a kernel, stubs, a small initrd (BusyBox) and
a whole Debian 13 as an initrd, and a UKI of each.

example:
  sysgraft lab guest
  sysgraft lab run --uki "$(sysgraft lab guest --show debian.efi)"
"""

RUN: Final[Options] = [
    (("--uki",), value("FILE", "the UKI, or another EFI program, to boot")),
    (("--extra",), several("FILE", "a file for its .extra.d folder")),
    (("--esp",), value("DIR|IMAGE", "the content of an ESP, or a whole disk image, instead")),
    (("--cdrom",), value("IMAGE", "an ISO image, as a disc, instead")),
    (("--disk",), several("IMAGE", "a raw disk image; what the guest writes is thrown away")),
    (
        ("--writable-disk",),
        several("IMAGE", "a raw disk image that the guest changes", dest="writable_disk"),
    ),
    (("--script",), value("FILE", "a script to run in the guest (up to 32 KiB)")),
    (
        ("--secure-boot",),
        value("KEYS", "Secure Boot with the keys of a folder (keys generate), or a variable store"),
    ),
    (("--tpm",), value("DIR", "keep the TPM in this folder for the next run")),
    (("--no-probe",), switch("do not ask the guest about itself, let it run until it ends")),
    (("--timeout",), value("SECONDS", "switch off after that long (default: 600)", type=float)),
    (("--reboots",), value("N", "let the guest start anew so often (default: 0)", type=int)),
    (("--memory",), value("SIZE", "such as 512M or 4G (default: 2G)")),
    (("--cpus",), value("N", "processors (default: 2)", type=int)),
    (
        ("--accel",),
        {
            "choices": ["tcg", "kvm"],
            "help": "emulate the processor (the default), or use the real one, which does not "
            "work in most virtual machines",
        },
    ),
    (
        ("--qemu-argument",),
        several("ARG", "a further argument for QEMU (write --qemu-argument=-device)"),
    ),
    (("--events",), switch("list the events of the log")),
    (("--output",), value("DIR", "keep the serial log, the event log and results here")),
    (("--force",), switch("replace the results of an earlier run there")),
    *JSON,
]

GUEST: Final[Options] = [
    (("--cache",), value("DIR", "where they are kept (default: ~/.cache/sysgraft/lab)")),
    (("--mirror",), value("URL", "where Debian's packages come from")),
    (("--show",), value("NAME", "print the path of one of their files, and make nothing")),
    *JSON,
]
