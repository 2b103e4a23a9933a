"""Finds the extended attributes of EROFS inodes: inline, shared, and with long prefixes.

The bytes of a single entry are `xattr`'s. What a shared attribute is, is parsed once per image;
the attributes of all inodes together are held to the budget of whoever reads them.

    struct erofs_xattr_long_prefix  2 bytes length of the rest, 1 byte name index, more of the name;
                                    aligned to 4 bytes; in the packed inode, or in the image itself
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Final

from sysgraft.base.tree import printable
from sysgraft.errors import FormatError
from sysgraft.formats.erofs import xattr
from sysgraft.formats.erofs.compressed import PACKED
from sysgraft.formats.erofs.data import open_data
from sysgraft.formats.erofs.ondisk import Compat, Incompat, round_up

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sysgraft.base.blob import Blob
    from sysgraft.formats.erofs.limits import Budget
    from sysgraft.formats.erofs.volume import Found, Volume

_PREFIX_LENGTH: Final = 2
_MAX_PREFIX: Final = 256  # one byte of name index, EROFS_NAME_LEN of name


class Attributes:
    """The extended attributes of an image's inodes."""

    __slots__ = ("_prefixes", "_shared", "_volume")

    def __init__(self, volume: Volume) -> None:
        self._volume = volume
        self._prefixes: list[bytes] | None = None
        self._shared: dict[int, tuple[bytes, bytes] | None] = {}

    def of(self, found: Found, budget: Budget) -> tuple[tuple[bytes, bytes], ...]:
        """All attributes of an inode: full names and values, sorted.

        Raises:
            UnsupportedError: a namespace is not known.
            FormatError: an entry is not where it should be, or a name is there twice.
            LimitError: the budget is used up.
        """
        size = found.disk.xattr_size
        if not size:
            return ()
        body = self._volume.read(found.end - size, size)
        known: dict[bytes, bytes] = {}
        for item in self._items(body, budget):
            if item is None:
                continue
            name, value = item
            if name in known:
                raise FormatError(f"the attribute {printable(name)} is there twice")
            known[name] = value
        return tuple(sorted(known.items()))

    def _items(self, body: bytes, budget: Budget) -> Iterator[tuple[bytes, bytes] | None]:
        start = xattr.HEADER_SIZE + body[4] * xattr.UNIT
        if start > len(body):
            raise FormatError(f"{body[4]} shared attributes in {len(body)} bytes")
        for (number,) in struct.iter_unpack("<I", body[xattr.HEADER_SIZE : start]):
            item = self._shared_item(number)
            budget.spend_attribute(len(item[1]) if item else 0)
            yield item
        while start < len(body):
            head = body[start : start + xattr.ENTRY.size]
            end = start + xattr.ENTRY.size + xattr.entry_size(head)
            if end > len(body):
                raise FormatError("an attribute reaches beyond its inode")
            budget.spend_attribute(end - start)
            yield self._decode(head, body[start + xattr.ENTRY.size : end])
            start = round_up(end, xattr.UNIT)

    def _shared_item(self, number: int) -> tuple[bytes, bytes] | None:
        if number not in self._shared:
            start = self._volume.address(self._volume.superblock.xattr_block)
            offset = start + number * xattr.UNIT
            head = self._volume.read(offset, xattr.ENTRY.size)
            payload = self._volume.read(offset + len(head), xattr.entry_size(head))
            self._shared[number] = self._decode(head, payload)
        return self._shared[number]

    def _decode(self, head: bytes, payload: bytes) -> tuple[bytes, bytes] | None:
        if self._prefixes is None:
            self._prefixes = _read_prefixes(self._volume)
        return xattr.decode_entry(head, payload, self._prefixes)


def _read_prefixes(volume: Volume) -> list[bytes]:
    superblock = volume.superblock
    if not superblock.feature_incompat & Incompat.XATTR_PREFIXES:
        return []
    source: Blob = volume.blob
    if superblock.packed_nid and not superblock.feature_compat & Compat.PLAIN_XATTR_PREFIXES:
        source = open_data(volume, volume.inode(superblock.packed_nid), name=PACKED)
    offset = superblock.xattr_prefix_start * xattr.UNIT
    prefixes = []
    for _ in range(superblock.xattr_prefix_count):
        length = int.from_bytes(source.read_at(offset, _PREFIX_LENGTH), "little")
        if not 1 <= length <= _MAX_PREFIX:
            raise FormatError(f"a long attribute prefix of {length} bytes")
        data = source.read_at(offset + _PREFIX_LENGTH, length)
        prefixes.append(xattr.short_prefix(data[0]) + data[1:])
        offset = round_up(offset + _PREFIX_LENGTH + length, xattr.UNIT)
    return prefixes
