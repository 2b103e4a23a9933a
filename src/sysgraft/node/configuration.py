"""The configuration of a system: its files from the lowest layer up, and what they come to.

    /usr/lib/sysgraft/config.toml, /usr/lib/sysgraft/config.d/*.toml    part of the system
    /etc/sysgraft/config.toml, /etc/sysgraft/config.d/*.toml            writable
    /oem/*.yaml, /oem/*.yml                                             writable, cloud-configs

A link is never followed, neither to a file nor on the way to it: one in ``/usr`` could lead to what
anybody may write. Files whose names begin with a dot are passed over.
"""

from __future__ import annotations

import os
import stat
from contextlib import contextmanager
from itertools import chain
from typing import TYPE_CHECKING, Final, NamedTuple

from sysgraft.errors import InputError, LimitError, SysgraftError
from sysgraft.host.places import below, is_plain_folder
from sysgraft.host.small import read_small
from sysgraft.node.settings import Note, Settings

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from sysgraft.node.config_document import Document

MAX_FILES: Final = 256
"""Files in one folder."""
SWITCH: Final = "sysgraft.config"
"""The parameter of the kernel's command line that lets writable configuration loosen."""
TRUSTED: Final = "trusted"
_BLANKS: Final = frozenset(" \t\n\v\f\r\xa0")  # isspace() of the kernel (lib/ctype.c)


class _Folder(NamedTuple):
    """A folder with configuration files.

    Attributes:
        path: in the system.
        name: of the only file that counts; empty for all with one of the suffixes.
        suffixes: of files that count.
    """

    path: str
    name: str = ""
    suffixes: tuple[str, ...] = (".toml",)


_USR: Final = (_Folder("/usr/lib/sysgraft", "config.toml"), _Folder("/usr/lib/sysgraft/config.d"))
_ETC: Final = (_Folder("/etc/sysgraft", "config.toml"), _Folder("/etc/sysgraft/config.d"))
_OEM: Final = (_Folder("/oem", suffixes=(".yaml", ".yml")),)
_LAYERS: Final = ((_USR, True), (_ETC, False), (_OEM, False))
"""Lowest first, and whether each is a part of the system that cannot be written."""
_PLACES: Final = ("/usr/lib/sysgraft", "/etc/sysgraft", "/oem")
"""Without these there is no configuration."""


class Configuration(NamedTuple):
    """What a system is configured to do.

    Attributes:
        settings: that count.
        notes: what in the files does not count, and why.
        broken: files that were passed over because they cannot be read; see `read_configuration`.
    """

    settings: Settings
    notes: tuple[Note, ...] = ()
    broken: tuple[str, ...] = ()


def is_configured(root: str) -> bool:
    """Whether there is a place with configuration; without one the settings are the usual ones."""
    return any(os.path.lexists(below(root, place)) for place in _PLACES)


def read_configuration(
    root: str,
    *,
    may_loosen: bool,
    tolerant: bool = False,
    known_entries: Collection[str] = (),
) -> Configuration:
    """Read the configuration of a system.

    Args:
        root: the folder that stands for its root.
        may_loosen: whether writable files may loosen, see `is_loosening_allowed`.
        tolerant: whether a writable file that is broken is passed over, with a note. The settings
            are then as strict as by default at least.
        known_entries: names of boot entries, for the map of a cloud-config.

    Raises:
        InputError: a file is broken, a link, or cannot be read; the message names its line where
            it is not TOML or YAML.
        ToolError: a cloud-config is there, and PyYAML is not.
    """
    return _Reading(root, may_loosen=may_loosen, tolerant=tolerant).read(known_entries)


class _Reading:
    def __init__(self, root: str, *, may_loosen: bool, tolerant: bool) -> None:
        self._root = root
        self._tolerant = tolerant
        from sysgraft.node.config_merge import Merger  # noqa: PLC0415  most systems have no files

        self._merger = Merger(may_loosen=may_loosen)
        self._broken: list[str] = []

    def read(self, known_entries: Collection[str]) -> Configuration:
        for folders, measured in _LAYERS:
            self._merger.begin_layer(measured=measured)
            for path in self._paths(folders, measured=measured):
                listed = chain.from_iterable(self._merger.settings.entries.values())
                with self._passed_over(path, measured=measured):
                    self._merger.add(_read(path, {*known_entries, *listed}))
        for file in self._broken:
            self._merger.hold_defaults(file)
        merger = self._merger
        return Configuration(merger.finished(), tuple(merger.notes), tuple(self._broken))

    def _paths(self, folders: tuple[_Folder, ...], *, measured: bool) -> list[str]:
        found: list[str] = []
        for folder in folders:
            with self._passed_over(below(self._root, folder.path), measured=measured):
                found += _paths(self._root, folder)
        return found

    @contextmanager
    def _passed_over(self, path: str, *, measured: bool) -> Iterator[None]:
        """Whether an error about `path` is one, or a note."""
        try:
            yield
        except SysgraftError as error:
            if measured or not self._tolerant:
                raise
            hint = f" ({error.hint})" if error.hint else ""
            self._broken.append(path)
            self._merger.notes.append(Note(path, f"it is not taken: {error.message}{hint}"))


def _paths(root: str, folder: _Folder) -> list[str]:
    """The files of a folder, sorted by name."""
    place = below(root, folder.path)
    if not is_plain_folder(root, place):
        return []
    if folder.name:
        path = os.path.join(place, folder.name)
        return [path] if os.path.lexists(path) else []
    try:
        with os.scandir(place) as entries:
            names = sorted(e.name for e in entries if e.name.endswith(folder.suffixes))
    except OSError as error:
        raise InputError(error.strerror or str(error), file=place) from error
    names = [name for name in names if not name.startswith(".")]
    if len(names) > MAX_FILES:
        raise LimitError(f"more than {MAX_FILES} files", file=place)
    return [os.path.join(place, name) for name in names]


def _read(path: str, known: Collection[str]) -> Document:
    from sysgraft.node.config_document import parse_toml  # noqa: PLC0415  most systems have none
    from sysgraft.node.config_kairos import parse_kairos  # noqa: PLC0415
    from sysgraft.node.config_values import MAX_SIZE  # noqa: PLC0415

    _refuse_link(path)
    data = read_small(path, MAX_SIZE, "configuration", follow=False)
    if path.endswith(".toml"):
        return parse_toml(data, path)
    return parse_kairos(data, path, known_entries=known)


def _refuse_link(path: str) -> None:
    try:
        mode = os.lstat(path).st_mode
    except OSError as error:
        raise InputError(error.strerror or str(error), file=path) from error
    if stat.S_ISLNK(mode):
        raise InputError(
            "it is a symbolic link, which is not followed here",
            file=path,
            hint="put the file itself there",
        )


def is_loosening_allowed(cmdline: str, *, started_by_stub: bool) -> bool:
    """Whether writable configuration may loosen: add certificates, set a less strict mode.

    On a system that systemd-stub started, only if ``sysgraft.config=trusted`` is on the kernel's
    command line, which is signed or measured there. On others nothing is measured, and the
    configuration counts as it is, unless the parameter has another value. The last one counts.

    Args:
        cmdline: the command line.
        started_by_stub: whether systemd-stub started the kernel.
    """
    value = "" if started_by_stub else TRUSTED
    for word in _words(cmdline):
        name, equals, given = word.partition("=")
        if name == SWITCH:
            value = given if equals else ""
    return value == TRUSTED


def _words(cmdline: str) -> Iterator[str]:
    """The kernel's own parameters: ``next_arg()`` of its ``lib/cmdline.c``, up to a ``--``.

    Blanks between quotation marks belong to a word; of these, only those around the whole word or
    its whole value are no part of it.
    """
    start, is_inside = 0, False
    for at, character in enumerate(f"{cmdline} "):
        is_inside ^= character == '"'
        if at < len(cmdline) and (is_inside or character not in _BLANKS):
            continue
        word = _unquoted(cmdline[start:at])
        start = at + 1
        if word == "--":
            return
        yield word


def _unquoted(word: str) -> str:
    is_quoted = word.startswith('"')
    name, equals, value = word.removeprefix('"').partition("=")
    if is_quoted or value.startswith('"'):
        # Only one mark at the end is taken away, whatever stands at the beginning.
        rest = value.removeprefix('"')
        return name + equals + rest.removesuffix('"') if equals else name.removesuffix('"')
    return f"{name}{equals}{value}"
