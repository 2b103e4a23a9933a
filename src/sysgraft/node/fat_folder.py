"""What Linux does not tell of a folder on the EFI system partition: read on the device itself.

Which names lead to one place, which lead nowhere, and how many names fit before the folder has to
grow. Linux makes a partition read-only when it meets some of these, and a folder that grows can
lose its end at a power cut. Where the partition is not FAT there is nothing to tell.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final, NamedTuple

from sysgraft.errors import InputError, OutputError
from sysgraft.formats import fat
from sysgraft.formats.esp import find_esp
from sysgraft.formats.fat_directory import entries_of
from sysgraft.host.files import OpenFile
from sysgraft.host.remounting import mount_of_folder

if TYPE_CHECKING:
    from collections.abc import Iterable

_FAT: Final = "vfat"


class FatFolder(NamedTuple):
    """A folder as it is on the device.

    Attributes:
        path: where it is mounted.
        starts: the first cluster of each folder in it, by name in small letters.
        free: how many entries are free in it, run by run.
        files: the first cluster of each file in it, by name.
        drafts: the first cluster of everything in its second folder, by name.
    """

    path: str
    starts: dict[str, int]
    free: tuple[int, ...]
    files: dict[str, int] = {}  # noqa: RUF012  nobody changes it
    drafts: dict[str, int] = {}  # noqa: RUF012  likewise

    def problem(self, name: str) -> str:
        """What is wrong with a folder in it after a power cut; empty if nothing is."""
        for draft, cluster in self.drafts.items():
            for other, each in (*self.files.items(), *self.starts.items()):
                if each == cluster:
                    return f"{name}/{draft} and {other} are one and the same"
        start = self.starts.get(name.lower())
        if start is None:
            return ""
        if not start:
            return f"{name} leads nowhere"
        others = [other for other, each in self.starts.items() if each == start]
        others.remove(name.lower())
        return f"{name} and {others[0]} are one and the same folder" if others else ""

    def has_room(self, names: Iterable[str]) -> bool:
        """Whether these names fit without the folder growing."""
        free = list(self.free)
        for name in names:
            needed = entries_of(name)
            run = next((number for number, length in enumerate(free) if length >= needed), None)
            if run is None:
                return False
            free[run] -= needed
        return True


def fat_folder(esp: str, path: str, second: str = "") -> FatFolder | None:
    """A folder of the partition; None where it is not FAT.

    Args:
        esp: where the partition is mounted.
        path: of the folder, as it is mounted.
        second: name of a folder in it whose files are looked at too.

    Raises:
        OutputError: the device cannot be read.
    """
    mount = mount_of_folder(esp)
    if mount is None or mount.kind != _FAT:
        return None
    inside = os.path.relpath(path, mount.place)
    try:
        with OpenFile(mount.source) as blob:
            volume = fat.open_volume(find_esp(blob))
            found = volume.list("" if inside == os.curdir else inside)
            free = volume.free_runs("" if inside == os.curdir else inside)
            starts = {e.name.lower(): _start(volume, inside, e) for e in found if e.is_dir}
            drafts = _drafts(volume, inside, found, second)
    except InputError as error:
        raise OutputError(
            f"nobody can tell whether it may be changed: {error}",
            file=path,
            hint="be root; if the file system is damaged, unmount it and run fsck.fat -a on it",
        ) from error
    return FatFolder(path, starts, free, _files(found), drafts)


def _drafts(
    volume: fat.Volume, above: str, found: Iterable[fat.Entry], second: str
) -> dict[str, int]:
    entry = next((e for e in found if e.is_dir and e.name.lower() == second.lower()), None)
    if entry is None or not _start(volume, above, entry):
        return {}
    inside = volume.list(f"{above}/{entry.name}")
    return {each.name: each.first_cluster for each in inside if each.first_cluster}


def _files(found: Iterable[fat.Entry]) -> dict[str, int]:
    """Where each file begins; those without content begin nowhere."""
    return {e.name: e.first_cluster for e in found if not e.is_dir and e.first_cluster}


def _start(volume: fat.Volume, above: str, entry: fat.Entry) -> int:
    """Where a folder begins; 0 if what is there is none, since it was never written."""
    try:
        volume.list(f"{above}/{entry.name}")
    except InputError:
        return 0
    return entry.first_cluster
