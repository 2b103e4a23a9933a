"""Where a node keeps things: the store, the images of the boot entries, what lies beside them.

Two layouts. ``kairos`` is that of Kairos' agent and immucore, so that both can work on one system;
``generic`` is for systems whose UKIs lie in ``EFI/Linux`` (UAPI.5) or have entries of their own
(UAPI.1). Paths are those of the system, whatever folder stands for its root.
"""

from __future__ import annotations

import os
from enum import StrEnum
from types import MappingProxyType
from typing import TYPE_CHECKING, Final, NamedTuple

from sysgraft.errors import UsageError
from sysgraft.formats.extension_release import Kind
from sysgraft.host.places import below
from sysgraft.image.names import MAX_FILE_NAME

if TYPE_CHECKING:
    from collections.abc import Mapping


class Role(StrEnum):
    """What a boot entry is there for; also the folder with what is enabled for such entries."""

    ACTIVE = "active"
    PASSIVE = "passive"
    RECOVERY = "recovery"


COMMON: Final = "common"
"""The folder with what is enabled for every boot entry."""
ROLES: Final = tuple(Role)
SIDECARS: Final = "sidecars"
"""The store of addons and credentials, which only count on the ESP."""


def is_entry(name: str) -> bool:
    """Whether a boot entry can have a name: it becomes that of a folder."""
    is_long = len(name.encode("utf-8", "surrogatepass")) > MAX_FILE_NAME
    is_hidden = not name or name.startswith(".")
    return not is_long and not is_hidden and "/" not in name and name.isprintable()


class Layout(NamedTuple):
    """A layout.

    Attributes:
        name: as configurations have it.
        stores: folder of the images by kind, and of addons and credentials under `SIDECARS`.
        images: folder of the boot images on the ESP.
        roles: beginnings of names of boot entries, and what such an entry is there for; of an
            empty table every entry is active.
    """

    name: str
    stores: Mapping[str, str]
    images: str
    roles: Mapping[str, Role]


KAIROS: Final = Layout(
    name="kairos",
    stores=MappingProxyType(
        {
            Kind.SYSEXT: "/var/lib/kairos/extensions",
            Kind.CONFEXT: "/var/lib/kairos/confexts",
            SIDECARS: "/var/lib/kairos/sidecars",
        }
    ),
    images="EFI/kairos",
    # What kairos-agent and immucore take entries for; both call autoreset by the second name too.
    roles=MappingProxyType(
        {
            "active": Role.ACTIVE,
            "passive": Role.PASSIVE,
            "recovery": Role.RECOVERY,
            "statereset": Role.RECOVERY,
            "autoreset": Role.RECOVERY,
        }
    ),
)
GENERIC: Final = Layout(
    name="generic",
    stores=MappingProxyType(
        {
            Kind.SYSEXT: "/var/lib/sysgraft/extensions",
            Kind.CONFEXT: "/var/lib/sysgraft/confexts",
            SIDECARS: "/var/lib/sysgraft/sidecars",
        }
    ),
    images="EFI/Linux",
    roles=MappingProxyType({}),
)
LAYOUTS: Final = MappingProxyType({each.name: each for each in (KAIROS, GENERIC)})

_KAIROS_SIGNS: Final = ("/etc/kairos-release", "/var/lib/kairos", "/system/oem")
"""What only Kairos has: its release file, its state, the settings it ships."""


def find_layout(name: str, root: str) -> Layout:
    """The layout of a name; of ``auto`` the one that the system below `root` has.

    Raises:
        UsageError: there is none of that name.
    """
    if name in LAYOUTS:
        return LAYOUTS[name]
    if name not in ("", "auto"):
        raise UsageError(f"no layout {name!r}", hint=f"there are: {', '.join(LAYOUTS)}, auto")
    is_kairos = any(os.path.lexists(below(root, sign)) for sign in _KAIROS_SIGNS)
    return KAIROS if is_kairos else GENERIC
