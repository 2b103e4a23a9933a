"""Random-access bytes: what every codec reads from.

A `Blob` has a size and can be read at any offset, always exactly or not at all. Codecs take
a blob and so never see a path, a file position or a short read. It does not write.
"""

from __future__ import annotations

from bisect import bisect_right
from itertools import accumulate
from typing import IO, TYPE_CHECKING, Final, Protocol

from sysgraft.errors import TruncatedError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_CHUNK: Final = 1 << 20


class Blob(Protocol):
    """Bytes that can be read at any offset."""

    @property
    def size(self) -> int:
        """Length in bytes."""

    def read_at(self, offset: int, length: int) -> bytes:
        """Exactly `length` bytes from `offset`.

        Raises:
            TruncatedError: the range is not wholly inside the blob.
        """

    def readinto_at(self, offset: int, view: memoryview) -> None:
        """Fill `view` from `offset`; raises like `read_at`."""


def check_range(blob: Blob, offset: int, length: int) -> None:
    """Raise `TruncatedError` unless ``[offset, offset + length)`` lies inside `blob`."""
    if offset < 0 or length < 0 or offset + length > blob.size:
        raise TruncatedError(
            f"bytes {offset}..{offset + length} are needed, there are {blob.size}",
        )


class BytesBlob:
    """A blob held in memory."""

    __slots__ = ("_data",)

    def __init__(self, data: bytes) -> None:
        self._data = data

    @property
    def size(self) -> int:
        """Length in bytes."""
        return len(self._data)

    def read_at(self, offset: int, length: int) -> bytes:
        """See `Blob.read_at`."""
        check_range(self, offset, length)
        return self._data[offset : offset + length]

    def readinto_at(self, offset: int, view: memoryview) -> None:
        """See `Blob.readinto_at`."""
        check_range(self, offset, len(view))
        view[:] = self._data[offset : offset + len(view)]


class FileBlob:
    """A blob on a seekable binary file object; the size is taken once, at the start."""

    __slots__ = ("_file", "_size")

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._size = file.seek(0, 2)

    @property
    def size(self) -> int:
        """Length in bytes."""
        return self._size

    def read_at(self, offset: int, length: int) -> bytes:
        """See `Blob.read_at`."""
        check_range(self, offset, length)
        self._file.seek(offset)
        data = self._file.read(length)
        if len(data) != length:
            raise TruncatedError(f"the file shrank while being read at offset {offset}")
        return data

    def readinto_at(self, offset: int, view: memoryview) -> None:
        """See `Blob.readinto_at`."""
        view[:] = self.read_at(offset, len(view))


class SubBlob:
    """The part ``[start, start + size)`` of another blob."""

    __slots__ = ("_base", "_size", "_start")

    def __init__(self, base: Blob, start: int, size: int) -> None:
        check_range(base, start, size)
        self._base = base
        self._start = start
        self._size = size

    @property
    def size(self) -> int:
        """Length in bytes."""
        return self._size

    def read_at(self, offset: int, length: int) -> bytes:
        """See `Blob.read_at`."""
        check_range(self, offset, length)
        return self._base.read_at(self._start + offset, length)

    def readinto_at(self, offset: int, view: memoryview) -> None:
        """See `Blob.readinto_at`."""
        check_range(self, offset, len(view))
        self._base.readinto_at(self._start + offset, view)


class PaddedBlob:
    """Another blob with zeros behind it.

    Args:
        base: what comes first.
        size: of both together in bytes, at least that of `base`.
    """

    __slots__ = ("_base", "_size")

    def __init__(self, base: Blob, size: int) -> None:
        if size < base.size:
            raise ValueError(f"{base.size} bytes cannot be padded to {size}")
        self._base = base
        self._size = size

    @property
    def size(self) -> int:
        """Length in bytes."""
        return self._size

    def read_at(self, offset: int, length: int) -> bytes:
        """See `Blob.read_at`."""
        return collect(self, offset, length)

    def readinto_at(self, offset: int, view: memoryview) -> None:
        """See `Blob.readinto_at`."""
        check_range(self, offset, len(view))
        inside = max(0, min(len(view), self._base.size - offset))
        if inside:
            self._base.readinto_at(offset, view[:inside])
        view[inside:] = bytes(len(view) - inside)


class JoinedBlob:
    """Several blobs, one behind the other; their sizes are taken once, at the start."""

    __slots__ = ("_parts", "_starts")

    def __init__(self, parts: Sequence[Blob]) -> None:
        self._parts = [part for part in parts if part.size]
        self._starts = list(accumulate((part.size for part in self._parts), initial=0))

    @property
    def size(self) -> int:
        """Length in bytes."""
        return self._starts[-1]

    def read_at(self, offset: int, length: int) -> bytes:
        """See `Blob.read_at`."""
        return collect(self, offset, length)

    def readinto_at(self, offset: int, view: memoryview) -> None:
        """See `Blob.readinto_at`."""
        check_range(self, offset, len(view))
        number = bisect_right(self._starts, offset) - 1
        while len(view):
            part = self._parts[number]
            within = offset - self._starts[number]
            count = min(len(view), part.size - within)
            part.readinto_at(within, view[:count])
            view = view[count:]
            offset += count
            number += 1


def chunks(blob: Blob, size: int = _CHUNK) -> Iterator[bytes]:
    """All of a blob, `size` bytes at a time."""
    for start in range(0, blob.size, size):
        yield blob.read_at(start, min(size, blob.size - start))


def collect(blob: Blob, offset: int, length: int) -> bytes:
    """`Blob.read_at` for blobs that put their bytes together; no memory is taken in vain."""
    check_range(blob, offset, length)
    data = bytearray(length)
    blob.readinto_at(offset, memoryview(data))
    return bytes(data)
