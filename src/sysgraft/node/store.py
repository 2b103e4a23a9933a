"""The store: images, and for each kind of boot entry a folder of links to those enabled for it.

    /var/lib/kairos/extensions/firmware_1.sysext.raw
    /var/lib/kairos/extensions/active/firmware_1.sysext.raw -> ../firmware_1.sysext.raw

The layout is that of kairos-agent, which writes absolute links and whose installer writes relative
ones; both are read, relative ones are written. This module reads; a link that does not lead to an
image of the store by its own name is a flaw, and nothing is ever reached through it.
"""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NamedTuple

from sysgraft.errors import InputError
from sysgraft.host.places import is_plain_folder
from sysgraft.image import names
from sysgraft.node import versions
from sysgraft.node.layout import SIDECARS

if TYPE_CHECKING:
    from collections.abc import Iterator

MAX_ENTRIES: Final = 10_000
"""Names looked at in one folder."""
SIDECAR_SUFFIXES: Final = (".addon.efi", ".cred")
"""What systemd-stub takes beside extensions (systemd-stub(7))."""
_RAW: Final = ".raw"


class Stored(NamedTuple):
    """A file of the store.

    Attributes:
        file: its name.
        path: where it is.
        size: in bytes.
    """

    file: str
    path: str
    size: int

    @property
    def name(self) -> str:
        """What the extension is called: the file's name without its suffixes."""
        return extension_name(self.file)

    @property
    def family(self) -> str:
        """Its name without a version."""
        return versions.split_name(self.name)[0]

    @property
    def version(self) -> str:
        """The version in its name; empty where there is none."""
        return versions.split_name(self.name)[1]


class Flaw(NamedTuple):
    """Something in a store that is not as it should be, and is passed over.

    Attributes:
        path: where.
        reason: a clause.
    """

    path: str
    reason: str


def extension_name(file: str) -> str:
    """The name of the extension, addon or credential in a file."""
    for suffix in SIDECAR_SUFFIXES:
        if file.lower().endswith(suffix):
            return file[: -len(suffix)]
    return names.image_name(file)


@dataclass(frozen=True, slots=True)
class Store:
    """One store.

    Attributes:
        kind: sysext, confext, or `SIDECARS`.
        root: the folder that stands for the system's root.
        folder: of the store, below `root`.
    """

    kind: str
    root: str
    folder: str

    def exists(self) -> bool:
        """Whether it was made.

        Raises:
            InputError: a link is on the way to it, or something that is no folder.
        """
        return is_plain_folder(self.root, self.folder)

    def takes(self, file: str) -> bool:
        """Whether a file of this name belongs here."""
        if file.startswith("."):
            return False
        if self.kind == SIDECARS:
            return file.lower().endswith(SIDECAR_SUFFIXES)
        return file.endswith(_RAW) and names.kind_of(file) in (None, self.kind)

    def files(self, flaws: list[Flaw] | None = None) -> tuple[Stored, ...]:
        """What is installed, by name.

        Args:
            flaws: gets what is passed over.

        Raises:
            InputError: the store cannot be read.
        """
        if not self.exists():
            return ()
        found = []
        for entry in _entries(self.folder):
            if not self.takes(entry.name):
                continue
            if entry.is_file(follow_symlinks=False):
                size = entry.stat(follow_symlinks=False).st_size
                found.append(Stored(entry.name, entry.path, size))
            elif flaws is not None:
                what = "a link" if entry.is_symlink() else "no file"
                flaws.append(Flaw(entry.path, f"it is {what}, and no image of the store"))
        return tuple(sorted(found))

    def profiles(self) -> tuple[str, ...]:
        """The folders of links there are, by name.

        Raises:
            InputError: the store cannot be read.
        """
        if not self.exists():
            return ()
        found = [each for each in _entries(self.folder) if each.is_dir(follow_symlinks=False)]
        return tuple(sorted(each.name for each in found if not each.name.startswith(".")))

    def enabled(self, profile: str, flaws: list[Flaw] | None = None) -> tuple[str, ...]:
        """The files that a folder of links enables, by name.

        Args:
            profile: name of the folder.
            flaws: gets what is passed over.

        Raises:
            InputError: it cannot be read, or is a link.
        """
        folder = os.path.join(self.folder, profile)
        if not is_plain_folder(self.root, folder):
            return ()
        found = []
        for entry in _entries(folder):
            if not self.takes(entry.name):
                continue
            reason = self._problem(entry)
            if not reason:
                found.append(entry.name)
            elif flaws is not None:
                flaws.append(Flaw(entry.path, reason))
        return tuple(sorted(found))

    def _problem(self, entry: os.DirEntry[str]) -> str:
        """Why a link does not count; empty if it does."""
        if not entry.is_symlink():
            return "it is no link to an image of the store"
        try:
            target = os.readlink(entry.path)
        except OSError as error:
            return error.strerror or str(error)
        if target not in (f"../{entry.name}", self._absolute(entry.name)):
            return f"it leads to {target}, not to the image of its name in the store"
        try:
            mode = os.lstat(os.path.join(self.folder, entry.name)).st_mode
        except OSError:
            return "the image it leads to is not there"
        return "" if stat.S_ISREG(mode) else "what it leads to is no file"

    def _absolute(self, file: str) -> str:
        """The path of an image as the system itself has it."""
        inside = os.path.relpath(os.path.join(self.folder, file), self.root)
        return f"/{inside}"

    def profiles_of(self, file: str) -> tuple[str, ...]:
        """The folders of links that enable a file."""
        return tuple(each for each in self.profiles() if file in self.enabled(each))

    def path(self, file: str) -> str:
        """Where a file of the store is."""
        return os.path.join(self.folder, file)


def _entries(folder: str) -> Iterator[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as found:
            entries = [entry for entry, _ in zip(found, range(MAX_ENTRIES + 1), strict=False)]
    except OSError as error:
        raise InputError(error.strerror or str(error), file=folder) from error
    if len(entries) > MAX_ENTRIES:
        raise InputError(f"more than {MAX_ENTRIES} files", file=folder)
    yield from entries
