"""New ISO 9660 volumes with Rock Ridge and El Torito, planned first and then written.

ECMA-119 at interchange level 3, IEEE P1281 and P1282, El Torito for UEFI. The system area stays
empty, for a partition table that whoever writes the image adds. No Joliet: Windows shows the names
of ECMA-119. The same files and options give the same bytes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from sysgraft.base.blob import BytesBlob
from sysgraft.base.pieces import Piece
from sysgraft.errors import LimitError, UsageError
from sysgraft.formats import el_torito, rock_ridge
from sysgraft.formats import iso9660_records as records
from sysgraft.formats.iso9660_names import check_volume_id
from sysgraft.formats.iso9660_records import ABOVE, SECTOR, SELF, Extent
from sysgraft.formats.iso9660_tree import NewFile, make_tree, numbered

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from sysgraft.formats.iso9660_tree import Folder

__all__ = ["NewFile", "VolumeOptions", "VolumePlan", "plan_volume"]

MAX_SIZE: Final = 1 << 43
"""Bytes of a volume: its sectors are counted in 32 bits."""
ALIGNMENT: Final = 1 << 20
"""Where the image that firmware starts begins, and the volume ends: at whole MiB, as partitions."""

_PRIMARY: Final = records.SYSTEM_AREA
_BOOT: Final = _PRIMARY + 1
_TERMINATOR: Final = _BOOT + 1
_TABLES: Final = _TERMINATOR + 1
# Readers of discs that were burnt track at once may fail at the last 150 sectors, and then
# take what they read ahead for lost; 16 KiB more are for the copy of a partition table.
_PADDING: Final = 150 * SECTOR + (64 << 10)


@dataclass(frozen=True, slots=True)
class VolumeOptions:
    """What a volume is like.

    Attributes:
        volume_id: its name.
        boot: path of the file that UEFI firmware starts, the image of a FAT volume.
        time: of everything in it, in seconds since 1970.
    """

    volume_id: str
    boot: str
    time: int = 0


@dataclass(frozen=True, slots=True)
class VolumePlan:
    """A volume before it is written.

    Attributes:
        size: its bytes, whole MiB.
        extents: where each file is, by path.
    """

    size: int
    extents: Mapping[str, Extent]
    _files: Sequence[NewFile]
    _meta: Sequence[tuple[int, bytes]]

    def offset(self, path: str) -> int:
        """The first byte of a file."""
        return self.extents[path].sector * SECTOR

    def pieces(self) -> Iterator[Piece]:
        """The volume; what lies between the pieces is zeros."""
        for sector, data in self._meta:
            yield Piece(sector * SECTOR, BytesBlob(data))
        for each in self._files:
            yield Piece(self.offset(each.path), each.content)


def plan_volume(files: Iterable[NewFile], options: VolumeOptions) -> VolumePlan:
    """Lay out a volume.

    Raises:
        UsageError: the volume's name is none, or there is no file to start.
        InputError: a name cannot be kept, or is there twice.
        LimitError: it has too many folders, or becomes too large.
    """
    check_volume_id(options.volume_id)
    root = make_tree(files)
    folders = numbered(root)
    ordered = _ordered(folders, options.boot)
    tables = _table_places(folders)
    catalog = _place_folders(folders, tables.big + _sectors(tables.size), options.time)
    extents, end = _place_files(ordered, catalog + 1)
    size = end * SECTOR + _PADDING
    size += -size % ALIGNMENT
    if size > MAX_SIZE:
        raise LimitError(f"an ISO image of {size} bytes; the limit is {MAX_SIZE}")
    meta = [
        *_descriptors(options, root, tables, size, catalog),
        (tables.little, _path_table(folders, big=False)),
        (tables.big, _path_table(folders, big=True)),
        *((each.extent.sector, b"".join(_data(each, extents, options.time))) for each in folders),
        (catalog, el_torito.catalog(*extents[options.boot])),
    ]
    return VolumePlan(size, extents, ordered, meta)


def _sectors(size: int) -> int:
    return -(-size // SECTOR)


def _ordered(folders: Sequence[Folder], boot: str) -> list[NewFile]:
    """The files in the order of their content, that which firmware starts first."""
    files = {each.path: each for folder in folders for each in folder.files.values()}
    if boot not in files:
        raise UsageError(f"there is no file {boot!r} to start")
    return [files[boot], *(files[path] for path in sorted(files) if path != boot)]


# --- Places --------------------------------------------------------------------------------------


def _table_places(folders: Sequence[Folder]) -> records.Tables:
    size = len(_path_table(folders, big=False))
    return records.Tables(_TABLES, _TABLES + _sectors(size), size)


def _place_folders(folders: Sequence[Folder], sector: int, time: int) -> int:
    """Give each folder its place; the sector behind them."""
    for folder in folders:
        # Extents are numbers of a fixed length: where they lead does not change the size.
        data, continued = _data(folder, {}, time)
        folder.extent = Extent(sector, len(data))
        sector += _sectors(len(data)) + _sectors(len(continued))
    return sector


def _place_files(files: Sequence[NewFile], sector: int) -> tuple[dict[str, Extent], int]:
    """The place of each file, the first one at a whole MiB; and the sector behind them."""
    sector += -sector % (ALIGNMENT // SECTOR)
    extents = {}
    for each in files:
        size = each.content.size
        extents[each.path] = Extent(sector if size else 0, size)
        sector += _sectors(size)
    return extents, sector


# --- Bytes ---------------------------------------------------------------------------------------


def _descriptors(
    options: VolumeOptions, root: Folder, tables: records.Tables, size: int, catalog: int
) -> Iterator[tuple[int, bytes]]:
    primary = records.primary_descriptor(
        options.volume_id,
        sectors=size // SECTOR,
        tables=tables,
        root=root.extent,
        time=options.time,
    )
    yield _PRIMARY, primary
    yield _BOOT, el_torito.descriptor(catalog)
    yield _TERMINATOR, records.terminator()


def _path_table(folders: Sequence[Folder], *, big: bool) -> bytes:
    return b"".join(
        records.path_record(
            each.identifier, each.extent.sector, each.above.number if each.above else 1, big=big
        )
        for each in folders
    )


def _data(folder: Folder, extents: Mapping[str, Extent], time: int) -> tuple[bytes, bytes]:
    """A folder's records, none of which crosses a sector; and what did not fit into them.

    The latter lies right behind: readers of streams, such as libarchive, look for it nowhere else.
    """
    area = rock_ridge.ContinuationArea(folder.extent.sector + folder.extent.size // SECTOR)
    data = bytearray()
    for record in _records(folder, extents, time, area):
        if len(data) % SECTOR + len(record) > SECTOR:
            data += bytes(-len(data) % SECTOR)
        data += record
    data += bytes(-len(data) % SECTOR)
    return bytes(data), area.data


def _records(
    folder: Folder,
    extents: Mapping[str, Extent],
    time: int,
    area: rock_ridge.ContinuationArea,
) -> Iterator[bytes]:
    above = folder.above or folder
    yield _folder_record(SELF, b"", folder, time, area)
    yield _folder_record(ABOVE, b"", above, time, area)
    for name in folder.in_order():
        identifier = folder.identifiers[name]
        raw = name.encode("utf-8", "surrogateescape")
        if name in folder.folders:
            yield _folder_record(identifier, raw, folder.folders[name], time, area)
            continue
        file = folder.files[name]
        whole = extents.get(file.path, Extent(0, file.content.size))
        parts = records.sections(whole)
        for number, extent in enumerate(parts, 1):
            use = rock_ridge.system_use(
                identifier, raw, time=time, links=1, is_directory=False, area=area
            )
            more = number < len(parts)
            yield records.directory_record(
                identifier, extent, time=time, is_directory=False, more=more, system_use=use
            )


def _folder_record(
    identifier: bytes, name: bytes, folder: Folder, time: int, area: rock_ridge.ContinuationArea
) -> bytes:
    links = 2 + len(folder.folders)
    use = rock_ridge.system_use(
        identifier, name, time=time, links=links, is_directory=True, area=area
    )
    if identifier == SELF and folder.above is None:
        use = rock_ridge.SHARING + use + rock_ridge.protocol_field()
    return records.directory_record(
        identifier, folder.extent, time=time, is_directory=True, system_use=use
    )
