"""Rules about types and attributes: does what has a role look like it to systemd?

UAPI.2; what systemd makes of it is in ``dissect_image`` (``src/shared/dissect-image.c``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sysgraft.disk import mending
from sysgraft.disk.report import Rule, idle
from sysgraft.disk.roles import (
    DISCOVERED,
    GENERIC,
    contradicts,
    name_of,
    no_auto_bit,
    type_of,
)
from sysgraft.disk.scene import described
from sysgraft.formats import partition_types

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from sysgraft.disk.report import Mend, PartitionReport
    from sysgraft.disk.scene import Scene

_NEVER: Final = {
    "LVM2_member": "a logical volume is never discovered",
    "linux_raid_member": "what is on a software RAID is never discovered",
    "ext2": "systemd takes common file systems only",
    "ext3": "systemd takes common file systems only",
    "ambiguous": "several file systems claim it, systemd takes none",
}


_HIDDEN: Final = ("LVM2_member", "linux_raid_member")


def type_rule(scene: Scene, role: str) -> Rule:
    """Whether all partitions with a role have its type, and nothing that contradicts it."""
    name = f"{role}-type"
    parts = scene.having(role)
    if not parts:
        return _root_missing(scene) if role == "root" else _absent(scene, role)
    return _judged(scene, name, parts)


def _judged(scene: Scene, name: str, parts: Sequence[PartitionReport]) -> Rule:
    faults = [fault for part in parts for fault in _faults(scene, part)]
    if faults:
        mends = (mend for _, each in faults for mend in each)
        return Rule(name, "fail", "; ".join(text for text, _ in faults), tuple(mends))
    texts = (f"{described(part)} has the type {part.type_name}" for part in parts)
    return Rule(name, "ok", ", ".join(texts))


def other_rule(scene: Scene) -> Rule:
    """The same of roles that a machine is not discovered by: verity, a home of its own."""
    name = "other-type"
    parts = [part for part in scene.partitions if part.role.name not in ("", GENERIC, *DISCOVERED)]
    if not parts:
        return idle(name, "no partition is known to be anything else")
    return _judged(scene, name, parts)


def _faults(scene: Scene, part: PartitionReport) -> Iterator[tuple[str, tuple[Mend, ...]]]:
    role, content = part.role.name, part.content
    wanted = type_of(role, scene.arch)
    if contradicts(role, content):
        more = f": {_NEVER[content]}" if content in _NEVER else ""
        yield f"{described(part)} holds {content}, which {role} cannot be{more}", ()
    elif part.partition.type_uuid != wanted:
        why = f"partition {part.number} is {role}: have systemd find it"
        mend = mending.set_type(scene.disk.path, part.number, wanted, why)
        hint = _other_architecture(part)
        text = f"has the type {part.type_name}, systemd looks for {name_of(wanted)}{hint}"
        certain = part.role.source != "type"
        yield f"{described(part)} {text}", (mend,) if certain else ()


def _other_architecture(part: PartitionReport) -> str:
    known = partition_types.lookup(part.partition.type_uuid)
    if known is None or known.arch is None or known.designator != part.role.name:
        return ""
    return f" (of a disk for other machines: say --arch {known.arch})"


def _absent(scene: Scene, role: str) -> Rule:
    elsewhere = scene.seen.elsewhere.get(role)
    text = f"no partition is known to be {role}"
    if not elsewhere:
        return idle(f"{role}-type", text)
    return Rule(f"{role}-type", "skipped", f"{text}; {elsewhere} is on another disk, or on several")


def _root_missing(scene: Scene) -> Rule:
    wanted = name_of(type_of("root", scene.arch))
    if scene.having("usr"):
        return Rule("root-type", "skipped", "there is a /usr, and no root: a volatile system")
    elsewhere = scene.seen.elsewhere.get("root")
    if elsewhere and not _unknown(scene):
        return Rule("root-type", "skipped", f"the root, {elsewhere}, is on another disk")
    hidden = [part for part in scene.partitions if not part.role.name and part.content in _HIDDEN]
    if hidden and not _unknown(scene):
        content = hidden[0].content
        text = f"partition {hidden[0].number} holds {content}, and no other could be a root"
        return Rule("root-type", "fail", f"{text}: {_NEVER[content]}")
    may_be = [f"{part.number} ({part.content or 'unknown'})" for part in _unknown(scene)]
    if not may_be:
        return Rule("root-type", "skipped", "no partition could be a root")
    text = f"no partition has the type {wanted}, and which one is the root is not known"
    return Rule("root-type", "fail", f"{text}: say --partition N=root, of {', '.join(may_be)}")


def _unknown(scene: Scene) -> list[PartitionReport]:
    """Partitions without a role that could be a root."""
    return [
        part
        for part in scene.partitions
        if part.role.name in ("", GENERIC) and not contradicts("root", part.content)
    ]


def no_auto_rule(scene: Scene) -> Rule:
    """Whether an attribute keeps systemd from a partition that has a role."""
    parts = [part for part in scene.partitions if part.role.name in DISCOVERED]
    if not parts:
        return idle("no-auto", "no partition is known to be for systemd")
    kept = [part for part in parts if _is_kept(part) and not _is_spare(scene, part)]
    if not kept:
        return Rule("no-auto", "ok", "no attribute keeps systemd from a partition")
    text = "; ".join(f"{described(part)} has {_bit_name(part)}" for part in kept)
    mends = tuple(
        mending.clear_bit(
            scene.disk.path,
            part.partition,
            no_auto_bit(part.role.name),
            f"let systemd take partition {part.number}, {part.role.name}",
        )
        for part in kept
    )
    return Rule("no-auto", "fail", text, mends)


def _is_kept(part: PartitionReport) -> bool:
    return bool(part.partition.attributes & no_auto_bit(part.role.name))


def _is_spare(scene: Scene, part: PartitionReport) -> bool:
    """Whether nothing but its type says what it is for, and another partition is there for that."""
    others = (other for other in scene.having(part.role.name) if not _is_kept(other))
    return part.role.source == "type" and next(others, None) is not None


def _bit_name(part: PartitionReport) -> str:
    if part.role.name == "esp":
        return "attribute 1 (no block I/O protocol), which systemd passes over"
    return "attribute 63 (no-auto)"


def type_rules(scene: Scene) -> Iterator[Rule]:
    """A rule for each role that a machine is discovered by."""
    for role in DISCOVERED:
        yield type_rule(scene, role)
    yield other_rule(scene)
