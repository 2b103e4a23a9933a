"""EFI variables as efivarfs shows them (Linux Documentation/filesystems/efivarfs.rst; UEFI §8.2).

A file there is the variable's attributes and its data. This knows nothing of what the data of
the single variables mean.
"""

from __future__ import annotations

from typing import Final, NamedTuple
from uuid import UUID

from sysgraft.errors import LimitError, TruncatedError

MAX_VARIABLE: Final = (4 << 20) + 4
"""Bytes in one file: firmware keeps 64 KiB to 1 MiB for all variables together."""

GLOBAL_VARIABLE: Final = UUID("8be4df61-93ca-11d2-aa0d-00e098032b8c")
"""EFI_GLOBAL_VARIABLE (UEFI §3.3): SecureBoot, SetupMode, PK, KEK."""
IMAGE_SECURITY_DATABASE: Final = UUID("d719b2cb-3d3a-4596-a3bc-dad00e67656f")
"""EFI_IMAGE_SECURITY_DATABASE_GUID (UEFI §32.6.1): db, dbx."""

# Attributes, UEFI §8.2.1.
NON_VOLATILE: Final = 0x01
BOOTSERVICE_ACCESS: Final = 0x02
RUNTIME_ACCESS: Final = 0x04
AUTHENTICATED_WRITE_ACCESS: Final = 0x10
TIME_BASED_AUTHENTICATED_WRITE_ACCESS: Final = 0x20

STATE_ATTRIBUTES: Final = BOOTSERVICE_ACCESS | RUNTIME_ACCESS
"""What SecureBoot and SetupMode have (UEFI §3.3): the firmware makes them anew at every start."""
DATABASE_ATTRIBUTES: Final = (
    NON_VOLATILE | BOOTSERVICE_ACCESS | RUNTIME_ACCESS | TIME_BASED_AUTHENTICATED_WRITE_ACCESS
)
"""What PK, KEK, db and dbx have (UEFI §3.3, §32.6): only who holds the keys can change them."""

# offset size
#      0    4  attributes, little endian
#      4       data
_ATTRIBUTES: Final = 4


class EfiVariable(NamedTuple):
    """A variable's attributes (a sum of the flags of this module) and its data."""

    attributes: int
    data: bytes

    @property
    def is_stored(self) -> bool:
        """Whether it outlives a restart, which what the firmware says of itself never does."""
        return bool(self.attributes & NON_VOLATILE)

    @property
    def is_authenticated(self) -> bool:
        """Whether it changes only by a signed update with a time (UEFI §8.2.2).

        The older way with a counter, AUTHENTICATED_WRITE_ACCESS, is deprecated and does not count.
        """
        kinds = AUTHENTICATED_WRITE_ACCESS | TIME_BASED_AUTHENTICATED_WRITE_ACCESS
        return self.attributes & kinds == TIME_BASED_AUTHENTICATED_WRITE_ACCESS


def parse(file: bytes) -> EfiVariable:
    """Read the contents of an efivarfs file.

    Raises:
        LimitError: it is longer than `MAX_VARIABLE`.
        TruncatedError: it is too short for the attributes.
    """
    if len(file) > MAX_VARIABLE:
        raise LimitError(f"an EFI variable of {len(file)} bytes; the limit is {MAX_VARIABLE}")
    if len(file) < _ATTRIBUTES:
        raise TruncatedError(f"an EFI variable needs {_ATTRIBUTES} bytes, there are {len(file)}")
    return EfiVariable(int.from_bytes(file[:_ATTRIBUTES], "little"), file[_ATTRIBUTES:])


def serialise(variable: EfiVariable) -> bytes:
    """The contents of the efivarfs file."""
    return variable.attributes.to_bytes(_ATTRIBUTES, "little") + variable.data


def text_of(data: bytes) -> str:
    """The text of a variable that holds one: UTF-16 up to a NUL, whatever is in it."""
    return data.decode("utf-16-le", "replace").partition("\0")[0]


def text_data(text: str) -> bytes:
    """The data of such a variable."""
    return text.encode("utf-16-le") + b"\0\0"


def file_name(name: str, guid: UUID) -> str:
    """What efivarfs calls the variable: ``db-d719b2cb-3d3a-4596-a3bc-dad00e67656f``."""
    return f"{name}-{guid}"
