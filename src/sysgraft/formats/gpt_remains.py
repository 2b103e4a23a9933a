"""What a damaged primary partition table still tells: where its backup is, and where it lay itself.

UEFI specification 2.10, §5.3.2. A header whose checksum does not hold is believed in nothing; it
only says where a backup may be looked for, and which disk it was of, which the backup is held to.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from sysgraft.errors import FormatError
from sysgraft.formats import gpt_records as records

if TYPE_CHECKING:
    from sysgraft.base.blob import Blob
    from sysgraft.formats.gpt_records import Header

_FIRST: Final = 2
"""Where every tool puts the entries."""


class Remains(NamedTuple):
    """What sector 1 says, whether it is true or not.

    Attributes:
        alternate_lba: where the backup would be; None if nothing is said.
        disk_uuid: the name of the disk; None if nothing is said.
    """

    alternate_lba: int | None
    disk_uuid: bytes | None


def read_remains(blob: Blob, sector_size: int) -> Remains:
    """What is left of the header in sector 1; nothing if it does not begin like one."""
    if not records.starts_with_magic(blob, sector_size):
        return Remains(None, None)
    header = records.Header._make(records.HEADER.unpack(blob.read_at(sector_size, 92)))
    inside = 1 < header.alternate_lba < blob.size // sector_size
    return Remains(header.alternate_lba if inside else None, header.disk_uuid)


def entries_place(blob: Blob, sector_size: int, backup: Header, entries: bytes) -> int | None:
    """The sector where entries may be written for a primary table that is made anew.

    Where a header that is sound by itself has them; else behind the header, if nothing is there or
    only what an entry array leaves behind. None where something else may be in use.

    Args:
        blob: the disk.
        sector_size: in bytes.
        backup: the header of the table that is sound.
        entries: its entry array, in whole sectors.
    """
    try:
        header = records.read_header(blob, sector_size, 1)
    except FormatError:
        header = None
    form = backup.entry_count, backup.entry_size
    if header and (header.entry_count, header.entry_size) == form:
        return header.entries_lba
    if (_FIRST * sector_size) + len(entries) > blob.size:
        return None
    there = blob.read_at(_FIRST * sector_size, len(entries))
    return _FIRST if _was_array(there, entries, backup.entry_size) else None


def _was_array(there: bytes, entries: bytes, size: int) -> bool:
    """Whether bytes are zero, or entries of which each has its type or its name in the backup."""
    slots = [entries[at : at + 32] for at in range(0, len(entries), size)]
    known = {part for slot in slots for part in (slot[:16], slot[16:]) if any(part)}
    for at in range(0, len(there), size):
        slot = there[at : at + size]
        if any(slot) and not {slot[:16], slot[16:32]} & known:
            return False
    return True
