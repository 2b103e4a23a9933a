"""The options and examples of ``firmware index`` and ``firmware plan``, as argparse takes them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from sysgraft.cli.verbs import Options

INDEX_EXAMPLE: Final = """\
A kernel tree is usr/lib/modules/RELEASE, or a root that has it. A firmware tree is a folder of
firmware, a root that has usr/lib/firmware, a checkout of linux-firmware, or a source as ext build
takes it: a package, an archive, an image. Of several firmware trees later ones lie over earlier
ones. The same trees give the same index, with --update or not.

examples:
  sysgraft firmware index --kernel-tree ./root --firmware-tree ./root --output firmware.index
  sysgraft firmware index --kernel-tree ./root --firmware-tree ./linux-firmware \\
    --update firmware.index --output firmware.index --force
"""
PLAN_EXAMPLE: Final = """\
levels: driver takes every file the machines' drivers may ask for; device what rules and the
  machines' own logs say of each device, and everything for a device nothing is said of.
early: what is needed before extensions are merged: storage, console (graphics) and microcode.
  The network is early only if asked for, where the root or its key come over it.

examples:
  sysgraft firmware plan --index firmware.index --machine machine.json --output plan.json
  sysgraft firmware plan --index firmware.index --machine fleet/*.json --class edge --level device
  sysgraft firmware plan --index firmware.index \\
    --modalias pci:v000014C3d00000616sv00001A3Bsd00005300bc02sc80i00
"""

_JSON: Final[Options] = [
    (("--json",), {"action": "store_true", "help": "one JSON document on stdout"})
]
_FORCE: Final[Options] = [
    (("--force",), {"action": "store_true", "help": "replace an existing file"})
]

INDEX: Final[Options] = [
    (
        ("--kernel-tree",),
        {
            "metavar": "DIR",
            "action": "append",
            "default": [],
            "help": "a kernel's modules, or a root with some; again for more",
        },
    ),
    (
        ("--firmware-tree",),
        {
            "metavar": "SOURCE",
            "action": "append",
            "default": [],
            "help": "a folder with firmware, a package or an image; again for more",
        },
    ),
    (("--output",), {"metavar": "FILE", "required": True, "help": "where the index goes"}),
    (
        ("--update",),
        {"metavar": "FILE", "help": "an index: modules that are as in it are not read again"},
    ),
    (
        ("--digests",),
        {"action": "store_true", "help": "note the SHA-256 of each firmware file, too"},
    ),
    *_FORCE,
    *_JSON,
]
PLAN: Final[Options] = [
    (("--index",), {"metavar": "FILE", "required": True, "help": "what firmware index made"}),
    (
        ("--machine",),
        {
            "metavar": "FILE",
            "nargs": "+",
            "action": "extend",
            "default": [],
            "help": "inventories (firmware scan); several get one set of firmware",
        },
    ),
    (
        ("--modalias",),
        {
            "metavar": "STRING",
            "action": "append",
            "default": [],
            "help": "a further device; again for more",
        },
    ),
    (("--class",), {"metavar": "NAME", "dest": "name", "default": "", "help": "name in the plan"}),
    (
        ("--level",),
        {
            "choices": ["driver", "device"],
            "default": "driver",
            "help": "how much to take, see below (default: driver)",
        },
    ),
    (
        ("--early",),
        {
            "choices": ["console", "microcode", "net", "storage"],
            "action": "append",
            "default": [],
            "help": "early as well; again for more",
        },
    ),
    (
        ("--late",),
        {
            "choices": ["console", "microcode", "net", "storage"],
            "action": "append",
            "default": [],
            "help": "late after all; again for more",
        },
    ),
    (("--output",), {"metavar": "FILE", "help": "write the plan, for firmware build"}),
    *_FORCE,
    *_JSON,
]
