"""Whether the partition tables of a disk are in a state to be changed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sysgraft.errors import InputError
from sysgraft.formats import volume_signature

if TYPE_CHECKING:
    from sysgraft.disk.opening import Disk
    from sysgraft.formats.gpt_tables import Tables

_NEVER: Final = (
    "backup-foreign",
    "backups-differ",
    "tables-overlap",
    "partitions-overlap",
    "partition-outside",
    "usable-outside",
)
"""Flaws of a table that nothing is written to."""

_REPAIRED: Final = {
    "primary-damaged": "the primary table",
    "backup-damaged": "the backup table",
    "tables-differ": "the backup table",
}
"""Flaws that writing both tables mends: what is made anew."""


def writable_tables(disk: Disk) -> Tables:
    """The tables of a disk, in a state to be changed.

    Raises:
        InputError: there are none, the kernel sees none, or it is not certain which is right.
    """
    tables = disk.tables
    if tables is None or disk.mbr.kind not in ("protective", "hybrid"):
        what, hint = _without(disk)
        raise InputError(
            f"only partitions of a GPT have types that are discovered, this disk has {what}",
            file=disk.path,
            hint=hint,
        )
    if disk.sector_size not in (None, tables.sector_size):
        raise InputError(
            f"the table counts sectors of {tables.sector_size} bytes, the kernel those of "
            f"{disk.sector_size}",
            file=disk.path,
        )
    if tables.used is None:
        hint = "sgdisk's recovery menu may find one"
        raise InputError("both partition tables are damaged", file=disk.path, hint=hint)
    for flaw in tables.flaws:
        if flaw.code in _NEVER:
            hint = "see what is right with sfdisk --dump, and mend it first"
            raise InputError(f"{flaw.text}: nothing was written", file=disk.path, hint=hint)
    return tables


def _without(disk: Disk) -> tuple[str, str]:
    """What a disk without a GPT that counts has instead, and what to do."""
    if disk.mbr.kind == "plain":
        hint = "sgdisk --mbrtogpt makes a GPT of an MBR; read its manual page first"
        return "an MBR", hint
    if disk.tables:
        return "a GPT without a protective MBR", "the protective MBR is all that is missing"
    content = volume_signature.probe(disk.blob)
    if content:
        return f"no partitions, all of it is {content}", "give the disk that is partitioned"
    return "no GPT", "give the disk that is partitioned"


def repaired(disk: Disk, tables: Tables, *, force: bool) -> str:
    """Which table is made anew; empty if both are good.

    Raises:
        InputError: one is damaged, and that is not to be.
    """
    found = [flaw for flaw in tables.flaws if flaw.code in _REPAIRED]
    if not found:
        return ""
    what = _REPAIRED[found[0].code]
    if not force:
        hint = f"--force makes {what} anew from the other one"
        raise InputError(found[0].text, file=disk.path, hint=hint)
    return what
