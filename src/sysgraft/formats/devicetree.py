"""Flattened devicetrees: what machine one is for.

Devicetree Specification 0.4, chapter 5 (the format, version 17) and §2.3.1, §2.3.2, §3.2 (the root
node's ``compatible`` and ``model``). Reads the header and the root node's own properties, no
further; it writes nothing.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from sysgraft.errors import FormatError, LimitError, TruncatedError, UnsupportedError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sysgraft.base.blob import Blob

MAX_SIZE: Final = 16 << 20
"""Bytes of a devicetree: the largest of Linux have about 500 KiB with symbols."""
MAX_PROPERTIES: Final = 1 << 12
"""Properties of a root node, which has some ten."""

MAX_NAME: Final = 256
"""Bytes of a property's name; §2.2.4.1 allows 31."""

# §5.2, big endian: 0 magic, 4 size of all, 8 offset of the structure block, 12 of the strings
# block, 16 of the reserved memory, 20 version, 24 oldest version whose readers can read it, 28
# boot CPU, 32 size of the strings block, 36 of the structure block.
_HEADER: Final = struct.Struct(">10I")
_MAGIC: Final = 0xD00D_FEED
_VERSION: Final = 17
"""The version read here; all newer ones that can be read say that 17 or 16 reads them."""

# §5.4.1: tokens, aligned to 4 bytes.
_BEGIN_NODE: Final = 1
_END_NODE: Final = 2
_PROPERTY: Final = 3
_NOP: Final = 4
_U32: Final = struct.Struct(">I")
# Behind _PROPERTY: size of the value, offset of the name in the strings block, then the value.
_PROPERTY_HEADER: Final = struct.Struct(">II")


@dataclass(frozen=True, slots=True)
class Devicetree:
    """What a devicetree says of itself.

    Attributes:
        size: its bytes; there may be more behind it.
        compatible: what the machine is, the most exact first. Only that one is compared by
            systemd-stub.
        model: the machine's name; empty if there is none.
    """

    size: int
    compatible: tuple[str, ...]
    model: str


def parse(blob: Blob) -> Devicetree:
    """Read a devicetree's header and root node.

    Raises:
        UnsupportedError: its version cannot be read.
        FormatError: it is none, or damaged; also by its subclasses.
    """
    header = _Header(blob)
    data = blob.read_at(0, header.size)
    found = {}
    for name, value in _root_properties(header, data):
        if name in (b"compatible", b"model"):
            found[name] = _strings(name, value)
    model = found.get(b"model", ())
    return Devicetree(header.size, found.get(b"compatible", ()), model[0] if model else "")


class _Header:
    """Where the two blocks are that hold nodes and names."""

    __slots__ = ("size", "strings", "structure")

    def __init__(self, blob: Blob) -> None:
        if blob.size < _HEADER.size:
            raise TruncatedError(f"a devicetree has {_HEADER.size} bytes at least, not {blob.size}")
        fields = _HEADER.unpack(blob.read_at(0, _HEADER.size))
        magic, self.size, structure, strings, _, version, oldest, _, strings_size, size = fields
        if magic != _MAGIC:
            raise FormatError("not a devicetree")
        if version < _VERSION or oldest > _VERSION:
            raise UnsupportedError(f"a devicetree of version {version}, readable from {oldest}")
        if self.size > MAX_SIZE:
            raise LimitError(f"a devicetree of {self.size} bytes; the limit is {MAX_SIZE}")
        if not _HEADER.size <= self.size <= blob.size:
            raise TruncatedError(f"a devicetree of {self.size} bytes in {blob.size}")
        self.structure = self._block("structure", structure, size)
        self.strings = self._block("strings", strings, strings_size)

    def _block(self, name: str, offset: int, size: int) -> tuple[int, int]:
        if offset < _HEADER.size or offset + size > self.size:
            raise FormatError(f"the devicetree's {name} block is outside of it")
        return offset, offset + size


def _root_properties(header: _Header, data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Names and values; a node's properties come before its children (§5.4.2)."""
    cursor = _Cursor(data, *header.structure)
    while (token := cursor.token()) == _NOP:
        pass
    if token != _BEGIN_NODE or cursor.name() != b"":
        raise FormatError("the devicetree does not begin with a root node")
    count = 0
    while (token := cursor.token()) not in (_BEGIN_NODE, _END_NODE):
        count += 1
        if count > MAX_PROPERTIES:
            raise LimitError(f"the root node has more than {MAX_PROPERTIES} properties")
        if token == _PROPERTY:
            size, name = _PROPERTY_HEADER.unpack(cursor.take(_PROPERTY_HEADER.size))
            yield _name(header, data, name), cursor.take(size)
        elif token != _NOP:
            raise FormatError(f"the root node has an unknown token, {token}")


class _Cursor:
    """Reads the structure block, in which everything is aligned to 4 bytes."""

    __slots__ = ("_data", "_end", "_position")

    def __init__(self, data: bytes, start: int, end: int) -> None:
        if start % 4:
            raise FormatError("the devicetree's structure block is not aligned")
        self._data = data
        self._position = start
        self._end = end

    def token(self) -> int:
        return int(_U32.unpack(self.take(_U32.size))[0])

    def take(self, size: int) -> bytes:
        start = self._position
        if start + size > self._end:
            raise FormatError("the devicetree's structure block ends too early")
        self._position = start + size + -size % 4
        return self._data[start : start + size]

    def name(self) -> bytes:
        end = self._data.find(b"\0", self._position, self._end)
        if end < 0:
            raise FormatError("a devicetree's node without a name")
        return self.take(end + 1 - self._position)[:-1]


def _name(header: _Header, data: bytes, offset: int) -> bytes:
    start, limit = header.strings
    longest = start + offset + MAX_NAME + 1
    end = data.find(b"\0", start + offset, min(limit, longest))
    if end < 0 and longest < limit:
        raise LimitError(f"a devicetree's property with a name of more than {MAX_NAME} bytes")
    if end < 0:
        raise FormatError(f"a devicetree's property without a name, at {offset}")
    return data[start + offset : end]


def _strings(name: bytes, value: bytes) -> tuple[str, ...]:
    """A list of strings (§2.2.4.2): each with a NUL behind it."""
    if not value.endswith(b"\0"):
        raise FormatError(f"the devicetree's {name.decode()} does not end with a NUL")
    try:
        return tuple(value[:-1].decode("ascii").split("\0"))
    except UnicodeDecodeError:
        raise FormatError(f"the devicetree's {name.decode()} is not ASCII") from None
