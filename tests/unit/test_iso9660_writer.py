"""New ISO 9660 volumes: names, records, where things lie, and what is refused."""

from __future__ import annotations

import struct

import pytest

from pieces_kit import blob, joined
from sysgraft.errors import InputError, LimitError, UsageError
from sysgraft.formats import el_torito, rock_ridge
from sysgraft.formats import iso9660_records as records
from sysgraft.formats.iso9660_names import identifiers, order
from sysgraft.formats.iso9660_records import SECTOR, Extent
from sysgraft.formats.iso9660_writer import NewFile, VolumeOptions, VolumePlan, plan_volume

MIB = 1 << 20
OPTIONS = VolumeOptions("VOLUME", "boot/efi.img", 1_700_000_000)
BOOT = NewFile("boot/efi.img", blob(b"FAT" * 999))


class Zeros:
    """Bytes that take no memory."""

    def __init__(self, size: int) -> None:
        self.size = size

    def read_at(self, _offset: int, length: int) -> bytes:
        return bytes(length)

    def readinto_at(self, _offset: int, view: memoryview) -> None:
        view[:] = bytes(len(view))


def written(plan: VolumePlan) -> bytes:
    return joined(plan.pieces(), plan.size)


# --- Names ---------------------------------------------------------------------------------------


def test_identifiers_are_level_3_and_unlike() -> None:
    names = [
        "efi.img",
        "Efi.IMG",
        "größe.sysext.raw",
        "folder.d",
        ".hidden",
        "no extension",
        "a" * 99,
    ]
    found = identifiers(names, ["folder.d"])
    assert found == {
        "efi.img": b"EFI00001.IMG;1",
        "Efi.IMG": b"EFI.IMG;1",
        "größe.sysext.raw": b"GR_SSE_SYSEXT.RAW;1",
        "folder.d": b"FOLDER_D",
        ".hidden": b"_HIDDEN.;1",
        "no extension": b"NO_EXTENSION.;1",
        "a" * 99: b"A" * 24 + b".;1",
    }
    many = identifiers([f"{'firmware-of-many-letters' * 2}{n}.raw" for n in range(1000)], [])
    assert len(set(many.values())) == 1000
    assert all(len(each) <= 32 for each in many.values())


def test_identifiers_are_ordered_by_name_before_extension() -> None:
    assert sorted([b"AB.A;1", b"A.Z;1", b"A.B;1", b"A"], key=order) == [
        b"A", b"A.B;1", b"A.Z;1", b"AB.A;1",
    ]  # fmt: skip


@pytest.mark.parametrize("path", ["", "a//b", "a/../b", "./a", "x" * 256, "a\0b"])
def test_what_is_no_name_is_refused(path: str) -> None:
    with pytest.raises(InputError, match="not a name that an ISO image can have"):
        plan_volume([BOOT, NewFile(path, blob(b""))], OPTIONS)


def test_what_cannot_be_is_refused() -> None:
    with pytest.raises(LimitError, match="more than 8 folders"):
        plan_volume([BOOT, NewFile("1/2/3/4/5/6/7/8/9", blob(b""))], OPTIONS)
    for files in ([BOOT, BOOT], [BOOT, NewFile("boot", blob(b""))]):
        with pytest.raises(InputError, match="have it twice"):
            plan_volume(files, OPTIONS)
    with pytest.raises(UsageError, match=r"no file 'boot/efi\.img' to start"):
        plan_volume([NewFile("other", blob(b""))], OPTIONS)
    for name in ("", "lower", "SPACE HERE", "X" * 33, "Ä"):
        with pytest.raises(UsageError, match="not a volume's name"):
            plan_volume([BOOT], VolumeOptions(name, "boot/efi.img"))
    with pytest.raises(LimitError, match="an ISO image of"):
        plan_volume([NewFile("boot/efi.img", Zeros(1 << 43))], OPTIONS)


# --- Records -------------------------------------------------------------------------------------


def test_times_are_those_of_the_standard() -> None:
    assert records.short_time(1_700_000_000) == bytes([123, 11, 14, 22, 13, 20, 0])
    assert records.short_time(-1) == bytes([70, 1, 1, 0, 0, 0, 0])
    assert records.short_time(1 << 50) == bytes([255, 12, 31, 23, 59, 59, 0])


def test_a_file_of_more_than_4_gib_has_several_sections() -> None:
    size = (9 << 30) + 5
    found = records.sections(Extent(1000, size))
    assert sum(each.size for each in found) == size
    assert [each.sector for each in found] == [1000, 1000 + (1 << 21) - 1, 1000 + (1 << 22) - 2]
    assert all(each.size % SECTOR == 0 for each in found[:-1])
    assert records.sections(Extent(0, 0)) == [Extent(0, 0)]
    assert len(records.sections(Extent(1, records.MAX_SECTION))) == 1


def test_long_names_go_on_in_the_continuation_area() -> None:
    area = rock_ridge.ContinuationArea(77)

    def use(name: bytes) -> bytes:
        return rock_ridge.system_use(
            b"NAME.;1", name, time=0, links=1, is_directory=False, area=area
        )

    assert b"NM\x09\x01\x00name" in use(b"name")
    assert area.data == b""
    fields = use(b"x" * 255)
    assert fields[-28:] == b"CE\x1c\x01" + b"".join(map(records.both32, (77, 0, 265)))
    assert area.data == b"NM\xff\x01\x01" + b"x" * 250 + b"NM\x0a\x01\x00" + b"x" * 5
    for _ in range(7):
        use(b"y" * 255)
    # The eighth would cross the end of the sector.
    assert use(b"z" * 255)[-28:] == b"CE\x1c\x01" + b"".join(map(records.both32, (78, 265, 265)))
    assert area.data[7 * 265 : SECTOR] == bytes(SECTOR - 7 * 265)


def test_the_boot_catalog_is_for_uefi_and_sums_up_to_zero() -> None:
    catalog = el_torito.catalog(512, 33 * MIB)
    assert sum(struct.unpack("<16H", catalog[:32])) & 0xFFFF == 0
    assert (catalog[0], catalog[1], catalog[30:32]) == (1, 0xEF, b"\x55\xaa")
    assert struct.unpack("<BBHBBHI", catalog[32:44]) == (0x88, 0, 0, 0, 0, 1, 512)
    # Where the field can say how large the image is, it does.
    assert struct.unpack_from("<H", el_torito.catalog(512, 31 * MIB), 38) == (31 * 2048,)
    assert not any(catalog[44:])


# --- Volumes -------------------------------------------------------------------------------------


def test_a_volume_is_laid_out_as_the_standard_wants_it() -> None:
    files = [BOOT, NewFile("a/empty", blob(b"")), NewFile("z", blob(b"z" * 3000))]
    plan = plan_volume(files, OPTIONS)
    image = written(plan)
    assert len(image) % MIB == 0
    assert not any(image[: 16 * SECTOR])
    assert [image[sector * SECTOR : sector * SECTOR + 7] for sector in (16, 17, 18)] == [
        b"\x01CD001\x01", b"\x00CD001\x01", b"\xffCD001\x01",
    ]  # fmt: skip
    primary = image[16 * SECTOR : 17 * SECTOR]
    assert struct.unpack_from("<I", primary, 80) == (len(image) // SECTOR,)
    (catalog,) = struct.unpack_from("<I", image, 17 * SECTOR + 0x47)
    (started,) = struct.unpack_from("<I", image, catalog * SECTOR + 40)
    assert started * SECTOR == plan.offset("boot/efi.img") == MIB
    assert image[MIB : MIB + 2997] == b"FAT" * 999
    assert image[plan.offset("z") :][:3001] == b"z" * 3000 + b"\0"
    assert plan.extents["a/empty"] == (0, 0)
    # What is read ahead, and a copy of a partition table, have room.
    assert len(image) - (plan.offset("z") + 3000) > 150 * SECTOR


def test_what_goes_on_lies_right_behind_its_folder() -> None:
    """Readers of streams look for it nowhere else."""
    names = [f"{folder}/{number}{'x' * 250}" for folder in ("one", "two") for number in range(30)]
    image = written(plan_volume([BOOT, *(NewFile(n, blob(b"")) for n in names)], OPTIONS))
    folders = []
    at = image.index(b"CE\x1c\x01")
    while at >= 0:
        sector, offset = struct.unpack_from("<I4xI", image, at + 4)
        assert image[sector * SECTOR + offset :][:2] == b"NM"
        folders.append((at // SECTOR, sector))
        at = image.find(b"CE\x1c\x01", at + 1)
    assert len(folders) == 60
    assert max(sector - folder for folder, sector in folders) < 16
    assert min(sector - folder for folder, sector in folders) >= 1


def test_the_same_files_give_the_same_bytes_in_any_order() -> None:
    files = [BOOT, *(NewFile(f"{n % 7}/{n}", blob(b"%d" % n)) for n in range(99))]
    assert written(plan_volume(files, OPTIONS)) == written(plan_volume(files[::-1], OPTIONS))
