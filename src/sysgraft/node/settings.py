"""What a node is told to do: every setting with its default.

Reading files is `sysgraft.node.configuration`'s, deciding which file may set what is
`sysgraft.node.config_merge`'s. docs/reference/node-configuration.md tells each key.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping


class Mode(StrEnum):
    """What becomes of an image that does not verify."""

    ENFORCED = "enforced"
    PERMISSIVE = "permissive"
    DISABLED = "disabled"


class Check(StrEnum):
    """How much of an image is looked at before it is used."""

    WHOLE = "whole"
    SIGNATURE = "signature"


LAYOUTS: Final = ("auto", "kairos", "generic")
"""Layouts of store and EFI system partition; ``auto`` takes the one the system has."""
SOURCES: Final = ("firmware", "usr", "config")
"""Where trust may come from."""
ROLES: Final = ("active", "passive", "recovery")
"""What a boot entry can be there for."""
COMMON: Final = "common"
"""The profile that goes to every boot entry."""
UNMATCHED: Final = ("active", "passive")
"""Profiles of an extension that no rule of the map matches: never recovery."""

KEYS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "layout": "layout",
        "store": "store",
        "esp": "esp",
        "mode": "mode",
        "check": "check",
        "image_policy": "image_policy",
        "fail_boot": "fail_boot",
        "unsigned": "unsigned",
        "judge_others": "judge_others",
        "deny": "deny",
        "trust.sources": "sources",
        "trust.certificates": "certificates",
        "entries.active": "entries",
        "entries.passive": "entries",
        "entries.recovery": "entries",
        "map": "rules",
    }
)
"""Every key of a configuration file, and the attribute of `Settings` it sets."""


class MapRule(NamedTuple):
    """One rule of the map; both spellings become this.

    Attributes:
        patterns: names of extensions, or globs for them.
        entries: profiles that what matches goes to: names of boot entries, of roles, ``common``.
    """

    patterns: tuple[str, ...]
    entries: tuple[str, ...]


class Note(NamedTuple):
    """Something in a file that does not count.

    Attributes:
        file: it is in.
        message: what does not count, and why.
    """

    file: str
    message: str

    def __str__(self) -> str:
        return f"{self.file}: {self.message}"


def _no_entries() -> Mapping[str, tuple[str, ...]]:
    return MappingProxyType({})


def _no_origins() -> Mapping[str, str]:
    return MappingProxyType({})


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """The settings of a node.

    Attributes:
        layout: one of `LAYOUTS`.
        store: folder of system extensions; empty for the layout's own.
        esp: where the EFI system partition is mounted; empty to look for it.
        mode: what becomes of an image that does not verify.
        check: how much of an image is looked at.
        image_policy: a policy of the administrator, which holds beside the mode's own; empty for
            none.
        fail_boot: whether an image that does not verify ends the boot.
        unsigned: whether images without a signature are used.
        judge_others: whether what others have put where systemd looks has to be as good as what
            this node activates; else only what would end the merge of all is kept out.
        deny: names of extensions, or globs for them, that are never used.
        sources: of trust, some of `SOURCES`.
        certificates: PEM texts, or absolute paths, as they were given.
        entries: by role, names of its boot entries or globs for them; empty for the layout's.
        rules: the map; without any, links alone say what goes where.
        origins: by attribute, the file that set it; only those that are not as by default.
    """

    layout: str = "auto"
    store: str = ""
    esp: str = ""
    mode: Mode = Mode.ENFORCED
    check: Check = Check.WHOLE
    image_policy: str = ""
    fail_boot: bool = False
    unsigned: bool = False
    judge_others: bool = True
    deny: tuple[str, ...] = ()
    sources: tuple[str, ...] = SOURCES
    certificates: tuple[str, ...] = ()
    entries: Mapping[str, tuple[str, ...]] = field(default_factory=_no_entries)
    rules: tuple[MapRule, ...] = ()
    origins: Mapping[str, str] = field(default_factory=_no_origins)
