"""The second folder, in which the next set is made: there, empty, and in its place.

All sets in one folder share one, ``SYSGRAFT.NEW``: a name of a single entry. It stays between
changes, so that a change writes two directory entries and never makes the folder above grow, which
a power cut could leave without an end. What an interrupted change has left in it is removed, but
for one case: at a power cut between the two entries of an exchange both names lead to the same
clusters. Then nothing may be removed or written there, since it is what boots; a check of the file
system is asked for instead. ``fsck.fat -a`` empties the one of such a pair that comes later in the
folder above, so that has to be the second folder.
"""

from __future__ import annotations

import os
import shutil
from typing import TYPE_CHECKING, Final

from sysgraft.errors import OutputError
from sysgraft.host.files import cannot_write
from sysgraft.host.new_folders import fsync_folder
from sysgraft.host.places import is_plain_folder, make_plain_folder
from sysgraft.host.renaming import sync_all
from sysgraft.node.fat_folder import fat_folder

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from sysgraft.node.fat_folder import FatFolder

STAGE: Final = "SYSGRAFT.NEW"
"""No stub looks for it, and no boot loader for images in it."""
_PAD: Final = "SYSGRAFT.P"
_PADS: Final = 64
"""Folders made at most to have the next one behind another."""


def stage_name(folder: str) -> str:
    """The second folder of a set."""
    return os.path.join(os.path.dirname(folder), STAGE)


def aside_name(folder: str) -> str:
    """The name of an old set between two renames, where a kernel exchanges no folders."""
    return f"{folder.removesuffix('.d')}.old"


def settle(folder: str) -> None:
    """Have everything on the disk that concerns a folder; fsync(2) alone makes FAT ask for a flush.

    Raises:
        OSError: it cannot be.
    """
    above = os.path.dirname(folder)
    sync_all(above)
    fsync_folder(above)


def has_leftovers(esp: str, folder: str) -> bool:
    """Whether an interrupted change has left something of a set.

    Args:
        esp: where the partition is mounted.
        folder: of the set, a path on it.

    Raises:
        OutputError: the file system has to be checked first.
    """
    place = os.path.join(esp, folder)
    _on_device(esp, place)
    try:
        return os.path.lexists(aside_name(place)) or bool(os.listdir(stage_name(place)))
    except OSError:
        return False


def put_right(esp: str, folder: str) -> tuple[str, ...]:
    """Bring a set back that lost its name, and empty its second folder.

    Args:
        esp: where the partition is mounted, writable.
        folder: of the set, a path on it.

    Returns:
        Notes for a person.

    Raises:
        InputError: a link is in the way.
        OutputError: something cannot be written, or both are one folder after a power cut.
    """
    place = os.path.join(esp, folder)
    try:
        return tuple(_put_right(esp, place))
    except OSError as error:
        raise cannot_write(error, place) from error


def _put_right(esp: str, folder: str) -> Iterator[str]:
    for each in (folder, stage_name(folder), aside_name(folder)):
        is_plain_folder(esp, each)
    _on_device(esp, folder)
    yield from _put_back(folder)
    yield from _emptied(folder)


def prepare_stage(esp: str, folder: str, *, grow: bool = False) -> Iterator[str]:
    """See to it that the second folder of a set is there, empty, and behind the set.

    Args:
        esp: where the partition is mounted, writable.
        folder: of the set.
        grow: whether the folder above may grow for them.

    Yields:
        Notes for a person.

    Raises:
        InputError: a link is in the way.
        OSError: something cannot be written.
        OutputError: both are one folder after a power cut, or the folder above would grow.
    """
    make_plain_folder(esp, os.path.dirname(folder))
    above = _on_device(esp, folder)
    yield from _put_right(esp, folder)
    missing = [each for each in (folder, stage_name(folder)) if not os.path.isdir(each)]
    if missing and above is not None and not grow:
        _check_room(above, [os.path.basename(each) for each in missing])
    if not os.path.isdir(stage_name(folder)):
        os.mkdir(stage_name(folder), 0o755)
        settle(folder)
    # A set that is not there yet is not made empty: its name would lead nowhere for a moment.
    if above is not None and os.path.isdir(folder) and not _is_in_order(folder):
        _make_behind(folder, above)
        settle(folder)


def prepare_for_files(
    esp: str, above: str, names: Iterable[str], *, grow: bool = False
) -> Iterator[str]:
    """See to it that a folder has an empty second folder, and room for names.

    Args:
        esp: where the partition is mounted, writable.
        above: the folder.
        names: of files that come into it.
        grow: whether it may grow for them.

    Yields:
        Notes for a person.

    Raises:
        InputError: a link is in the way.
        OSError: something cannot be written.
        OutputError: a file has two names after a power cut, or the folder would grow.
    """
    make_plain_folder(esp, above)
    stage = os.path.join(above, STAGE)
    is_plain_folder(esp, stage)
    found = _on_device(esp, stage)
    yield from _emptied(stage)
    wanted = (*names, STAGE)
    missing = [each for each in wanted if not os.path.lexists(os.path.join(above, each))]
    if missing and found is not None and not grow:
        _check_room(found, missing)
    if not os.path.isdir(stage):
        os.mkdir(stage, 0o755)
        settle(stage)


def _on_device(esp: str, folder: str) -> FatFolder | None:
    """The folder above as it is on the device; looked at before Linux meets what is wrong there.

    Raises:
        OutputError: the second folder is a set itself, or leads nowhere.
    """
    above = fat_folder(esp, os.path.dirname(folder), STAGE)
    problem = above.problem(STAGE) if above is not None else ""
    if problem:
        raise OutputError(
            f"after a power cut {problem}",
            file=os.path.dirname(folder),
            hint="what boots is whole; unmount the partition and run fsck.fat -a on it twice",
        )
    return above


def _check_room(above: FatFolder, names: list[str]) -> None:
    if not above.has_room(names):
        raise OutputError(
            f"it would have to grow for {' and '.join(names)}, and a power cut in that moment "
            "could make all of it unreadable",
            file=above.path,
            hint="remove files there that are not needed; or let it grow, once, with --grow",
        )


def _put_back(folder: str) -> Iterator[str]:
    """Between two renames there is no set: the old one comes back."""
    aside = aside_name(folder)
    if not os.path.isdir(aside):
        return
    if not os.path.isdir(folder):
        os.rename(aside, folder)
        yield f"{folder}: put back after a change that was interrupted"
    elif not os.path.isdir(stage_name(folder)):
        os.rename(aside, stage_name(folder))
    else:
        shutil.rmtree(aside)
    settle(folder)


def _emptied(folder: str) -> Iterator[str]:
    """Remove what an interrupted change has left."""
    stage = stage_name(folder)
    left = os.listdir(stage) if os.path.isdir(stage) else []
    if left:
        # What counts is on the disk before what does not is removed.
        settle(folder)
        empty(stage)
        settle(folder)
        yield f"{stage}: emptied after a change that was interrupted"


def empty(folder: str) -> None:
    """Remove what is in a folder; raises ``OSError``."""
    for name in os.listdir(folder):
        path = os.path.join(folder, name)
        if os.path.isdir(path) and not os.path.islink(path):
            shutil.rmtree(path)
        else:
            os.unlink(path)


def _is_in_order(folder: str) -> bool:
    """Whether the second folder comes later; Linux lists a FAT folder in its order on the disk."""
    names = os.listdir(os.path.dirname(folder))
    return names.index(os.path.basename(folder)) < names.index(STAGE)


def _make_behind(folder: str, above: FatFolder) -> None:
    """Make the second folder anew until it comes behind the set; what came before it goes.

    Each attempt takes one free entry; when none is left it stays where it is.
    """
    stage = stage_name(folder)
    pads: list[str] = []
    for number in range(min(_PADS, sum(above.free) - _RESERVED)):
        if _is_in_order(folder):
            break
        pads.append(os.path.join(os.path.dirname(folder), f"{_PAD}{number:02}"))
        os.rename(stage, pads[-1])
        os.mkdir(stage, 0o755)
    for pad in pads:
        os.rmdir(pad)


_RESERVED: Final = 8
"""Free entries that are left alone: names made meanwhile take some."""
