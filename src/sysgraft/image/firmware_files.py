"""The firmware in an extension image, for whoever looks for a file."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from sysgraft.errors import in_file
from sysgraft.host.files import OpenFile
from sysgraft.image import dissect
from sysgraft.image.content import open_filesystem

if TYPE_CHECKING:
    from sysgraft.base.tree import Tree


def firmware_of_image(path: str | os.PathLike[str]) -> Tree:
    """All files of an image by their paths in the mounted image; contents are read when asked for.

    Raises:
        InputError: the file cannot be read.
        FormatError: it is no image, or its content is not read (`open_filesystem`), or damaged.
    """
    name = os.fspath(path)
    with in_file(name):
        blob = OpenFile(name)
        found = dissect.dissect(blob)
        data = found.data
        reader = open_filesystem(dissect.part(blob, data) if data else blob, data)
        return reader.read_tree()
