"""Install media, into a system that is being installed: for its active and passive entries.

Every extension image below a folder is installed as any other, proven by its signature. It is then
enabled as the map of the configuration has it, and without a map for the active and the passive
entries, never for recovery. One that cannot be installed is told, and does not keep the others out.
"""

from __future__ import annotations

import os
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from sysgraft.errors import InputError, SysgraftError
from sysgraft.host.folders import walk
from sysgraft.image.names import kind_of
from sysgraft.node.changes import Record
from sysgraft.node.enable import EnableOptions, enable
from sysgraft.node.install import InstallOptions, install
from sysgraft.node.mapping import profiles_for
from sysgraft.node.settings import UNMATCHED

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sysgraft.base.progress import Progress
    from sysgraft.node.changes import Changes
    from sysgraft.node.enable import Placement
    from sysgraft.node.install import Installed
    from sysgraft.node.node import Node

MAX_DEPTH: Final = 8
"""Folders inside one another that are looked into."""


def install_media(
    node: Node,
    folder: str,
    options: InstallOptions | None = None,
    *,
    placement: Placement = "store",
    progress: Progress | None = None,
) -> Changes:
    """Install and enable every extension image below a folder.

    Args:
        node: the system, which need not run.
        folder: the media.
        options: how each is installed; a digest cannot be given for many.
        placement: where they are enabled.
        progress: told of what is copied and verified.

    Raises:
        InputError: the folder cannot be read, or there is no image below it.
        OutputError, ToolError: as `sysgraft.node.install.install`, if it concerns all.
    """
    options = replace(options or InstallOptions(), policies="")
    record = Record()
    images = images_below(folder)
    if not images:
        raise InputError("there is no extension image below it", file=folder)
    installed: list[Installed] = []
    for path in images:
        try:
            done = install(node, path, options, progress=progress)
        except (InputError, SysgraftError) as error:
            record.ok = False
            record.note(f"left out: {error}")
            continue
        record.changes += done.changes.changes
        installed.append(done)
    _enable(node, installed, placement, record)
    return record.done()


def _enable(
    node: Node, installed: Sequence[Installed], placement: Placement, record: Record
) -> None:
    """For the entries of the map, which is in force where there is one, else for the usual ones."""
    mapped = profiles_for([each.name for each in installed], node.settings.rules)
    for each in installed:
        profiles = mapped.get(each.name, UNMATCHED)
        if not profiles:
            record.note(f"{each.file}: the map has a newer version of it")
            continue
        options = EnableOptions(placement=placement, kinds=(each.store.kind,))
        done = enable(node, each.file, profiles, options)
        record.changes += done.changes
        record.note(*done.notes)


def images_below(folder: str) -> tuple[str, ...]:
    """The extension images below a folder, sorted; links are not followed."""
    return tuple(
        sorted(
            os.fsdecode(each.place)
            for each in walk(folder, skip=lambda _: True)
            if kind_of(os.path.basename(os.fsdecode(each.path))) is not None
            and each.path.count(b"/") < MAX_DEPTH
            and os.path.isfile(each.place)
            and not os.path.islink(each.place)
        )
    )
