"""``sysgraft firmware units``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sysgraft.firmware.reprobe.units.tree import PROGRAM, UnitOptions, write_units

if TYPE_CHECKING:
    import argparse

    from sysgraft.cli.output import Output


def run(arguments: argparse.Namespace, out: Output) -> int:
    """Write the files."""
    options = UnitOptions(
        firmware=tuple(arguments.file),
        devices=tuple(arguments.device),
        modaliases=tuple(arguments.modalias),
        deadline=arguments.deadline,
        script=arguments.script,
        extension=arguments.extension,
        program=arguments.program or PROGRAM,
    )
    written = write_units(arguments.output, options, replace=arguments.force)
    out.files("firmware.units", written)
    return 0
