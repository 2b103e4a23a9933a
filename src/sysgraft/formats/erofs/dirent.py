"""EROFS directories: blocks of sorted entries, each followed by the block's names.

    struct erofs_dirent  offset size field
                              0    8 nid         inode number
                              8    2 nameoff     start of the name in this block
                             10    1 file_type   see `ondisk.file_type`
                             11    1 reserved

A block starts with its entries, then their names without separators; the first ``nameoff`` tells
how many entries there are, the next entry's ``nameoff`` ends a name, and the last name ends at a
NUL or with the block. Names ascend bytewise through the whole directory, ``.`` and ``..`` among
them. Only the last block may be shorter than the block size.
"""

from __future__ import annotations

import struct
from itertools import pairwise
from typing import TYPE_CHECKING, Final, NamedTuple

from sysgraft.base.tree import printable
from sysgraft.errors import FormatError
from sysgraft.formats.erofs.ondisk import BLOCK_SIZE, MAX_NAME

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

_STRUCT: Final = struct.Struct("<QHBx")
DIRENT_SIZE: Final = _STRUCT.size
"""Bytes of an entry without its name."""

MIN_SIZE: Final = 2 * DIRENT_SIZE + 3
"""Bytes of the least directory: ``.`` and ``..``."""


class Entry(NamedTuple):
    """A name in a directory, the inode it leads to and that inode's type number."""

    name: bytes
    nid: int
    file_type: int


def directory_size(names: Iterable[bytes]) -> int:
    """Bytes of a directory with these names, already in order."""
    blocks = used = 0
    for count, size in _blocks(names):
        blocks, used = blocks + 1, count * DIRENT_SIZE + size
    return (blocks - 1) * BLOCK_SIZE + used


def _blocks(names: Iterable[bytes]) -> Iterator[tuple[int, int]]:
    """How many entries go into each block, and the bytes of their names."""
    count = size = 0
    for name in names:
        if (count + 1) * DIRENT_SIZE + size + len(name) > BLOCK_SIZE:
            yield count, size
            count = size = 0
        count, size = count + 1, size + len(name)
    yield count, size


def encode_directory(entries: Sequence[Entry]) -> bytes:
    """The bytes of a directory; `entries` are in order and hold ``.`` and ``..``."""
    blocks = []
    start = 0
    for count, _ in _blocks(entry.name for entry in entries):
        blocks.append(_encode_block(entries[start : start + count]))
        start += count
    padded = (block.ljust(BLOCK_SIZE, b"\0") for block in blocks[:-1])
    return b"".join((*padded, blocks[-1]))


def _encode_block(entries: Sequence[Entry]) -> bytes:
    offset = len(entries) * DIRENT_SIZE
    parts = []
    for entry in entries:
        parts.append(_STRUCT.pack(entry.nid, offset, entry.file_type))
        offset += len(entry.name)
    parts += [entry.name for entry in entries]
    return b"".join(parts)


def decode_block(block: bytes) -> list[Entry]:
    """The entries of one directory block, in the order stored, ``.`` and ``..`` included.

    Raises:
        FormatError: the block breaks the rules above, or a name is impossible.
    """
    heads = list(_STRUCT.iter_unpack(block[: _names_start(block)]))
    ends = [offset for _, offset, _ in heads[1:]]
    entries = []
    for (nid, start, kind), end in zip(heads, [*ends, None], strict=True):
        name = block[start:end] if end is not None else block[start:].partition(b"\0")[0]
        # A next offset before this one makes an empty name.
        _check_name(name)
        entries.append(Entry(name, nid, kind))
    _check_order(entries)
    return entries


def first_name(block: bytes) -> bytes:
    """The first name of a directory block, without looking at the others.

    Raises:
        FormatError: the block breaks the rules above, or the name is impossible.
    """
    start = _names_start(block)
    end = int.from_bytes(block[DIRENT_SIZE + 8 : DIRENT_SIZE + 10], "little")
    has_next = start > DIRENT_SIZE
    name = block[start:end] if has_next else block[start:].partition(b"\0")[0]
    _check_name(name)
    return name


def _names_start(block: bytes) -> int:
    start = int.from_bytes(block[8:10], "little") if len(block) > DIRENT_SIZE else 0
    if start < DIRENT_SIZE or start % DIRENT_SIZE or start >= len(block):
        raise FormatError(f"a directory block's names start at {start} of {len(block)} bytes")
    return start


def _check_name(name: bytes) -> None:
    if not 0 < len(name) <= MAX_NAME:
        raise FormatError(f"a file name has {len(name)} bytes, 1 to {MAX_NAME} are possible")
    if b"/" in name or b"\0" in name:
        raise FormatError(f"no file can have this name: {printable(name)}")


def _check_order(entries: Sequence[Entry]) -> None:
    for before, after in pairwise(entries):
        check_ascending(before.name, after.name)


def check_ascending(before: bytes, after: bytes) -> None:
    """Raise `FormatError` unless two neighbouring names differ and are in order."""
    if before == after:
        raise FormatError(f"two directory entries have the name {printable(after)}")
    if before > after:
        raise FormatError(
            f"directory entries are not in order: {printable(before)}, {printable(after)}",
        )
