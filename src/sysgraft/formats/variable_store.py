"""The variable store of EDK II, as OVMF keeps it in a file of its own; read only.

EDK II, MdeModulePkg ``Include/Guid/VariableFormat.h`` (authenticated variables), in a firmware
volume (UEFI PI 1.8 vol. 3 §3.2.1). A store that was interrupted while it was written is read as the
firmware would take it up again; the area it is copied to meanwhile is not looked at.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Final
from uuid import UUID

from sysgraft.errors import FormatError, LimitError, TruncatedError
from sysgraft.formats.efivar import EfiVariable

if TYPE_CHECKING:
    from collections.abc import Iterator

MAX_STORE: Final = 64 << 20
"""Bytes of a file: OVMF's have 128 or 528 KiB, those for arm64 are padded to 64 MiB."""
MAX_VARIABLES: Final = 1 << 14
"""Records in a store, deleted ones too; the smallest has 62 bytes, OVMF's 256 KiB hold 4228."""

# offset size  EFI_FIRMWARE_VOLUME_HEADER
#     16   16  FileSystemGuid: what is in it
#     40    4  "_FVH"
#     48    2  HeaderLength
_VOLUME: Final = struct.Struct("<16x16s8x4s4xH")
_VOLUME_KIND: Final = UUID("fff12b8d-7696-4c8b-a985-2747075b4f50")
_VOLUME_MAGIC: Final = b"_FVH"
# offset size  VARIABLE_STORE_HEADER
#      0   16  Signature
#     16    4  Size: with this header
#     20    1  Format
#     21    1  State
_STORE: Final = struct.Struct("<16sIBB6x")
_AUTHENTICATED: Final = UUID("aaf32c78-947b-439a-a180-2e144ec37792")
_HEALTHY: Final = (0x5A, 0xFE)
# offset size  AUTHENTICATED_VARIABLE_HEADER
#      0    2  StartId
#      2    1  State
#      4    4  Attributes
#      8   28  counter, time, number of the public key
#     36    4  NameSize: bytes, with the NUL
#     40    4  DataSize
#     44   16  VendorGuid
_RECORD: Final = struct.Struct("<HBxI28xII16s")
_START: Final = 0x55AA
# A bit that is cleared says that something happened.
_ADDED: Final = 0x3F
_BEING_DELETED: Final = 0x3E


def parse(data: bytes) -> dict[tuple[str, UUID], EfiVariable]:
    """The variables in a store, by name and namespace.

    Raises:
        FormatError: it is no such store, or a damaged one.
        LimitError: it is larger than `MAX_STORE`, or has more than `MAX_VARIABLES` records.
    """
    if len(data) > MAX_STORE:
        raise LimitError(f"a variable store of {len(data)} bytes; the limit is {MAX_STORE}")
    start, end = _bounds(data)
    found: dict[tuple[str, UUID], EfiVariable] = {}
    replaced: dict[tuple[str, UUID], EfiVariable] = {}
    for state, key, variable in _records(data, start, end):
        if state == _ADDED:
            found[key] = variable
        elif state == _BEING_DELETED:
            replaced[key] = variable
    return replaced | found


def _bounds(data: bytes) -> tuple[int, int]:
    """Where the records begin, and where there is no more room for any."""
    if len(data) < _VOLUME.size:
        raise TruncatedError(f"a variable store of {len(data)} bytes")
    kind, magic, length = _VOLUME.unpack_from(data)
    if magic != _VOLUME_MAGIC or kind != _VOLUME_KIND.bytes_le:
        raise FormatError("not a variable store of EDK II")
    if len(data) - length < _STORE.size:
        raise TruncatedError("the variable store ends inside its header")
    signature, size, form, state = _STORE.unpack_from(data, length)
    if signature != _AUTHENTICATED.bytes_le or (form, state) != _HEALTHY:
        raise FormatError("the variable store has no authenticated variables, or is not in use")
    if not _STORE.size <= size <= len(data) - length:
        raise TruncatedError(
            f"the variable store says {size} bytes, {len(data) - length} are there"
        )
    return length + _STORE.size, length + size


def _records(data: bytes, at: int, end: int) -> Iterator[tuple[int, tuple[str, UUID], EfiVariable]]:
    for _ in range(MAX_VARIABLES):
        at += -at % 4
        if end - at < _RECORD.size:
            return
        start, state, attributes, name_size, data_size, guid = _RECORD.unpack_from(data, at)
        if start != _START:
            return
        at += _RECORD.size
        if name_size + data_size > end - at:
            raise TruncatedError(f"the variable at byte {at - _RECORD.size} goes beyond the store")
        name = _name(data[at : at + name_size])
        at += name_size
        yield state, (name, UUID(bytes_le=guid)), EfiVariable(attributes, data[at : at + data_size])
        at += data_size
    raise LimitError(f"more than {MAX_VARIABLES} variables")


def _name(data: bytes) -> str:
    try:
        return data.decode("utf-16-le").partition("\0")[0]
    except UnicodeDecodeError as error:
        raise FormatError("the name of a variable is not UTF-16") from error
