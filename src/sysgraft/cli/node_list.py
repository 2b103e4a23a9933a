"""``sysgraft node list``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sysgraft.cli.node_common import this_node, wanted_profiles
from sysgraft.cli.output import human_size
from sysgraft.node.inventory import take_inventory

if TYPE_CHECKING:
    import argparse

    from sysgraft.cli.output import Output
    from sysgraft.node.inventory import Inventory, Item


def run(arguments: argparse.Namespace, out: Output) -> int:
    """List what there is."""
    node = this_node(arguments, out)
    kind = arguments.type or ""
    found = take_inventory(node, profiles=wanted_profiles(arguments), kind=kind)
    if out.json_wanted:
        out.json("node.list", 1, _document(found))
        return 0
    if not (found.items or found.placed):
        out.text("nothing is installed")
    rows = [
        (each.stored.name, each.kind, _places(each), human_size(each.stored.size))
        for each in found.items
    ]
    if rows:
        out.table([("NAME", "TYPE", "ENABLED FOR", "SIZE"), *rows])
    if found.placed:
        out.text()
        out.table(
            [
                ("ON THE ESP", "FOR", "FOLDER"),
                *((each.file, each.where, each.folder) for each in found.placed),
            ]
        )
    for flaw in found.flaws:
        out.note(f"note: {flaw.path}: {flaw.reason}")
    for note in found.notes:
        out.note(f"note: {note}")
    return 0


def _places(item: Item) -> str:
    mapped = [f"{each} (map)" for each in item.mapped if each not in item.profiles]
    return ", ".join([*item.profiles, *mapped]) or "-"


def _document(found: Inventory) -> dict[str, object]:
    return {
        "installed": [
            {
                "type": each.kind,
                "name": each.stored.name,
                "family": each.stored.family,
                "version": each.stored.version or None,
                "file": each.stored.file,
                "path": each.stored.path,
                "size": each.stored.size,
                "enabled": list(each.profiles),
                "mapped": list(each.mapped),
            }
            for each in found.items
        ],
        "placed": [
            {"file": each.file, "entry": each.where, "folder": each.folder, "size": each.size}
            for each in found.placed
        ],
        "flaws": [{"path": each.path, "reason": each.reason} for each in found.flaws],
        "notes": list(found.notes),
    }
