"""The options and examples of ``sysgraft lab``, verb by verb, as argparse takes them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

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


def _value(metavar: str, text: str, **more: Any) -> dict[str, Any]:  # noqa: ANN401  argparse's own
    return {"metavar": metavar, "help": text, **more}


def _list(metavar: str, text: str, **more: Any) -> dict[str, Any]:  # noqa: ANN401  argparse's own
    return {
        "metavar": metavar,
        "action": "append",
        "default": [],
        "help": f"{text}; again for more",
        **more,
    }


def _switch(text: str) -> dict[str, Any]:
    return {"action": "store_true", "help": text}


_JSON: Final[Options] = [(("--json",), _switch("one JSON document on stdout"))]

RUN: Final[Options] = [
    (("--uki",), _value("FILE", "the UKI, or another EFI program, to boot")),
    (("--extra",), _list("FILE", "a file for its .extra.d folder")),
    (("--esp",), _value("DIR|IMAGE", "the content of an ESP, or a whole disk image, instead")),
    (("--disk",), _list("IMAGE", "a raw disk image; what the guest writes is thrown away")),
    (
        ("--writable-disk",),
        _list("IMAGE", "a raw disk image that the guest changes", dest="writable_disk"),
    ),
    (("--script",), _value("FILE", "a script to run in the guest (up to 32 KiB)")),
    (
        ("--secure-boot",),
        _value(
            "KEYS", "Secure Boot with the keys of a folder (keys generate), or a variable store"
        ),
    ),
    (("--tpm",), _value("DIR", "keep the TPM in this folder for the next run")),
    (("--no-probe",), _switch("do not ask the guest about itself, let it run until it ends")),
    (("--timeout",), _value("SECONDS", "switch off after that long (default: 600)", type=float)),
    (("--reboots",), _value("N", "let the guest start anew so often (default: 0)", type=int)),
    (("--memory",), _value("SIZE", "such as 512M or 4G (default: 2G)")),
    (("--cpus",), _value("N", "processors (default: 2)", type=int)),
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
        _list("ARG", "a further argument for QEMU (write --qemu-argument=-device)"),
    ),
    (("--events",), _switch("list the events of the log")),
    (("--output",), _value("DIR", "keep the serial log, the event log and results here")),
    (("--force",), _switch("replace the results of an earlier run there")),
    *_JSON,
]

GUEST: Final[Options] = [
    (("--cache",), _value("DIR", "where they are kept (default: ~/.cache/sysgraft/lab)")),
    (("--mirror",), _value("URL", "where Debian's packages come from")),
    (("--show",), _value("NAME", "print the path of one of their files, and make nothing")),
    *_JSON,
]
