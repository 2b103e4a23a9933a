"""Rules about how partitions fit together: one disk, one choice, one installation, one default.

systemd-gpt-auto-generator(8) and udev's ``find_gpt_root``; UAPI.2, "Suggested Mode of Operation".
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from sysgraft.disk import mending
from sysgraft.disk.choosing import candidates, chosen
from sysgraft.disk.report import Mend, Rule, idle
from sysgraft.disk.roles import DISCOVERED, PLACES, VERSIONED, no_auto_bit, type_of
from sysgraft.disk.scene import described
from sysgraft.disk.subvolumes import called

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sysgraft.disk.opening import Disk
    from sysgraft.disk.report import PartitionReport
    from sysgraft.disk.scene import Scene
    from sysgraft.disk.subvolumes import Btrfs
    from sysgraft.formats.btrfs.volume import Subvolume
    from sysgraft.formats.gpt import Partition


# --- The root and the ESP are on one disk --------------------------------------------------------


def root_disk_rule(scene: Scene) -> Rule:
    """Whether the root is on the disk that the machine starts from."""
    name = "root-disk"
    roots, loaders = scene.having("root"), [*scene.having("esp"), *scene.having("xbootldr")]
    elsewhere = scene.seen.elsewhere
    if not roots and loaders and "root" in elsewhere:
        text = f"the root, {elsewhere['root']}, is on another disk than the ESP, or on several"
        return Rule(name, "fail", f"{text}: systemd looks for it on the disk of the ESP only")
    if not roots:
        return idle(name, "no partition is known to be root")
    if loaders:
        return Rule(name, "ok", "root and boot partition are on this disk")
    if "esp" in elsewhere:
        text = f"the ESP, {elsewhere['esp']}, is on another disk"
        return Rule(name, "fail", f"{text}: systemd looks for a root on the disk of the ESP only")
    return Rule(name, "skipped", "no ESP on this disk: a container has its root, a machine has not")


# --- Which one is taken --------------------------------------------------------------------------


def choice_rule(scene: Scene) -> Rule:
    """Whether systemd takes the partition that is meant, where several have a type.

    Of the disk as it will be once the other rules are kept.
    """
    mended = tuple(_mended(part, scene.arch) for part in scene.partitions)
    faults, fine = [], []
    for role in DISCOVERED:
        found = candidates(mended, role, scene.arch)
        taken = chosen(mended, role, scene.arch, var_uuid=scene.var_uuid)
        if len(found) < 2 or taken is None:
            continue
        text = f"of {_numbers(found)} {role} is partition {taken.index + 1}, {_because(role)}"
        fault = _passed_over(scene, role, taken.index + 1)
        faults += [f"{text}; {fault}"] * bool(fault)
        fine += [text] * (not fault)
    if faults:
        why = "give the others another type or the no-auto attribute, or this one a newer label"
        return Rule("choice", "fail", "; ".join(faults), (Mend(why),))
    return Rule("choice", "ok", "; ".join(fine) or "no type is there twice")


def _mended(part: PartitionReport, arch: str) -> Partition:
    """A partition with the type and attributes of its role; what its type alone says stays."""
    role, entry = part.role, part.partition
    if role.source in ("", "type"):
        return entry
    attributes = entry.attributes & ~no_auto_bit(role.name)
    return replace(entry, type_uuid=type_of(role.name, arch), attributes=attributes)


def _passed_over(scene: Scene, role: str, taken: int) -> str:
    """Which partition is meant and not taken; of swap all are meant."""
    meant = [part for part in scene.having(role) if part.role.source in ("mounted", "option")]
    others = [part for part in meant if part.number != taken]
    if not others or (len(others) < len(meant) and role != "swap"):
        return ""
    return f"{described(others[0])} is meant{' too' if len(others) < len(meant) else ''}"


def _numbers(found: tuple[Partition, ...]) -> str:
    return f"partitions {', '.join(str(part.index + 1) for part in found)}"


def _because(role: str) -> str:
    return "by the newest label" if role in VERSIONED else "the first"


# --- /var belongs to one installation ------------------------------------------------------------


def var_uuid_rule(scene: Scene) -> Rule:
    """Whether a partition for /var is bound to the installation on the disk."""
    name, parts = "var-uuid", scene.having("var")
    if not parts:
        return idle(name, "no partition is known to be var")
    rule = "the UUID of a partition for /var is derived from the machine ID"
    if scene.var_uuid is None:
        return Rule(name, "skipped", f"{rule}, and that is not known: say --root")
    other = [part for part in parts if part.partition.uuid != scene.var_uuid]
    if len(other) < len(parts):
        return Rule(name, "ok", f"{rule}, and this one is")
    why = f"bind partition {other[0].number} to this installation; /etc/fstab may name the old UUID"
    mend = mending.set_uuid(scene.disk.path, other[0].number, scene.var_uuid, why)
    found = other[0].partition.uuid
    text = f"{rule}: partition {other[0].number} has {found}, systemd wants {scene.var_uuid}"
    return Rule(name, "fail", text, (mend,))


# --- The default subvolume -----------------------------------------------------------------------


def btrfs_rule(scene: Scene) -> Rule:
    """Whether a mount without options gives the subvolume that is meant."""
    name = "btrfs-default"
    parts = [part for part in scene.partitions if part.btrfs and part.role.name in PLACES]
    if not parts:
        if unknown := [part for part in scene.partitions if part.btrfs]:
            text = f"what the btrfs in partition {unknown[0].number} is for is not known"
            return Rule(name, "skipped", text)
        return idle(name, "no partition with a role holds btrfs")
    results = [
        result for part in parts if part.btrfs for result in _default(scene.disk, part, part.btrfs)
    ]
    for status in ("fail", "ok"):
        chosen_ones = [rule for rule in results if rule.status == status]
        if chosen_ones:
            text = "; ".join(rule.reason for rule in chosen_ones)
            mends = tuple(mend for rule in chosen_ones for mend in rule.mends)
            return Rule(name, chosen_ones[0].status, text, mends)
    return Rule(name, "skipped", "; ".join(rule.reason for rule in results))


def _default(disk: Disk, part: PartitionReport, found: Btrfs) -> Iterator[Rule]:
    name, who = "btrfs-default", f"partition {part.number}"
    if found.default is None:
        yield Rule(name, "skipped", f"{who}: {found.problem}")
        return
    wanted, why = _wanted(part, found)
    if wanted is None:
        yield Rule(name, "skipped", f"{who}: {why}; the default is {called(found.default)}")
    elif wanted == found.default:
        yield Rule(name, "ok", f"{who}: the default is {called(wanted)}, {why}")
    else:
        text = f"{who}: the default is {called(found.default)}, not {called(wanted)}, {why}"
        mend = mending.set_default(disk, part, found.default, wanted)
        yield Rule(name, "fail", text, (mend,))


def _wanted(part: PartitionReport, found: Btrfs) -> tuple[Subvolume | None, str]:
    """The subvolume that should be the default, and how that is known."""
    role = part.role
    if role.seen:
        wanted = found.holding(role.seen)
        which = "which is" if wanted else f"of no known subvolume is what is, {role.seen},"
        return wanted, f"{which} mounted at {role.place}"
    if role.name != "root":
        return None, f"which subvolume is {role.name} is not known"
    if found.default in found.systems:
        return found.default, "where a system is"
    likely = found.likely_system()
    if likely:
        return likely, "where the system is"
    if found.systems:
        return None, f"several may be the root: {', '.join(map(called, found.systems))}"
    return None, "no subvolume holds a system (usr and etc)"
