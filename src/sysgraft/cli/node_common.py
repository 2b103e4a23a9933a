"""What the verbs of ``sysgraft node`` share: which system, which entries, what was done."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sysgraft.node.node import Node, NodeOptions
from sysgraft.node.selection import profiles_of

if TYPE_CHECKING:
    import argparse

    from sysgraft.cli.output import Output
    from sysgraft.node.changes import Changes


def this_node(arguments: argparse.Namespace, out: Output) -> Node:
    """The system that options name; what of its configuration does not count is noted."""
    node = Node(
        NodeOptions(
            root=arguments.root,
            esp=arguments.esp or "",
            store=arguments.store or "",
            layout=arguments.layout or "",
            grow=arguments.grow,
        )
    )
    for note in node.configuration.notes:
        out.note(f"note: {note}")
    return node


def wanted_profiles(arguments: argparse.Namespace) -> tuple[str, ...]:
    """The boot entries that options name."""
    return profiles_of(
        active=arguments.active,
        passive=arguments.passive,
        recovery=arguments.recovery,
        common=arguments.common,
        entries=arguments.entry,
    )


def show_changes(verb: str, changes: Changes, out: Output, **more: object) -> int:
    """What was done, a line each; 0 if that is all that was wanted."""
    if out.json_wanted:
        out.json(f"node.{verb}", 1, {**changes_json(changes), **more})
        return 0 if changes.ok else 1
    for each in changes.changes:
        where = f" for {each.where}" if each.where else ""
        out.text(f"{each.file or each.name}: {each.what}{where}")
    for note in changes.notes:
        out.note(f"note: {note}")
    return 0 if changes.ok else 1


def changes_json(changes: Changes) -> dict[str, object]:
    """The part of a document that all changing verbs have."""
    return {
        "ok": changes.ok,
        "changes": [
            {"what": e.what, "name": e.name, "where": e.where or None, "file": e.file or None}
            for e in changes.changes
        ],
        "notes": list(changes.notes),
    }
