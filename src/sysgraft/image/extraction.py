"""Puts the files of an image into a folder, as they would be there when it is mounted.

Any image whose file system `image.content` reads: with a partition table or without. Nothing is
verified: whether an image is genuine is for `sysgraft.image.verify` to say.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from sysgraft.base.progress import NoProgress
from sysgraft.base.tree import is_below, printable
from sysgraft.errors import InputError, LimitError, in_file
from sysgraft.host.files import OpenFile
from sysgraft.host.filled_folder import check_new, fill_new
from sysgraft.host.tree_output import TreeOutput
from sysgraft.image import dissect
from sysgraft.image.content import Summary, open_filesystem, summarise

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sysgraft.base.progress import Progress
    from sysgraft.base.tree import Tree
    from sysgraft.host.inode_output import NotKept

MAX_EXTRACTED: Final = 64 << 30
"""Bytes of content that are extracted, holes included; an image may claim any number."""


@dataclass(frozen=True, slots=True)
class Extraction:
    """What was extracted.

    Attributes:
        file: the image, as the caller named it.
        folder: where its files are, likewise.
        fstype: the file system they came from.
        content: counts and sizes.
        not_kept: what this user or the file system could not keep of them.
    """

    file: str
    folder: str
    fstype: str
    content: Summary
    not_kept: tuple[NotKept, ...]


def extract_image(
    path: str | os.PathLike[str],
    folder: str | os.PathLike[str],
    *,
    only: Sequence[bytes] = (),
    progress: Progress | None = None,
) -> Extraction:
    """Put the files of an image into a new folder.

    It appears whole or not at all. As root, files get their owners, attributes and devices;
    others get what they may, and `Extraction.not_kept` tells the rest.

    Args:
        path: the image.
        folder: has to be missing or empty; the folder above it has to be there.
        only: paths in the mounted image; what is not one of them or below one is left out, but
            for the folders above them. Without any, nothing is.
        progress: told how far it is.

    Raises:
        InputError: the file cannot be read, or has nothing at one of the paths in `only`.
        FormatError: it is neither a disk image nor a file system that can be read, or is damaged.
        OutputError: the folder is not empty, or something cannot be written.
    """
    file, target = os.fspath(path), os.fspath(folder)
    check_new(target)
    with OpenFile(file) as blob, in_file(file):
        found = dissect.dissect(blob)
        data = found.data
        part = dissect.part(blob, data) if data else blob
        tree = select_paths(open_filesystem(part, data).read_tree(), only)
        content = summarise(tree)
        if content.content_bytes > MAX_EXTRACTED:
            raise LimitError(
                f"the image claims {content.content_bytes} bytes of content; at most"
                f" {MAX_EXTRACTED} are extracted",
            )
        output = TreeOutput(tree, progress or NoProgress())
        fill_new(target, output.fill, output.finish)
    fstype = (data.fstype if data else found.bare_fstype) or ""
    return Extraction(file, target, fstype, content, output.keeper.not_kept)


def select_paths(tree: Tree, only: Sequence[bytes]) -> Tree:
    """The part of a tree at and below some paths, with the folders above them.

    Raises:
        InputError: there is nothing at one of them.
    """
    wanted = [path.strip(b"/") for path in only]
    for path in wanted:
        if path not in tree:
            raise InputError(f"the image has no {printable(path) or '/'}")
    if not wanted:
        return tree
    return {
        path: inode
        for path, inode in tree.items()
        if any(is_below(path, each) or is_below(each, path) for each in wanted)
    }
