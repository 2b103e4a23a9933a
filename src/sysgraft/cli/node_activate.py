"""``sysgraft node activate``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sysgraft.node.activate import activate
from sysgraft.node.document import activation_document, write_activation
from sysgraft.node.node import Node, NodeOptions

if TYPE_CHECKING:
    import argparse

    from sysgraft.cli.output import Output
    from sysgraft.node.activation import Activation


def run(arguments: argparse.Namespace, out: Output) -> int:
    """Activate, and tell of each image; 1 if one is not as it should be."""
    node = Node(NodeOptions(), tolerant=arguments.boot)
    result = activate(node, progress=out.progress)
    write_activation(result, node.root)
    if out.json_wanted:
        out.json("node.activate", 1, activation_document(result))
    else:
        _show(result, out)
    return 0 if result.ok else 1


def _show(result: Activation, out: Output) -> None:
    where = f"boot entry {result.entry}" if result.entry else "an unknown boot entry"
    out.text(f"{where}, mode {result.mode}: {len(result.images)} images")
    for each in result.images:
        out.text(f"{each.candidate.file} ({each.candidate.profile}): {each.fate}: {each.reason}")
        for path in each.not_merged:
            out.note(f"note: {each.candidate.file}: {path} lies where nothing is merged")
    for other in result.others:
        what = "kept out" if other.masked else "NOT kept out"
        out.text(f"{other.path}: {what}: {other.reason}")
    if result.hierarchies:
        out.note(
            f"note: merged into {':'.join(result.hierarchies)}, since {', '.join(result.mounts)} "
            "would be hidden"
        )
    for note in result.notes:
        out.note(f"note: {note}")
