"""The links by which systemd finds the images of a boot: ``/run/extensions``, ``/run/confexts``."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final

from sysgraft.errors import OutputError, SysgraftError
from sysgraft.formats.extension_release import Kind
from sysgraft.host.boot_state import BootState
from sysgraft.host.places import below, make_plain_folder, real_path, remove_link, unlink_if_there
from sysgraft.host.renaming import replace_link
from sysgraft.node.candidates import BROUGHT
from sysgraft.node.masking import LINKS

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from sysgraft.node.activation import Activated
    from sysgraft.node.node import Node

LINKED: Final = "links"
"""What this boot remembers of the links it was given."""


def link(node: Node, activated: Iterable[Activated]) -> None:
    """Links for what counts, in place of those of earlier runs; one that fails keeps none out.

    Raises:
        InputError, OutputError: one failed, or there is no place for them below ``/run``.
    """
    state = BootState(LINKED, node.root)
    failed: list[str] = []
    folders = dict(_folders(node, failed))
    wanted = {
        os.path.join(folders[each.candidate.kind], each.candidate.file): each.candidate.path
        for each in activated
        if each.linked and each.candidate.kind in folders
    }
    before = state.texts(LINKED)
    state.write({LINKED: sorted({*before, *wanted})})
    _remove_stale(node, before, wanted, folders.values(), failed)
    for path, target in wanted.items():
        try:
            replace_link(path, inside(node.root, target))
        except OSError as error:
            failed.append(f"{path}: {error.strerror or error}")
    state.write({LINKED: sorted(wanted)})
    if failed:
        raise OutputError("; ".join(failed))


def _folders(node: Node, failed: list[str]) -> Iterator[tuple[Kind, str]]:
    """Where links are made, as far as that can be."""
    for kind in Kind:
        folder = below(node.root, LINKS[kind])
        try:
            make_plain_folder(node.root, folder)
        except SysgraftError as error:
            failed.append(str(error))
        else:
            yield kind, folder


def _remove_stale(
    node: Node,
    before: Iterable[str],
    wanted: Mapping[str, str],
    folders: Iterable[str],
    failed: list[str],
) -> None:
    stale = {*before}
    try:
        stale.update(_of_stores(node, folders))
    except OSError as error:
        failed.append(str(error))
    for path in stale - wanted.keys():
        try:
            remove_link(path)
        except OutputError as error:
            failed.append(str(error))


def ours(node: Node) -> frozenset[str]:
    """The links that this boot was given, and that are there."""
    return frozenset(filter(os.path.islink, BootState(LINKED, node.root).texts(LINKED)))


def _of_stores(node: Node, folders: Iterable[str]) -> Iterator[str]:
    """All links to what is this node's to judge, whoever made them: immucore has its own."""
    stores = [os.path.realpath(node.store(kind).folder) for kind in Kind]
    brought = [os.path.realpath(below(node.root, place)) for place in BROUGHT]
    for folder in folders:
        for name in os.listdir(folder):
            path = os.path.join(folder, name)
            real = real_path(node.root, path) if os.path.islink(path) else ""
            if any(real.startswith(f"{place}/") for place in (*stores, *brought)):
                yield path


def unlink(node: Node, kind: Kind, file: str) -> bool:
    """Remove the link to an image that goes; whether there was one.

    Raises:
        OutputError: it cannot be removed.
    """
    path = os.path.join(below(node.root, LINKS[kind]), file)
    return path in BootState(LINKED, node.root).texts(LINKED) and unlink_if_there(path)


def inside(root: str, path: str) -> str:
    """A path below `root` as the system itself has it."""
    return f"/{os.path.relpath(path, root)}"
