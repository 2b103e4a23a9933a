"""Single files on the boot partition, put and taken away: a boot finds all of one, or none.

FAT writes names and chains of clusters apart. A file that is deleted under its name, or written
over, may after a power cut be a name whose clusters belong to nobody, and a boot loader would start
that. So a file is written in the second folder of the folder it goes to (`leftovers`), forced to
the disk, and only then gets its name; what goes is first taken out of the folder and only then
deleted. A name that is taken exchanges its content (ADR 0022). After a power cut a file may have
both names; then nothing is deleted before a check of the file system.
"""

from __future__ import annotations

import errno
import os
import shutil
from typing import TYPE_CHECKING, Final

from sysgraft.errors import OutputError
from sysgraft.host.files import cannot_write
from sysgraft.host.renaming import exchange
from sysgraft.host.synced import copy_synced
from sysgraft.node.leftovers import STAGE, empty, prepare_for_files, settle

if TYPE_CHECKING:
    from collections.abc import Callable

    from sysgraft.base.progress import Progress

_DRAFT: Final = "DRAFT"
"""In the second folder: one name of a single entry."""


def put_file(
    esp: str,
    path: str,
    source: str | bytes,
    *,
    grow: bool = False,
    check: Callable[[], None] | None = None,
    progress: Progress | None = None,
) -> tuple[str, ...]:
    """Put a file in place; a boot finds the old one there, or the new one, or none if none was.

    Args:
        esp: where the partition is mounted, writable.
        path: of the file on it.
        source: a file, or what is to be in it.
        grow: whether its folder may grow for a new name.
        check: called when all of it is written, and before it gets its name.
        progress: told of what is copied.

    Returns:
        Notes for a person.

    Raises:
        InputError: a link is in the way.
        OutputError: it cannot be written, the folder would grow, or a power cut before has left
            what has to be checked first.
    """
    place = os.path.join(esp, path)
    try:
        notes = _prepared(esp, place, grow=grow)
        draft = os.path.join(os.path.dirname(place), STAGE, _DRAFT)
        try:
            _write(source, draft, progress)
            settle(os.path.dirname(draft))
            if check is not None:
                check()
            _give_name(draft, place)
        except BaseException:
            # Also what was exchanged is on the disk before the other is deleted.
            settle(place)
            _clear(place)
            raise
        settle(place)
        _clear(place)
    except OSError as error:
        raise cannot_write(error, place) from error
    return notes


def drop(esp: str, path: str) -> tuple[str, ...]:
    """Take a file or folder away; a boot finds all of it, or nothing.

    Returns:
        Notes for a person.

    Raises:
        InputError, OutputError: see `put_file`.
    """
    place = os.path.join(esp, path)
    try:
        if not os.path.lexists(place):
            return ()
        try:
            notes = _prepared(esp, place, grow=True)
        except OSError as error:
            if error.errno != errno.ENOSPC:
                raise
            # Not even a folder fits any more: then room is made the simple way.
            return _delete(place)
        os.rename(place, os.path.join(os.path.dirname(place), STAGE, _DRAFT))
        settle(place)
        _clear(place)
    except OSError as error:
        raise cannot_write(error, place) from error
    return notes


def _delete(place: str) -> tuple[str, ...]:
    if os.path.isdir(place) and not os.path.islink(place):
        shutil.rmtree(place)
    else:
        os.unlink(place)
    settle(place)
    return (f"{place}: deleted in place, since the partition is full",)


def _prepared(esp: str, place: str, *, grow: bool) -> tuple[str, ...]:
    above, name = os.path.split(place)
    return tuple(prepare_for_files(esp, above, [name], grow=grow))


def _write(source: str | bytes, draft: str, progress: Progress | None) -> None:
    if isinstance(source, str):
        copy_synced(source, draft, progress=progress)
        return
    with open(draft, "xb") as file:
        file.write(source)
        file.flush()
        os.fsync(file.fileno())


def _give_name(draft: str, place: str) -> None:
    if not os.path.lexists(place):
        os.rename(draft, place)
    elif not exchange(draft, place):
        raise OutputError(
            "this kernel exchanges no files on FAT, Linux 6.0 and newer do",
            file=place,
            hint="remove the file first, if something else can be booted meanwhile",
        )


def _clear(place: str) -> None:
    """Empty the second folder."""
    stage = os.path.join(os.path.dirname(place), STAGE)
    if os.listdir(stage):
        empty(stage)
        settle(stage)


def tidy(esp: str, folder: str) -> tuple[str, ...]:
    """Remove what an interrupted command has left in the second folder of a folder.

    Returns:
        Notes for a person.

    Raises:
        InputError, OutputError: see `put_file`.
    """
    place = os.path.join(esp, folder)
    try:
        if not os.path.isdir(os.path.join(place, STAGE)):
            return ()
        return tuple(prepare_for_files(esp, place, ()))
    except OSError as error:
        raise cannot_write(error, place) from error


def remove_stage(esp: str, folder: str) -> None:
    """Remove the second folder of a folder on the partition, and that one too if nothing is in it.

    Raises:
        OutputError: it cannot be.
    """
    place = os.path.join(esp, folder)
    try:
        if not os.path.islink(place) and set(os.listdir(place)) <= {STAGE}:
            shutil.rmtree(place)
            settle(place)
    except (FileNotFoundError, NotADirectoryError):
        pass
    except OSError as error:
        raise cannot_write(error, place) from error
