"""New FAT volumes: names, layouts, times, and what is refused."""

from __future__ import annotations

from datetime import datetime

import pytest

from pieces_kit import blob, joined
from sysgraft.base.blob import BytesBlob
from sysgraft.errors import InputError, LimitError, SysgraftError, UsageError
from sysgraft.formats import fat
from sysgraft.formats.fat_boot import read_geometry
from sysgraft.formats.fat_layout import MAX_SIZE, MIB, layout_of, smallest
from sysgraft.formats.fat_names import problem, short_names
from sysgraft.formats.fat_records import Chains, stamp
from sysgraft.formats.fat_writer import NewFile, VolumeOptions, VolumePlan, plan_volume

SMALL = 4 * MIB


def made(plan: VolumePlan) -> fat.Volume:
    return fat.open_volume(BytesBlob(joined(plan.pieces(), plan.size)))


# --- Names ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name",
    ["", ".", "..", "a\\b", "a:b", "tail.", "tail ", "tab\t", "\U0001f600", "\ud800", "nul",
     "CON.txt", "lpt1.raw", "x" * 256],
)  # fmt: skip
def test_what_fat_cannot_hold_is_refused(name: str) -> None:
    assert problem(name)
    assert problem(f"a/{name}")
    with pytest.raises(SysgraftError):
        plan_volume([NewFile(f"folder/{name}", blob(b""))], size=SMALL)


@pytest.mark.parametrize("name", ["a", "x" * 255, "größe.raw", "console", ".hidden", "a b+c=[1]"])
def test_what_fat_can_hold_is_kept(name: str) -> None:
    assert not problem(name)
    assert [e.name for e in made(plan_volume([NewFile(name, blob(b"1"))], size=SMALL)).list()] == [
        name
    ]


def test_short_names_are_the_specifications() -> None:
    assert short_names(
        ["BOOTX64.EFI", "active.efi", "active.efi.extra.d", "active.efi.extra.e", "ab c", "ünder.x",
         ".hidden", "a+b.conf", "PK.auth", "loader.conf", "FIRMWA~1.RAW", "firmware-one.raw"]
    ) == {
        "BOOTX64.EFI": b"BOOTX64 EFI",
        "active.efi": b"ACTIVE  EFI",
        "active.efi.extra.d": b"ACTIVE~1D  ",
        "active.efi.extra.e": b"ACTIVE~1E  ",
        "ab c": b"ABC~1      ",
        "ünder.x": b"_NDER~1 X  ",
        ".hidden": b"HIDDEN~1   ",
        "a+b.conf": b"A_B~1   CON",
        "PK.auth": b"PK~1    AUT",
        "loader.conf": b"LOADER~1CON",
        "FIRMWA~1.RAW": b"FIRMWA~1RAW",
        "firmware-one.raw": b"FIRMWA~2RAW",
    }  # fmt: skip


def test_short_names_stay_unlike_however_many_begin_alike() -> None:
    names = [f"firmware-{number:05}.sysext.raw" for number in range(12_000)]
    found = short_names(names)
    assert len(set(found.values())) == len(names)
    assert found[names[9]] == b"FIRMW~10RAW"
    assert found[names[-1]] == b"FI~12000RAW"


def test_two_names_that_fat_takes_for_one_are_refused() -> None:
    for one, two in (("a/B", "a/b"), ("a/b", "A/c"), ("ä", "Ä"), ("a/b", "a"), ("a", "a")):
        with pytest.raises(InputError, match=r"on FAT its name is that of|have it twice"):
            plan_volume([NewFile(one, blob(b"")), NewFile(two, blob(b""))], size=SMALL)


# --- Layouts -------------------------------------------------------------------------------------


@pytest.mark.parametrize("sector", [512, 4096])
def test_layouts_are_what_readers_take_them_for(sector: int) -> None:
    sizes = [smallest(sector, bits=16), smallest(sector), 40 * MIB, 259 * MIB, 260 * MIB]
    sizes += [261 * MIB, 300 * MIB, 2 << 30, (8 << 30) + MIB, 32 << 30, 600 << 30, MAX_SIZE]
    for size in sizes:
        layout = layout_of(size, sector)
        plan = VolumePlan(layout, VolumeOptions(sector_size=sector), 1, (), ())
        geometry = read_geometry(Head(plan._front(), layout.size))
        assert geometry.bits == layout.bits
        assert geometry.data_offset == layout.data_offset
        assert geometry.data_offset % 4096 == 0
        assert geometry.cluster_limit == layout.clusters + 2
        assert geometry.fat_offset == layout.fat_offsets[0]
        assert geometry.size <= size
        # The table is no larger than it has to be, but for what is left of its last sector.
        assert geometry.fat_size - (layout.clusters + 2) * layout.bits // 8 < 3 * sector


def test_fat32_and_fat16_each_where_the_size_is_for_it() -> None:
    assert smallest() == 33 * MIB
    assert layout_of(33 * MIB).bits == 32
    assert layout_of(32 * MIB).bits == 16
    assert layout_of(smallest(4096), 4096).bits == 32
    assert layout_of(smallest(4096) - 2 * MIB, 4096).bits == 16
    with pytest.raises(UsageError, match="too small"):
        layout_of(MIB)
    with pytest.raises(LimitError):
        layout_of(MAX_SIZE + 1)
    with pytest.raises(UsageError, match="sectors of 1024 bytes"):
        layout_of(64 * MIB, 1024)


class Head:
    """A volume of which only the beginning is there."""

    def __init__(self, data: bytes, size: int) -> None:
        self._data, self.size = data, size

    def read_at(self, offset: int, length: int) -> bytes:
        return self._data[offset : offset + length]

    def readinto_at(self, offset: int, view: memoryview) -> None:
        view[:] = self.read_at(offset, len(view))


def test_the_table_is_the_same_however_it_is_read() -> None:
    for bits in (16, 32):
        table = Chains(bits, [2, 5, 6, 40])
        whole = table.read_at(0, table.size)
        for step in (1, 3, 4, 7, 64):
            parts = [
                table.read_at(at, min(step, len(whole) - at)) for at in range(0, len(whole), step)
            ]
            assert b"".join(parts) == whole
    assert Chains(16, []).read_at(0, 4) == b"\xf8\xff\xff\xff"
    assert Chains(32, [3]).read_at(8, 8) == b"\3\0\0\0\xff\xff\xff\x0f"


# --- Volumes -------------------------------------------------------------------------------------


def test_a_volume_holds_what_was_planned() -> None:
    options = VolumeOptions(label="SYSGRAFT", serial=0xCAFE_BABE, time=1_700_000_001)
    plan = plan_volume([NewFile("a/b/c.txt", blob(b"x" * 1000))], options, folders=["empty", "a"])
    volume = made(plan)
    assert plan.size == smallest()
    assert (volume.label, volume.geometry.serial) == ("SYSGRAFT", 0xCAFE_BABE)
    assert [path for path, _ in volume.walk()] == ["a", "a/b", "a/b/c.txt", "empty"]
    entry = volume.find("a/b/c.txt")
    assert entry is not None
    assert entry.modified == datetime(2023, 11, 14, 22, 13, 20)  # noqa: DTZ001  none is stored
    assert entry.created == datetime(2023, 11, 14, 22, 13, 21)  # noqa: DTZ001
    # Four folders with the root, each with room for more names, and two clusters of a file.
    assert plan.used == 4 * 3 + 2
    assert plan.free == (plan.layout.clusters - 14) * 512
    assert all(max(volume.free_runs(path)) >= 32 for path in ("", "a", "a/b", "empty"))
    assert plan.allocated(1) == 512


def test_times_are_the_nearest_there_are() -> None:
    assert stamp(0) == stamp(315_532_800) == (1 << 5 | 1, 0, 0)
    assert stamp(1 << 40) == (127 << 9 | 12 << 5 | 31, 23 << 11 | 59 << 5 | 29, 0)


def test_what_does_not_fit_is_told_before_anything_is_written() -> None:
    with pytest.raises(UsageError, match=r"a FAT volume of 4194304 bytes: \d+ are missing"):
        plan_volume([NewFile("a", blob(b"x" * SMALL))], size=SMALL)
    with pytest.raises(UsageError, match="are missing"):
        plan_volume([], size=SMALL, spare=SMALL)
    assert plan_volume([], size=SMALL, spare=SMALL // 2).free >= SMALL // 2
    many = [NewFile(f"{number:03}", blob(b"")) for number in range(513)]
    with pytest.raises(UsageError, match="at the top"):
        plan_volume(many, size=SMALL)
    assert plan_volume(many).layout.bits == 32


def test_what_is_too_large_for_any_volume_is_refused() -> None:
    with pytest.raises(LimitError, match="4294967295 at most"):
        plan_volume([NewFile("large", Head(b"", 1 << 32))])
    with pytest.raises(LimitError, match="65536 entries"):
        plan_volume([NewFile(f"{'long' * 60}{number}", blob(b"")) for number in range(3300)])
    with pytest.raises(LimitError, match="inside one another"):
        plan_volume([NewFile("a/" * 200 + "b", blob(b""))])
    for label in ("lower", "TWELVE LETTE", "Ä"):
        with pytest.raises(UsageError, match="not a FAT volume's name"):
            plan_volume([], VolumeOptions(label=label))


def test_the_smallest_volume_is_large_enough_and_not_much_larger() -> None:
    for size in (1, 40 * MIB, 259 * MIB, 260 * MIB, 5 << 30, (8 << 30) + 1):
        parts = [NewFile(str(n), Head(b"", 1 << 30)) for n in range(size >> 30)]
        plan = plan_volume([*parts, NewFile("file", Head(b"", size % (1 << 30)))])
        # Where clusters become larger, the tables become smaller by four MiB.
        assert plan.free < 6 * MIB or plan.size == smallest()
