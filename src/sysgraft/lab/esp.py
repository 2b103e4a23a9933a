"""A disk with an EFI system partition, made by mtools: no root, no mount.

The partition table and the serial number of the file system are always the same for the same size,
so that the firmware, which measures the table, measures the same each time.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final, NamedTuple
from uuid import NAMESPACE_DNS, UUID, uuid5

from sysgraft.base.blob import SubBlob
from sysgraft.base.text import one_line
from sysgraft.errors import InputError, LimitError, ToolError
from sysgraft.formats import fat, gpt
from sysgraft.formats.fat_names import problem
from sysgraft.host.files import OpenFile, pwrite_all
from sysgraft.host.folders import walk
from sysgraft.host.run import run

if TYPE_CHECKING:
    from collections.abc import Sequence

MAX_ESP: Final = 32 << 30
"""Bytes of the partition: what a firmware's 32-bit FAT has been tried with, and more."""
ESP_TYPE: Final = UUID("c12a7328-f81f-11d2-ba4b-00a0c93ec93b")
"""Partition type of EFI system partitions (UEFI 2.10 §5.3.3)."""

_SECTOR: Final = 512
_START: Final = 1 << 20
_MIB: Final = 1 << 20
# FAT32 needs 65525 clusters (Microsoft's FAT specification §3.5), or readers take it for FAT16.
_SMALLEST: Final = 36 << 20
# The same specification's table: clusters of one sector up to 260 MB, then of 4 KiB up to 8 GB.
_CLUSTERS: Final = ((260 << 20, 1), (8 << 30, 8), (MAX_ESP, 32))
_SERIAL: Final = "5359534C"
_NAMESPACE: Final = uuid5(NAMESPACE_DNS, "sysgraft-lab")
_COPY_SECONDS: Final = 600.0


class File(NamedTuple):
    """A file on the partition: its path there, and where it comes from."""

    path: str
    source: str


def files_of(folder: str) -> list[File]:
    """The files of a folder, for a partition that looks like it.

    Raises:
        InputError: it cannot be read, or holds what FAT cannot.
    """
    found = []
    for each in walk(folder):
        place = os.fsdecode(each.place)
        if each.target:
            raise InputError("FAT has no symbolic links", file=place)
        if os.path.isfile(place):
            found.append(File(os.fsdecode(each.path), place))
    return found


def make_esp(path: str, files: Sequence[File]) -> None:
    """Write a disk image with one EFI system partition that holds these files.

    Raises:
        InputError: a file cannot be read, or has a name that would not be kept.
        LimitError: they are too much for a partition.
        ToolError: mtools is missing or failed.
    """
    folders = _folders(files)
    _check_names(files, folders)
    size, cluster = _geometry([_size(each.source) for each in files], len(folders))
    with open(path, "wb") as image:
        image.truncate(_START + size + _START)
        table = _table(size)
        for offset, piece in gpt.render(table, _START + size + _START):
            pwrite_all(image.fileno(), offset, piece)
    sectors = str(size // _SECTOR)
    # Heads and sectors are of no interest to anybody, but mformat wants them.
    shape = ["-T", sectors, "-h", "16", "-s", "63", "-c", str(cluster), "-N", _SERIAL]
    _mtools("mformat", path, "-F", *shape, "::")
    if folders:
        _mtools("mmd", path, *(f"::{folder}" for folder in folders))
    for each in files:
        # An absolute path is neither an option nor a drive.
        _mtools("mcopy", path, os.path.abspath(each.source), f"::{each.path}")
    _check_result(path, [*folders, *(each.path for each in files)])


def _check_names(files: Sequence[File], folders: Sequence[str]) -> None:
    """Refuse names that would be others on the partition.

    Raises:
        InputError: there is one.
    """
    seen: dict[str, str] = {}
    for path, source in [*((each, each) for each in folders), *files]:
        wrong = problem(os.path.basename(path))
        if wrong:
            raise InputError(wrong, file=source)
        key = fat.fold(path)
        if key in seen:
            raise InputError(f"on FAT its name is that of {one_line(seen[key])} too", file=source)
        seen[key] = source


def _check_result(path: str, wanted: Sequence[str]) -> None:
    """Look what is on the partition: mtools has its own ideas of names.

    Raises:
        ToolError: it is something else.
    """
    with OpenFile(path) as blob:
        volume = fat.open_volume(SubBlob(blob, _START, blob.size - 2 * _START))
        found = {name for name, _ in volume.walk()}
    for name in sorted(found ^ set(wanted)):
        raise ToolError(f"mtools has changed a name: {one_line(name)}")


def _size(path: str) -> int:
    try:
        return os.path.getsize(path)
    except OSError as error:
        raise InputError(error.strerror or str(error), file=path) from error


def _folders(files: Sequence[File]) -> list[str]:
    """Every folder the files are in, outer ones first."""
    found = set()
    for each in files:
        folder = os.path.dirname(each.path)
        while folder:
            found.add(folder)
            folder = os.path.dirname(folder)
    return sorted(found)


def _geometry(sizes: Sequence[int], folders: int) -> tuple[int, int]:
    """Bytes of the partition, and sectors in a cluster."""
    for limit, sectors in _CLUSTERS:
        cluster = sectors * _SECTOR
        # A file's directory entry with a long name takes up to 21 records of 32 bytes.
        clusters = sum(-(-size // cluster) for size in sizes)
        clusters += (folders + 1) * (1 + -(-21 * 32 * (len(sizes) + folders) // cluster))
        # Two tables with four bytes for each cluster, and room to spare.
        size = max(_SMALLEST, clusters * (cluster + 8) + 4 * _MIB)
        size += -size % _MIB
        if size <= limit:
            return size, sectors
    raise LimitError(f"the files take more than the {MAX_ESP >> 30} GiB an ESP may have")


def _table(size: int) -> gpt.Table:
    partition = gpt.Partition(
        index=0,
        type_uuid=ESP_TYPE,
        uuid=uuid5(_NAMESPACE, "esp"),
        first_lba=_START // _SECTOR,
        last_lba=(_START + size) // _SECTOR - 1,
        name="esp",
    )
    disk_uuid = uuid5(_NAMESPACE, "disk")
    return gpt.new_table(_START + size + _START, disk_uuid=disk_uuid, partitions=[partition])


def _mtools(program: str, image: str, *arguments: str) -> None:
    # The user's own configuration has no say, and the file system fits its partition.
    environment = {"MTOOLSRC": os.devnull, "MTOOLS_SKIP_CHECK": "1", "LC_ALL": "C.UTF-8"}
    argv = [program, "-i", f"{image}@@{_START}", *arguments]
    run(argv, env=environment, timeout=_COPY_SECONDS)
