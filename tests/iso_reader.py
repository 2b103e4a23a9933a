"""Reads ISO 9660 volumes with Rock Ridge, strictly, and independent of the writer, for tests.

What the standards say twice is compared: numbers in both byte orders, both path tables, extents of
directories in tables and records.
"""

from __future__ import annotations

import struct
from typing import NamedTuple

SECTOR = 2048


class Record(NamedTuple):
    identifier: bytes
    extent: int
    size: int
    is_directory: bool
    more: bool
    fields: tuple[tuple[bytes, bytes], ...]

    @property
    def name(self) -> str:
        found = b"".join(data[1:] for signature, data in self.fields if signature == b"NM")
        return found.decode()

    def field(self, signature: bytes) -> bytes:
        (data,) = [data for each, data in self.fields if each == signature]
        return data


class Iso:
    """A volume that is wholly in memory."""

    def __init__(self, image: bytes) -> None:
        self.image = image
        self.primary = image[16 * SECTOR : 17 * SECTOR]
        assert self.primary[:7] == b"\x01CD001\x01"
        assert both32(self.primary, 80) * SECTOR == len(image)
        self.root = self._record(self.primary[156:190])[0]
        assert self.root.is_directory

    def files(self) -> dict[str, bytes]:
        """Every file; checks directories, path tables and the order of records on the way."""
        found: dict[str, bytes] = {}
        folders = [("", self.root)]
        table = [(b"\0", self.root.extent, 1)]
        for number, (path, folder) in enumerate(folders, 1):
            inside = self._directory(folder, self.root if not path else None)
            keys = [key(each.identifier) for each in inside]
            assert keys == sorted(keys)
            for each in inside:
                place = f"{path}{each.name}"
                if each.is_directory:
                    folders.append((f"{place}/", each))
                    table.append((each.identifier, each.extent, number))
                    assert struct.unpack("<I", each.field(b"PX")[8:12])[0] >= 2
                else:
                    data = self.image[each.extent * SECTOR :][: each.size]
                    assert len(data) == each.size
                    found[place] = found.get(place, b"") + data
        assert self._path_table("<", 140) == self._path_table(">", 148) == table
        return found

    def _directory(self, folder: Record, root: Record | None) -> list[Record]:
        records = []
        for sector in range(folder.extent, folder.extent + folder.size // SECTOR):
            data = self.image[sector * SECTOR : (sector + 1) * SECTOR]
            while data and data[0]:
                record, length = self._record(data)
                records.append(record)
                data = data[length:]
            assert not any(data)
        own, above, *inside = records
        assert (own.identifier, own.extent, own.size) == (b"\0", folder.extent, folder.size)
        assert above.identifier == b"\1"
        if root is not None:
            assert (above.extent, above.size) == (root.extent, root.size)
            assert own.fields[0] == (b"SP", b"\xbe\xef\0")
            assert own.field(b"ER")[4:] == b"RRIP_1991A"
        return inside

    def _record(self, data: bytes) -> tuple[Record, int]:
        length, flags, name_length = data[0], data[25], data[32]
        assert length % 2 == 0
        assert both16(data, 28) == 1
        end = 33 + name_length
        fields = data[end + (name_length + 1) % 2 : length]
        record = Record(
            data[33:end],
            both32(data, 2),
            both32(data, 10),
            bool(flags & 2),
            bool(flags & 0x80),
            tuple(self._fields(fields)),
        )
        return record, length

    def _fields(self, data: bytes) -> list[tuple[bytes, bytes]]:
        found, following = [], b""
        while len(data) >= 4:
            signature, length = data[:2], data[2]
            content = data[4:length]
            if signature == b"CE":
                sector, offset, size = (both32(content, at) for at in (0, 8, 16))
                assert offset + size <= SECTOR
                following = self.image[sector * SECTOR + offset :][:size]
            else:
                found.append((signature, content))
            data = data[length:]
        return found + (self._fields(following) if following else [])

    def _path_table(self, order: str, at: int) -> list[tuple[bytes, int, int]]:
        (sector,) = struct.unpack_from(f"{order}I", self.primary, at)
        data = self.image[sector * SECTOR :][: both32(self.primary, 132)]
        found = []
        while data:
            length = data[0]
            extent, above = struct.unpack_from(f"{order}IH", data, 2)
            found.append((data[8 : 8 + length], extent, above))
            data = data[8 + length + length % 2 :]
        return found


def key(identifier: bytes) -> tuple[bytes, bytes]:
    name, _, extension = identifier.partition(b";")[0].partition(b".")
    return name.ljust(32), extension.ljust(32)


def both16(data: bytes, at: int) -> int:
    little, big = data[at : at + 2], data[at + 2 : at + 4]
    assert little == big[::-1]
    return int.from_bytes(little, "little")


def both32(data: bytes, at: int) -> int:
    little, big = data[at : at + 4], data[at + 4 : at + 8]
    assert little == big[::-1]
    return int.from_bytes(little, "little")
