"""Which partitions of an image form the extension, by systemd's rules.

Follows systemd's ``dissect-image.c``: partitions are told by their type, and ``_empty`` and no-auto
ones are passed over. Of two root, usr, hash or signature partitions the one with the higher label
wins, of others the first. Arrangements that systemd refuses are refused here, and so are images for
several architectures, of which each machine uses another part. Types, labels and attributes are
not signed: where they decide which of several partitions is used, `Dissection.ambiguity` says so.
Verity is not checked here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from sysgraft.base import version
from sysgraft.base.blob import SubBlob
from sysgraft.errors import FormatError, UnsupportedError
from sysgraft.formats import fstype, gpt, partition_types
from sysgraft.formats.image_policy_flags import DATA_OF, VERITY_OF

if TYPE_CHECKING:
    from sysgraft.base.blob import Blob
    from sysgraft.formats.gpt import Partition, Table

# Whose label is taken for a version (partition_designator_is_versioned()).
VERSIONED: Final = frozenset({*VERITY_OF, *DATA_OF})


class Member(NamedTuple):
    """One partition that systemd would look at.

    Attributes:
        designator: its role ("root", "root-verity", "usr-verity-sig", "esp" …).
        architecture: in systemd's spelling, None for types without one.
        partition: its entry in the table.
        fstype: the file system in it, None where there is none known.
    """

    designator: str
    architecture: str | None
    partition: Partition
    fstype: str | None


class Dissection(NamedTuple):
    """The members of an image.

    Attributes:
        table: the partition table, None for a bare file system.
        members: one for each designator, in the order of the table.
        bare_fstype: the file system of an image without a table.
        rivals: further partitions of a designator that has one already.
        passed_over: partitions that are empty, hidden (no-auto) or of no known type.
    """

    table: Table | None
    members: tuple[Member, ...]
    bare_fstype: str | None = None
    rivals: tuple[Member, ...] = ()
    passed_over: tuple[Partition, ...] = ()

    def member(self, designator: str) -> Member | None:
        """The partition with this role."""
        return next((m for m in self.members if m.designator == designator), None)

    @property
    def data(self) -> Member | None:
        """The partition with the extension's files."""
        return self.member("root") or self.member("usr")

    @property
    def verity(self) -> Member | None:
        """Its hash partition."""
        return self.data and self.member(f"{self.data.designator}-verity")

    @property
    def signature(self) -> Member | None:
        """Its signature partition."""
        return self.data and self.member(f"{self.data.designator}-verity-sig")

    @property
    def architecture(self) -> str | None:
        """What the data partition's type says."""
        return self.data.architecture if self.data else None

    @property
    def ambiguity(self) -> str:
        """Why another reader may use other partitions; empty where none would.

        systemd prefers the partitions of its own architecture, then higher labels.
        """
        rivals = [member for member in self.rivals if member.designator in VERSIONED]
        if rivals:
            names = f"{rivals[0].designator} partition"
            return f"more than one {names}: which one is used, unsigned names and types decide"
        system = [member for member in self.members if member.designator in VERSIONED]
        if len({member.architecture for member in system}) > 1:
            return "partitions for several architectures: which are used, the host decides"
        if self.member("root") and self.member("usr"):
            return "both a root and a usr partition: no signature covers the two"
        return ""

    @property
    def bystanders(self) -> tuple[Partition, ...]:
        """Partitions that the signature does not cover, in use or not."""
        others = [each for each in self.members if each.designator not in VERSIONED]
        return (*(each.partition for each in others), *self.passed_over)


def dissect(blob: Blob) -> Dissection:
    """Find the members of an image.

    Raises:
        FormatError: neither a partition table nor a known file system, or an arrangement
            systemd refuses.
        UnsupportedError: partitions of one designator for several architectures.
    """
    bare = fstype.probe(blob)
    if bare is not None and gpt.probe(blob) is not None:
        raise FormatError(f"both a partition table and {bare}: readers would disagree")
    if bare is not None:
        return Dissection(table=None, members=(), bare_fstype=bare)
    table = gpt.parse(blob)
    chosen: dict[str, Member] = {}
    rivals: list[Member] = []
    passed_over: list[Partition] = []
    for partition in table.partitions:
        member = _member(blob, partition)
        if member is None:
            passed_over.append(partition)
            continue
        before = chosen.setdefault(member.designator, member)
        if before is not member:
            chosen[member.designator] = _preferred(before, member)
            rivals.append(member)
    dissection = Dissection(
        table,
        tuple(chosen.values()),
        rivals=tuple(rivals),
        passed_over=tuple(passed_over),
    )
    _refuse_impossible(dissection)
    return dissection


def part(blob: Blob, member: Member) -> Blob:
    """The bytes of one member."""
    return SubBlob(blob, member.partition.offset, member.partition.size)


def _member(blob: Blob, partition: Partition) -> Member | None:
    kind = partition_types.lookup(partition.type_uuid)
    if kind is None or partition.no_auto or partition.name == "_empty":
        return None
    verity = "verity" in kind.designator
    content = None if verity else fstype.probe(SubBlob(blob, partition.offset, partition.size))
    return Member(kind.designator, kind.arch, partition, content)


def _preferred(old: Member, new: Member) -> Member:
    if old.architecture != new.architecture:
        raise UnsupportedError(
            f"there are {new.designator} partitions for {old.architecture} and for "
            f"{new.architecture}: which one is used depends on the machine",
        )
    newer = version.compare(new.partition.name, old.partition.name) > 0
    return new if newer and new.designator in VERSIONED else old


def _refuse_impossible(dissection: Dissection) -> None:
    """Raise for what systemd answers with EADDRNOTAVAIL, ENOTUNIQ, EREMOTE or ENXIO."""
    if dissection.data is None:
        raise FormatError("there is no root or usr partition in it")
    have = {member.designator for member in dissection.members}
    for base in ("root", "usr"):
        if f"{base}-verity" in have and base not in have:
            raise FormatError(f"there is a {base}-verity partition, but no {base} partition")
        if f"{base}-verity-sig" in have and f"{base}-verity" not in have:
            raise FormatError(f"there is a {base}-verity-sig partition, but no {base}-verity")
    if "root-verity" in have and "usr" in have:
        raise FormatError("a root partition with dm-verity and a usr partition exclude each other")
    _refuse_mixed(dissection)


def _refuse_mixed(dissection: Dissection) -> None:
    together = [dissection.member(d) for d in ("root", "usr")]
    found = {member.architecture for member in together if member is not None}
    if len(found) > 1:
        raise FormatError("the root and usr partitions are for different architectures")
    for member in (dissection.verity, dissection.signature):
        if member is not None and member.architecture != dissection.architecture:
            raise FormatError(
                f"the {member.designator} partition is for {member.architecture}, "
                f"its data is for {dissection.architecture}",
            )
