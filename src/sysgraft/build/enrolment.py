"""Bring the keys of a folder to a firmware: into a variable store of OVMF, or onto an ESP.

On an ESP, systemd-boot enrols what lies in ``loader/keys/auto`` while the firmware is in setup
mode (``secure-boot-enroll`` in loader.conf(5)). The folder is one of `sysgraft.build.keyset`, or
any with files of these names: ``PK``, ``KEK``, ``db`` and, if there is one, ``dbx``, each with
``.auth`` and ``.esl``.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from sysgraft.base.ids import default_seed
from sysgraft.errors import InputError, OutputError, in_file
from sysgraft.formats import authvar
from sysgraft.formats.authvar import MAX_UPDATE
from sysgraft.host import ovmf_vars
from sysgraft.host.output import atomic_output
from sysgraft.host.signature_files import read_lists
from sysgraft.host.small import read_small

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from sysgraft.formats.esl import SignatureList

ESP_FOLDER: Final = os.path.join("loader", "keys", "auto")
"""Where systemd-boot looks for keys it may enrol without being told to (systemd-boot(7))."""
_NEEDED: Final = ("PK", "KEK", "db")
_OPTIONAL: Final = ("dbx",)


@dataclass(frozen=True, slots=True)
class EnrolmentReport:
    """What was enrolled.

    Attributes:
        databases: what each database holds, by name.
        time: when the databases were set, as far as the firmware is told; None if it is not.
        files: what was written.
        template: the store that the result is made from; None for an ESP.
    """

    databases: Mapping[str, tuple[SignatureList, ...]]
    time: datetime | None
    files: tuple[str, ...]
    template: str | None = None


def enroll_store(
    folder: str, output: str, *, template: str | None = None, replace: bool = False
) -> EnrolmentReport:
    """Make a variable store for OVMF with the keys of a folder, and Secure Boot on.

    Args:
        folder: the keys.
        output: the variable store.
        template: an empty one of the same firmware; None takes the one this machine has.
        replace: whether an existing output may be replaced.

    Raises:
        InputError: a key is missing or cannot be read.
        ToolError: ``virt-fw-vars`` is missing or failed.
        OutputError: the store cannot be written.
    """
    paths = _lists_in(folder)
    time = _latest(folder)
    template = template or ovmf_vars.find_template()
    owner = default_seed(os.path.basename(os.path.realpath(folder)))
    ovmf_vars.enroll(
        template,
        output,
        pk=paths["PK"],
        kek=[paths["KEK"]],
        db=[paths["db"]],
        dbx=[paths["dbx"]] if "dbx" in paths else (),
        owner=owner,
        time=time or ovmf_vars.NO_TIME,
        replace=replace,
    )
    databases = {name: read_lists([path], owner) for name, path in paths.items()}
    return EnrolmentReport(databases, time, (output,), template)


def copy_to_esp(folder: str, esp: str, *, replace: bool = False) -> EnrolmentReport:
    """Put the signed updates of a folder where systemd-boot enrols them.

    Args:
        folder: the keys.
        esp: the top folder of the ESP, or of what will become one.
        replace: whether existing files may be replaced.

    Raises:
        InputError: there is no such ESP, or an update is missing or none.
        OutputError: a file exists, or cannot be written.
    """
    if not os.path.isdir(esp):
        raise InputError("there is no such folder", file=esp)
    updates = read_updates(folder)
    places = {name: os.path.join(esp, ESP_FOLDER, f"{name}.auth") for name in updates}
    for place in places.values():
        if not replace and os.path.lexists(place):
            raise OutputError("the file exists", file=place, hint="use --force to replace it")
    for name, place in places.items():
        with atomic_output(place, replace=replace, make_folders=True) as file:
            file.write(authvar.serialise(updates[name]))
    owner = default_seed(os.path.basename(os.path.realpath(folder)))
    databases = {name: read_lists([path], owner) for name, path in places.items()}
    return EnrolmentReport(databases, _latest(folder), tuple(places.values()))


def read_updates(folder: str) -> dict[str, authvar.SignedUpdate]:
    """The signed updates of a folder, by the name of their database.

    Raises:
        InputError: one is missing or none.
    """
    return {name: _read_update(path) for name, path in _updates_in(folder).items()}


def _lists_in(folder: str) -> dict[str, str]:
    """The file of each database, its lists or the update that holds them."""
    found = {}
    for name in (*_NEEDED, *_OPTIONAL):
        candidates = [os.path.join(folder, f"{name}.{kind}") for kind in ("esl", "auth")]
        there = [path for path in candidates if os.path.isfile(path)]
        if there:
            found[name] = there[0]
        elif name in _NEEDED:
            raise _missing(folder, f"{name}.esl")
    return found


def _updates_in(folder: str) -> dict[str, str]:
    paths = {name: os.path.join(folder, f"{name}.auth") for name in (*_NEEDED, *_OPTIONAL)}
    found = {name: path for name, path in paths.items() if os.path.isfile(path)}
    for name in _NEEDED:
        if name not in found:
            raise _missing(folder, f"{name}.auth")
    return found


def _missing(folder: str, name: str) -> InputError:
    return InputError(
        f"the folder has no {name}",
        file=folder,
        hint="give a folder that sysgraft keys generate has made",
    )


def _read_update(path: str) -> authvar.SignedUpdate:
    with in_file(path):
        return authvar.parse(read_small(path, MAX_UPDATE, "signed update"))


def _latest(folder: str) -> datetime | None:
    """The time of the latest signed update in the folder: none older is to be taken after it."""
    paths = [os.path.join(folder, f"{name}.auth") for name in (*_NEEDED, *_OPTIONAL)]
    times = [_read_update(path).time for path in paths if os.path.isfile(path)]
    return max((time for time in times if time is not None), default=None)
