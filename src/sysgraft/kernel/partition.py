"""Where a system's kernels lie: its boot partition, its entry token, what its firmware keeps.

The boot partition is the EFI system partition, or the one for more of the same (XBOOTLDR, UAPI.1)
where that is named. A system below another root is an installer's: nothing is known of its boot,
and the firmware of the machine is left alone.
"""

from __future__ import annotations

import os
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Final

from sysgraft.errors import InputError
from sysgraft.host.chroot import is_chroot
from sysgraft.host.efivars import EFIVARFS
from sysgraft.host.efivars_changing import ChangingEfivarsFolder
from sysgraft.host.locking import folder_lock
from sysgraft.host.partition import partition_of_folder
from sysgraft.host.places import below
from sysgraft.host.remounting import mount_of_folder, writable
from sysgraft.host.sysfs import read_text
from sysgraft.kernel.naming import ENTRIES, UKIS
from sysgraft.kernel.token import AUTO, find_token
from sysgraft.node.esp_files import tidy
from sysgraft.node.node import Node, NodeOptions
from sysgraft.seal.volume import FolderVolume

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sysgraft.formats.device_path import Partition
    from sysgraft.host.efivars_changing import ChangingEfiVariables

_FAT: Final = "vfat"
_RELEASE: Final = "proc/sys/kernel/osrelease"


@dataclass(frozen=True, slots=True, kw_only=True)
class BootOptions:
    """Which system's kernels.

    Attributes:
        root: the folder that stands for its root.
        esp: its EFI system partition, mounted; empty to look for it.
        boot: the partition with the kernels, if that is another one.
        token: see `sysgraft.kernel.token.find_token`.
        grow: whether folders on it may grow for new names, which a power cut can break.
        where: the boot partition, instead of what the kernel says of it.
        running: whether the system below another root runs all the same, as in a test.
    """

    root: str = "/"
    esp: str = ""
    boot: str = ""
    token: str = AUTO
    grow: bool = False
    where: Partition | None = None
    running: bool = False


class BootPartition:
    """The boot partition of a system.

    Args:
        options: whose.

    Attributes:
        place: where it is mounted.
        root: of the system.
        grow: whether its folders may grow.

    Raises:
        InputError: it is not mounted, or the system has no entry token.
        UsageError: the token is none.
    """

    def __init__(self, options: BootOptions) -> None:
        where = NodeOptions(root=options.root, esp=options.esp, running=options.running)
        self._node = Node(where, tolerant=True)
        self._options = options
        self.root = self._node.root
        self.grow = options.grow
        self.place = os.path.realpath(options.boot) if options.boot else self._node.require_esp()
        if not os.path.isdir(self.place):
            raise InputError("there is no such folder", file=options.boot)

    @cached_property
    def token(self) -> str:
        """The entry token of the system."""
        return find_token(self.root, self._options.token)

    @property
    def is_live(self) -> bool:
        """Whether it is that of the running system; not where an image is built in a chroot."""
        return self._node.is_live and not (self.root == "/" and is_chroot())

    @property
    def volume(self) -> FolderVolume:
        """It, for reading what is there now."""
        return FolderVolume(self.place)

    @property
    def esp_volume(self) -> FolderVolume:
        """The EFI system partition, for reading; the boot partition where that is not found."""
        return FolderVolume(self._node.esp or self.place)

    @cached_property
    def variables(self) -> ChangingEfiVariables | None:
        """The firmware's variables; None where there are none, or it is not our firmware."""
        if not (self.is_live and self._node.has_uefi):
            return None
        return ChangingEfivarsFolder(below(self.root, EFIVARFS))

    @cached_property
    def where(self) -> Partition | None:
        """The partition as firmware names it; None if it cannot be told."""
        if self._options.where is not None or not self.is_live:
            return self._options.where
        mount = mount_of_folder(self.place)
        if mount is None or mount.kind != _FAT:
            return None  # no firmware reads it
        try:
            return partition_of_folder(self.place).partition
        except InputError:
            return None

    @cached_property
    def running_version(self) -> str:
        """The version of the running kernel; empty of a system that does not run."""
        return read_text(self._node.files, _RELEASE) if self.is_live else ""

    @contextmanager
    def changing(self) -> Iterator[tuple[str, ...]]:
        """As long as the context lasts it is writable, and nobody else changes it.

        Gives notes of what an interrupted command had left, and is gone.

        Raises:
            OutputError: it cannot be made writable, or a power cut has left what has to be checked.
            ToolError: somebody else does not end.
        """
        with folder_lock(self.place), writable(self.place):
            folders = (UKIS, ENTRIES, self.token)
            yield tuple(note for folder in folders for note in tidy(self.place, folder))
