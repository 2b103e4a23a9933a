"""The options and examples of ``firmware build`` and ``firmware strip``, as argparse takes them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sysgraft.cli.ext_options import SIGNING

if TYPE_CHECKING:
    from sysgraft.cli.verbs import Options

BUILD_EXAMPLE: Final = """\
The extension holds all files of the plan but early microcode; what is needed early is in the initrd
part too, since an initrd is gone when a device is reset or wakes up. Patterns are find(1)'s -path,
below /usr/lib/firmware. Terms and a bill of materials (SPDX) come along.

examples:
  sysgraft firmware build firmware --plan plan.json --firmware-tree ./root --output . \\
    --private-key db.key --certificate db.pem --pack zstd --early-initrd early.cpio
  sysgraft firmware build wifi --firmware-tree ./linux-firmware --unsigned \\
    --keep 'mediatek/*MT7922*' --keep 'regulatory*'
"""
STRIP_EXAMPLE: Final = """\
SOURCE is an initrd, or a root file system as ext build takes it: a folder, an archive, an image. Of
a root the result is a tar archive. What the plan calls early stays, and what --keep names.

examples:
  sysgraft firmware strip ./root --plan plan.json --output slim.tar
  sysgraft firmware strip initrd.img --keep 'i915/*' --keep 'regulatory*' --output slim.img
"""

_JSON: Final[Options] = [
    (("--json",), {"action": "store_true", "help": "one JSON document on stdout"})
]
_FORCE: Final[Options] = [
    (("--force",), {"action": "store_true", "help": "replace an existing file"})
]
_ARCH: Final[Options] = [
    (("--arch",), {"metavar": "ARCH", "help": "architecture, systemd's or Docker's name"})
]
_EPOCH: Final[Options] = [
    (
        ("--source-date-epoch",),
        {
            "metavar": "SECONDS",
            "type": int,
            "help": "latest time stamp (default: $SOURCE_DATE_EPOCH)",
        },
    )
]
_PATTERNS: Final[Options] = [
    (
        ("--keep",),
        {
            "metavar": "GLOB",
            "action": "append",
            "default": [],
            "help": "files beside the plan's; again for more",
        },
    ),
    (
        ("--drop",),
        {
            "metavar": "GLOB",
            "action": "append",
            "default": [],
            "help": "files to leave out, whoever names them; again for more",
        },
    ),
]

BUILD: Final[Options] = [
    (("name",), {"metavar": "NAME", "help": "name of the extension"}),
    (("--plan",), {"metavar": "FILE", "help": "which files: what firmware plan wrote"}),
    (
        ("--firmware-tree",),
        {
            "metavar": "SOURCE",
            "action": "append",
            "required": True,
            "help": "where the files are, as for the index; again for more, in the same order",
        },
    ),
    *_PATTERNS,
    (
        ("--output",),
        {"metavar": "DIR", "default": ".", "help": "folder for NAME.sysext.raw (default: here)"},
    ),
    *SIGNING,
    (("--unsigned",), {"action": "store_true", "help": "dm-verity without a signature"}),
    (
        ("--pack",),
        {
            "choices": ["keep", "zstd", "plain"],
            "default": "keep",
            "help": "each file as it is (the default), compressed, or uncompressed",
        },
    ),
    (("--early-initrd",), {"metavar": "FILE", "help": "write the early files as an initrd part"}),
    (
        ("--early-microcode",),
        {"metavar": "FILE", "help": "write the early microcode, for uki build --microcode"},
    ),
    (
        ("--compress",),
        {
            "metavar": "CODEC[:LEVEL]",
            "default": "none",
            "help": "of the extension: none, lz4, lz4hc or zstd (default: none)",
        },
    ),
    *_ARCH,
    *_EPOCH,
    *_FORCE,
    *_JSON,
]
STRIP: Final[Options] = [
    (("source",), {"metavar": "SOURCE", "help": "an initrd, or a root file system"}),
    (("--plan",), {"metavar": "FILE", "help": "its early files stay"}),
    *_PATTERNS,
    (("--output",), {"metavar": "FILE", "required": True, "help": "where the result goes"}),
    *_ARCH,
    *_EPOCH,
    *_FORCE,
    *_JSON,
]
