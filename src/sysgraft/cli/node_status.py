"""``sysgraft node status``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sysgraft.errors import SysgraftError
from sysgraft.node.node import Node, NodeOptions
from sysgraft.node.status import node_status

if TYPE_CHECKING:
    import argparse

    from sysgraft.cli.output import Output
    from sysgraft.node.status import Status


def run(arguments: argparse.Namespace, out: Output) -> int:
    """Tell what is merged; 1 if something is not that should be."""
    try:
        return _run(arguments, out)
    except (SysgraftError, OSError, KeyError, TypeError) as error:
        if not arguments.boot:
            raise
        # Only what the configuration says may keep a boot from being called good.
        out.note(f"error: {error}")
        return 1 if fails_boot() else 0


def _run(arguments: argparse.Namespace, out: Output) -> int:
    node = Node(NodeOptions(), tolerant=True)
    status = node_status(node)
    if out.json_wanted:
        out.json("node.status", 1, _document(status))
    else:
        _show(status, out)
    if arguments.boot and not node.settings.fail_boot:
        return 0
    return 0 if status.ok else 1


def fails_boot() -> bool:
    """Whether the configuration can be read and says that a boot with a bad extension fails."""
    try:
        return Node(NodeOptions(), tolerant=True).settings.fail_boot
    except SysgraftError:
        return False


def _show(status: Status, out: Output) -> None:
    done = status.activation
    if done:
        entry = done["entry"] or "unknown"
        out.text(f"boot entry {entry}, mode {done['mode']}, systemd {done['systemd']}")
    rows = [
        (each.name, str(each.kind), str(each.effect), each.profile or "-", each.reason)
        for each in status.images
    ]
    if rows:
        out.table([("NAME", "TYPE", "NOW", "FROM", "WHY"), *rows])
    elif done:
        out.text("this boot has no extensions")
    for image in done.get("images", []):
        for path in image["notMerged"]:
            out.note(f"note: {image['file']}: {path} lies where nothing is merged")
    for note in status.notes:
        out.note(f"note: {note}")


def _document(status: Status) -> dict[str, object]:
    done = status.activation
    return {
        "ok": status.ok,
        "entry": done.get("entry"),
        "mode": done.get("mode"),
        "images": [
            {
                "type": str(each.kind),
                "name": each.name,
                "file": each.file or None,
                "profile": each.profile or None,
                "effect": str(each.effect),
                "reason": each.reason or None,
            }
            for each in status.images
        ],
        "notes": list(status.notes),
    }
