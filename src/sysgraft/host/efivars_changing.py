"""The firmware's variables, changed: through efivarfs, or in a folder with a copy of it.

Linux protects variables it does not know with the immutable flag, since some firmware does not
start without all of its own (Documentation/filesystems/efivarfs.rst); it is taken off for the one
that is changed. A variable is written by one call, its attributes first: firmware has the old value
or the new one. Authenticated variables are not for this.
"""

from __future__ import annotations

import contextlib
import os
import struct
from typing import TYPE_CHECKING, Final, Protocol

from sysgraft.errors import OutputError
from sysgraft.formats import efivar
from sysgraft.formats.efivar import EfiVariable
from sysgraft.host.efivars import EFIVARFS, EfiVariables, EfivarsFolder
from sysgraft.host.files import cannot_write
from sysgraft.host.output import atomic_output
from sysgraft.host.remounting import is_read_only, mount_of_folder

if TYPE_CHECKING:
    from collections.abc import Iterator
    from uuid import UUID

STORED: Final = efivar.NON_VOLATILE | efivar.BOOTSERVICE_ACCESS | efivar.RUNTIME_ACCESS
"""Attributes of what a boot loader or firmware is to find at the next start (UEFI §3.3)."""

# linux/fs.h: FS_IOC_GETFLAGS, FS_IOC_SETFLAGS, FS_IMMUTABLE_FL. The first two have the size of a
# long in them, and are given an int.
_LONG: Final = struct.calcsize("l") << 16
_GET_FLAGS: Final = 0x80006601 | _LONG
_SET_FLAGS: Final = 0x40006602 | _LONG
_IMMUTABLE: Final = 0x10
_FLAGS: Final = struct.Struct("=i4x")


class ChangingEfiVariables(EfiVariables, Protocol):
    """Variables that can be changed; `sysgraft.testing.efivars` has one without a machine."""

    def names(self, guid: UUID) -> tuple[str, ...]:
        """The names of a vendor's variables, sorted.

        Raises:
            InputError: they cannot be listed.
        """

    def require_writable(self) -> None:
        """Raise `OutputError` where variables cannot be changed, before anything else is."""

    def write(self, name: str, guid: UUID, data: bytes) -> None:
        """Store a variable with the attributes `STORED`.

        Raises:
            OutputError: it cannot be.
        """

    def remove(self, name: str, guid: UUID) -> None:
        """Remove a variable; nothing happens if there is none.

        Raises:
            OutputError: it cannot be.
        """


class ChangingEfivarsFolder(EfivarsFolder):
    """The variables of a folder that is efivarfs, or laid out like it."""

    def __init__(self, folder: str | os.PathLike[str] = EFIVARFS) -> None:
        super().__init__(folder)
        mount = mount_of_folder(self.source)
        self._is_real = mount is not None and mount.kind == "efivarfs"

    def names(self, guid: UUID) -> tuple[str, ...]:
        """See `ChangingEfiVariables.names`."""
        end = f"-{guid}"
        return tuple(sorted(e[: -len(end)] for e in self._names() if e.endswith(end)))

    def require_writable(self) -> None:
        """See `ChangingEfiVariables.require_writable`."""
        self._names()
        if is_read_only(self.source) or not os.access(self.source, os.W_OK):
            raise OutputError(
                "EFI variables cannot be changed here",
                file=self.source,
                hint="be root and mount it writable; or go without boot entries of the firmware",
            )

    def write(self, name: str, guid: UUID, data: bytes) -> None:
        """See `ChangingEfiVariables.write`."""
        path = self._path(name, guid)
        content = efivar.serialise(EfiVariable(STORED, data))
        if not self._is_real:
            with atomic_output(path, replace=True) as file:
                file.write(content)
            return
        is_new = not os.path.lexists(path)
        try:
            with _changeable(path):
                _write_at_once(path, content)
        except OSError as error:
            # Linux before 6.14 leaves an empty file, which nobody can read.
            if is_new:
                with contextlib.suppress(OSError):
                    os.unlink(path)
            raise cannot_write(error, path) from error

    def remove(self, name: str, guid: UUID) -> None:
        """See `ChangingEfiVariables.remove`."""
        path = self._path(name, guid)
        try:
            with contextlib.suppress(FileNotFoundError):
                if self._is_real:
                    _take_flag_off(path)
                os.unlink(path)
        except OSError as error:
            raise cannot_write(error, path) from error

    def _path(self, name: str, guid: UUID) -> str:
        return os.path.join(self.source, efivar.file_name(name, guid))


def _write_at_once(path: str, content: bytes) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o644)
    try:
        if os.write(descriptor, content) != len(content):
            raise OSError(f"only a part of {len(content)} bytes was taken")
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def _changeable(path: str) -> Iterator[None]:
    """The variable can be changed inside; protected before, it is so again."""
    flags = 0
    with contextlib.suppress(FileNotFoundError):
        flags = _take_flag_off(path)
    try:
        yield
    finally:
        if flags & _IMMUTABLE:
            with contextlib.suppress(OSError):
                _set_flags(path, flags)


def _take_flag_off(path: str) -> int:
    """Take the immutable flag off; the flags there were."""
    import fcntl  # noqa: PLC0415  there is none on Windows

    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    try:
        raw = fcntl.ioctl(descriptor, _GET_FLAGS, _FLAGS.pack(0))
    finally:
        os.close(descriptor)
    (flags,) = _FLAGS.unpack(raw)
    if flags & _IMMUTABLE:
        _set_flags(path, flags & ~_IMMUTABLE)
    return int(flags)


def _set_flags(path: str, flags: int) -> None:
    import fcntl  # noqa: PLC0415  there is none on Windows

    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    try:
        fcntl.ioctl(descriptor, _SET_FLAGS, _FLAGS.pack(flags))
    finally:
        os.close(descriptor)
