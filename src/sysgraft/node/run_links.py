"""The links by which systemd finds the images of a boot: ``/run/extensions``, ``/run/confexts``."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final

from sysgraft.errors import OutputError
from sysgraft.formats.extension_release import Kind
from sysgraft.host.boot_state import BootState
from sysgraft.host.places import below, make_plain_folder, unlink_if_there
from sysgraft.host.renaming import replace_link
from sysgraft.node.masking import LINKS

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sysgraft.node.activation import Activated
    from sysgraft.node.node import Node

LINKED: Final = "links"
"""What this boot remembers of the links it was given."""


def link(node: Node, images: Iterable[Activated]) -> None:
    """Links for what counts, in place of those of earlier runs; one that fails keeps none out.

    Raises:
        InputError, OutputError: one failed, or there is no place for them below ``/run``.
    """
    state = BootState(LINKED, node.root)
    wanted: dict[str, str] = {}
    for kind in Kind:
        folder = below(node.root, LINKS[kind])
        make_plain_folder(node.root, folder)
        for each in images:
            if each.linked and each.candidate.kind is kind:
                wanted[os.path.join(folder, each.candidate.file)] = each.candidate.path
    before = state.read().get("links", [])
    state.write({"links": sorted({*before, *wanted})})
    for path in before:
        if path not in wanted and os.path.islink(path):
            unlink_if_there(path)
    failed: list[str] = []
    for path, target in wanted.items():
        try:
            replace_link(path, inside(node.root, target))
        except OSError as error:
            failed.append(f"{path}: {error.strerror or error}")
    state.write({"links": sorted(wanted)})
    if failed:
        raise OutputError("; ".join(failed))


def unlink(node: Node, kind: Kind, file: str) -> bool:
    """Remove the link to an image that goes; whether there was one.

    Raises:
        OutputError: it cannot be removed.
    """
    path = os.path.join(below(node.root, LINKS[kind]), file)
    return path in BootState(LINKED, node.root).read().get("links", []) and unlink_if_there(path)


def inside(root: str, path: str) -> str:
    """A path below `root` as the system itself has it."""
    return f"/{os.path.relpath(path, root)}"
