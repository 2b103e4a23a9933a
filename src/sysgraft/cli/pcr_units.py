"""``sysgraft pcr units``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sysgraft.seal.early.tree import write

if TYPE_CHECKING:
    import argparse

    from sysgraft.cli.output import Output


def run(arguments: argparse.Namespace, out: Output) -> int:
    """Write the files."""
    written = write(arguments.output, replace=arguments.force)
    out.files("pcr.units", written)
    return 0
