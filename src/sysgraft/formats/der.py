"""DER (ITU-T X.690 §8, §10), what certificates and signatures are made of.

A reader that takes one value after the other, and functions that write values. Only single-byte
tags and the types that `sysgraft.formats.x509` and `sysgraft.formats.cms` need are here; nothing
knows a schema.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from sysgraft.errors import FormatError, TruncatedError

if TYPE_CHECKING:
    from collections.abc import Iterator

# X.680 §8.4 universal tags, with the constructed bit (0x20) where DER sets it.
INTEGER: Final = 0x02
BIT_STRING: Final = 0x03
OCTET_STRING: Final = 0x04
NULL: Final = 0x05
OBJECT_IDENTIFIER: Final = 0x06
UTC_TIME: Final = 0x17
GENERALIZED_TIME: Final = 0x18
SEQUENCE: Final = 0x30
SET: Final = 0x31

_MAX_OID: Final = 64
"""Bytes of an object identifier worth spelling out; longer ones are shown in hex."""


class Element(NamedTuple):
    """One DER value: its tag byte, its contents, and both with the length as they stood."""

    tag: int
    content: bytes
    raw: bytes


class DerReader:
    """Reads DER values one after the other, refusing every encoding that is not the shortest."""

    __slots__ = ("_data", "_offset", "_what")

    def __init__(self, data: bytes, what: str) -> None:
        self._data = data
        self._offset = 0
        self._what = what

    @property
    def next_tag(self) -> int | None:
        """The tag of the next value, None at the end."""
        return self._data[self._offset] if self._offset < len(self._data) else None

    def take(self, tag: int) -> Element:
        """The next value, which must have this tag.

        Raises:
            FormatError: it has another tag, or its length is not DER.
            TruncatedError: the data ends before it does.
        """
        found = self.next_tag
        if found is None:
            raise TruncatedError(f"{self._what} ends where tag 0x{tag:02x} is due")
        if found != tag:
            raise FormatError(f"{self._what} has tag 0x{found:02x} where 0x{tag:02x} is due")
        return self._advance()

    def take_any(self) -> Element:
        """The next value, whatever its tag; raises like `take`."""
        if self.next_tag is None:
            raise TruncatedError(f"{self._what} ends where a value is due")
        return self._advance()

    def take_optional(self, tag: int) -> Element | None:
        """The next value if it has this tag; raises like `take`."""
        return self._advance() if self.next_tag == tag else None

    def enter(self, tag: int) -> DerReader:
        """A reader of what is inside the next value; raises like `take`."""
        return DerReader(self.take(tag).content, self._what)

    def rest(self, tag: int) -> Iterator[Element]:
        """All further values, each with this tag; raises like `take`."""
        while self.next_tag is not None:
            yield self.take(tag)

    def finish(self) -> None:
        """Raise `FormatError` if anything is left."""
        left = len(self._data) - self._offset
        if left:
            raise FormatError(f"{self._what} has {left} bytes more than its structure")

    def _advance(self) -> Element:
        start = self._offset
        length, content = self._length(start + 1)
        end = content + length
        if end > len(self._data):
            raise TruncatedError(
                f"{self._what} has a value of {length} bytes where {len(self._data) - content} are",
            )
        if self._data[start] & 0x1F == 0x1F:
            raise FormatError(f"{self._what} has a tag of several bytes")
        self._offset = end
        return Element(self._data[start], self._data[content:end], self._data[start:end])

    def _length(self, offset: int) -> tuple[int, int]:
        """A length and where the contents start: X.690 §8.1.3, in the only form DER allows."""
        first = self._data[offset : offset + 1]
        if not first:
            raise TruncatedError(f"{self._what} ends inside a length")
        if first[0] < 0x80:
            return first[0], offset + 1
        count = first[0] & 0x7F
        # Four bytes would describe 16 MiB and more; nothing here may be that long.
        if not 1 <= count <= 3:
            raise FormatError(f"{self._what} has a length that is not DER, or beyond 16 MiB")
        field = self._data[offset + 1 : offset + 1 + count]
        if len(field) != count:
            raise TruncatedError(f"{self._what} ends inside a length")
        length = int.from_bytes(field, "big")
        if field[0] == 0 or length < 0x80:
            raise FormatError(f"{self._what} has a length that is not DER")
        return length, offset + 1 + count


def open_der(data: bytes, what: str, tag: int = SEQUENCE) -> DerReader:
    """A reader of what is inside `data`, which must be one value and nothing after it.

    Raises:
        FormatError: it is something else; `what` names it in the message.
    """
    outer = DerReader(data, what)
    inner = outer.enter(tag)
    outer.finish()
    return inner


def read_integer(element: Element, what: str) -> int:
    """The value of an INTEGER; raises `FormatError` unless it is in its shortest form."""
    value = int.from_bytes(element.content, "big", signed=True)
    if encode_integer(value) != element.raw:
        raise FormatError(f"{what} has an integer that is not DER")
    return value


def encode(tag: int, *parts: bytes) -> bytes:
    """The DER value with this tag and contents."""
    content = b"".join(parts)
    if len(content) < 0x80:
        return bytes((tag, len(content))) + content
    length = len(content).to_bytes((len(content).bit_length() + 7) // 8, "big")
    return bytes((tag, 0x80 | len(length))) + length + content


def encode_integer(value: int) -> bytes:
    """The DER INTEGER of a number."""
    bits = (value if value >= 0 else ~value).bit_length()
    return encode(INTEGER, value.to_bytes(bits // 8 + 1, "big", signed=True))


def encode_oid(dotted: str) -> bytes:
    """The DER OBJECT IDENTIFIER written ``1.2.840…``."""
    first, second, *others = map(int, dotted.split("."))
    content = bytearray()
    for arc in (first * 40 + second, *others):
        groups = range((max(arc.bit_length(), 1) - 1) // 7, -1, -1)
        content += bytes((arc >> 7 * n & 0x7F) | (0x80 if n else 0) for n in groups)
    return encode(OBJECT_IDENTIFIER, bytes(content))


def encode_algorithm(dotted: str, *parameters: bytes) -> bytes:
    """The DER AlgorithmIdentifier (RFC 5280 §4.1.1.2)."""
    return encode(SEQUENCE, encode_oid(dotted), *parameters)


DER_NULL: Final = encode(NULL)


def algorithm_text(algorithm_der: bytes) -> str:
    """The object identifier of an AlgorithmIdentifier, for messages.

    Raises:
        FormatError: it is not one in DER.
    """
    fields = open_der(algorithm_der, "an algorithm identifier")
    return oid_text(fields.take(OBJECT_IDENTIFIER).content)


def oid_text(content: bytes) -> str:
    """The contents of an OBJECT IDENTIFIER in dots; in hex if they are too long for that."""
    if not content or len(content) > _MAX_OID:
        return "oid-" + content.hex()
    arcs = [0]
    for byte in content:
        arcs[-1] = arcs[-1] << 7 | byte & 0x7F
        if byte < 0x80:
            arcs.append(0)
    first = min(arcs[0] // 40, 2)
    return ".".join(map(str, (first, arcs[0] - first * 40, *arcs[1:-1])))
