"""``sysgraft node units``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sysgraft.node.units.tree import PROGRAM, Place, UnitOptions, write_units

if TYPE_CHECKING:
    import argparse

    from sysgraft.cli.output import Output


def run(arguments: argparse.Namespace, out: Output) -> int:
    """Write the files."""
    options = UnitOptions(
        place=Place(arguments.place),
        program=arguments.program or PROGRAM,
        systemd=arguments.systemd_version,
        timeout=arguments.timeout,
        stores=tuple(arguments.store),
    )
    written = write_units(arguments.output, options, replace=arguments.force)
    out.files("node.units", written)
    return 0
