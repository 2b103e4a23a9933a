"""Rock Ridge: full names, modes and times in an ISO 9660 volume, written.

IEEE P1281 (System Use Sharing Protocol, 1.12): SP, CE, ER. IEEE P1282 (Rock Ridge Interchange
Protocol, 1.12): PX, NM, TF. What does not fit into a directory record goes to a continuation area,
of which no field crosses a sector. No links, devices or moved directories.
"""

from __future__ import annotations

from typing import Final

from sysgraft.formats.iso9660_records import MAX_RECORD, SECTOR, both32, record_head, short_time

DIRECTORY_MODE: Final = 0o040555
FILE_MODE: Final = 0o100444
"""Nobody writes to such a volume."""

_VERSION: Final = 1
SHARING: Final = b"SP\x07\x01\xbe\xef\x00"
"""The field SP, with which the root directory's record of itself begins: there are such fields."""
# The name of the protocol as P1282 §4.3 has it; the texts beside it may be empty.
_PROTOCOL: Final = b"RRIP_1991A"
_MODIFIED: Final = 0x02
_GOES_ON: Final = 0x01
_CONTINUATION: Final = 28
_MAX_FIELD_NAME: Final = 250


class ContinuationArea:
    """What did not fit into directory records.

    Args:
        sector: where the area will be.
    """

    __slots__ = ("_data", "_sector")

    def __init__(self, sector: int) -> None:
        self._sector = sector
        self._data = bytearray()

    @property
    def data(self) -> bytes:
        """The whole area."""
        return bytes(self._data)

    def add(self, fields: bytes) -> bytes:
        """Keep these fields; the field CE that leads there."""
        if len(self._data) % SECTOR + len(fields) > SECTOR:
            self._data += bytes(-len(self._data) % SECTOR)
        sector, offset = divmod(len(self._data), SECTOR)
        self._data += fields
        place = both32(self._sector + sector) + both32(offset) + both32(len(fields))
        return _field(b"CE", place)


def system_use(
    identifier: bytes,
    name: bytes,
    *,
    time: int,
    links: int,
    is_directory: bool,
    area: ContinuationArea,
) -> bytes:
    """The system use field of a directory record.

    Args:
        identifier: of the record.
        name: the full name; empty for a directory itself and the one above.
        time: in seconds since 1970.
        links: names it has: of a directory two and one for each inside.
        is_directory: whether it is one.
        area: for what does not fit.
    """
    mode = DIRECTORY_MODE if is_directory else FILE_MODE
    fields = _field(b"PX", both32(mode) + both32(links) + both32(0) + both32(0))
    fields += _field(b"TF", bytes([_MODIFIED]) + short_time(time))
    names = _name_fields(name)
    if record_head(identifier) + len(fields) + len(names) <= MAX_RECORD:
        return fields + names
    return fields + area.add(names)


def protocol_field() -> bytes:
    """The field ER, which says that this is Rock Ridge."""
    return _field(b"ER", bytes([len(_PROTOCOL), 0, 0, 1]) + _PROTOCOL)


def _name_fields(name: bytes) -> bytes:
    parts = [name[at : at + _MAX_FIELD_NAME] for at in range(0, len(name), _MAX_FIELD_NAME)]
    return b"".join(
        _field(b"NM", bytes([0 if number == len(parts) else _GOES_ON]) + part)
        for number, part in enumerate(parts, 1)
    )


def _field(signature: bytes, data: bytes) -> bytes:
    return signature + bytes([4 + len(data), _VERSION]) + data
