"""Roles of partitions: which type each has, where it is mounted, what it may hold.

UAPI.2, Discoverable Partitions Specification. A role is what `sysgraft.formats.partition_types`
calls a designator; the type of root and /usr is that of an architecture.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sysgraft.errors import UsageError
from sysgraft.formats import partition_types
from sysgraft.formats.gpt import NO_AUTO

if TYPE_CHECKING:
    from collections.abc import Iterable
    from uuid import UUID

PLACES: Final = {
    "root": "/",
    "usr": "/usr",
    "home": "/home",
    "srv": "/srv",
    "var": "/var",
    "tmp": "/var/tmp",  # noqa: S108  a place to mount at
    "esp": "/efi",
    "xbootldr": "/boot",
}
"""Where systemd mounts what it finds; the ESP at /boot where that is free."""

DISCOVERED: Final = (*PLACES, "swap")
"""Roles that a machine is discovered by, in the order of the report."""

VERSIONED: Final = ("root", "usr")
"""Roles of which the newest label wins (`partition_designator_is_versioned` in systemd)."""

BY_ARCHITECTURE: Final = ("root", "usr")
"""First part of the names of roles that are another type on every architecture."""

NO_BLOCK_IO: Final = 1 << 1
"""Attribute that keeps firmware and systemd from an ESP (UEFI 2.10, 5.3.3)."""

GENERIC: Final = "linux-generic"
"""The type of any Linux file system, which nothing is mounted by."""

ROLES: Final = tuple(sorted({known.designator for known in partition_types.ALL}))
"""Every role a partition can be given."""

_FILE_SYSTEMS: Final = frozenset({"btrfs", "erofs", "ext4", "f2fs", "squashfs", "xfs"})
_MAY_HOLD: Final = {
    "root": _FILE_SYSTEMS | {"crypto_LUKS", "ext2", "ext3"},
    "esp": frozenset({"vfat"}),
    "xbootldr": _FILE_SYSTEMS | {"vfat"},
    "swap": frozenset({"swap", "crypto_LUKS"}),
    "root-verity": frozenset({"DM_verity_hash"}),
    "usr-verity": frozenset({"DM_verity_hash"}),
    "root-verity-sig": frozenset({"verity_hash_signature"}),
    "usr-verity-sig": frozenset({"verity_hash_signature"}),
}
# systemd mounts these by itself and sets up LUKS; vfat it takes for ESP and XBOOTLDR only here.
_DEFAULT: Final = _FILE_SYSTEMS | {"crypto_LUKS"}


_MAX_DIGITS: Final = 9


def contradicts(role: str, content: str) -> bool:
    """Whether a partition of that role cannot hold what it holds; what is unknown may be right."""
    return bool(content) and role != GENERIC and content not in _MAY_HOLD.get(role, _DEFAULT)


def no_auto_bit(role: str) -> int:
    """The attribute that keeps systemd from a partition of that role."""
    return NO_BLOCK_IO if role == "esp" else NO_AUTO


def type_of(role: str, arch: str) -> UUID:
    """The partition type of a role on an architecture.

    Raises:
        UsageError: there is no such role.
    """
    by_architecture = role.partition("-")[0] in BY_ARCHITECTURE
    return partition_types.type_uuid(role, arch if by_architecture else None)


def name_of(type_uuid: UUID) -> str:
    """What a partition type is called, its UUID where it is not of the specification."""
    known = partition_types.lookup(type_uuid)
    return known.name if known else str(type_uuid)


def parse_roles(words: Iterable[str]) -> dict[int, str]:
    """The roles in words like ``3=root``, by the number of the partition.

    Raises:
        UsageError: a word is something else, or two are about one partition.
    """
    found: dict[int, str] = {}
    for number, role in numbered(words, "ROLE"):
        if role not in ROLES:
            hint = f"roles: {', '.join(ROLES)}"
            raise UsageError(f"{role!r} is no role of a partition", hint=hint)
        if found.setdefault(number, role) != role:
            raise UsageError(f"partition {number} is given two roles")
    return found


def numbered(words: Iterable[str], what: str) -> list[tuple[int, str]]:
    """Words like ``3=root`` as pairs; raises `UsageError` for others."""
    pairs = []
    for word in words:
        number, equals, value = word.partition("=")
        if not (equals and value and number.isascii() and number.isdecimal() and _number(number)):
            raise UsageError(f"{word!r} is not N={what}, with the number of a partition")
        pairs.append((_number(number), value))
    return pairs


def _number(text: str) -> int:
    """A number of a partition; 0 if no table has so many."""
    return int(text) if len(text) <= _MAX_DIGITS else 0
