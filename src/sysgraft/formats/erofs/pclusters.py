"""What the compressed parts of an EROFS image decompress to, each done once while it is in use.

The bytes of an extent are kept until others need the room, since small files have their content in
common pclusters (fragments), and files are read in parts. How much is decompressed without being
asked for is limited: in a hostile image each of a hundred thousand files may want one byte of
12 MiB.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sysgraft.base.blob import BytesBlob
from sysgraft.errors import LimitError
from sysgraft.formats.erofs.codecs import decompress

if TYPE_CHECKING:
    from sysgraft.base.blob import Blob
    from sysgraft.formats.erofs.extents import Stored

MAX_KEPT: Final = 32 << 20
"""Bytes that are kept: two of the largest extents, or 500 of 64 KiB."""

MAX_WASTE: Final = 8 << 30
"""Bytes that may be decompressed beyond `MAX_RATIO`: some ten seconds of LZ4, a minute of LZMA."""

MAX_RATIO: Final = 16
"""Bytes that may be decompressed for each one that is asked for."""


class Pclusters:
    """The decompressed extents of one image.

    Args:
        blob: the image.
        padded: see `Compression.padded`.
    """

    __slots__ = ("_asked", "_blob", "_kept", "_made", "_padded", "_size")

    def __init__(self, blob: Blob, *, padded: bool) -> None:
        self._blob = blob
        self._padded = padded
        self._kept: dict[Stored, BytesBlob] = {}
        self._size = 0
        self._asked = 0
        self._made = 0

    def get(self, stored: Stored, wanted: int) -> BytesBlob:
        """What `stored` gives.

        Args:
            stored: where it is; inside the image.
            wanted: bytes of it that are asked for.

        Raises:
            LimitError: too much was decompressed for what was asked for.
            FormatError: the data is damaged.
        """
        self._asked += wanted
        known = self._kept.pop(stored, None)
        if known is None:
            known = self._make(stored)
        self._kept[stored] = known
        return known

    def _make(self, stored: Stored) -> BytesBlob:
        if self._made + stored.length > MAX_WASTE + MAX_RATIO * self._asked:
            raise LimitError(
                f"{self._made} bytes had to be decompressed for {self._asked} that were asked for"
            )
        data = self._blob.read_at(stored.address, stored.size)
        out = decompress(stored, data, padded=self._padded)
        self._made += len(out)
        made = BytesBlob(out[: stored.length])
        self._size += made.size
        while self._size > MAX_KEPT and self._kept:
            self._size -= self._kept.pop(next(iter(self._kept))).size
        return made
