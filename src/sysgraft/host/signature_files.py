"""Files that name entries of a signature database: certificates, lists, hashes, programs.

What the small ones hold is told by `sysgraft.formats.signature_input`. An EFI executable stands
for its own Authenticode digest; it may be as large as it likes, since it is read in pieces.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sysgraft.errors import in_file
from sysgraft.formats import authenticode_digest, pe
from sysgraft.formats.signature_input import MAX_INPUT, hash_list, read_entries
from sysgraft.host.files import OpenFile
from sysgraft.host.small import read_small

if TYPE_CHECKING:
    from collections.abc import Iterable
    from uuid import UUID

    from sysgraft.formats.esl import SignatureList

_HEAD = 64
"""Bytes that tell an executable from the rest: a DOS header."""


def read_lists(paths: Iterable[str], owner: UUID) -> tuple[SignatureList, ...]:
    """The entries that these files name, each list once.

    Args:
        paths: the files.
        owner: owner of the entries whose files name none.

    Raises:
        InputError: a file cannot be read, or names no entries.
    """
    lists: dict[SignatureList, None] = {}
    for path in paths:
        with in_file(path):
            lists |= dict.fromkeys(_read(path, owner))
    return tuple(lists)


def _read(path: str, owner: UUID) -> tuple[SignatureList, ...]:
    with OpenFile(path) as blob:
        if pe.looks_like_pe(blob.read_at(0, min(_HEAD, blob.size))):
            return (hash_list((_digest(blob),), owner),)
    return read_entries(read_small(path, MAX_INPUT, "certificate or signature list"), owner)


def _digest(blob: OpenFile) -> bytes:
    covered = authenticode_digest.coverage(pe.parse(blob))
    return authenticode_digest.compute(blob, covered, ["sha256"])["sha256"]
