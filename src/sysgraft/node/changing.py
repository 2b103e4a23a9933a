"""A command that changes a node: alone, and with what an interrupted one has left put right first.

What is planned depends on what is there: a set that lies under another name since a power cut would
look like one that was never made.
"""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING, Final

from sysgraft.errors import InputError, OutputError
from sysgraft.formats.stub_folders import GLOBAL, POLICY
from sysgraft.host.places import unlink_if_there
from sysgraft.host.remounting import writable
from sysgraft.node.esp import Esp
from sysgraft.node.leftovers import has_leftovers, put_right
from sysgraft.node.placing import policy_file

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sysgraft.node.changes import Record
    from sysgraft.node.node import Node
    from sysgraft.node.store import Store

TEMPORARY: Final = ".sysgraft-"
"""The beginning of names of what was on its way when something ended the process."""


@contextlib.contextmanager
def changing(node: Node, record: Record) -> Iterator[None]:
    """As long as the context lasts nobody else changes the node; nothing half done is left there.

    Args:
        node: the system.
        record: gets what was put right, and what could not be.

    Raises:
        InputError: a link is on the way to a store.
        OutputError: the store cannot be made.
        ToolError: another process is at it.
    """
    with node.alone():
        for store in node.stores:
            if store.exists():
                _sweep(store)
        if node.esp:
            _repair(node, record)
        yield


def _sweep(store: Store) -> None:
    """Remove what was on its way, or was to go; in a store that is read-only it stays."""
    left = [store.path(name) for name in _policies_alone(store)]
    for folder in (store.folder, *map(store.path, store.profiles())):
        left += [
            os.path.join(folder, name)
            for name in os.listdir(folder)
            if name.startswith(TEMPORARY) and not name.endswith(".json")
        ]
    for path in left:
        with contextlib.suppress(OutputError):
            unlink_if_there(path)


def _policies_alone(store: Store) -> Iterator[str]:
    """Signed policies whose extension is gone: another one of its name must not get them."""
    known = {policy_file(each.name) for each in store.files()}
    yield from (name for name in os.listdir(store.folder) if _is_policy(name) and name not in known)


def _is_policy(name: str) -> bool:
    return name.endswith(POLICY) and not name.startswith(".")


def _repair(node: Node, record: Record) -> None:
    """Put back and empty what is left of changes of sets; what cannot be is told."""
    try:
        esp = Esp(node)
        folders = dict.fromkeys([*(each.folder for each in esp.images), *GLOBAL])
    except InputError as error:
        record.note(str(error))
        return
    for each in folders:
        try:
            if has_leftovers(esp.place, each):
                with writable(esp.place):
                    record.note(*put_right(esp.place, each))
        except (InputError, OutputError) as error:
            record.note(f"{error}{f' ({error.hint})' if error.hint else ''}")
