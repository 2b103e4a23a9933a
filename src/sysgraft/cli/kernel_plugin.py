"""``sysgraft kernel plugin``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sysgraft.kernel.plugin.tree import PROGRAM, PluginOptions, write_plugin

if TYPE_CHECKING:
    import argparse

    from sysgraft.cli.output import Output


def run(arguments: argparse.Namespace, out: Output) -> int:
    """Write the files."""
    options = PluginOptions(
        program=arguments.program or PROGRAM,
        boot_entry=arguments.boot_entry,
        shim=arguments.shim,
        default=arguments.default,
        keep=arguments.keep,
        grub=arguments.grub,
        grow=arguments.grow,
    )
    written = write_plugin(arguments.output, options, replace=arguments.force)
    out.files("kernel.plugin", written)
    return 0
