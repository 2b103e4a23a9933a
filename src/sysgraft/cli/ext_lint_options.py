"""The options and examples of ``sysgraft ext lint``, as argparse takes them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sysgraft.cli.ext_options import HOST, JSON, TRUST

if TYPE_CHECKING:
    from sysgraft.cli.verbs import Options

EXAMPLE: Final = """\
Give all extensions that are merged together: most findings are about what they do to each other.
What was not checked, because nothing was said of the target, is listed and never called good.
Exit 0: there are notes at most. Exit 1: there are errors or warnings. docs/guide/lint.md explains
every finding.

examples:
  sysgraft ext lint firmware.sysext.raw tools.sysext.raw
  sysgraft ext lint *.raw --host-root ./base --os-release ./base/usr/lib/os-release --json
  sysgraft ext lint *.raw --hierarchies kairos --image-policy root=signed+absent:usr=signed+absent
"""

LINT: Final[Options] = [
    (("files",), {"metavar": "FILE", "nargs": "+", "help": "images that are merged together"}),
    *HOST,
    (
        ("--image-policy",),
        {
            "metavar": "POLICY",
            "help": "policy of the target (default: what systemd has built in, @sysext, @confext)",
        },
    ),
    *TRUST,
    (
        ("--hierarchies",),
        {
            "metavar": "LIST",
            "default": "default",
            "help": "what the target merges of system extensions: default, kairos, kairos-4.2, or "
            "paths such as /usr:/opt",
        },
    ),
    (
        ("--host-root",),
        {"metavar": "DIR", "help": "root folder of the base, for what the set does to its files"},
    ),
    (
        ("--kernel-tree",),
        {
            "metavar": "DIR",
            "help": "usr/lib/modules/RELEASE of the target, or the root folder it is in (default: "
            "the base's)",
        },
    ),
    *JSON,
]
