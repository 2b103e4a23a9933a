"""Write an image out of its pieces: what lies between them is never written, where files can."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from sysgraft.base.blob import chunks
from sysgraft.base.pieces import in_order
from sysgraft.errors import OutputError
from sysgraft.host.output import atomic_output

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sysgraft.base.pieces import Piece
    from sysgraft.base.progress import Progress


def check_place(path: str, *, replace: bool) -> None:
    """Refuse an image that is there already, before the work; `write_image` does so again.

    Raises:
        OutputError: it is.
    """
    if not replace and os.path.lexists(path):
        raise OutputError("the file exists", file=path, hint="use --force to replace it")


def write_image(
    path: str, pieces: Iterable[Piece], size: int, *, replace: bool, progress: Progress
) -> None:
    """Write an image, whole or not at all.

    Args:
        path: where it goes.
        pieces: what it is made of.
        size: its bytes.
        replace: whether an existing file may be replaced.
        progress: told how far it is.

    Raises:
        InputError: a file cannot be read any more.
        OutputError: the image exists, or cannot be written.
    """
    ordered = in_order(pieces, size)
    with atomic_output(path, replace=replace, make_folders=True) as file:
        progress.start("writing", sum(piece.content.size for piece in ordered))
        for piece in ordered:
            file.seek(piece.offset)
            for chunk in chunks(piece.content):
                file.write(chunk)
                progress.advance(len(chunk))
        file.truncate(size)
        progress.finish()
