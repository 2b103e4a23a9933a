"""Reads a directory of an EROFS image: all of it, or one name.

`iter_entries` checks everything: the order and uniqueness of names through all blocks, ``.`` and
``..``. `find_entry` reads only the blocks a binary search needs, as Linux does, and trusts the
order of the others. What a block looks like is `dirent`'s.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sysgraft.base.tree import printable
from sysgraft.errors import FormatError
from sysgraft.formats.erofs.data import open_data
from sysgraft.formats.erofs.dirent import MIN_SIZE, Entry, check_ascending, decode_block, first_name
from sysgraft.formats.erofs.ondisk import file_type

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sysgraft.base.blob import Blob
    from sysgraft.formats.erofs.limits import Budget
    from sysgraft.formats.erofs.volume import Found, Volume


def iter_entries(
    volume: Volume,
    found: Found,
    *,
    parent: int | None,
    budget: Budget,
) -> Iterator[Entry]:
    """The entries of a directory but for ``.`` and ``..``, in order, checked as they come.

    Args:
        volume: the image.
        found: the directory.
        parent: the number ``..`` has to lead to, None where that is not known.
        budget: pays for the directory's size.

    Raises:
        FormatError: the directory breaks the format's rules.
        LimitError: the budget is used up.
    """
    data = _open(volume, found)
    budget.spend_directory(data.size)
    missing: dict[bytes, int | None] = {b".": found.nid, b"..": parent}
    before = b""
    for block in range(_block_count(volume, data)):
        entries = decode_block(_block(volume, data, block))
        check_ascending(before, entries[0].name)
        before = entries[-1].name
        for entry in entries:
            if entry.name not in missing:
                yield entry
            elif missing.pop(entry.name) not in (None, entry.nid):
                raise FormatError(f"its entry {printable(entry.name)} leads elsewhere")
    if missing:
        raise FormatError(f"it has no entry {printable(min(missing))}")


def find_entry(volume: Volume, found: Found, name: bytes) -> Entry | None:
    """The entry of one name in a directory, or None.

    Raises:
        FormatError: a block that was read breaks the format's rules.
    """
    data = _open(volume, found)
    low, high = 0, _block_count(volume, data)
    while high - low > 1:
        middle = (low + high) // 2
        if first_name(_block(volume, data, middle)) <= name:
            low = middle
        else:
            high = middle
    entries = decode_block(_block(volume, data, low))
    return next((entry for entry in entries if entry.name == name), None)


def follow(volume: Volume, entry: Entry) -> Found:
    """The inode an entry leads to.

    Raises:
        FormatError: it is not inside the image, or not of the type the entry says.
    """
    found = volume.inode(entry.nid)
    if file_type(found.disk.mode) != entry.file_type:
        raise FormatError(
            f"inode {entry.nid} has mode {found.disk.mode:#o}, its entry type {entry.file_type}",
        )
    return found


def _open(volume: Volume, found: Found) -> Blob:
    if found.disk.size < MIN_SIZE:
        raise FormatError(f"a directory of {found.disk.size} bytes")
    return open_data(volume, found, name="a directory")


def _block_count(volume: Volume, data: Blob) -> int:
    return -(-data.size // volume.superblock.block_size)


def _block(volume: Volume, data: Blob, number: int) -> bytes:
    size = volume.superblock.block_size
    offset = number * size
    return data.read_at(offset, min(size, data.size - offset))
