"""Changes of a store: links made and taken away, each on the disk when it is done.

A link is made under another name and renamed, so a power cut leaves the old state or the new one.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from sysgraft.errors import InputError, OutputError
from sysgraft.host.files import cannot_write
from sysgraft.host.new_folders import sync_folder
from sysgraft.host.places import is_plain_folder, make_plain_folder, unlink_if_there
from sysgraft.host.renaming import replace_link

if TYPE_CHECKING:
    from sysgraft.node.store import Store


def enable(store: Store, profile: str, file: str) -> bool:
    """Link a file of the store into a profile's folder; whether it was not linked before.

    Raises:
        InputError: a link is on the way to the folder, or the file is gone.
        OutputError: it cannot be written.
    """
    if file in store.enabled(profile):
        return False
    if not os.path.isfile(store.path(file)):
        raise InputError("it is not installed, or no longer", file=store.path(file))
    folder = os.path.join(store.folder, profile)
    make_plain_folder(store.root, folder)
    path = os.path.join(folder, file)
    if os.path.lexists(path) and not os.path.islink(path):
        raise OutputError("a file is there that is no link; it is not replaced", file=path)
    try:
        replace_link(path, f"../{file}")
        sync_folder(folder)
    except OSError as error:
        raise cannot_write(error, path) from error
    return True


def disable(store: Store, profile: str, file: str) -> bool:
    """Take a file's link out of a profile's folder; whether there was one.

    Raises:
        InputError: a link is on the way to the folder.
        OutputError: it cannot be written.
    """
    folder = os.path.join(store.folder, profile)
    path = os.path.join(folder, file)
    if not is_plain_folder(store.root, folder) or not os.path.islink(path):
        return False
    return unlink_if_there(path)
