"""Boot entries of a firmware: ``EFI_LOAD_OPTION`` and the lists of their numbers (UEFI 2.10 §3.1).

The variable ``Boot0007`` holds one entry, ``BootOrder`` the numbers of those that are tried, in
order, and ``BootNext`` the number of the one that is tried first, once. Device paths are bytes
here, made and read by `sysgraft.formats.device_path`.
"""

from __future__ import annotations

import re
import struct
from typing import TYPE_CHECKING, Final, NamedTuple

from sysgraft.errors import FormatError, LimitError, TruncatedError

if TYPE_CHECKING:
    from collections.abc import Iterable

ACTIVE: Final = 0x0000_0001
"""LOAD_OPTION_ACTIVE: only such entries are tried by themselves (§3.1.3)."""
MAX_SIZE: Final = 64 << 10
"""Bytes of an entry: firmware keeps all variables together in 64 KiB to 1 MiB."""
LAST_NUMBER: Final = 0xFFFF

# 0 attributes, 4 length of the device paths; then the description and its NUL, the paths, the data.
_HEAD: Final = struct.Struct("<IH")
_MAX_PATHS: Final = 0xFFFF
_NUMBER: Final = struct.Struct("<H")
_NAME: Final = re.compile(r"Boot([0-9A-F]{4})")


class LoadOption(NamedTuple):
    """An entry.

    Attributes:
        attributes: `ACTIVE` and others.
        description: what the firmware's menu shows.
        path: packed device paths; the first one says what is started.
        data: what the program is given; most take it for a command line in UTF-16.
    """

    attributes: int
    description: str
    path: bytes
    data: bytes = b""

    @property
    def told(self) -> str:
        """The data as the command line that most programs take it for."""
        return self.data.decode("utf-16-le", "replace").strip("\0 ")

    @property
    def is_active(self) -> bool:
        """Whether the firmware tries it by itself."""
        return bool(self.attributes & ACTIVE)


def parse(data: bytes) -> LoadOption:
    """Read the value of a ``Boot####`` variable.

    Raises:
        LimitError: it is longer than `MAX_SIZE`.
        TruncatedError: it ends within one of its parts.
    """
    if len(data) > MAX_SIZE:
        raise LimitError(f"a boot entry of {len(data)} bytes; the limit is {MAX_SIZE}")
    if len(data) < _HEAD.size:
        raise TruncatedError(f"a boot entry needs {_HEAD.size} bytes, there are {len(data)}")
    attributes, length = _HEAD.unpack_from(data)
    end = _text_end(data)
    start = end + 2
    if start + length > len(data):
        raise TruncatedError(f"device paths of {length} bytes, {len(data) - start} are left")
    text = data[_HEAD.size : end].decode("utf-16-le", "replace")
    return LoadOption(attributes, text, data[start : start + length], data[start + length :])


def _text_end(data: bytes) -> int:
    """Where the NUL of the description begins."""
    for position in range(_HEAD.size, len(data) - 1, 2):
        if data[position : position + 2] == b"\0\0":
            return position
    raise TruncatedError("the description of a boot entry has no end")


def serialise(option: LoadOption) -> bytes:
    """The value of a ``Boot####`` variable.

    Raises:
        FormatError: its description holds a NUL, or the paths are too long.
    """
    if "\0" in option.description:
        raise FormatError("a description with a NUL")
    if len(option.path) > _MAX_PATHS:
        raise FormatError(f"device paths of {len(option.path)} bytes; {_MAX_PATHS} are possible")
    text = option.description.encode("utf-16-le", "surrogatepass") + b"\0\0"
    return _HEAD.pack(option.attributes, len(option.path)) + text + option.path + option.data


def parse_numbers(data: bytes) -> tuple[int, ...]:
    """The numbers in ``BootOrder``, ``BootNext`` or ``BootCurrent``; an odd byte is none.

    Raises:
        LimitError: they are longer than `MAX_SIZE`.
    """
    if len(data) > MAX_SIZE:
        raise LimitError(f"a boot order of {len(data)} bytes; the limit is {MAX_SIZE}")
    whole = len(data) - len(data) % _NUMBER.size
    return tuple(number for (number,) in _NUMBER.iter_unpack(data[:whole]))


def serialise_numbers(numbers: Iterable[int]) -> bytes:
    """The value of ``BootOrder`` or ``BootNext``."""
    return b"".join(map(_NUMBER.pack, numbers))


def variable_name(number: int) -> str:
    """``Boot0007``."""
    return f"Boot{number:04X}"


def number_of(name: str) -> int | None:
    """The number in such a name; None if it is none (``BootOrder``, ``boot0007``)."""
    match = _NAME.fullmatch(name)
    return int(match[1], 16) if match else None
