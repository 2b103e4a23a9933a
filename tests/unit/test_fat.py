"""FAT volumes: boot sectors, chains, directories and names, and what is refused of each."""

from __future__ import annotations

import struct
from datetime import UTC, datetime

import pytest

from fat_image import FatImage, checksum, long_records, record, short
from sysgraft.base.blob import BytesBlob
from sysgraft.errors import (
    FormatError,
    InputError,
    LimitError,
    TruncatedError,
    UnsupportedError,
    UsageError,
)
from sysgraft.formats import fat, fat_boot, fat_directory, fat_table
from sysgraft.formats.fat import Entry, Volume

BITS = pytest.mark.parametrize("bits", [12, 16, 32])


def opened(image: FatImage) -> Volume:
    return fat.open_volume(BytesBlob(image.image()))


def read(volume: Volume, path: str) -> bytes:
    entry = volume.find(path)
    assert entry is not None
    content = volume.content(entry)
    assert content.size == entry.size
    return content.read_at(0, content.size)


def moment(*parts: int) -> datetime:
    """A time as FAT has it: nobody knows of what time zone."""
    year, month, day, *rest = parts
    hour, minute, second, microsecond = (*rest, 0, 0, 0, 0)[:4]
    return datetime(
        year, month, day, hour, minute, second, microsecond, tzinfo=UTC
    ).replace(tzinfo=None)  # fmt: skip


def with_boot(offset: int, form: str, *values: object, bits: int = 32) -> bytes:
    image = FatImage(bits)
    struct.pack_into(form, image.boot, offset, *values)
    return image.image()


# --- Whole volumes -------------------------------------------------------------------------------


@BITS
def test_a_volume_is_read(bits: int) -> None:
    image = FatImage(bits)
    program = bytes(range(256)) * 9
    scattered = image.take(9)[::-1][::2]  # five clusters, backwards, with gaps
    boot = image.folder(
        long_records("grüße an alle.efi", short("GRE~1.EFI")),
        record(short("GRE~1.EFI"), image.put(program[:2304], scattered), 2304),
        record(b"\xe5OOTX64EFI", 7, 7),
        record(short("EMPTY")),
    )
    efi = image.folder(record(short("BOOT"), boot, attributes=0x10))
    image.set_root(
        record(b"VOLUMENAME ", attributes=0x08),
        record(short("EFI"), efi, attributes=0x10),
        record(short("AUTOEXEC.BAT"), image.put(b"echo"), 4, 0x21),
    )
    volume = opened(image)
    assert volume.geometry.bits == bits
    assert volume.label == "VOLUMENAME"
    assert volume.geometry.serial == 0x1234ABCD
    walked = [(path, entry.is_dir, entry.size) for path, entry in volume.walk()]
    assert walked == [
        ("EFI", True, 0),
        ("EFI/BOOT", True, 0),
        ("EFI/BOOT/grüße an alle.efi", False, 2304),
        ("EFI/BOOT/EMPTY", False, 0),
        ("AUTOEXEC.BAT", False, 4),
    ]
    assert read(volume, "EFI/BOOT/grüße an alle.efi") == program[:2304]
    assert read(volume, "EFI/BOOT/EMPTY") == b""
    assert read(volume, "autoexec.bat") == b"echo"
    assert [entry.name for entry in volume.list("/efi/")] == ["BOOT"]
    assert volume.list() == volume.list("/")
    assert [entry.name for entry in volume.list()] == ["EFI", "AUTOEXEC.BAT"]


def test_free_entries_are_counted_in_runs_and_behind_the_end() -> None:
    image = FatImage(32)
    gone = record(b"\xe5ONE    EFI")
    folder = image.folder(
        gone,
        gone,
        long_records("active.efi.extra.d", short("ACTIVE~1.D")),
        record(short("ACTIVE~1.D"), attributes=0x10),
        gone,
        record(short("LAST")),
    )
    full = image.folder(*[record(short(f"FILE{number}")) for number in range(14)])
    image.set_root(
        record(short("EFI"), folder, attributes=0x10),
        record(short("FULL"), full, attributes=0x10),
    )
    volume = opened(image)
    # A cluster of 512 bytes has 16 entries: two dots, two free, three, one free, one, the rest.
    assert volume.free_runs("EFI") == (2, 1, 7)
    assert volume.free_runs("FULL") == ()
    with pytest.raises(InputError, match="no folder NONE"):
        volume.free_runs("NONE")


@pytest.mark.parametrize(
    ("name", "count"),
    [
        ("SYSGRAFT.NEW", 1),
        ("SYSGRAFT", 1),
        ("sysgraft.new", 2),
        ("a.b.c", 2),
        ("exactly13name", 2),
        ("exactly14names", 3),
        ("active.efi.extra.d", 3),
        ("x" * 255, 21),
    ],
)
def test_new_names_take_entries_as_linux_writes_them(name: str, count: int) -> None:
    assert fat_directory.entries_of(name) == count


@BITS
def test_paths_are_found_as_fat_compares_them(bits: int) -> None:
    image = FatImage(bits)
    inside = image.folder(
        long_records("Grüße.Conf", short("GRE~1.CON")),
        record(short("GRE~1.CON"), image.put(b"x"), 1),
    )
    image.set_root(record(short("EFI"), inside, attributes=0x10), record(short("FILE"), 0, 0))
    volume = opened(image)
    entry = volume.find("EFI/Grüße.Conf")
    assert entry is not None
    for path in ("efi/GRÜSSE.CONF", "efi/none", "FILE/x", "none/x", "EFI/FILE"):
        assert volume.find(path) is None
    for path in ("/efi/grüße.CONF", "\\EFI\\GRÜße.conf", "efi//gre~1.con", "EFI/GRE~1.CON/"):
        assert volume.find(path) == entry
    assert volume.find("") is volume.find("/") is volume.root
    for path in ("FILE", "none", "EFI/Grüße.Conf"):
        with pytest.raises(InputError, match="no folder"):
            volume.list(path)
    with pytest.raises(UsageError):
        volume.content(volume.root)


def test_times_and_attributes_are_read() -> None:
    image = FatImage(12)
    image.set_root(record(short("A"), attributes=0x27), bytes(0))
    (entry,) = opened(image).list()
    assert entry.attributes == 0x27
    assert entry.created == moment(2026, 3, 4, 5, 6, 15, 500_000)
    assert entry.modified == moment(2026, 3, 4, 5, 6, 14)
    assert entry.accessed == moment(2026, 3, 4)


@pytest.mark.parametrize(
    ("day", "time"),
    [(0, 0), (1 << 5, 0), (13 << 5 | 1, 0), (2 << 5 | 30, 0), (1 << 5 | 1, 24 << 11),
     (1 << 5 | 1, 60 << 5), (1 << 5 | 1, 30)],
)  # fmt: skip
def test_times_that_are_none_are_left_out(day: int, time: int) -> None:
    raw = bytearray(record(short("A")))
    raw[22:26] = struct.pack("<HH", time, day)
    raw[13] = 255
    (entry,) = fat_directory.parse(bytes(raw), wide_clusters=False).entries
    assert entry.modified is None
    assert entry.created == moment(2026, 3, 4, 5, 6, 14)


def test_the_label_comes_from_the_root_or_the_boot_sector() -> None:
    image = FatImage(32)
    assert opened(image).label == "BOOT LABEL"
    image.set_root(record(b"\x05 name     ", attributes=0x28))
    assert opened(image).label == "\N{GREEK SMALL LETTER SIGMA} name"
    struct.pack_into("<B4s11s", image.boot, 66, 0x29, bytes(4), b"NO NAME    ")
    image.set_root(b"")
    assert opened(image).label == ""
    image.boot[66] = 0x28
    assert opened(image).geometry.label == b""
    image.boot[66] = 0
    assert opened(image).label == ""
    assert opened(image).geometry.serial == 0


@pytest.mark.parametrize("sector", [512, 1024, 2048, 4096])
@pytest.mark.parametrize("per_cluster", [1, 2, 128])
@BITS
def test_all_sector_and_cluster_sizes_are_read(bits: int, sector: int, per_cluster: int) -> None:
    clusters = {12: 9, 16: 4085, 32: 12}[bits] if per_cluster < 128 or bits != 16 else None
    if clusters is None:
        return
    image = FatImage(bits, clusters=clusters, sector=sector, per_cluster=per_cluster)
    data = bytes(range(251)) * (2 * image.cluster_size // 251)
    image.set_root(record(short("F"), image.put(data), len(data)))
    volume = opened(image)
    assert (volume.geometry.sector_size, volume.geometry.cluster_limit) == (sector, clusters + 2)
    assert read(volume, "F") == data


@pytest.mark.parametrize(("clusters", "bits"), [(1, 12), (4084, 12), (4085, 16), (65524, 16)])
def test_the_number_of_clusters_tells_fat12_from_fat16(clusters: int, bits: int) -> None:
    image = FatImage(bits, clusters=clusters)
    last = clusters + 1
    image.set_root(record(short("F"), image.put(b"end", [last]), 3))
    assert opened(image).geometry.bits == bits
    assert read(opened(image), "F") == b"end"


def test_small_and_large_volumes_of_fat32_are_read() -> None:
    for clusters in (1, 70_000):
        image = FatImage(32, clusters=clusters)
        image.set_root(record(short("F"), image.put(b"", [clusters + 1]) if clusters > 1 else 0, 0))
        assert opened(image).geometry.bits == 32
        assert [entry.name for entry in opened(image).list()] == ["F"]


def test_the_table_in_use_is_read() -> None:
    image = FatImage(32)
    image.set_root(record(short("F"), image.put(b"x" * 1000), 1000))
    data = bytearray(image.image())
    start = 2 * 512
    data[start : start + image.fat_sectors * 512] = bytes(image.fat_sectors * 512)
    with pytest.raises(FormatError, match="free cluster"):
        read(fat.open_volume(BytesBlob(bytes(data))), "F")
    data[40] = 0x01  # mirrored: the number says nothing
    with pytest.raises(FormatError, match="free cluster"):
        read(fat.open_volume(BytesBlob(bytes(data))), "F")
    data[40] = 0x81
    assert read(fat.open_volume(BytesBlob(bytes(data))), "F") == b"x" * 1000


# --- Boot sectors --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "error"),
    [
        (b"", TruncatedError),
        (bytes(511), TruncatedError),
        (bytes(5000), FormatError),
        (b"\xff" * 5000, FormatError),
        (with_boot(510, "<H", 0xAA54), FormatError),
        (with_boot(11, "<H", 0), FormatError),
        (with_boot(11, "<H", 256), FormatError),
        (with_boot(11, "<H", 8192), FormatError),
        (with_boot(13, "<B", 0), FormatError),
        (with_boot(13, "<B", 3), FormatError),
        (with_boot(11, "<HB", 4096, 255), FormatError),
        (with_boot(14, "<H", 0), FormatError),
        (with_boot(16, "<B", 0), FormatError),
        (with_boot(14, "<H", 60_000), FormatError),
        (with_boot(19, "<H", 0), FormatError),  # no sectors at all
        (with_boot(19, "<H", 3), FormatError),
        (with_boot(19, "<H", 60_000), TruncatedError),
        (with_boot(36, "<I", 2**32 - 1), FormatError),
        (with_boot(36, "<I", 0), FormatError),  # no table, no root
        (with_boot(42, "<H", 1), UnsupportedError),
        (with_boot(44, "<I", 0), FormatError),
        (with_boot(44, "<I", 1), FormatError),
        (with_boot(44, "<I", 202), FormatError),
        (with_boot(44, "<I", 2**32 - 1), FormatError),
        (with_boot(40, "<H", 0x82), FormatError),
        (with_boot(22, "<H", 2**16 - 1, bits=16), FormatError),
        (with_boot(17, "<H", 2**16 - 1, bits=12), FormatError),
        (with_boot(13, "<B", 4, bits=16)[:-512], TruncatedError),
        (FatImage(16, clusters=65_525).image(), FormatError),
    ],
)
def test_boot_sectors_that_contradict_themselves_are_refused(
    data: bytes, error: type[FormatError]
) -> None:
    with pytest.raises(error) as caught:
        fat.open_volume(BytesBlob(data))
    assert type(caught.value) is error


def test_a_volume_cut_short_is_refused() -> None:
    data = FatImage(12).image()
    for length in range(0, len(data), 97):
        with pytest.raises(TruncatedError):
            fat.open_volume(BytesBlob(data[:length]))
    assert fat.open_volume(BytesBlob(data + b"more")).geometry.size == len(data)


def test_a_table_that_is_too_small_leaves_clusters_out() -> None:
    image = FatImage(32, clusters=200)
    struct.pack_into("<I", image.boot, 36, 1)  # 128 entries; the second table is data now
    assert opened(image).geometry.cluster_limit == 128


def test_what_looks_like_fat_is_told() -> None:
    for bits in (12, 16, 32):
        assert fat_boot.looks_like_fat(BytesBlob(FatImage(bits).image()))
    for data in (b"", bytes(512), bytes(510) + b"\x55\xaa", with_boot(11, "<H", 0)):
        assert not fat_boot.looks_like_fat(BytesBlob(data))


# --- Chains --------------------------------------------------------------------------------------


def chained(bits: int, size: int, first: int, **entries: int) -> Volume:
    """A file of `size` bytes from cluster `first`, with these entries in the table (c5=6)."""
    image = FatImage(bits)
    image.set_root(record(short("F"), first, size))
    for name, value in entries.items():
        image.fat[int(name[1:])] = value
    return opened(image)


@BITS
@pytest.mark.parametrize(
    ("size", "first", "entries", "reason"),
    [
        (1, 0, {}, "free cluster"),
        (1, 1, {}, "cluster 1"),
        (513, 5, {"c5": 0}, "free cluster"),
        (513, 5, {"c5": 1}, "cluster 1"),
        (513, 5, {"c5": -1}, "only 1 clusters"),
        (2000, 5, {"c5": 6, "c6": -1}, "only 2 clusters"),
        (513, 5, {"c5": -9}, "bad cluster"),
        (513, 5, {"c5": -10}, "leads to cluster"),
        (513, 5, {"c5": 5}, "no end"),
        (1, 5, {"c5": 6, "c6": 7, "c7": 5}, "no end"),
        (1024, 5, {"c5": 6, "c6": 5}, "no end"),
        (1, 5, {"c5": 0}, "free cluster"),
        (2**32 - 1, 5, {"c5": 6, "c6": -1}, "only 2 clusters"),
        (1, -1, {}, "leads to cluster"),
    ],
)
def test_broken_chains_are_refused(
    bits: int, size: int, first: int, entries: dict[str, int], reason: str
) -> None:
    top = 2 ** min(bits, 28)  # negative numbers count from here
    values = {name: value % top for name, value in entries.items()}
    volume = chained(bits, size, first % top, **values)
    with pytest.raises(FormatError, match=reason):
        read(volume, "F")


def test_a_chain_beyond_the_volume_is_refused() -> None:
    assert read(chained(12, 513, 5, c5=61, c61=0xFF8), "F") == bytes(513)
    with pytest.raises(FormatError, match="cluster 62"):
        read(chained(12, 513, 5, c5=62), "F")


def test_clusters_behind_the_size_are_not_read() -> None:
    assert read(chained(16, 5, 5, c5=6, c6=9, c9=0xFFF8), "F") == bytes(5)


def test_the_upper_bits_of_fat32_entries_mean_nothing() -> None:
    volume = chained(32, 1025, 5, c5=0xF0000006, c6=0x10000007, c7=0xFFFFFFFF)
    assert read(volume, "F") == bytes(1025)


def test_the_upper_half_of_a_cluster_counts_on_fat32_only() -> None:
    entry = record(short("F"), 0x12345, 1)
    narrow = fat_directory.parse(entry, wide_clusters=False).entries[0]
    wide = fat_directory.parse(entry, wide_clusters=True).entries[0]
    assert (narrow.first_cluster, wide.first_cluster) == (0x2345, 0x12345)


def test_scattered_contents_are_read_at_any_offset() -> None:
    image = FatImage(32, clusters=100, per_cluster=2)
    data = bytes(range(256)) * 80
    clusters = [90, 91, 92, 30, 29, 28, 50, 51, 10, 60, 61, 62, 63, 64, 20, 21, 22, 23, 11, 12]
    image.set_root(record(short("F"), image.put(data, clusters), len(data) - 7))
    volume = opened(image)
    content = volume.content(volume.list()[0])
    for offset in range(0, content.size, 331):
        left = content.size - offset
        for length in {min(each, left) for each in (0, 1, 1024, 1025, 5000, left)}:
            assert content.read_at(offset, length) == data[offset : offset + length]
    assert content.read_at(content.size, 0) == b""
    view = bytearray(3000)
    content.readinto_at(1000, memoryview(view))
    assert view == data[1000:4000]
    for offset, length in ((0, content.size + 1), (content.size, 1), (-1, 1)):
        with pytest.raises(TruncatedError):
            content.read_at(offset, length)


def test_the_pieces_of_a_file_are_limited(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fat_table, "MAX_RUNS", 4)
    image = FatImage(32)
    image.set_root(
        record(short("A"), image.put(b"x" * 4 * 512, [20, 22, 24, 26]), 4 * 512),
        record(short("B"), image.put(b"x" * 5 * 512, [40, 42, 44, 46, 48]), 5 * 512),
    )
    assert read(opened(image), "A") == b"x" * 2048
    with pytest.raises(LimitError):
        read(opened(image), "B")


def test_large_tables_are_read_in_pieces() -> None:
    image = FatImage(32, clusters=200_000)
    clusters = [16_383, 16_384, 199_999, 3, 40_000, 16_385, 120_000, 80_000, 150_000, 60_000]
    clusters.append(200_001)
    data = b"".join(bytes([number]) * 512 for number in range(len(clusters)))
    image.set_root(record(short("F"), image.put(data, clusters), len(data)))
    assert read(opened(image), "F") == data


# --- Directories and names -----------------------------------------------------------------------


def names(*records: bytes) -> list[str]:
    return [e.name for e in fat_directory.parse(b"".join(records), wide_clusters=True).entries]


@pytest.mark.parametrize(
    ("raw", "case", "name"),
    [
        (b"README  TXT", 0, "README.TXT"),
        (b"README  TXT", 0x08, "readme.TXT"),
        (b"README  TXT", 0x10, "README.txt"),
        (b"README  TXT", 0x18, "readme.txt"),
        (b"NOEXT      ", 0x18, "noext"),
        (b"A B     C D", 0, "A B.C D"),
        (b"\x05B      TXT", 0, "\N{GREEK SMALL LETTER SIGMA}B.TXT"),
        (b"\x81\x9a      TXT", 0x08, "üü.TXT"),
        (b"ELEVEN89012", 0, "ELEVEN89.012"),
    ],
)
def test_short_names_are_read(raw: bytes, case: int, name: str) -> None:
    assert names(record(raw, case=case)) == [name]


@pytest.mark.parametrize(
    "raw", [b" A         ", b"A/B        ", b"A\\B        "[:11], b"A.B        ", b"A\x01         ",
            b"A\0         ", b"...        ", b"\x1f          "],
)  # fmt: skip
def test_names_that_could_lead_elsewhere_are_refused(raw: bytes) -> None:
    with pytest.raises(FormatError, match="impossible"):
        names(record(raw))


S = short("LONG~1.TXT")


@pytest.mark.parametrize(
    "name",
    [
        "a",
        "x" * 13,
        "x" * 14,
        "x" * 26,
        "x" * 255,
        "日本語 ñ.txt",
        "😀.efi",
        " a. b",
        "LONG~1.txt",
    ],
)
def test_long_names_are_read(name: str) -> None:
    assert names(long_records(name, S), record(S)) == [name]


def test_half_of_a_pair_of_units_is_replaced() -> None:
    assert names(long_records("a\ud800b", S), record(S)) == ["a�b"]


PARTS = [long_records("n" * 30, S)[at : at + 32] for at in (0, 32, 64)]


@pytest.mark.parametrize(
    "records",
    [
        [*PARTS[:2], record(S)],  # the first part is missing
        [*PARTS[1:], record(S)],  # the last part
        [PARTS[0], PARTS[2], record(S)],
        [PARTS[0], PARTS[2], PARTS[1], record(S)],
        [PARTS[0], PARTS[1], PARTS[1], PARTS[2], record(S)],
        [*PARTS, PARTS[2], record(S)],
        [*PARTS[:2], record(b"\xe5" + S[1:]), PARTS[2], record(S)],
        [*PARTS, record(b"\xe5" + S[1:]), record(S)],
        [*PARTS, record(b"LABEL      ", attributes=0x08), record(S)],
        [long_records("n" * 30, S, checksum(S) ^ 1), record(S)],
        [PARTS[0], *[bytes([p[0]]) + p[1:13] + b"\0" + p[14:] for p in PARTS[1:]], record(S)],
        [b"\x40" + PARTS[0][1:], record(S)],
        [long_records("n" * 256, S), record(S)],
        [long_records("n" * 300, S), record(S)],
        [long_records("", S), record(S)],
        [long_records("a/b", S), record(S)],
        [long_records("a\\b", S), record(S)],
        [long_records("..", S), record(S)],
        [long_records(".", S), record(S)],
        [long_records("a\nb", S), record(S)],
        [long_records("\0a", S), record(S)],
    ],
)
def test_long_names_that_are_no_names_are_passed_over(records: list[bytes]) -> None:
    assert names(*records) == ["LONG~1.TXT"]


def test_a_long_name_belongs_to_one_entry_only() -> None:
    other = short("ANOTHER.TXT")
    assert names(*PARTS, record(S), record(S)) == ["n" * 30, "LONG~1.TXT"]
    assert names(*PARTS, record(other), record(S)) == ["ANOTHER.TXT", "LONG~1.TXT"]
    assert names(*PARTS) == []


def test_a_directory_ends_at_the_first_free_entry() -> None:
    assert names(record(S), bytes(32), record(short("B"))) == ["LONG~1.TXT"]
    assert names(record(b"\xe5BC        "), record(S), record(S)[:31]) == ["LONG~1.TXT"]


@BITS
def test_folders_in_several_clusters_are_read(bits: int) -> None:
    image = FatImage(bits)
    wanted = [f"FILE{number:04}" for number in range(100)]
    inside = image.folder(*(record(short(name)) for name in wanted))
    image.set_root(record(short("D"), inside, attributes=0x10))
    assert [entry.name for entry in opened(image).list("D")] == wanted


@BITS
def test_folders_in_a_circle_are_refused(bits: int) -> None:
    image = FatImage(bits)
    (inner,) = image.take(1)
    outer = image.folder(record(short("IN"), inner, attributes=0x10))
    image.put(record(short("OUT"), outer, attributes=0x10), [inner])
    image.set_root(record(short("TOP"), outer, attributes=0x10))
    walk = opened(image).walk()
    assert [next(walk)[0], next(walk)[0], next(walk)[0]] == ["TOP", "TOP/IN", "TOP/IN/OUT"]
    with pytest.raises(FormatError, match="another one"):
        next(walk)


@BITS
@pytest.mark.parametrize("cluster", [0, 1, -1, -9, 5000])
def test_a_folder_somewhere_else_is_refused(bits: int, cluster: int) -> None:
    image = FatImage(bits)
    image.set_root(record(short("D"), cluster % 2 ** min(bits, 28), attributes=0x10))
    with pytest.raises(FormatError):
        opened(image).list("D")
    with pytest.raises(FormatError):
        list(opened(image).walk())


@BITS
def test_a_folder_without_an_end_is_refused(bits: int) -> None:
    image = FatImage(bits)
    clusters = image.take(2)
    image.put(record(S) * 32, clusters)
    image.fat[clusters[1]] = clusters[0]
    image.set_root(record(short("D"), clusters[0], attributes=0x10))
    with pytest.raises(LimitError, match="larger than 2 MiB"):
        opened(image).list("D")


def test_walking_is_limited(monkeypatch: pytest.MonkeyPatch) -> None:
    image = FatImage(32)
    inside = image.folder(*[record(S)] * 3)
    for _ in range(4):
        inside = image.folder(record(short("D"), inside, attributes=0x10))
    image.set_root(record(short("D"), inside, attributes=0x10))
    assert len(list(opened(image).walk())) == 8
    monkeypatch.setattr(fat, "MAX_DEPTH", 5)
    with pytest.raises(LimitError):
        list(opened(image).walk())
    monkeypatch.setattr(fat, "MAX_DEPTH", 6)
    monkeypatch.setattr(fat, "MAX_ENTRIES", 7)
    with pytest.raises(LimitError):
        list(opened(image).walk())


def test_folders_may_not_share_their_clusters_without_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Each has a first cluster of its own, and then they are the same: little data, much to do."""
    image = FatImage(32)
    shared = image.take(20)
    image.put(b"\xe5" * 20 * 512, shared)
    firsts = image.take(30)
    for first in firsts:
        image.put(b"\xe5" * 512, [first])
        image.fat[first] = shared[0]
    image.set_root(*[record(short(f"D{n}"), c, attributes=0x10) for n, c in enumerate(firsts)])
    volume = opened(image)
    assert len(list(volume.walk())) == 30
    root = 2 * 512  # 30 entries
    monkeypatch.setattr(fat, "MAX_FOLDERS", root + 30 * 21 * 512)
    assert len(list(volume.walk())) == 30
    monkeypatch.setattr(fat, "MAX_FOLDERS", root + 29 * 21 * 512)
    with pytest.raises(LimitError, match="bytes of folders"):
        list(volume.walk())


def test_entries_are_plain_values() -> None:
    assert Entry("a", "A", 0x10, 0, 0).is_dir
    assert not Entry("a", "A", 0x20, 0, 0).is_dir
