"""What lies beside a boot image, changed as a whole: a boot finds the old set or the new one.

FAT has no links, and replaces no two files at once. A set in which one file is new and another old
would boot with values in the TPM that nobody signed. So the folder as it is to be is written beside
the one there is, every byte of it forced to the disk, and then the two exchange their names, which
on FAT writes two directory entries and nothing else. Whichever of the two has reached the disk at a
power cut, the image's folder is the whole old one or the whole new one. ADR 0022 tells why, and
what was tried.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final, NamedTuple

from sysgraft.errors import InputError, OutputError
from sysgraft.host.files import cannot_write
from sysgraft.host.places import is_plain_folder
from sysgraft.host.renaming import exchange
from sysgraft.host.space import free_bytes
from sysgraft.host.synced import copy_synced
from sysgraft.node.leftovers import aside_name, empty, prepare_stage, settle, stage_name

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

CLUSTER: Final = 32 << 10
"""Bytes a file may take beyond its size: a cluster of the largest kind that FAT32 has."""


class SetChange(NamedTuple):
    """How one set is to be.

    Attributes:
        folder: path of it on the partition.
        put: files that come to it, or are replaced, by name.
        drop: names of files that go.
    """

    folder: str
    put: Mapping[str, str]
    drop: frozenset[str] = frozenset()


def change_sets(esp: str, changes: Sequence[SetChange], *, grow: bool = False) -> tuple[str, ...]:
    """Change sets, one after another; each is old or new at any time.

    Args:
        esp: where the partition is mounted, writable.
        changes: in the order in which they come into force.
        grow: whether folders may grow for new names in them.

    Returns:
        Notes for a person.

    Raises:
        InputError: a file that comes cannot be read, or something is in the way.
        OutputError: the partition has no room for old and new at a time, or cannot be written.
    """
    notes: list[str] = []
    for change in changes:
        notes += _prepared(esp, change, grow=grow)
    plans = [_Plan.of(esp, each) for each in changes]
    _check_room(esp, plans)
    for plan, change in zip(plans, changes, strict=True):
        # Another set in the same folder may have taken the second one as its own.
        notes += _prepared(esp, change, grow=grow)
        notes += plan.carry_out()
    return tuple(notes)


def _prepared(esp: str, change: SetChange, *, grow: bool) -> list[str]:
    folder = os.path.join(esp, change.folder)
    try:
        return list(prepare_stage(esp, folder, grow=grow))
    except OSError as error:
        raise cannot_write(error, folder) from error


def _check_room(esp: str, plans: Sequence[_Plan]) -> None:
    """Only one old set is there beside its new one; but all new ones stay."""
    most = grown = 0
    for plan in plans:
        most = max(most, grown + plan.size)
        grown += plan.size - plan.old_size
    free = free_bytes(esp)
    if free is not None and most > free:
        raise OutputError(
            f"it has {free} bytes free, and {most} are needed while it is changed",
            file=esp,
            hint="remove extensions that are no longer needed, or keep them in the store",
        )


class _Plan(NamedTuple):
    """A change, with what there is already."""

    folder: str
    files: Mapping[str, str]
    size: int
    old_size: int

    @classmethod
    def of(cls, esp: str, change: SetChange) -> _Plan:
        """Look at what is there."""
        folder = os.path.join(esp, change.folder)
        old = dict(_files(esp, folder))
        files = {name: path for name, path in old.items() if name not in change.drop}
        files |= change.put
        return cls(folder, files, _size(files.values()), _size(old.values()))

    def carry_out(self) -> Iterator[str]:
        """Write the new set, exchange it for the old one, remove that."""
        stage = stage_name(self.folder)
        try:
            self._fill(stage)
            if not os.path.isdir(self.folder):
                os.rename(stage, self.folder)
                settle(self.folder)
                return
            yield from self._publish(stage)
            empty(stage)
            settle(self.folder)
        except OSError as error:
            raise cannot_write(error, self.folder) from error

    def _fill(self, stage: str) -> None:
        try:
            for name, source in sorted(self.files.items()):
                copy_synced(source, os.path.join(stage, name))
            settle(self.folder)
        except BaseException:
            empty(stage)
            raise

    def _publish(self, stage: str) -> Iterator[str]:
        if not exchange(stage, self.folder):
            aside = aside_name(self.folder)
            os.rename(self.folder, aside)
            try:
                os.rename(stage, self.folder)
            except OSError:
                os.rename(aside, self.folder)
                raise
            os.rename(aside, stage)
            yield (
                f"{self.folder}: this kernel exchanges no folders on FAT, Linux 6.0 and newer do; "
                "for a moment there were no extensions"
            )
        settle(self.folder)


def _files(esp: str, folder: str) -> Iterator[tuple[str, str]]:
    """What is in a set, paths by name; whatever it is, it stays.

    Raises:
        InputError: something is in it that cannot come along.
    """
    if not is_plain_folder(esp, folder):
        return
    with os.scandir(folder) as found:
        for each in found:
            if not each.is_file(follow_symlinks=False):
                raise InputError(
                    "it is no file, and would not come along",
                    file=each.path,
                    hint="move it elsewhere: no stub looks at it",
                )
            yield each.name, each.path


def _size(paths: Iterable[str]) -> int:
    try:
        return sum(os.stat(path).st_size + CLUSTER for path in paths)
    except OSError as error:
        raise InputError(error.strerror or str(error), file=error.filename) from error
