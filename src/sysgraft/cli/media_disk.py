"""``sysgraft media disk``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sysgraft.build.media.disk import build_disk
from sysgraft.build.media.options import DiskOptions
from sysgraft.cli.media_arguments import media_options, partition, size_in_bytes
from sysgraft.cli.media_report import finish

if TYPE_CHECKING:
    import argparse

    from sysgraft.cli.output import Output


def run(arguments: argparse.Namespace, out: Output) -> int:
    """Make a disk image."""
    disk = DiskOptions(
        size=size_in_bytes(arguments.size),
        esp_size=size_in_bytes(arguments.esp_size),
        sector_size=arguments.sector_size,
        partitions=[partition(text) for text in arguments.partition],
        replace=arguments.force,
    )
    report = build_disk(
        arguments.output,
        media_options(arguments),
        disk,
        write=not arguments.plan,
        progress=out.progress,
    )
    return finish(report, out, schema="media.disk", planned=arguments.plan)
