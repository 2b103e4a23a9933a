"""``extension-release`` files: what an extension says about itself and the host it wants.

The format is os-release's; the keys are those of os-release(5), "extension-release", and
systemd-sysext(8). The file lies at a place that names the extension:

    sysext   usr/lib/extension-release.d/extension-release.NAME
    confext  etc/extension-release.d/extension-release.NAME

Whether an extension fits a host, and which file of several counts, is in `sysgraft.image.matching`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from sysgraft.formats import os_release

if TYPE_CHECKING:
    from collections.abc import Mapping

ANY: Final = "_any"
"""Value of ``ID`` and ``ARCHITECTURE`` that every host matches."""

_DEFAULT_ID: Final = "linux"  # os-release(5): what a missing ID means

FILE_PREFIX: Final = b"extension-release."

STRICT_XATTR: Final = b"user.extension-release.strict"
"""Attribute of the file: false allows an image name that differs from the file's."""


class Kind(StrEnum):
    """What an extension extends: /usr and /opt, or /etc."""

    SYSEXT = "sysext"
    CONFEXT = "confext"

    @property
    def directory(self) -> bytes:
        """The folder of its extension-release files, as a tree path."""
        return _DIRECTORIES[self]

    @property
    def level_key(self) -> str:
        """``SYSEXT_LEVEL`` or ``CONFEXT_LEVEL``."""
        return f"{self.name}_LEVEL"

    @property
    def scope_key(self) -> str:
        """``SYSEXT_SCOPE`` or ``CONFEXT_SCOPE``."""
        return f"{self.name}_SCOPE"


_DIRECTORIES: Final = {
    Kind.SYSEXT: b"usr/lib/extension-release.d",
    Kind.CONFEXT: b"etc/extension-release.d",
}


@dataclass(frozen=True, slots=True)
class ExtensionRelease:
    """One parsed file.

    Attributes:
        kind: sysext or confext, which is told by the file's place, not by its content.
        fields: all fields, unknown ones too; read-only.
    """

    kind: Kind
    fields: Mapping[str, str] = field(hash=False)

    def __post_init__(self) -> None:
        """Make the fields a read-only copy."""
        object.__setattr__(self, "fields", MappingProxyType(dict(self.fields)))

    @property
    def id(self) -> str | None:
        """``ID``: the wanted distribution, or `ANY`."""
        return self.fields.get("ID")

    @property
    def version_id(self) -> str | None:
        """``VERSION_ID``: the wanted version of the distribution."""
        return self.fields.get("VERSION_ID")

    @property
    def level(self) -> str | None:
        """``SYSEXT_LEVEL`` or ``CONFEXT_LEVEL``: compared instead of the version."""
        return self.fields.get(self.kind.level_key)

    @property
    def architecture(self) -> str | None:
        """``ARCHITECTURE`` in systemd's spelling, or `ANY`."""
        return self.fields.get("ARCHITECTURE")

    @property
    def scopes(self) -> tuple[str, ...] | None:
        """``SYSEXT_SCOPE`` or ``CONFEXT_SCOPE`` split at whitespace; None where it is not set."""
        value = self.fields.get(self.kind.scope_key)
        return None if value is None else tuple(value.split())

    @property
    def reloads_manager(self) -> bool:
        """``EXTENSION_RELOAD_MANAGER``: whether the service manager reloads after a merge."""
        return self.fields.get("EXTENSION_RELOAD_MANAGER", "").lower() in _TRUE


# systemd's parse_boolean.
_TRUE: Final = ("1", "yes", "y", "true", "t", "on")
_FALSE: Final = ("0", "no", "n", "false", "f", "off")


def parse(data: bytes, kind: Kind) -> ExtensionRelease:
    """The file's fields; raises like `sysgraft.formats.os_release.parse`."""
    return ExtensionRelease(kind, os_release.parse(data))


def render(release: ExtensionRelease) -> bytes:
    """The file; raises like `sysgraft.formats.os_release.render`."""
    return os_release.render(release.fields)


def fields_for_host(host: Mapping[str, str], kind: Kind) -> dict[str, str]:
    """What makes an extension match a host and its like, and no other.

    Rule: systemd's ``extension_release_validate``: the same ``ID``, and the same level where both
    have one, else the same ``VERSION_ID``.

    Args:
        host: the fields of its os-release.
        kind: whose level counts.
    """
    fields = {"ID": host.get("ID", _DEFAULT_ID)}
    key = kind.level_key if kind.level_key in host else "VERSION_ID"
    return {**fields, key: host[key]} if key in host else fields


def path(kind: Kind, name: str) -> bytes:
    """Where the file of the extension `name` lies, as a tree path."""
    return kind.directory + b"/" + FILE_PREFIX + name.encode("utf-8", "surrogateescape")


def split_path(tree_path: bytes) -> tuple[Kind, str] | None:
    """The kind and NAME that a tree path stands for, None where it is no extension-release."""
    directory, _, file_name = tree_path.rpartition(b"/")
    kind = next((k for k, d in _DIRECTORIES.items() if d == directory), None)
    name = file_name.removeprefix(FILE_PREFIX)
    if kind is None or not name or name == file_name:
        return None
    return kind, name.decode("utf-8", "surrogateescape")


def parse_strict(value: bytes) -> bool | None:
    """The meaning of `STRICT_XATTR`'s value; None where it is no truth value."""
    text = value.rstrip(b"\0").decode("ascii", "replace").lower()
    return True if text in _TRUE else False if text in _FALSE else None
