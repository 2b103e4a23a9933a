"""``sysgraft media iso``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sysgraft.build.media.iso import build_iso
from sysgraft.build.media.options import IsoOptions
from sysgraft.cli.media_arguments import media_options
from sysgraft.cli.media_report import finish

if TYPE_CHECKING:
    import argparse

    from sysgraft.cli.output import Output


def run(arguments: argparse.Namespace, out: Output) -> int:
    """Make an ISO image."""
    iso = IsoOptions(
        volume_id=arguments.volume_id, overlay=arguments.overlay, replace=arguments.force
    )
    report = build_iso(
        arguments.output,
        media_options(arguments),
        iso,
        write=not arguments.plan,
        progress=out.progress,
    )
    return finish(report, out, schema="media.iso", planned=arguments.plan)
