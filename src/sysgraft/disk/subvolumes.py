"""Which subvolume of a btrfs is mounted by default, and which one holds the system."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from sysgraft.errors import InputError
from sysgraft.formats.btrfs.volume import TOP_LEVEL, Subvolume, open_volume

if TYPE_CHECKING:
    from sysgraft.base.blob import Blob
    from sysgraft.formats.btrfs.volume import Volume

USUAL: Final = ("root", "@")
"""What Fedora and others, and Ubuntu and openSUSE, call the subvolume with the root."""

_SYSTEM: Final = frozenset({"usr", "etc"})
"""Folders at the top of every root file system."""

_MOST: Final = 200
"""Subvolumes that are looked into, by their IDs: what an installer makes comes before snapshots."""


class Btrfs(NamedTuple):
    """The subvolumes of a file system.

    Attributes:
        default: the one a mount without options gives; None where that cannot be read.
        subvolumes: all of them.
        systems: those with ``usr`` and ``etc`` at the top.
        problem: why it cannot be read.
    """

    default: Subvolume | None
    subvolumes: tuple[Subvolume, ...] = ()
    systems: tuple[Subvolume, ...] = ()
    problem: str = ""

    def holding(self, folder: str) -> Subvolume | None:
        """The subvolume that a folder of the file system lies in, as mountinfo has it.

        None where only the top level could be it, and not its top.
        """
        path = folder.strip("/")
        inside = [
            each
            for each in self.subvolumes
            if not each.path or path == each.path or path.startswith(f"{each.path}/")
        ]
        best = max(inside, key=lambda each: len(each.path), default=None)
        # A folder of the top level, or a subvolume whose name is not known here: which is not told.
        return None if best and path and not best.path else best

    def likely_system(self) -> Subvolume | None:
        """The one with the system, if there is only one it could be."""
        if len(self.systems) == 1:
            return self.systems[0]
        named = [each for each in self.systems if each.path in USUAL]
        return named[0] if len(named) == 1 else None


def read_btrfs(blob: Blob) -> Btrfs:
    """The subvolumes of the btrfs in `blob`."""
    try:
        volume = open_volume(blob)
        subvolumes = volume.subvolumes()
        number = volume.default()
        default = next((each for each in subvolumes if each.number == number), None)
        if default is None:
            return Btrfs(None, problem=f"its default subvolume {number} is not there")
    except InputError as error:
        hint = f" ({error.hint})" if error.hint else ""
        return Btrfs(None, problem=f"{error.message}{hint}")
    systems = tuple(each for each in subvolumes[:_MOST] if _is_system(volume, each))
    return Btrfs(default, subvolumes, systems)


def _is_system(volume: Volume, subvolume: Subvolume) -> bool:
    """Whether it has what a root has; not if that cannot be read."""
    try:
        return volume.names(subvolume.number) >= _SYSTEM
    except InputError:
        return False


def called(subvolume: Subvolume) -> str:
    """A subvolume in words."""
    if subvolume.number == TOP_LEVEL:
        return "the top level (5)"
    return f"{subvolume.path} ({subvolume.number})"
