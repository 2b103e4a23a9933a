"""Whether systemd will find what is on a disk by the types of its partitions.

The entry is `check_disk`. Nothing is written and nothing is mounted; what a partition is for is
told by what this machine has mounted, by the caller, by what is in it where that is certain, and by
the type it has, in this order. What remains is said to be unknown.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from sysgraft.base import arch as arches
from sysgraft.disk import rules_system, rules_table, rules_types
from sysgraft.disk.content import look_into
from sysgraft.disk.machine_id import read_machine_id, var_uuid
from sysgraft.disk.mounted import look
from sysgraft.disk.opening import Machine, open_disk
from sysgraft.disk.report import RULES, DiskReport, PartitionReport, Role, Rule, idle
from sysgraft.disk.roles import GENERIC, name_of
from sysgraft.disk.scene import Scene
from sysgraft.disk.subvolumes import read_btrfs
from sysgraft.errors import UsageError
from sysgraft.formats import partition_types
from sysgraft.host.architecture import this_architecture
from sysgraft.host.block import forget_cached
from sysgraft.host.files import OpenFile

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from sysgraft.disk.content import Content
    from sysgraft.disk.mounted import Found, Seen
    from sysgraft.disk.opening import Disk
    from sysgraft.disk.subvolumes import Btrfs
    from sysgraft.formats.gpt import Partition


@dataclass(frozen=True, slots=True)
class CheckOptions:
    """How a disk is looked at.

    Attributes:
        root: the folder that the root of the system is mounted at; empty for the running one.
        arch: of the machine that will start from it; empty for this one.
        roles: what partitions are for, by their numbers.
        machine: where this machine says what it has mounted.
    """

    root: str = ""
    arch: str = ""
    roles: Mapping[int, str] = field(default_factory=dict)
    machine: Machine = field(default_factory=Machine)


def check_disk(path: str, options: CheckOptions) -> DiskReport:
    """Look at a disk or image.

    Raises:
        InputError: it cannot be read.
        UsageError: a partition that was named is not there, or is something else.
    """
    with open_disk(path, options.machine) as disk:
        return _report(disk, survey(disk, options), options)


def survey(disk: Disk, options: CheckOptions) -> Scene:
    """What is known of an open disk.

    Raises:
        UsageError: a partition that was named is not there, or is something else.
    """
    there = {part.index + 1 for part in disk.partitions}
    if disk.tables and (missing := sorted(options.roles.keys() - there)):
        raise UsageError(f"there is no partition {missing[0]}", file=disk.path)
    contents = {part.index + 1: look_into(disk.content(part)) for part in disk.partitions}
    seen = look(disk, contents, options.root, options.machine)
    _refuse_contradictions(disk.path, options.roles, seen)
    contents = _certain(disk, contents, seen, options.roles)
    volumes: dict[tuple[int, int], Btrfs] = {}
    parts = tuple(
        _partition(disk, part, contents[part.index + 1], seen, options, volumes)
        for part in disk.partitions
    )
    machine_id = read_machine_id(options.root) if options.root or seen.root_is_here else None
    arch = arches.normalize(options.arch) if options.arch else this_architecture()
    return Scene(disk, arch, parts, seen, var_uuid(machine_id) if machine_id else None)


def _refuse_contradictions(path: str, roles: Mapping[int, str], seen: Seen) -> None:
    for number, role in sorted(roles.items()):
        found = seen.partitions.get(number)
        if found and found.role != role:
            raise UsageError(
                f"partition {number} is {found.role} ({found.why}), not {role}",
                file=path,
                hint="unmount it if that is not what it is for",
            )


# --- Partitions ----------------------------------------------------------------------------------


def _certain(
    disk: Disk, contents: Mapping[int, Content], seen: Seen, told: Mapping[int, str]
) -> dict[int, Content]:
    """Contents that tell a role only where nothing speaks against it.

    The type has to be the generic one, or that of the role. An ESP by its content is only one, and
    only if no other partition is an ESP.
    """
    types = {part.index + 1: _designator(part) for part in disk.partitions}
    others = {number: found.role for number, found in seen.partitions.items()}
    known = {**types, **told, **others}
    maybe = [
        number
        for number, content in contents.items()
        if content.role == "esp" and known[number] == GENERIC
    ]
    has_esp = "esp" in known.values()
    certain = {}
    for number, content in contents.items():
        fits = types[number] in (GENERIC, content.role)
        one_of_many = number in maybe and (has_esp or len(maybe) > 1)
        certain[number] = content if fits and not one_of_many else content._replace(role="")
    return certain


def _designator(part: Partition) -> str:
    known = partition_types.lookup(part.type_uuid)
    return known.designator if known else ""


def _partition(
    disk: Disk,
    part: Partition,
    content: Content,
    seen: Seen,
    options: CheckOptions,
    volumes: dict[tuple[int, int], Btrfs],
) -> PartitionReport:
    number = part.index + 1
    found = seen.partitions.get(number)
    role = _role(part, content, found, options.roles.get(number, ""))
    return PartitionReport(
        partition=part,
        type_name=name_of(part.type_uuid),
        content=content.name,
        role=role,
        btrfs=_btrfs(disk, part, content.name, found, volumes),
    )


def _role(part: Partition, content: Content, found: Found | None, told: str) -> Role:
    if found:
        mount = found.mount
        seen = mount.root if mount and mount.kind == "btrfs" else ""
        return Role(found.role, "mounted", found.why, mount.place if mount else "", seen)
    if told:
        return Role(told, "option", "as it was said")
    designator = _designator(part)
    if content.role:
        return Role(content.role, "content", content.why)
    if designator not in ("", GENERIC):
        return Role(designator, "type", "by its type")
    return Role("", "", "what it is for is not known")


def _btrfs(
    disk: Disk,
    part: Partition,
    content: str,
    found: Found | None,
    volumes: dict[tuple[int, int], Btrfs],
) -> Btrfs | None:
    """Its subvolumes; of an encrypted one that is open, through the device it is mounted from."""
    blob = disk.content(part)
    if content == "btrfs" and blob is not None:
        place = (part.offset, part.size)
        if place not in volumes:  # entries may name one place many times
            volumes[place] = read_btrfs(blob)
        return volumes[place]
    mount = found.mount if found else None
    if mount is None or mount.kind != "btrfs" or not mount.source.startswith("/"):
        return None
    forget_cached(mount.source)
    with OpenFile(mount.source) as opened:
        return read_btrfs(opened)


# --- The report ----------------------------------------------------------------------------------


def _report(disk: Disk, scene: Scene, options: CheckOptions) -> DiskReport:
    tables = disk.tables
    found = {rule.name: rule for rule in _rules(scene)} if disk.partitions else {}
    gpt = rules_table.gpt_rule(disk)
    if gpt.status == "fail":  # programs may see another table, and write into that
        found = {name: each._replace(mends=()) for name, each in found.items()}
    found["gpt"] = gpt
    nothing = "there are no partitions that can be discovered"
    return DiskReport(
        disk=disk.path,
        arch=scene.arch,
        root=options.root,
        size=disk.blob.size,
        sector_size=tables.sector_size if tables else None,
        disk_uuid=tables.disk_uuid if tables else None,
        mbr=disk.mbr,
        flaws=tables.flaws if tables else (),
        partitions=scene.partitions,
        rules=tuple(found.get(name) or idle(name, nothing) for name in RULES),
        notes=tuple(rules_table.notes(scene)),
    )


def _rules(scene: Scene) -> Iterator[Rule]:
    yield from rules_types.type_rules(scene)
    yield rules_types.no_auto_rule(scene)
    yield rules_system.root_disk_rule(scene)
    yield rules_system.choice_rule(scene)
    yield rules_system.var_uuid_rule(scene)
    yield rules_system.btrfs_rule(scene)
