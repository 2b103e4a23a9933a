"""Files with the same bytes, found with as little reading as possible.

Candidates are split by size, then by a digest of the first block, then by the SHA-256 of the whole
content: a file whose size is its own is never read, and most others only once, 4096 bytes far.
Nothing below one block is looked at: it shares no block.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Final, TypeAlias

from sysgraft.formats.erofs.ondisk import BLOCK_SIZE

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterator, Mapping

    from sysgraft.base.blob import Blob

_CHUNK: Final = 1 << 20  # Read at once: large against a call's cost, small against the memory.

_Group: TypeAlias = list[int]


def find_originals(contents: Mapping[int, Blob]) -> dict[int, int]:
    """Which files repeat an earlier one.

    Args:
        contents: the content of each file under its number, in ascending order.

    Returns:
        The number of the first file with the same bytes, for each file that is not the first.

    Raises:
        TruncatedError: a content ends before its size.
    """
    buffer = memoryview(bytearray(_CHUNK))
    groups: Iterator[_Group] = iter(
        [[number for number, content in contents.items() if content.size >= BLOCK_SIZE]],
    )
    groups = _refine(groups, lambda number: contents[number].size)
    groups = _refine_read(groups, contents, lambda content: _digest(content, BLOCK_SIZE, buffer))
    groups = _refine_read(groups, contents, lambda content: _digest(content, None, buffer))
    return {number: group[0] for group in groups for number in group[1:]}


def _refine_read(
    groups: Iterator[_Group],
    contents: Mapping[int, Blob],
    digest: Callable[[Blob], bytes],
) -> Iterator[_Group]:
    """Split by what is read, unless a whole group is one and the same blob."""
    for group in groups:
        if len({id(contents[number]) for number in group}) == 1:
            yield group
        else:
            yield from _refine(iter([group]), lambda number: digest(contents[number]))


def _refine(
    groups: Iterator[_Group],
    key: Callable[[int], Hashable],
) -> Iterator[_Group]:
    """Split every group by `key`; what is then alone is dropped."""
    for group in groups:
        parts: dict[Hashable, _Group] = {}
        for number in group:
            parts.setdefault(key(number), []).append(number)
        yield from (part for part in parts.values() if len(part) > 1)


def _digest(content: Blob, limit: int | None, buffer: memoryview) -> bytes:
    """SHA-256 of the first `limit` bytes, or of all."""
    size = content.size if limit is None else min(limit, content.size)
    state = hashlib.sha256()
    for offset in range(0, size, len(buffer)):
        part = buffer[: min(len(buffer), size - offset)]
        content.readinto_at(offset, part)
        state.update(part)
    return state.digest()
