"""A handful of files of our own, written below a folder: units, scripts, links between them."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, NamedTuple

from sysgraft.errors import OutputError
from sysgraft.host.files import cannot_write
from sysgraft.host.output import atomic_output

if TYPE_CHECKING:
    from collections.abc import Sequence

LINK: int = 0
"""The mode of a symbolic link."""


class TreeFile(NamedTuple):
    """A file to write.

    Attributes:
        path: below the folder.
        data: its content; of a link, where it leads to.
        mode: permissions; `LINK` for a symbolic link.
    """

    path: str
    data: bytes
    mode: int = 0o644


def write_files(folder: str, files: Sequence[TreeFile], *, replace: bool) -> tuple[str, ...]:
    """Write files below a folder, which is made.

    Args:
        folder: where.
        files: what.
        replace: whether files that are there may be replaced.

    Returns:
        Their paths.

    Raises:
        OutputError: one is there already, or cannot be written.
    """
    places = {os.path.join(folder, each.path): each for each in files}
    for path in places:
        if os.path.lexists(path) and not replace:
            raise OutputError("the file exists", file=path, hint="use --force to replace it")
    for path, each in places.items():
        if each.mode == LINK:
            _write_link(path, each.data)
        else:
            _write_file(path, each, replace=replace)
    return tuple(places)


def _write_file(path: str, each: TreeFile, *, replace: bool) -> None:
    with atomic_output(path, replace=replace, make_folders=True) as file:
        file.write(each.data)
        os.chmod(file.fileno(), each.mode)


def _write_link(path: str, target: bytes) -> None:
    try:
        os.makedirs(os.path.dirname(path), exist_ok=True)
        if os.path.lexists(path):
            os.unlink(path)
        os.symlink(target, path)
    except OSError as error:
        raise cannot_write(error, path) from error
