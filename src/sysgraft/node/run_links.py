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
    from collections.abc import Iterable, Iterator

    from sysgraft.node.activation import Activated
    from sysgraft.node.node import Node

LINKED: Final = "links"
"""What this boot remembers of the links it was given."""


def link(node: Node, activated: Iterable[Activated]) -> None:
    """Links for what counts, in place of those of earlier runs; one that fails keeps none out.

    Raises:
        InputError, OutputError: one failed, or there is no place for them below ``/run``.
    """
    linked = [each for each in activated if each.linked]
    images = {kind: [e for e in linked if e.candidate.kind is kind] for kind in Kind}
    state = BootState(LINKED, node.root)
    wanted: dict[str, str] = {}
    failed: list[str] = []
    folders: list[str] = []
    for kind in Kind:
        folder = below(node.root, LINKS[kind])
        try:
            make_plain_folder(node.root, folder)
        except SysgraftError as error:
            failed.append(str(error))
            continue
        folders.append(folder)
        wanted |= {os.path.join(folder, e.candidate.file): e.candidate.path for e in images[kind]}
    before = _linked(state)
    state.write({"links": sorted({*before, *wanted})})
    stale = [*before]
    try:
        stale += _of_stores(node, folders)
    except OSError as error:
        failed.append(str(error))
    for path in {*stale} - wanted.keys():
        try:
            remove_link(path)
        except OutputError as error:
            failed.append(str(error))
    for path, target in wanted.items():
        try:
            replace_link(path, inside(node.root, target))
        except OSError as error:
            failed.append(f"{path}: {error.strerror or error}")
    state.write({"links": sorted(wanted)})
    if failed:
        raise OutputError("; ".join(failed))


def ours(node: Node) -> frozenset[str]:
    """The links that this boot was given, and that are there."""
    return frozenset(filter(os.path.islink, _linked(BootState(LINKED, node.root))))


def _linked(state: BootState) -> list[str]:
    found = state.read().get("links", [])
    return [str(each) for each in found] if isinstance(found, list) else []


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
    return path in _linked(BootState(LINKED, node.root)) and unlink_if_there(path)


def inside(root: str, path: str) -> str:
    """A path below `root` as the system itself has it."""
    return f"/{os.path.relpath(path, root)}"
