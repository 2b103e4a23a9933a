"""``sysgraft ext extract``."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from sysgraft.base.tree import printable
from sysgraft.cli.content_report import content_json, content_words
from sysgraft.image.extraction import extract_image

if TYPE_CHECKING:
    import argparse

    from sysgraft.cli.output import Output
    from sysgraft.host.inode_output import NotKept
    from sysgraft.image.extraction import Extraction


def run(arguments: argparse.Namespace, out: Output) -> int:
    """Extract an image and say what came out of it."""
    done = extract_image(
        arguments.file,
        arguments.folder,
        only=[os.fsencode(path) for path in arguments.path],
        progress=out.progress,
    )
    if arguments.json:
        out.json("ext.extract", 1, _as_json(done))
        return 0
    out.text(f"{done.folder}  ({content_words(done.content)})")
    for each in done.not_kept:
        out.note(f"note: {_words(each)}")
    return 0


def _words(missed: NotKept) -> str:
    more = f" and {missed.number - 1} more" if missed.number > 1 else ""
    first = f"/{printable(missed.first)}"
    return f"{missed.what} not kept: {first}{more} ({missed.reason})"


def _as_json(done: Extraction) -> dict[str, object]:
    return {
        "file": done.file,
        "folder": done.folder,
        "fstype": done.fstype,
        "content": content_json(done.content),
        "notKept": [
            {
                "what": each.what,
                "count": each.number,
                "first": f"/{printable(each.first)}",
                "reason": each.reason,
            }
            for each in done.not_kept
        ],
    }
