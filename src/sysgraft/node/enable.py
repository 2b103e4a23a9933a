"""What is enabled for which boot entries, changed; and, if wanted, the running system with it.

    enable(node, "firmware", ["active"], EnableOptions(now=True))

In the store this is a link for each kind of entry, on the EFI system partition a copy in each
entry's set. With ``now`` the running system changes too, if the change concerns this boot, and only
after every image that systemd would find was judged: one that would end the merge of all stops it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias

from sysgraft.formats.extension_release import Kind
from sysgraft.host.places import unlink_if_there
from sysgraft.node import links, now
from sysgraft.node.changes import Record
from sysgraft.node.changing import changing
from sysgraft.node.esp import Esp
from sysgraft.node.layout import COMMON, ROLES, SIDECARS
from sysgraft.node.placing import carry_out, place, policy_file, take_off
from sysgraft.node.run_links import unlink
from sysgraft.node.selection import select

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from sysgraft.host.systemd import Systemd
    from sysgraft.node.changes import Changes
    from sysgraft.node.node import Node
    from sysgraft.node.selection import Selected

Placement: TypeAlias = Literal["store", "esp"]


@dataclass(frozen=True, slots=True, kw_only=True)
class EnableOptions:
    """How to enable or disable.

    Attributes:
        placement: ``store``, or ``esp`` for the EFI system partition, where the stub measures it.
        now: whether the running system is changed as well.
        kinds: of stores; empty for all.
        systemd: who is asked to merge; None for this machine's.
    """

    placement: Placement = "store"
    now: bool = False
    kinds: tuple[str, ...] = ()
    systemd: Systemd | None = None


def enable(
    node: Node, pattern: str, profiles: Sequence[str], options: EnableOptions | None = None
) -> Changes:
    """Enable what a name or glob means, for boot entries.

    Args:
        node: the system.
        pattern: see `sysgraft.node.selection`.
        profiles: roles, names of entries, ``common``.
        options: how.

    Raises:
        UsageError: the pattern is none, or the system does not run.
        InputError: nothing of that name is installed, or there is no such entry.
        OutputError: something cannot be written.
        ToolError: another process is at it.
    """
    return _change(_enable, node, pattern, profiles, options)


_Step: TypeAlias = "Callable[[Node, Selected, Sequence[str], EnableOptions, Record], None]"


def _change(
    step: _Step,
    node: Node,
    pattern: str,
    profiles: Sequence[str],
    options: EnableOptions | None,
) -> Changes:
    """Take a step with each file that is meant, then bring the running system to it if wanted."""
    options = options or EnableOptions()
    if options.now:
        node.require_live("--now")
    record = Record()
    with changing(node, record):
        selected = select(node, pattern, kinds=options.kinds)
        for each in selected:
            step(node, each, profiles, options, record)
        if options.now:
            _merge_now(node, selected, profiles, options, record)
    return record.done()


def _enable(
    node: Node,
    selected: Selected,
    profiles: Sequence[str],
    options: EnableOptions,
    record: Record,
) -> None:
    store, stored = selected
    if options.placement == "esp" or store.kind == SIDECARS:
        plan = place(node, store, stored.file, name=stored.name, profiles=profiles)
        if not plan.changes:
            record.note(f"{stored.file} lies there already")
        carry_out([plan], record, what="placed", name=stored.name)
        return
    _note_unknown(node, profiles, record)
    for profile in profiles:
        if links.enable(store, profile, stored.file):
            record.add("enabled", stored.name, profile, stored.file)
        else:
            record.note(f"{stored.file} is enabled for {profile} already")


def _note_unknown(node: Node, profiles: Sequence[str], record: Record) -> None:
    """A name that no boot entry has may be a mistyped one, or one of an entry that is to come."""
    named = [each for each in profiles if each not in (*ROLES, COMMON)]
    if not named or not node.esp:
        return
    known = {each.name for each in Esp(node).images} | {node.boot.entry} - {""}
    for each in named:
        if each not in known:
            record.note(f"there is no boot entry {each}; there are: {', '.join(sorted(known))}")


def _merge_now(
    node: Node,
    selected: Sequence[Selected],
    profiles: Sequence[str],
    options: EnableOptions,
    record: Record,
) -> None:
    if options.placement == "esp":
        record.note("what lies on the EFI system partition counts from the next boot on")
        return
    if not set(profiles) & set(node.boot.profiles):
        record.note(f"this boot ({node.boot.entry or 'of an unknown entry'}) is not concerned")
        return
    asked = [each.stored.file for each in selected]
    for kind in Kind:
        if any(each.store.kind == kind for each in selected):
            now.refresh(node, kind, record, systemd=options.systemd, asked=asked)


def disable(
    node: Node, pattern: str, profiles: Sequence[str], options: EnableOptions | None = None
) -> Changes:
    """Disable what a name or glob means, for boot entries; raises as `enable`."""
    return _change(_disable, node, pattern, profiles, options)


def _disable(
    node: Node,
    selected: Selected,
    profiles: Sequence[str],
    options: EnableOptions,
    record: Record,
) -> None:
    store, stored = selected
    if options.placement == "esp" or store.kind == SIDECARS:
        plan = take_off(node, stored.file, name=stored.name, profiles=profiles)
        carry_out([plan], record, what="taken off", name=stored.name)
        if not plan.changes:
            record.note(f"{stored.file} does not lie there")
        return
    for profile in profiles:
        if links.disable(store, profile, stored.file):
            record.add("disabled", stored.name, profile, stored.file)
        else:
            record.note(f"{stored.file} is not enabled for {profile}")


def remove(node: Node, pattern: str, options: EnableOptions | None = None) -> Changes:
    """Remove what a name or glob means: from every boot entry, then from the store.

    Links and copies go first, so that at no time something leads to an image that is gone.

    Raises:
        UsageError, InputError, OutputError, ToolError: as `enable`.
    """
    options = options or EnableOptions()
    if options.now:
        node.require_live("--now")
    record = Record()
    with changing(node, record):
        selected = select(node, pattern, kinds=options.kinds)
        for each in selected:
            _unlink_everywhere(node, each, record)
        if options.now:
            _merge_now(node, selected, node.boot.profiles, options, record)
        for store, stored in selected:
            if store.kind != SIDECARS and unlink(node, Kind(store.kind), stored.file):
                record.note(f"{stored.file} stays merged until the next boot, or --now")
            unlink_if_there(stored.path)
            unlink_if_there(store.path(policy_file(stored.name)))
            record.add("removed", stored.name, "", stored.file)
    return record.done()


def _unlink_everywhere(node: Node, selected: Selected, record: Record) -> None:
    store, stored = selected
    for profile in _linked(selected):
        if links.disable(store, profile, stored.file):
            record.add("disabled", stored.name, profile, stored.file)
    if node.esp:
        plan = take_off(node, stored.file, name=stored.name)
        carry_out([plan], record, what="taken off", name=stored.name)


def _linked(selected: Selected) -> Iterator[str]:
    """Folders with a link of the file's name, sound or not."""
    yield from selected.store.profiles()
