"""Outputs that appear whole or not at all.

Where the system can, the file has no name until it is whole, so that nothing is left of it
whatever ends the process; elsewhere it is written under a temporary name beside its place.
"""

from __future__ import annotations

import contextlib
import os
import stat
from typing import IO, TYPE_CHECKING, Final, NamedTuple

from sysgraft.errors import OutputError
from sysgraft.host.drafts import Draft, link_draft, named_draft, temporary_name, unnamed_draft
from sysgraft.host.files import cannot_write
from sysgraft.host.new_folders import NewFolders, sync_folder

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

# What a new file gets less the umask (open(2)).
_NEW_MODE: Final = 0o666


class _Place(NamedTuple):
    """Where an output goes.

    Attributes:
        name: as the caller gave it, for messages.
        target: the file itself; behind a symbolic link, what that points to.
        mode: permissions of the file that is replaced, None for a new one.
    """

    name: str
    target: str
    mode: int | None

    @property
    def folder(self) -> str:
        """The one that holds the target."""
        return os.path.dirname(self.target) or "."


@contextlib.contextmanager
def atomic_output(
    path: str | os.PathLike[str], *, replace: bool, make_folders: bool = False
) -> Iterator[IO[bytes]]:
    """A new file that appears under `path` whole or not at all.

    It is forced to the disk before it gets its name. Without `replace`, an existing file is
    refused at the start and at the end. With it, the new file has the old one's permissions,
    and of a symbolic link the target is replaced.

    Args:
        path: the file.
        replace: whether a file that is there may be replaced.
        make_folders: make the folders that are missing; they go again if no file comes. What
            is made is what the path leads to: of ``missing/../folder`` only ``folder``.

    Raises:
        OutputError: it exists, or it cannot be written.
    """
    with atomic_outputs([path], replace=replace, make_folders=make_folders) as (file,):
        yield file


@contextlib.contextmanager
def atomic_outputs(
    paths: Sequence[str | os.PathLike[str]], *, replace: bool, make_folders: bool = False
) -> Iterator[tuple[IO[bytes], ...]]:
    """As `atomic_output`, of several files: all are on the disk before the first gets its name.

    If one cannot be given its name, those before it go again, and the files they replaced come
    back. An error that names no file is about the first. No file may be named twice.
    """
    _refuse_twice([os.fspath(path) for path in paths])
    with contextlib.ExitStack() as stack:
        # The first is entered last, so that it is the one that nameless errors are about.
        opened = [
            stack.enter_context(
                _opened(os.fspath(path), replace=replace, make_folders=make_folders)
            )
            for path in reversed(paths)
        ]
        outputs = opened[::-1]
        yield tuple(output.file for output in outputs)
        for output in outputs:
            output.finish()
        with contextlib.ExitStack() as published:
            for output in outputs:
                published.enter_context(
                    _published(output, replace=replace, alone=len(outputs) == 1)
                )
    for output in outputs:
        sync_folder(output.place.folder)


class _Output(NamedTuple):
    """An output on its way."""

    place: _Place
    draft: Draft
    file: IO[bytes]
    folders: NewFolders

    def finish(self) -> None:
        """All of it is on the disk, with the permissions it will have."""
        with _named_in(self.place.name):
            self.file.flush()
            if self.place.mode is not None:
                os.fchmod(self.draft.fd, self.place.mode)
            os.fsync(self.draft.fd)


@contextlib.contextmanager
def _opened(name: str, *, replace: bool, make_folders: bool) -> Iterator[_Output]:
    place = _find_place(name, replace=replace)
    folders = NewFolders(place.folder, wanted=make_folders)
    try:
        folders.make()
        with _named_in(place.name), _open_draft(place, folders) as (draft, file):
            yield _Output(place, draft, file, folders)
    except BaseException:
        folders.remove()
        raise


@contextlib.contextmanager
def _published(output: _Output, *, replace: bool, alone: bool) -> Iterator[None]:
    """The file has its name inside, and keeps it unless an error comes out of there."""
    place = output.place
    old = "" if alone or place.mode is None else _second_name(place)
    try:
        with _named_in(place.name):
            output.folders.within(lambda: _publish(output.draft, place, replace=replace))
        with _taken_back(place, old):
            yield
    finally:
        if old:
            with contextlib.suppress(OSError):
                os.unlink(old)


@contextlib.contextmanager
def _taken_back(place: _Place, old: str) -> Iterator[None]:
    """On an error the file goes, and what it replaced comes back if it has another name."""
    try:
        yield
    except BaseException:
        with contextlib.suppress(OSError):
            if old:
                os.replace(old, place.target)
            elif place.mode is None:
                os.unlink(place.target)
        raise


def _second_name(place: _Place) -> str:
    """Another name for the file that is replaced; none where file systems have no links."""
    name = temporary_name(place.folder)
    try:
        os.link(place.target, name)
    except OSError:
        return ""
    return name


def _find_place(name: str, *, replace: bool) -> _Place:
    if not replace:
        _refuse_existing(name)
        return _Place(name, without_parents(name), None)
    target = os.path.realpath(name)
    try:
        mode = os.stat(target).st_mode
    except FileNotFoundError:
        return _Place(name, target, None)
    except OSError as error:
        raise cannot_write(error, name) from error
    if not stat.S_ISREG(mode):
        raise OutputError("not a regular file, it is not replaced", file=name)
    return _Place(name, target, stat.S_IMODE(mode) & 0o777)


def without_parents(name: str) -> str:
    """`name` with no ``..`` in its folder; behind it, none is made only to be left again."""
    folder, last = os.path.split(name)
    if os.pardir not in folder.split(os.sep):
        return name
    return os.path.join(os.path.realpath(folder), last)


def _refuse_twice(names: Sequence[str]) -> None:
    seen: set[str] = set()
    for name in names:
        target = os.path.realpath(name)
        if target in seen:
            raise OutputError("two outputs would be this file", file=name)
        seen.add(target)


def _refuse_existing(name: str) -> None:
    if os.path.lexists(name):
        raise OutputError("the file exists", file=name, hint="use --force to replace it")


@contextlib.contextmanager
def _named_in(name: str) -> Iterator[None]:
    """Failed writes are about the file `name`."""
    try:
        yield
    except OSError as error:
        raise cannot_write(error, name) from error
    except OutputError as error:
        error.file = error.file or name
        raise


@contextlib.contextmanager
def _open_draft(place: _Place, folders: NewFolders) -> Iterator[tuple[Draft, IO[bytes]]]:
    # What will be private is never anything else.
    mode = _NEW_MODE if place.mode is None else 0o600
    try:
        draft = folders.within(
            lambda: unnamed_draft(place.folder, mode) or named_draft(place.folder, mode)
        )
    except OSError as error:
        message = f"cannot write here: {error.strerror or error}"
        raise OutputError(message, file=place.folder) from error
    try:
        with os.fdopen(draft.fd, "w+b") as file:
            yield draft, file
    finally:
        if draft.temporary:
            with contextlib.suppress(OSError):
                os.unlink(draft.temporary)


def _publish(draft: Draft, place: _Place, *, replace: bool) -> None:
    """Give the finished file its name; a link fails where the name was taken meanwhile."""
    if not replace:
        _publish_new(draft, place)
    elif draft.temporary:
        os.replace(draft.temporary, place.target)
    else:
        _replace_by_unnamed(draft, place)


def _publish_new(draft: Draft, place: _Place) -> None:
    try:
        link_draft(draft, place.target)
    except FileExistsError:
        _refuse_existing(place.name)
        raise
    except OSError:
        if not draft.temporary:
            raise
        # FAT and some network file systems have no links.
        _refuse_existing(place.name)
        os.replace(draft.temporary, place.target)


def _replace_by_unnamed(draft: Draft, place: _Place) -> None:
    """Linking replaces nothing, renaming does: so the file is named for a moment."""
    name = temporary_name(place.folder)
    try:
        link_draft(draft, name)
        os.replace(name, place.target)
    finally:
        with contextlib.suppress(OSError):
            os.unlink(name)
