"""The data of a compressed EROFS inode, as a blob; tails of files come from the packed file.

    packed file   the inode `packed_nid` of the superblock: the tails of files, or whole small
                  ones (fragments), compressed together

Nothing is read before it is asked for, not even the index: listing an image costs nothing here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sysgraft.errors import FormatError
from sysgraft.formats.erofs.extents import Extents
from sysgraft.formats.erofs.ondisk import Incompat
from sysgraft.formats.erofs.pieces import Piece, Pieced

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from sysgraft.base.blob import Blob
    from sysgraft.formats.erofs.extents import Extent
    from sysgraft.formats.erofs.volume import Found, Volume


PACKED: Final = "the packed file"
"""What the packed file, which has no path, is called."""


class CompressedData(Pieced):
    """The data of a compressed inode.

    Args:
        volume: the image.
        found: the inode.
        packed: opens the packed file; None for that file itself.
        name: what to call the file in messages.

    Raises (when it is read):
        UnsupportedError: a feature that is not known.
        LimitError: more would have to be decompressed than is sensible.
        FormatError: the index or the data makes no sense.
    """

    __slots__ = ("_extent", "_extents", "_found", "_name", "_packed", "_volume")

    def __init__(
        self, volume: Volume, found: Found, packed: Callable[[], Blob | None] | None, *, name: str
    ) -> None:
        super().__init__(found.disk.size)
        self._volume = volume
        self._found = found
        self._packed = packed
        self._name = name
        self._extents: Extents | None = None
        self._extent: Extent | None = None

    def readinto_at(self, offset: int, view: memoryview) -> None:
        """See `Blob.readinto_at`."""
        try:
            super().readinto_at(offset, view)
        except FormatError as error:
            raise type(error)(f"{self._name}: {error.message}") from error
        if offset + len(view) == self.size:
            # Who reads all files of a tree, one after the other, should not keep all indexes.
            self._extents = self._extent = None

    def _pieces(self, offset: int, length: int) -> Iterator[Piece]:
        end = offset + length
        while offset < end:
            extent = self._find(offset)
            size = min(extent.end, end) - offset
            yield self._piece(extent, offset - extent.start, size)
            offset += size

    def _find(self, offset: int) -> Extent:
        """The extent of a byte; files are read in parts, mostly of the extent before."""
        extent = self._extent
        if extent is None or not extent.start <= offset < extent.end:
            if self._extents is None:
                self._extents = Extents(self._volume, self._found)
            extent = self._extent = self._extents.at(offset)
        return extent

    def _piece(self, extent: Extent, skip: int, size: int) -> Piece:
        if extent.stored is not None:
            return Piece(self._volume.pclusters.get(extent.stored, size), skip, size)
        packed = None if self._packed is None else self._packed()
        if packed is None:
            raise FormatError("its data is in a packed file, and there is none")
        offset = extent.fragment + skip
        if offset + size > packed.size:
            raise FormatError(f"its data is at {offset} of a packed file of {packed.size} bytes")
        return Piece(packed, offset, size)


def packed_inode(volume: Volume) -> Found | None:
    """The packed file's inode, or None where the image has none.

    Raises:
        FormatError: it is not inside the image, or makes no sense.
    """
    superblock = volume.superblock
    if not superblock.packed_nid or not superblock.feature_incompat & Incompat.FRAGMENTS:
        return None
    return volume.inode(superblock.packed_nid)
