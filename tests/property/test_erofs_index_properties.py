"""Any cut of a file into extents is found again in both kinds of index; any bytes end well."""

from __future__ import annotations

import contextlib
import random
import struct
from typing import NamedTuple

from hypothesis import given
from hypothesis import strategies as st

from erofs_made import FILE, ONE_FILE, Made, make, nid
from sysgraft.base.blob import BytesBlob, PaddedBlob
from sysgraft.errors import FormatError
from sysgraft.formats.erofs.extents import Extent, Extents, Stored
from sysgraft.formats.erofs.lclusters import BLOCK_COUNT, HEAD1, HEAD2, NONHEAD, PLAIN
from sysgraft.formats.erofs.map_header import Advise
from sysgraft.formats.erofs.ondisk import Algorithm, Layout
from sysgraft.formats.erofs.volume import Volume

BLOCK = 4096
FIRST_BLOCK = 100
BIG = Advise.BIG_PCLUSTER_1 | Advise.BIG_PCLUSTER_2
SETTINGS = struct.pack("<HHH10xHBB4x", 14, 65_535, 256, 6, 0, 5)
ALGORITHMS = {HEAD1: Algorithm.LZ4, HEAD2: Algorithm.ZSTD, PLAIN: None}
FEATURES = 0x01 | 0x02  # padding before data, settings


class Cut(NamedTuple):
    """An extent: the lcluster it starts in and where, how many it is long, what it is stored as."""

    number: int
    offset: int
    lclusters: int
    kind: int
    blocks: int
    block: int


class File(NamedTuple):
    """A file cut into extents."""

    cuts: list[Cut]
    size: int
    is_big: bool

    @property
    def lclusters(self) -> int:
        return -(-self.size // BLOCK)

    def extents(self) -> list[Extent]:
        starts = [cut.number * BLOCK + cut.offset for cut in self.cuts]
        ends = [*starts[1:], self.size]
        return [
            Extent(start, end, stored(cut, end - start))
            for cut, start, end in zip(self.cuts, starts, ends, strict=True)
        ]

    def entries(self) -> list[tuple[int, int, int]]:
        """Per lcluster kind, low bits, and a head's block or how far the next head is."""
        entries = []
        for cut in self.cuts:
            entries.append((cut.kind, cut.offset, cut.block))
            for back in range(1, cut.lclusters):
                is_count = back == 1 and self.is_big
                low = cut.blocks | BLOCK_COUNT if is_count else min(back, BLOCK_COUNT - 1)
                entries.append((NONHEAD, low, cut.lclusters - back))
        return entries


def stored(cut: Cut, length: int) -> Stored:
    return Stored(cut.block * BLOCK, cut.blocks * BLOCK, ALGORITHMS[cut.kind], length)


@st.composite
def files(draw: st.DrawFn) -> File:
    is_big = draw(st.booleans())
    lengths = draw(st.lists(st.integers(1, 40), min_size=1, max_size=40))
    if draw(st.booleans()):
        lengths.append(draw(st.integers(2000, 2900)))
    cuts: list[Cut] = []
    number, block = 0, FIRST_BLOCK
    for length in lengths:
        offset = draw(st.integers(0, BLOCK - 1)) if number else 0
        blocks = draw(st.integers(1, 256)) if is_big and length > 1 else 1
        kinds = [HEAD1, HEAD2, PLAIN] if blocks > length else [HEAD1, HEAD2]
        cuts.append(Cut(number, offset, length, draw(st.sampled_from(kinds)), blocks, block))
        number, block = number + length, block + blocks
    last = cuts[-1]
    least = max(last.number * BLOCK + last.offset, (number - 1) * BLOCK) + 1
    return File(cuts, draw(st.integers(least, number * BLOCK)), is_big)


def full_index(file: File) -> bytes:
    parts = [
        struct.pack("<HHHH", kind, 0, low, ahead)
        if kind == NONHEAD
        else struct.pack("<HHI", kind, low, ahead)
        for kind, low, ahead in file.entries()
    ]
    return header(BIG if file.is_big else 0) + bytes(8) + b"".join(parts)


def compact_index(file: File, *, has_2b: bool) -> bytes:
    """The index begins 72 bytes into a block: six lclusters come before packs of sixteen."""
    entries = file.entries()
    first = min(6, len(entries))
    middle = (len(entries) - first) // 16 * 16 if has_2b else 0
    packs = [pack(entries[at : at + 2], 2, file) for at in range(0, first, 2)]
    packs += [pack(entries[at : at + 16], 16, file) for at in range(first, first + middle, 16)]
    packs += [pack(entries[at : at + 2], 2, file) for at in range(first + middle, len(entries), 2)]
    advise = (BIG if file.is_big else 0) | (Advise.COMPACTED_2B if has_2b else 0)
    return header(advise) + b"".join(packs)


def pack(entries: list[tuple[int, int, int]], count: int, file: File) -> bytes:
    width = 16 if count == 2 else 14
    fields, counted, base = 0, 0, 0
    for number, (kind, low, ahead) in enumerate(entries):
        if kind != NONHEAD:
            base = base or ahead - counted
        elif low & BLOCK_COUNT:
            counted += low & ~BLOCK_COUNT
        elif number == count - 1:
            low = min(ahead, BLOCK_COUNT - 1)  # noqa: PLW2901 - the last tells the way ahead
        fields |= (low | kind << 12) << number * width
    base -= 0 if file.is_big or not base else 1
    return fields.to_bytes(count * width // 8, "little") + base.to_bytes(4, "little")


def header(advise: int) -> bytes:
    return struct.pack("<IHBB", 0, advise, Algorithm.LZ4 | Algorithm.ZSTD << 4, 0)


def opened(data: bytes, layout: Layout, size: int) -> tuple[Volume, Extents]:
    """The index in an image of 256 MiB of which only the start is there."""
    made = Made(mode=FILE, layout=layout, data=data, size=size)
    blocks = 2 + -(-len(data) // BLOCK)
    image = make(
        ONE_FILE,
        made,
        extra=bytes(blocks * BLOCK),
        incompat=FEATURES,
        compression=0b1001,
        settings=SETTINGS,
        block_count=1 << 16,
    )
    volume = Volume(PaddedBlob(BytesBlob(bytes(image)), BLOCK << 16))
    return volume, Extents(volume, volume.inode(nid(1)))


@given(files(), st.sampled_from(["full", "compact", "compact with 2B"]), st.data())
def test_extents_are_found_again(file: File, kind: str, data: st.DataObject) -> None:
    if kind == "full":
        _, extents = opened(full_index(file), Layout.COMPRESSED_FULL, file.size)
    else:
        index = compact_index(file, has_2b="2B" in kind)
        _, extents = opened(index, Layout.COMPRESSED_COMPACT, file.size)
    expected = file.extents()
    assert list(extents) == expected
    assert extents.count == file.lclusters
    for offset in data.draw(st.lists(st.integers(0, file.size - 1), max_size=5)):
        assert extents.at(offset) == next(each for each in expected if offset < each.end)


@given(files(), st.integers(0, 1 << 32), st.booleans())
def test_any_change_of_an_index_ends_in_extents_or_an_error(
    file: File, seed: int, is_full: bool
) -> None:
    chosen = random.Random(seed)
    index = bytearray(full_index(file) if is_full else compact_index(file, has_2b=True))
    for _ in range(chosen.randrange(1, 9)):
        index[chosen.randrange(4, len(index))] ^= 1 << chosen.randrange(8)
    layout = Layout.COMPRESSED_FULL if is_full else Layout.COMPRESSED_COMPACT
    with contextlib.suppress(FormatError):
        volume, extents = opened(bytes(index), layout, file.size)
        end = 0
        for extent in extents:
            assert extent.start == end
            assert extent.end > end
            end = extent.end
            assert extent.end - extent.start <= 12 << 20
            if extent.stored is not None:
                assert extent.stored.address + extent.stored.size <= volume.blob.size
        assert end == file.size
