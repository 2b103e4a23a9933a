"""``sysgraft ext unsign``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sysgraft.build.resign import Target, unsign_image
from sysgraft.cli.ext_sign import show

if TYPE_CHECKING:
    import argparse

    from sysgraft.cli.output import Output


def run(arguments: argparse.Namespace, out: Output) -> int:
    """Take the signature out of one image."""
    target = Target(arguments.output, replace=arguments.force)
    report = unsign_image(arguments.file, target=target, progress=out.progress)
    show(report, "ext.unsign", out)
    return 0
