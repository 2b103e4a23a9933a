"""What a node has: installed files, the boot entries they are for, and what lies on the ESP."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from sysgraft.errors import InputError
from sysgraft.node.layout import SIDECARS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sysgraft.node.node import Node
    from sysgraft.node.placing import Placed
    from sysgraft.node.store import Flaw, Stored


class Item(NamedTuple):
    """An installed file.

    Attributes:
        kind: sysext, confext, or sidecar.
        stored: the file.
        profiles: for which entries it is enabled in the store.
        mapped: for which entries the map of the configuration has it.
    """

    kind: str
    stored: Stored
    profiles: tuple[str, ...]
    mapped: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Inventory:
    """All of it.

    Attributes:
        items: installed files, by kind and name.
        placed: what lies on the EFI system partition.
        flaws: links that lead nowhere, or elsewhere, and what is no file.
        notes: what was not looked at.
    """

    items: tuple[Item, ...]
    placed: tuple[Placed, ...]
    flaws: tuple[Flaw, ...]
    notes: tuple[str, ...]


def take_inventory(node: Node, *, profiles: Sequence[str] = (), kind: str = "") -> Inventory:
    """What is there.

    Args:
        node: the system.
        kind: of stores; empty for all, and for what lies on the partition.
        profiles: only what is for these, or for all; empty for everything.

    Raises:
        InputError: a store cannot be read.
    """
    flaws: list[Flaw] = []
    kinds = [store.kind for store in node.stores if kind in ("", store.kind)]
    items = [each for each_kind in kinds for each in _items(node, each_kind, flaws)]
    notes: list[str] = []
    found = _placed(node, notes)
    if kind:
        found = tuple(e for e in found if node.store(kind).takes(e.file))
    if profiles:
        wanted = {*profiles}
        items = [each for each in items if wanted & {*each.profiles, *each.mapped}]
        found = tuple(e for e in found if {e.where, str(node.role_of(e.where))} & wanted)
    return Inventory(tuple(items), found, tuple(dict.fromkeys(flaws)), tuple(notes))


def _items(node: Node, kind: str, flaws: list[Flaw]) -> list[Item]:
    store = node.store(kind)
    files = store.files(flaws)
    enabled = {profile: store.enabled(profile, flaws) for profile in store.profiles()}
    mapped = _mapped(node, [each.name for each in files]) if kind != SIDECARS else {}
    return [
        Item(
            kind,
            each,
            tuple(profile for profile, names in enabled.items() if each.file in names),
            mapped.get(each.name, ()),
        )
        for each in files
    ]


def _mapped(node: Node, names: Sequence[str]) -> dict[str, tuple[str, ...]]:
    if not node.settings.rules:
        return {}
    from sysgraft.node.mapping import profiles_for  # noqa: PLC0415  most nodes have no map

    return dict(profiles_for(names, node.settings.rules))


def _placed(node: Node, notes: list[str]) -> tuple[Placed, ...]:
    if not node.esp:
        return ()
    from sysgraft.node.esp import Esp  # noqa: PLC0415  reads programs
    from sysgraft.node.placing import placed  # noqa: PLC0415

    try:
        return placed(Esp(node))
    except InputError as error:
        notes.append(f"the EFI system partition was not looked at: {error}")
        return ()
