"""A node: its configuration, stores, EFI system partition and this boot, found once for a command.

A node may be a system that is not running, below another root, as an installer has it. Then nothing
is known of its boot, and what is done for "now" is refused.
"""

from __future__ import annotations

import os
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Final

from sysgraft.errors import InputError, UsageError
from sysgraft.formats.extension_release import Kind
from sysgraft.host.folders import names_in
from sysgraft.host.locking import folder_lock
from sysgraft.host.places import below, make_plain_folder
from sysgraft.host.sysfs import SysfsFolder
from sysgraft.node.configuration import (
    Configuration,
    is_configured,
    is_loosening_allowed,
    read_configuration,
)
from sysgraft.node.layout import SIDECARS, Role, find_layout
from sysgraft.node.settings import Settings
from sysgraft.node.store import Store

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from sysgraft.host.efivars import EfiVariables
    from sysgraft.node.boot import Boot
    from sysgraft.node.layout import Layout

EFIVARS: Final = "/sys/firmware/efi/efivars"
_ESP_PLACES: Final = ("/efi", "/boot", "/boot/efi")
"""Where the EFI system partition is mounted (UAPI.4, and older systems)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeOptions:
    """Which system, and where it keeps things.

    Attributes:
        root: the folder that stands for its root.
        esp: its EFI system partition, mounted; empty to look for it.
        store: the store of system extensions; empty for the configured one.
        layout: name of a layout; empty for the configured one.
        running: whether the system below another root runs all the same, as a container's or a
            recorded one: then its own ``/proc``, ``/run`` and EFI variables tell of its boot.
        grow: whether folders of the EFI system partition may grow for new names in them, which a
            power cut can break.
    """

    root: str = "/"
    esp: str = ""
    store: str = ""
    layout: str = ""
    running: bool = False
    grow: bool = False


def _configured_role(configured: Mapping[str, tuple[str, ...]], entry: str) -> Role | None:
    from sysgraft.node.mapping import matches  # noqa: PLC0415  most systems configure none

    for role in Role:
        if any(matches(pattern, entry) for pattern in configured.get(role, ())):
            return role
    return None


class Node:
    """One system.

    Args:
        options: which one.
        tolerant: whether a broken configuration is a note instead of an error.

    Attributes:
        root: the folder that stands for its root.
        layout: of store and partition.

    Raises:
        InputError: the configuration is broken, or there is no such root.
    """

    def __init__(self, options: NodeOptions, *, tolerant: bool = False) -> None:
        self.root = os.path.realpath(options.root)
        if not os.path.isdir(self.root):
            raise InputError("there is no such folder", file=options.root)
        self._options = options
        self._tolerant = tolerant
        self.layout: Layout = find_layout(options.layout or self.settings.layout, self.root)

    @property
    def grow(self) -> bool:
        """Whether folders of the EFI system partition may grow for new names in them."""
        return self._options.grow

    @property
    def is_live(self) -> bool:
        """Whether it is a system that runs, and not one for an installer."""
        return self.root == "/" or self._options.running

    def require_live(self, what: str) -> None:
        """Refuse what only makes sense on the running system.

        Raises:
            UsageError: this is another one.
        """
        if not self.is_live:
            raise UsageError(f"{what} is for the running system, not for one below --root")

    @cached_property
    def files(self) -> SysfsFolder:
        """Files of the system, read with its own links."""
        return SysfsFolder(self.root)

    @cached_property
    def variables(self) -> EfiVariables | None:
        """The firmware's variables of the machine this runs on; None where there are none."""
        from sysgraft.host.efivars import EfivarsFolder  # noqa: PLC0415  not every verb asks

        own = below(self.root, EFIVARS)
        places = [own] if self.is_live else [own, EFIVARS]
        place = next((each for each in places if _has_entries(each)), "")
        return EfivarsFolder(place) if place else None

    @property
    def has_uefi(self) -> bool:
        """Whether UEFI started the running system, so that it has a partition for it."""
        return self.is_live and bool(self.files.names("sys/firmware/efi"))

    @cached_property
    def _facts(self) -> Boot:
        """The boot without its role: what the configuration depends on."""
        return self._read_boot(lambda _: None)

    @cached_property
    def boot(self) -> Boot:
        """How the running system was started; nothing of one that does not run."""
        return self._read_boot(self.role_of)

    def _read_boot(self, role_of: Callable[[str], Role | None]) -> Boot:
        from sysgraft.node.boot import Boot, read_boot  # noqa: PLC0415  not every verb asks

        if not self.is_live:
            return Boot()
        return read_boot(self.files, self.variables, role_of)

    def role_of(self, entry: str) -> Role | None:
        """What a boot entry is there for: as configured, else as the layout has it."""
        configured = self.settings.entries
        if any(configured.values()):
            return _configured_role(configured, entry)
        if not self.layout.roles:
            return Role.ACTIVE
        return next((r for name, r in self.layout.roles.items() if entry.startswith(name)), None)

    @cached_property
    def configuration(self) -> Configuration:
        """What is configured, and what of it does not count.

        Raises:
            InputError: it is broken.
        """
        if not is_configured(self.root):
            return Configuration(Settings())
        boot = self._facts
        may_loosen = self.is_live and is_loosening_allowed(
            boot.cmdline, started_by_stub=boot.by_stub
        )
        return read_configuration(
            self.root,
            may_loosen=may_loosen,
            tolerant=self._tolerant,
            known_entries=self._entry_files(),
        )

    def _entry_files(self) -> frozenset[str]:
        """Names of boot entries, by the files at the usual places: what is read tells of others."""
        from sysgraft.node.boot import entry_name  # noqa: PLC0415  only for a configuration

        places = [self._options.esp, *(below(self.root, each) for each in _ESP_PLACES)]
        found: set[str] = set()
        for place in filter(None, places):
            for folder in ("loader/entries", "EFI/Linux", "EFI/kairos"):
                found |= {entry_name(name) for name in names_in(os.path.join(place, folder))}
        return frozenset(found)

    @property
    def settings(self) -> Settings:
        """The settings that count."""
        return self.configuration.settings

    @cached_property
    def stores(self) -> tuple[Store, ...]:
        """The stores: of system extensions, of configuration extensions, of sidecars."""
        folders = {kind: below(self.root, place) for kind, place in self.layout.stores.items()}
        named = self._options.store or (
            below(self.root, self.settings.store) if self.settings.store else ""
        )
        if named:
            folders[Kind.SYSEXT] = os.path.abspath(named)
            beside = os.path.dirname(folders[Kind.SYSEXT])
            folders[Kind.CONFEXT] = os.path.join(beside, "confexts")
            folders[SIDECARS] = os.path.join(beside, SIDECARS)
        return tuple(Store(kind, self._root_of(folders[kind]), folders[kind]) for kind in folders)

    def _root_of(self, folder: str) -> str:
        """A store that is named may lie outside of the root; nothing above it is looked at then."""
        inside = os.path.relpath(folder, self.root).split(os.sep)[0] != os.pardir
        return self.root if inside else os.path.dirname(folder)

    def store(self, kind: str) -> Store:
        """The store of a kind."""
        return next(each for each in self.stores if each.kind == kind)

    @contextmanager
    def alone(self) -> Iterator[None]:
        """As long as the context lasts nobody else changes a store or the partition.

        All kinds share one lock, since they share the sets on the partition; whoever puts kernels
        there takes the lock of the partition alone.

        Raises:
            ToolError: somebody else does not end.
            InputError: a link is on the way to the store.
            OutputError: the store cannot be made.
        """
        store = self.store(Kind.SYSEXT)
        make_plain_folder(store.root, store.folder)
        with ExitStack() as locks:
            locks.enter_context(folder_lock(store.folder))
            # What is about the store alone works without the partition.
            with suppress(InputError):
                if self.esp:
                    locks.enter_context(folder_lock(self.esp))
            yield

    @cached_property
    def esp(self) -> str:
        """Where the EFI system partition is mounted; empty where none is found."""
        named = self._options.esp or (
            below(self.root, self.settings.esp) if self.settings.esp else ""
        )
        if named:
            if not os.path.isdir(named):
                raise InputError("there is no such folder", file=named)
            return os.path.realpath(named)
        places = (below(self.root, place) for place in _ESP_PLACES)
        return next((each for each in places if os.path.isdir(os.path.join(each, "EFI"))), "")

    def require_esp(self) -> str:
        """Where the EFI system partition is mounted.

        Raises:
            InputError: it is not found.
        """
        if not self.esp:
            raise InputError(
                "no EFI system partition is mounted", file=self.root, hint="--esp names its folder"
            )
        return self.esp


def _has_entries(folder: str) -> bool:
    try:
        return bool(os.listdir(folder))
    except OSError:
        return False
