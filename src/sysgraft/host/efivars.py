"""The firmware's variables, in efivarfs or in a folder with a copy of it."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final, Protocol

from sysgraft.errors import InputError, in_file
from sysgraft.formats import efivar
from sysgraft.host.small import read_small

if TYPE_CHECKING:
    from uuid import UUID

    from sysgraft.formats.efivar import EfiVariable

EFIVARFS: Final = "/sys/firmware/efi/efivars"
"""Where Linux mounts efivarfs."""


class EfiVariables(Protocol):
    """Variables of a firmware; `sysgraft.testing.efivars` has one without a machine."""

    @property
    def source(self) -> str:
        """Where the variables come from, for messages."""

    def read(self, name: str, guid: UUID) -> EfiVariable | None:
        """The variable's attributes and data, None if there is no such variable.

        Raises:
            InputError: it cannot be read.
        """


class EfivarsFolder:
    """The variables of a folder that is laid out like efivarfs."""

    __slots__ = ("_folder",)

    def __init__(self, folder: str | os.PathLike[str] = EFIVARFS) -> None:
        self._folder = os.fspath(folder)

    @property
    def source(self) -> str:
        """The folder."""
        return self._folder

    def read(self, name: str, guid: UUID) -> EfiVariable | None:
        """See `EfiVariables.read`.

        Raises:
            InputError: the folder or the file cannot be read.
        """
        file = efivar.file_name(name, guid)
        if file not in self._names():
            return None
        path = os.path.join(self._folder, file)
        with in_file(path):
            return efivar.parse(read_small(path, efivar.MAX_VARIABLE, "EFI variable"))

    def _names(self) -> list[str]:
        # Listing tells "no such variable" from "may not look", which a failed open does not.
        try:
            return os.listdir(self._folder)
        except OSError as error:
            raise InputError(
                f"no EFI variables can be read here: {error.strerror}",
                file=self._folder,
                hint="needs a machine started by UEFI, or a copy of its efivars folder",
            ) from error
