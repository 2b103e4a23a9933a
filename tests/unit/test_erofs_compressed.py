"""Compressed inodes: what only a hand makes, and images made to mislead or to exhaust a reader."""

from __future__ import annotations

import random
import struct
import time
import tracemalloc
from typing import TYPE_CHECKING

import lz4.block  # type: ignore[import-untyped]
import pytest

from erofs_made import FILE, LINK, ONE_DIR, ONE_FILE, ONE_LINK, Made, made_reader, names, nid
from sysgraft.base.blob import BytesBlob
from sysgraft.errors import FormatError, LimitError, SysgraftError, UnsupportedError
from sysgraft.formats.erofs import pclusters
from sysgraft.formats.erofs.codecs import decompress
from sysgraft.formats.erofs.compressed import CompressedData
from sysgraft.formats.erofs.extents import Stored
from sysgraft.formats.erofs.lclusters import BLOCK_COUNT, HEAD1, HEAD2, NONHEAD, PLAIN
from sysgraft.formats.erofs.map_header import Advise
from sysgraft.formats.erofs.ondisk import Algorithm, Layout
from sysgraft.formats.erofs.pclusters import Pclusters

if TYPE_CHECKING:
    from sysgraft.base.tree import Inode
    from sysgraft.formats.erofs.reader import Reader

PADDED = 0x01
CONFIGS = 0x02
FRAGMENTS = 0x20
BIG = Advise.BIG_PCLUSTER_1 | Advise.BIG_PCLUSTER_2
LZ4_SETTINGS = struct.pack("<HHH10x", 14, 65_535, 16)

TEXT = b"what compresses well, " * 700  # 15,400 bytes: four lclusters
NOISE = random.Random(3).randbytes(4096)


def block(data: bytes, *, count: int = 1) -> bytes:
    """LZ4 data at the end of its blocks."""
    compressed: bytes = lz4.block.compress(data, store_size=False)
    assert len(compressed) <= count * 4096
    return compressed.rjust(count * 4096, b"\0")


def header(*, advise: int = 0, low: int = 0, algorithms: int = 0, bits: int = 0) -> bytes:
    return struct.pack("<IHBB", low, advise, algorithms, bits)


def head(number: int, offset: int = 0, kind: int = HEAD1, *, flags: int = 0) -> bytes:
    return struct.pack("<HHI", kind | flags, offset, number)


def nonhead(back: int, ahead: int = 1) -> bytes:
    return struct.pack("<HHHH", NONHEAD, 0, back, ahead)


def full(*entries: bytes, size: int, start: bytes = header(), mode: int = FILE) -> Made:
    data = start + bytes(8) + b"".join(entries)
    return Made(mode=mode, layout=Layout.COMPRESSED_FULL, data=data, size=size)


def content(inode: Inode | None) -> bytes:
    assert inode is not None
    assert inode.content is not None
    return inode.content.read_at(0, inode.content.size)


def read_one(made: Made, *, extra: bytes = b"", incompat: int = PADDED) -> bytes:
    """What is in the file `f`; its blocks are `extra`, from number 3 on."""
    return content(made_reader(ONE_FILE, made, extra=extra, incompat=incompat).lookup(b"f"))


FOUR = (head(3), nonhead(1, 3), nonhead(2, 2), nonhead(3, 1))


# --- What is right -------------------------------------------------------------------------------


def test_an_extent_of_four_lclusters_is_read_in_any_part() -> None:
    image = made_reader(ONE_FILE, full(*FOUR, size=len(TEXT)), extra=block(TEXT), incompat=PADDED)
    found = image.read_tree()[b"f"].content
    assert found is not None
    assert found.read_at(0, found.size) == TEXT
    for start in (0, 1, 4095, 4096, 9000, len(TEXT)):
        for end in (start, start + 1, 12_288, len(TEXT)):
            if start <= end <= len(TEXT):
                assert found.read_at(start, end - start) == TEXT[start:end]


def test_extents_start_anywhere_in_an_lcluster() -> None:
    parts = TEXT[: 2 * 4096 + 100], TEXT[: 4096 - 93], NOISE[:4089]
    made = full(
        head(3),
        nonhead(1),
        head(4, 100),
        head(5, 7, PLAIN),
        size=sum(len(part) for part in parts),
    )
    assert read_one(made, extra=block(parts[0]) + block(parts[1]) + NOISE) == b"".join(parts)


@pytest.mark.parametrize("advise", [0, Advise.INTERLACED_PCLUSTER])
def test_what_is_not_compressed_may_be_turned_around(advise: int) -> None:
    start = header(advise=advise)
    made = full(head(3), head(4, 1000, PLAIN), nonhead(1), size=4096 + 1000 + 3500, start=start)
    plain = NOISE[500:4000]
    turned = plain[3096:].ljust(1000, b"x") + plain[:3096]
    extra = block(TEXT[: 4096 + 1000]) + (turned if advise else plain.ljust(4096, b"x"))
    assert read_one(made, extra=extra) == TEXT[: 4096 + 1000] + plain


def test_a_compressed_link_and_a_compressed_directory_are_followed() -> None:
    target = b"to/" * 400
    made = full(head(3), size=len(target), mode=LINK)
    image = made_reader(ONE_LINK, made, extra=block(target), incompat=PADDED)
    assert image.read_tree()[b"l"].target == target
    inside = names(1, 0, (b"f", nid(2), 1))
    made = full(head(4), size=len(inside), mode=ONE_DIR.mode)
    image = made_reader(ONE_DIR, made, Made(mode=FILE), extra=block(inside), incompat=PADDED)
    assert set(image.read_tree()) == {b"", b"d", b"d/f"}
    assert image.listdir(b"d") == [b"f"]
    assert image.lookup(b"d/f") is not None


def test_several_blocks_are_decompressed_together() -> None:
    data = random.Random(5).randbytes(6000) + TEXT
    made = full(
        head(3),
        nonhead(2 | BLOCK_COUNT),
        *(nonhead(distance) for distance in range(2, 6)),
        size=len(data),
        start=header(advise=BIG),
    )
    image = made_reader(
        ONE_FILE,
        made,
        extra=block(data, count=2),
        incompat=PADDED | CONFIGS,
        compression=1,
        settings=LZ4_SETTINGS,
    )
    assert content(image.lookup(b"f")) == data


def pack(*entries: tuple[int, int], base: int, width: int) -> bytes:
    fields = sum((low | kind << 12) << width * n for n, (kind, low) in enumerate(entries))
    return fields.to_bytes(len(entries) * width // 8, "little") + base.to_bytes(4, "little")


def test_a_compact_index_counts_the_blocks_in_each_pack() -> None:
    """Six lclusters in packs of two, sixteen in one pack, one in a pack of two again."""
    heads = [(HEAD1, 0), (NONHEAD, 1)]
    made = Made(
        mode=FILE,
        layout=Layout.COMPRESSED_COMPACT,
        data=header(advise=Advise.COMPACTED_2B)
        + b"".join(pack(*heads, base=3 + n - 1, width=16) for n in range(3))
        # Fifteen heads and, at the end, one that tells how far ahead the next is.
        + pack(*[(HEAD1, 0)] * 15, (NONHEAD, 1), base=6 - 1, width=14)
        + pack((PLAIN, 0), (0, 0), base=21 - 1, width=16),
        size=22 * 4096 + 9,
    )
    parts = [bytes([65 + n]) * (8192 if n in (0, 1, 2, 17) else 4096) for n in range(18)]
    extra = b"".join(block(part) for part in parts) + b"the end..".ljust(4096, b"\0")
    assert read_one(made, extra=extra) == b"".join(parts) + b"the end.."


def test_a_listing_reads_nothing_of_the_index() -> None:
    made = full(size=1 << 40)
    found = made_reader(ONE_FILE, made, incompat=PADDED).read_tree()[b"f"].content
    assert found is not None
    assert found.size == 1 << 40
    with pytest.raises(FormatError, match=r"^f: it points at bytes"):
        found.read_at(0, 1)


# --- Fragments -----------------------------------------------------------------------------------


def fragment(offset: int) -> bytes:
    return (offset | 1 << 63).to_bytes(8, "little")


def with_packed(made: Made, packed: Made, *, extra: bytes = b"") -> Reader:
    incompat = PADDED | FRAGMENTS
    return made_reader(ONE_FILE, made, packed, extra=extra, incompat=incompat, packed=nid(2))


PACKED = full(*(head(4), nonhead(1), nonhead(2), nonhead(3)), size=len(TEXT))


def test_a_whole_file_may_be_in_the_packed_file() -> None:
    made = Made(mode=FILE, layout=Layout.COMPRESSED_COMPACT, data=fragment(5000), size=900)
    image = with_packed(made, PACKED, extra=block(TEXT))
    assert content(image.lookup(b"f")) == TEXT[5000:5900]
    flat = Made(mode=FILE, data=b"not compressed at all")
    made = Made(mode=FILE, layout=Layout.COMPRESSED_FULL, data=fragment(4), size=10)
    assert content(with_packed(made, flat).lookup(b"f")) == b"compressed"


def test_a_tail_may_be_in_the_packed_file() -> None:
    start = header(advise=Advise.FRAGMENT_PCLUSTER, low=7000)
    made = full(head(5), nonhead(1), head(0, 50), size=9000, start=start)
    image = with_packed(made, PACKED, extra=block(TEXT) + block(b"x" * 8242))
    assert content(image.lookup(b"f")) == b"x" * 8242 + TEXT[7000 : 7000 + 758]
    # The upper half of where it is stands in the index.
    made = full(head(5), nonhead(1), head(1, 50), size=9000, start=start)
    image = with_packed(made, PACKED, extra=block(TEXT) + block(b"x" * 8242))
    with pytest.raises(FormatError, match=r"^f: its data is at 4294974296 of a packed file of"):
        content(image.lookup(b"f"))


def test_a_fragment_beyond_the_packed_file_is_refused() -> None:
    for offset in (len(TEXT) - 899, len(TEXT), (1 << 63) - 1):
        made = Made(mode=FILE, layout=Layout.COMPRESSED_FULL, data=fragment(offset), size=900)
        with pytest.raises(FormatError, match=r"^f: its data is at"):
            content(with_packed(made, PACKED, extra=block(TEXT)).lookup(b"f"))


def test_a_fragment_without_a_packed_file_is_refused() -> None:
    made = Made(mode=FILE, layout=Layout.COMPRESSED_FULL, data=fragment(0), size=900)
    with pytest.raises(FormatError, match=r"^f: its data is in a packed file, and there is none"):
        read_one(made, incompat=PADDED | FRAGMENTS)


def test_a_packed_file_that_is_in_itself_is_refused() -> None:
    packed = Made(mode=FILE, layout=Layout.COMPRESSED_FULL, data=fragment(0), size=900)
    made = Made(mode=FILE, layout=Layout.COMPRESSED_FULL, data=fragment(10), size=100)
    with pytest.raises(FormatError, match=r"^f: the packed file: its data is in a packed file"):
        content(with_packed(made, packed).lookup(b"f"))


# --- What breaks the rules -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("made", "words"),
    [
        pytest.param(full(nonhead(1), size=9), "does not begin with an extent", id="no-head"),
        pytest.param(full(head(3, 5), size=9), "does not begin with an extent", id="late-start"),
        pytest.param(
            full(head(3), head(3, 4096), size=5000), "starts at byte 4096", id="offset-too-far"
        ),
        pytest.param(full(*FOUR[:1], nonhead(0), size=5000), "lead back", id="distance-0"),
        pytest.param(full(*FOUR[:1], nonhead(2), size=5000), "lead back", id="distance-too-far"),
        pytest.param(full(*FOUR[:3], nonhead(2), size=15_400), "lead back", id="distance-too-near"),
        pytest.param(full(head(99), size=5), "points at bytes", id="outside"),
        pytest.param(full(head(0xFFFFFFFF), size=5), "points at bytes", id="no-block"),
        pytest.param(
            full(head(3), nonhead(1 | BLOCK_COUNT), size=5000),
            "a number of blocks for an extent that takes one",
            id="count-without-big-clusters",
        ),
        pytest.param(
            full(head(3), nonhead(1), nonhead(2 | BLOCK_COUNT), size=9000),
            "lead back",
            id="count-in-the-middle",
        ),
        pytest.param(
            full(head(3), nonhead(1 | BLOCK_COUNT), size=5000, start=header(advise=BIG)),
            "which the superblock knows nothing of",
            id="big-clusters-without-the-feature",
        ),
        pytest.param(
            full(head(3, kind=PLAIN), nonhead(1), size=5000),
            "5000 bytes are in 4096 that are not compressed",
            id="plain-too-short",
        ),
        pytest.param(
            full(head(3), size=5, start=header(algorithms=1)),
            "LZMA, which the superblock does not name",
            id="unnamed-algorithm",
        ),
        pytest.param(
            full(head(3, kind=HEAD2), size=5, start=header(algorithms=0x30)),
            "ZSTD, which the superblock does not name",
            id="unnamed-second-algorithm",
        ),
        pytest.param(
            full(head(3), size=5, start=header(advise=Advise.INLINE_PCLUSTER, low=4050 << 16)),
            "inline data crosses into another block",
            id="inline-too-long",
        ),
        pytest.param(
            Made(
                mode=FILE,
                layout=Layout.COMPRESSED_COMPACT,
                data=header(advise=Advise.BIG_PCLUSTER_2),
                size=5,
            ),
            "which needs a full index",
            id="compact-with-one-big",
        ),
        pytest.param(
            Made(
                mode=FILE,
                layout=Layout.COMPRESSED_COMPACT,
                data=header() + pack((HEAD1, 0), (NONHEAD, BLOCK_COUNT | 1), base=3, width=16),
                size=5000,
            ),
            "a number of blocks in a file without big clusters",
            id="compact-count-without-big-clusters",
        ),
        pytest.param(full(head(2), size=5), "nothing but zeros|damaged LZ4", id="no-lz4"),
        pytest.param(full(head(3), size=6), "gives 5 bytes, not 6", id="too-little"),
        pytest.param(full(head(3), size=4), "damaged LZ4 data", id="too-much"),
    ],
)
def test_a_file_that_breaks_the_rules_is_refused_by_name(made: Made, words: str) -> None:
    with pytest.raises(FormatError, match=rf"^f: .*({words})"):
        read_one(made, extra=block(b"12345"))


@pytest.mark.parametrize(
    ("made", "words"),
    [
        (full(head(3), size=5, start=header(advise=0x40)), "unknown features .* 0x40"),
        (full(head(3), size=5, start=header(advise=0x01)), "an index of encoded extents"),
        (full(head(3), size=5, start=header(bits=1)), "logical clusters of more than a block"),
        (full(head(3), size=5, start=header(algorithms=4)), "unknown .* algorithm 4"),
        (full(head(3, flags=0x4000), size=5), "unknown features of a compressed extent"),
    ],
)
def test_what_is_newer_is_called_unsupported(made: Made, words: str) -> None:
    with pytest.raises(UnsupportedError, match=f"^f: {words}"):
        read_one(made, extra=block(b"12345"))


@pytest.mark.parametrize("count", [0, 257, 2047])
def test_a_number_of_blocks_that_cannot_be_is_refused(count: int) -> None:
    made = full(head(3), nonhead(count | BLOCK_COUNT), size=5000, start=header(advise=BIG))
    image = made_reader(
        ONE_FILE, made, incompat=PADDED | CONFIGS, compression=1, settings=LZ4_SETTINGS
    )
    with pytest.raises(FormatError, match=f"^f: {count} blocks of compressed data"):
        content(image.lookup(b"f"))


def test_an_extent_of_more_than_linux_takes_is_refused() -> None:
    size = (12 << 20) + 4096
    entries = [head(3), *(nonhead(min(n, 2047)) for n in range(1, size // 4096))]
    made = full(*entries, size=size)
    extra = block(b"x")
    for offset in (0, size - 1):
        found = made_reader(ONE_FILE, made, extra=bytes(65_536) + extra, incompat=PADDED)
        inode = found.lookup(b"f")
        assert inode is not None
        assert inode.content is not None
        with pytest.raises(LimitError, match=r"^f: an extent of"):
            inode.content.read_at(offset, 1)


@pytest.mark.parametrize(
    ("bits", "settings", "words"),
    [
        (1 << 4, b"", "unknown EROFS compression algorithms: 0x10"),
        (1 << 0, struct.pack("<H", 13), "the settings of LZ4 have 13 bytes"),
        (1 << 1, struct.pack("<HIH8x", 14, 4095, 0), "the window of LZMA"),
        (1 << 1, struct.pack("<HIH8x", 14, (8 << 20) + 1, 0), "the window of LZMA"),
        (1 << 1, struct.pack("<HIH8x", 14, 4096, 1), "unknown form 1 of LZMA"),
        (1 << 2, struct.pack("<HB5x", 6, 16), "the window of DEFLATE"),
        (1 << 3, struct.pack("<HBB4x", 6, 0, 11), "the window of ZSTD"),
        (1 << 3, struct.pack("<HBB4x", 6, 1, 5), "unknown form 1 of ZSTD"),
        (0b1001, LZ4_SETTINGS + struct.pack("<HBB4x", 6, 9, 5), "unknown form 9 of ZSTD"),
    ],
)
def test_settings_that_make_no_sense_are_refused(bits: int, settings: bytes, words: str) -> None:
    with pytest.raises(FormatError, match=words):
        made_reader(ONE_FILE, incompat=CONFIGS, compression=bits, settings=settings)


# --- Bounded work --------------------------------------------------------------------------------


def test_a_large_file_of_a_small_image_takes_little_memory() -> None:
    """1 GiB of zeros; the index takes 2 MiB, and every extent of 4 MiB is the same five blocks."""
    blocks = (2 << 20) // 4096
    entries = [head(3 + blocks), nonhead(5 | BLOCK_COUNT)]
    entries += [nonhead(distance) for distance in range(2, 1024)]
    made = full(*entries * 256, size=1 << 30, start=header(advise=BIG))
    extra = block(bytes(4 << 20), count=5)
    image = made_reader(
        ONE_FILE,
        made,
        extra=bytes(blocks * 4096) + extra,
        incompat=PADDED | CONFIGS,
        compression=1,
        settings=LZ4_SETTINGS,
    )
    inode = image.lookup(b"f")
    assert inode is not None
    assert inode.content is not None
    tracemalloc.start()
    try:
        buffer = memoryview(bytearray(1 << 20))
        for offset in range(0, 64 << 20, 1 << 20):
            inode.content.readinto_at(offset, buffer)
        assert tracemalloc.get_traced_memory()[1] < 16 << 20
    finally:
        tracemalloc.stop()
    assert inode.content.read_at((1 << 30) - 5, 5) == bytes(5)


def has_index(data: CompressedData) -> bool:
    return data._extents is not None


def test_an_index_is_forgotten_when_its_file_has_been_read() -> None:
    image = made_reader(ONE_FILE, full(*FOUR, size=len(TEXT)), extra=block(TEXT), incompat=PADDED)
    found = image.read_tree()[b"f"].content
    assert isinstance(found, CompressedData)
    found.read_at(0, 5000)
    assert has_index(found)
    found.read_at(5000, len(TEXT) - 5000)
    assert not has_index(found)
    assert found.read_at(4000, 200) == TEXT[4000:4200]


def test_what_is_decompressed_is_kept_while_there_is_room(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pclusters, "MAX_KEPT", 20_000)
    made: list[int] = []

    def counted(stored: Stored, data: bytes, *, padded: bool) -> bytes:
        made.append(stored.address)
        return decompress(stored, data, padded=padded)

    monkeypatch.setattr(pclusters, "decompress", counted)
    cache = Pclusters(BytesBlob(block(TEXT) + block(TEXT)), padded=True)
    stored = [Stored(at, 4096, Algorithm.LZ4, len(TEXT)) for at in (0, 4096)]
    for number in (0, 0, 1, 1, 0):
        assert cache.get(stored[number], 5).read_at(0, 5) == TEXT[:5]
    assert made == [0, 4096, 0]


@pytest.fixture
def little(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is kept, and little may be decompressed in vain."""
    monkeypatch.setattr(pclusters, "MAX_KEPT", 0)
    monkeypatch.setattr(pclusters, "MAX_WASTE", 100_000)


@pytest.mark.usefixtures("little")
def test_much_work_for_little_is_refused() -> None:
    """Each file wants a byte of something large, in an order that no cache helps with."""
    cache = Pclusters(BytesBlob(block(TEXT) * 2), padded=True)
    with pytest.raises(LimitError, match="had to be decompressed for"):
        for number in range(8):
            cache.get(Stored(number % 2 * 4096, 4096, Algorithm.LZ4, len(TEXT)), 1)
    cache = Pclusters(BytesBlob(block(TEXT) * 2), padded=True)
    for number in range(100):
        cache.get(Stored(number % 2 * 4096, 4096, Algorithm.LZ4, len(TEXT)), 1000)


@pytest.mark.usefixtures("little")
def test_a_partial_extent_is_charged_with_all_that_was_made() -> None:
    cache = Pclusters(BytesBlob(block(TEXT) * 2), padded=True)
    with pytest.raises(LimitError, match="had to be decompressed for"):
        for number in range(8):
            cache.get(Stored(number % 2 * 4096, 4096, Algorithm.LZ4, 10, partial=True), 1)


# --- Whose bytes they are ------------------------------------------------------------------------


def test_compressed_blocks_belong_to_their_files() -> None:
    made = full(head(3), head(4), size=8192)
    image = made_reader(
        ONE_FILE, made, extra=block(TEXT[:4096]) + block(TEXT[:4096]), incompat=PADDED
    )
    assert image.owners(3 * 4096, 1) == image.owners(5 * 4096 - 1, 1) == ("f",)
    assert image.locate(2 * 4096 + 64 + 16) == "metadata of f"
    assert image.locate(5 * 4096) is None


def test_bytes_of_the_packed_file_belong_to_the_files_in_it() -> None:
    """Of three files with their content there the two that need the second block are named."""
    listed = Made(data=names(0, 0, *((b"%d" % n, nid(1 + n), 1) for n in range(3))))
    files = [
        Made(mode=FILE, layout=Layout.COMPRESSED_FULL, data=fragment(at), size=1000)
        for at in (0, 8000, 12_000)
    ]
    packed = full(head(6), nonhead(1), head(7), nonhead(1), size=len(TEXT))
    image = made_reader(
        listed,
        *files,
        packed,
        extra=block(TEXT[:8192]) + block(TEXT[8192:]),
        incompat=PADDED | FRAGMENTS,
        packed=nid(4),
    )
    assert image.owners(6 * 4096 + 4000, 1) == ("0", "1")
    assert image.owners(7 * 4096, 4096) == ("1", "2")
    assert image.owners(6 * 4096, 8192) == ("0", "1", "2")
    assert image.locate(5 * 4096 + 3) == "metadata of the packed file"


def test_bytes_of_a_packed_file_that_is_not_compressed_belong_to_the_files_in_it() -> None:
    listed = Made(data=names(0, 0, (b"a", nid(1), 1), (b"b", nid(2), 1)))
    files = [
        Made(mode=FILE, layout=Layout.COMPRESSED_FULL, data=fragment(at), size=50)
        for at in (0, 4090)
    ]
    packed = Made(mode=FILE, size=4096 + 44, union=5, data=bytes(44))
    features = {"incompat": PADDED | FRAGMENTS, "packed": nid(3)}
    image = made_reader(listed, *files, packed, extra=bytes(4096), **features)
    assert image.owners(5 * 4096 + 10, 10) == ("a",)
    assert image.owners(5 * 4096 + 50, 4040) == ()
    assert image.owners(5 * 4096 + 4095, 1) == ("b",)
    assert image.owners(4 * 4096 + 64 + 43, 1) == ("b",)  # its tail follows the inode
    assert image.owners(5 * 4096, 4096) == ("a", "b")


def test_a_damaged_index_does_not_keep_other_files_from_being_named() -> None:
    listed = Made(data=names(0, 0, (b"a", nid(1), 1), (b"b", nid(2), 1)))
    bad = full(head(4), nonhead(0), size=8192)
    image = made_reader(listed, bad, full(head(4), size=5), extra=block(b"12345"), incompat=PADDED)
    assert image.locate(4 * 4096) == "b"


# --- Any bytes -----------------------------------------------------------------------------------


def test_random_indexes_are_read_or_refused_at_once() -> None:
    chosen = random.Random(11)
    start = time.monotonic()
    for _ in range(400):
        data = bytearray(chosen.randbytes(chosen.randrange(8, 3000)))
        data[4:8] = struct.pack("<HBB", chosen.choice((0, 1, 6, 8, 0x10, 0x20)), 0, 0)
        layout = chosen.choice((Layout.COMPRESSED_FULL, Layout.COMPRESSED_COMPACT))
        made = Made(mode=FILE, layout=layout, data=bytes(data), size=chosen.randrange(1 << 20))
        image = made_reader(
            ONE_FILE,
            made,
            extra=block(TEXT) * 9,
            incompat=PADDED | CONFIGS | FRAGMENTS,
            compression=1,
            settings=LZ4_SETTINGS,
        )
        inode = image.lookup(b"f")
        assert inode is not None
        assert inode.content is not None
        for offset in range(0, inode.content.size, 50_000):
            try:
                inode.content.read_at(offset, min(9000, inode.content.size - offset))
            except SysgraftError as error:
                assert error.message.startswith("f: ")  # noqa: PT017 - whichever of them it is
        image.owners(0, 1 << 20)
    assert time.monotonic() - start < 60
