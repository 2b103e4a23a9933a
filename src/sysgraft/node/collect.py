"""Installed images that nothing enables: told, and removed (``gc``)."""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING

from sysgraft.errors import InputError, UsageError
from sysgraft.host.places import is_plain_folder, unlink_if_there
from sysgraft.node.changes import Record
from sysgraft.node.changing import changing
from sysgraft.node.esp import Esp
from sysgraft.node.layout import SIDECARS
from sysgraft.node.mapping import is_denied, profiles_for
from sysgraft.node.placing import placed, policy_file
from sysgraft.node.versions import version_key

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from sysgraft.node.changes import Changes
    from sysgraft.node.node import Node
    from sysgraft.node.store import Store, Stored


def collect(node: Node, *, keep: int = 0, dry_run: bool = False) -> Changes:
    """Remove what no boot entry has, by link, map or copy.

    Args:
        node: the system.
        keep: how many of the newest versions of each extension stay all the same.
        dry_run: whether it is told only.

    Raises:
        UsageError: fewer than no versions are to be kept.
        InputError: a store or the partition cannot be read.
        OutputError: something cannot be removed.
        ToolError: another process is at it.
    """
    if keep < 0:
        raise UsageError(f"{keep} versions are to be kept")
    record = Record()
    with contextlib.nullcontext() if dry_run else changing(node, record):
        on_esp = _on_esp(node, record)
        for store in node.stores:
            if store.exists():
                _collect(store, _unused(node, store, on_esp, keep), record, dry_run=dry_run)
    return record.done()


def _collect(store: Store, unused: Iterator[Stored], record: Record, *, dry_run: bool) -> None:
    for each in unused:
        if not dry_run:
            unlink_if_there(each.path)
            unlink_if_there(store.path(policy_file(each.name)))
        record.add("would be removed" if dry_run else "removed", each.name, "", each.file)


def _on_esp(node: Node, record: Record) -> frozenset[str]:
    if not node.esp:
        if node.has_uefi:
            raise InputError(
                "no EFI system partition is mounted: nobody can tell what lies there",
                file=node.root,
                hint="mount it, or name its folder with --esp",
            )
        return frozenset()
    try:
        return frozenset(each.file for each in placed(Esp(node)))
    except InputError as error:
        record.note(f"the EFI system partition was not looked at: {error}")
        raise


def _unused(node: Node, store: Store, on_esp: frozenset[str], keep: int) -> Iterator[Stored]:
    files = store.files()
    used = {*_linked(store), *on_esp}
    rules = node.settings.rules if store.kind != SIDECARS else ()
    # Of what is denied none counts: the version before it is in force.
    mapped = profiles_for(
        [e.name for e in files if not is_denied(e.name, node.settings.deny)], rules
    )
    kept = {each.file for family in _families(files) for each in family[:keep]}
    for each in files:
        if each.file not in used | kept and not mapped.get(each.name):
            yield each


def _linked(store: Store) -> Iterator[str]:
    """Names in all folders of links: also a link that does not count shows that a file is wanted.

    Raises:
        InputError: a link stands for such a folder.
    """
    for name in os.listdir(store.folder):
        place = store.path(name)
        if os.path.isdir(place) and is_plain_folder(store.root, place):
            yield from os.listdir(place)


def _families(files: Sequence[Stored]) -> Iterator[list[Stored]]:
    """The versions of each extension, the newest first."""
    for family in dict.fromkeys(each.family for each in files):
        versions = [each for each in files if each.family == family]
        yield sorted(versions, key=lambda each: version_key(each.name), reverse=True)
