"""The running system, brought to what is enabled: only if systemd will merge every image there is.

A merge is all or nothing: one image that systemd does not take ends that of all others, also of
those that were merged before. So everything it would find is judged first
(`sysgraft.image.lint.preflight`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sysgraft.host.systemd import RunningSystemd
from sysgraft.image import names
from sysgraft.node.activate import activate
from sysgraft.node.document import write_activation
from sysgraft.node.environment import read_environment
from sysgraft.node.foretelling import merge_target, refusal
from sysgraft.node.masking import found

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from sysgraft.formats.extension_release import Kind
    from sysgraft.host.systemd import Systemd
    from sysgraft.node.activation import Activation
    from sysgraft.node.changes import Record
    from sysgraft.node.node import Node


def refresh(
    node: Node,
    kind: Kind,
    record: Record,
    *,
    systemd: Systemd | None = None,
    asked: Collection[str] = (),
) -> None:
    """Activate what is enabled for this boot, and have systemd merge it.

    Args:
        node: the running system.
        kind: of extensions.
        record: gets what was done, or why it was not.
        systemd: who merges.
        asked: files that are to be merged.

    Raises:
        InputError, OutputError: the activation failed.
        ToolError: the merge failed all the same.
    """
    result = activate(node)
    systemd = systemd or RunningSystemd(read_environment(node.root))
    write_activation(result, node.root)
    for each in result.images:
        is_asked = each.candidate.file in asked and not each.linked
        if (each.is_problem or is_asked) and each.candidate.kind is kind:
            record.note(f"{each.candidate.file} is left out: {each.reason}")
            # What a more particular or newer one stands for was asked for, and is in order.
            record.ok = record.ok and (not is_asked or bool(each.shadowed_by))
    _tell_of_others(kind, result, record)
    bad = list(refused(node, kind, result))
    if bad:
        record.ok = False
        record.note(*bad, "nothing was merged anew: systemd would have merged nothing at all")
        return
    systemd.refresh(kind)
    _report(kind, result, record, systemd)


def _tell_of_others(kind: Kind, result: Activation, record: Record) -> None:
    """What nobody asked for and is merged all the same; what was not done."""
    for each in result.others:
        if each.kind is kind and not each.masked:
            record.ok = False
            record.note(f"{each.path} cannot be kept out: {each.reason}")
    if not result.complete:
        record.ok = False
        record.note(*result.notes)


def _report(kind: Kind, result: Activation, record: Record, systemd: Systemd) -> None:
    """What is merged now, and what should be."""
    merged = {name for each in systemd.merged(kind) for name in each.extensions}
    for each in result.images:
        if not each.linked or each.candidate.kind is not kind:
            continue
        if names.image_name(each.candidate.file, systemd_version=result.systemd) in merged:
            record.add("merged", each.candidate.name, "now", each.candidate.file)
        else:
            record.ok = False
            record.note(f"{each.candidate.file} was not merged, although nothing speaks against it")


def refused(node: Node, kind: Kind, result: Activation) -> Iterator[str]:
    """Why systemd would end the merge; nothing if it would not."""
    target = merge_target(node, result.policies[kind], result.certificates)
    for each in found(node, kind, result.systemd):
        reason = each.problem or refusal(each.path, target, kind, node.root)
        if reason:
            yield f"{each.path}: {reason}"
