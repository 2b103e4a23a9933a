"""The ``.efifw`` section of a UKI: firmware for one kind of machine.

systemd ``src/boot/efi-firmware.h`` (the stub reads it since 258): a header, the firmware's ID, the
firmware. Which machine it is for stands in the section ``.hwids``, by that ID. What the firmware
itself looks like is not known here.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final
from uuid import UUID

from sysgraft.base.blob import BytesBlob, JoinedBlob, SubBlob
from sysgraft.errors import FormatError, LimitError, TruncatedError

if TYPE_CHECKING:
    from sysgraft.base.blob import Blob

MAX_PAYLOAD: Final = (1 << 32) - 1
"""Bytes of a firmware: its size is a 32-bit number."""
MAX_IDENTIFIER: Final = 1 << 12
"""Bytes of an ID, the NUL behind it included; the ID is the name of a folder."""
MAX_HEADER: Final = 1 << 12
"""Bytes of a header that is read; those in use have 16 or 32."""

# 0 magic, 4 size of the header, 8 of the ID with its NUL, 12 of the firmware. A longer header has
# at 16 the hardware ID that the firmware, then a capsule, brings the machine to; zero if none.
_HEADER: Final = struct.Struct("<IIII")
_MAGIC: Final = 0xFEED_DEAD
_TARGET: Final = 16


@dataclass(frozen=True, slots=True)
class Firmware:
    """A firmware.

    Attributes:
        identifier: its ID, as `sysgraft.formats.hwids.Device.match` names it.
        payload: its bytes.
        target: where it is a capsule, the hardware ID of machines that have it already.
    """

    identifier: str
    payload: Blob
    target: UUID | None = None


def parse(blob: Blob) -> Firmware:
    """Read a section; there may be more behind the firmware.

    Raises:
        FormatError: it is none, or damaged; also by its subclasses.
    """
    magic, header_size, identifier_size, size = _HEADER.unpack(_read(blob, 0, _HEADER.size))
    if magic != _MAGIC:
        raise FormatError("the firmware has no header")
    if not _HEADER.size <= header_size <= MAX_HEADER:
        raise FormatError(f"the firmware's header says it has {header_size} bytes")
    if identifier_size > MAX_IDENTIFIER:
        raise LimitError(
            f"a firmware's ID of {identifier_size} bytes; the limit is {MAX_IDENTIFIER}"
        )
    raw = _read(blob, header_size, identifier_size)
    if not raw.endswith(b"\0") or raw.count(b"\0") != 1:
        raise FormatError("the firmware's ID does not end with a NUL")
    start = header_size + identifier_size
    _check_room(blob, start, size)
    return Firmware(_text(raw[:-1]), SubBlob(blob, start, size), _target(blob, header_size))


def _read(blob: Blob, offset: int, size: int) -> bytes:
    _check_room(blob, offset, size)
    return blob.read_at(offset, size)


def _check_room(blob: Blob, offset: int, size: int) -> None:
    if offset + size > blob.size:
        raise TruncatedError(f"a firmware of {offset + size} bytes or more in {blob.size}")


def _text(raw: bytes) -> str:
    try:
        return raw.decode()
    except UnicodeDecodeError:
        raise FormatError("the firmware's ID is not UTF-8") from None


def _target(blob: Blob, header_size: int) -> UUID | None:
    raw = _read(blob, 0, min(header_size, _TARGET + 16))[_TARGET:]
    return UUID(bytes_le=raw) if len(raw) == 16 and any(raw) else None


def wrap(identifier: str, payload: Blob) -> Blob:
    """The section of a firmware, as ukify writes it: with the short header.

    Raises:
        FormatError: the firmware is empty, or the ID cannot be stored.
        LimitError: one of them is too long.
    """
    try:
        name = identifier.encode() + b"\0"
    except UnicodeEncodeError:
        raise FormatError(f"not a text that UTF-8 can hold: {identifier!r:.100}") from None
    if name.count(b"\0") != 1 or len(name) == 1:
        raise FormatError(f"a firmware cannot have the ID {identifier!r:.100}")
    if not payload.size:
        raise FormatError(f"the firmware {identifier} is empty")
    if len(name) > MAX_IDENTIFIER or payload.size > MAX_PAYLOAD:
        raise LimitError(
            f"a firmware of {payload.size} bytes with an ID of {len(name) - 1}; the limits are "
            f"{MAX_PAYLOAD} and {MAX_IDENTIFIER - 1}"
        )
    header = _HEADER.pack(_MAGIC, _HEADER.size, len(name), payload.size)
    return JoinedBlob((BytesBlob(header + name), payload))
