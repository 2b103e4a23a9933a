"""The options and examples of ``node bundle``, as argparse takes them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sysgraft.cli.ext_options import SIGNING
from sysgraft.cli.option_kit import JSON, switch, value

if TYPE_CHECKING:
    from sysgraft.cli.verbs import Options

BUNDLE_EXAMPLE: Final = """\
The bundle has an interpreter of this machine, its libraries and their loader; a node needs a kernel
of the same architecture and /bin/sh. As a folder it is to be copied into the image of a system.

examples:
  sysgraft node bundle --output agent
  sysgraft node bundle --extension --output . --private-key db.key --certificate db.pem \\
    --compress lz4hc
"""
BUNDLE: Final[Options] = [
    (
        ("--output",),
        value("DIR", "a new folder for the files; of an extension: where it goes", required=True),
    ),
    (("--extension",), switch("write DIR/sysgraft-agent.sysext.raw instead")),
    *SIGNING,
    (("--unsigned",), switch("an extension with dm-verity and without a signature")),
    (("--python",), value("PATH", "interpreter to take (default: the one that runs sysgraft)")),
    (
        ("--compress",),
        value(
            "CODEC[:LEVEL]",
            "of an extension: none, lz4, lz4hc or zstd (default: none)",
            default="none",
        ),
    ),
    (
        ("--source-date-epoch",),
        value("SECONDS", "time stamp of the files (default: $SOURCE_DATE_EPOCH)", type=int),
    ),
    (("--force",), switch("replace an existing image")),
    *JSON,
]
