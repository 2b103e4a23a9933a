"""The kit for power cuts: logs, states, and what is seen in them."""

from __future__ import annotations

import hashlib
import struct
from typing import TYPE_CHECKING, Final

import pytest

from fat_image import FatImage, long_records, record, short
from power_checks import Broken, esp_set, fsck_fat, fsck_repair, shared_clusters
from power_kit import recorded_disk
from power_log import MARKS, SECTOR, Event, Flush, LogError, Mark, Write, parse, render
from power_states import Recording, split_by_marker
from sysgraft.base.blob import BytesBlob
from sysgraft.errors import TruncatedError
from sysgraft.formats import fat
from sysgraft.lab.esp import File, make_esp

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

SIZE: Final = 2 << 20
FOLDER: Final = "EFI/active.efi.extra.d"


def sector(letter: bytes) -> bytes:
    return letter * SECTOR


# --- The log -------------------------------------------------------------------------------------


EVENTS: Final[list[Event]] = [
    Write(3, sector(b"a") + sector(b"b")),
    Flush(),
    Mark("install"),
    Write(0, sector(b"c"), fua=True),
    Write(4000, sector(b"d")),
]


def test_a_log_is_read() -> None:
    assert parse(render(EVENTS, SIZE), SIZE) == EVENTS


def test_a_discard_is_a_write_of_zeros() -> None:
    log = bytearray(render([Write(3, b""), Flush()], SIZE))
    struct.pack_into("<QQQQ", log, SECTOR, 3, 2, 4, 0)
    assert parse(bytes(log), SIZE) == [Write(3, bytes(2 * SECTOR)), Flush()]


def test_zeros_at_the_end_may_be_missing() -> None:
    log = render([Write(3, bytes(2 * SECTOR))], SIZE)
    assert parse(log[: -2 * SECTOR], SIZE) == [Write(3, bytes(2 * SECTOR))]


def test_entries_beyond_the_count_are_not_read() -> None:
    log = render(EVENTS[:2], SIZE)
    assert parse(log + sector(b"x"), SIZE) == EVENTS[:2]


def change(offset: int, form: str, *values: int) -> Callable[[bytearray], None]:
    return lambda log: struct.pack_into(form, log, offset, *values)


@pytest.mark.parametrize(
    "damage",
    [
        change(0, "<Q", 1),
        change(8, "<Q", 2),
        change(16, "<Q", 1 << 30),
        change(16, "<Q", 6),
        change(24, "<I", 4096),
        change(28, "<I", 1),
        change(SECTOR, "<Q", SIZE // SECTOR - 1),
        change(SECTOR + 8, "<Q", 1 << 40),
        change(SECTOR + 16, "<Q", 16),
        change(SECTOR + 16, "<Q", 8),
        change(SECTOR + 16, "<Q", 1),
        change(SECTOR + 24, "<Q", 1),
        change(SECTOR + 32, "<Q", 1),
    ],
)
def test_a_damaged_log_is_refused(damage: Callable[[bytearray], None]) -> None:
    log = bytearray(render(EVENTS, SIZE))
    damage(log)
    with pytest.raises(LogError):
        parse(bytes(log), SIZE)


@pytest.mark.parametrize("size", [0, SECTOR, 2 * SECTOR, 3 * SECTOR])
def test_a_log_that_is_cut_off_is_refused(size: int) -> None:
    with pytest.raises(LogError):
        parse(render(EVENTS, SIZE)[:size], SIZE)


def test_marks_begin_parts() -> None:
    parts = split_by_marker([*EVENTS, Mark("remove"), Flush()])
    assert {name: part[1:] for name, part in parts.items()} == {
        "": (0, 2),
        "install": (3, 5),
        "remove": (6, 7),
    }


def test_a_part_has_one_name() -> None:
    with pytest.raises(ValueError, match="same name"):
        split_by_marker([Mark("a"), Mark("a")])


def test_a_sector_elsewhere_is_no_mark() -> None:
    (mark,) = parse(render([Mark("a")], SIZE), SIZE)
    assert mark == Mark("a")
    (write,) = parse(render([Mark("a")], SIZE), SIZE + SECTOR)
    assert isinstance(write, Write)
    assert write.sector == (SIZE - MARKS) // SECTOR


# --- Recording -----------------------------------------------------------------------------------


def test_a_recorded_disk_is_a_copy(tmp_path: Path) -> None:
    image = tmp_path / "a,b"
    image.write_bytes(bytes(SIZE // 2) + sector(b"x") + bytes(SIZE // 2 - SECTOR))
    disk = recorded_disk(image, tmp_path)
    assert disk.written.read_bytes() == image.read_bytes()
    disk.log.write_bytes(render(EVENTS, SIZE))
    assert disk.recording().events == tuple(EVENTS)
    (node,) = [each for each in disk.arguments if each.startswith("driver=")]
    assert f"log.filename={disk.log}" in node


# --- States --------------------------------------------------------------------------------------


def recording(folder: Path, *events: Event) -> Recording:
    image = folder / "image"
    if not image.exists():
        image.write_bytes(bytes(SIZE))
    return Recording(image, events)


def letters(record_: Recording, part: str, count: int, *, sample: int = 64) -> list[str]:
    """What is in the first sectors in each state."""
    return [
        "".join(chr(state.read_at(at * SECTOR, 1)[0] or 46) for at in range(count))
        for state in record_.states(part, sample=sample)
    ]


def write(at: int, text: str, *, fua: bool = False) -> Write:
    return Write(at, b"".join(sector(letter.encode()) for letter in text), fua)


def test_what_is_flushed_is_there_and_the_rest_in_any_part(tmp_path: Path) -> None:
    made = recording(tmp_path, write(0, "a"), write(2, "b"), Flush(), write(1, "c"))
    found = letters(made, "", 3)
    assert sorted(found) == ["...", "..b", "a..", "a.b", "acb"]


def test_a_write_is_torn_between_sectors(tmp_path: Path) -> None:
    made = recording(tmp_path, write(0, "ab"))
    assert sorted(letters(made, "", 2)) == ["..", ".b", "a.", "ab"]


def test_a_sector_holds_what_was_written_last(tmp_path: Path) -> None:
    made = recording(tmp_path, write(0, "a"), write(0, "b"), Flush(), write(0, "a"))
    assert sorted(letters(made, "", 1)) == [".", "a", "b"]


def test_equal_disks_are_given_once(tmp_path: Path) -> None:
    made = recording(tmp_path, write(0, "a"), Flush(), Flush(), write(0, "a"), Flush())
    assert sorted(letters(made, "", 1)) == [".", "a"]


@pytest.mark.parametrize("sample", [0, 64])
def test_what_is_written_durably_is_there_when_it_is_done(tmp_path: Path, sample: int) -> None:
    made = recording(tmp_path, write(0, "a"), write(1, "b", fua=True), write(2, "c"))
    found = letters(made, "", 3, sample=sample)
    assert {"...", ".b.", ".bc", "ab.", "abc"} <= set(found)
    assert ".." not in {each[1:] for each in found if each[2] == "c"}
    assert "a.c" not in found
    assert "..c" not in found


def test_states_of_a_part_may_lack_what_was_not_flushed_before(tmp_path: Path) -> None:
    made = recording(
        tmp_path,
        *(write(0, "a"), Flush(), write(1, "b"), Mark("next"), write(2, "c"), Flush()),
        *(Mark("last"), write(3, "d")),
    )
    assert sorted(letters(made, "next", 4)) == ["a...", "a.c.", "ab..", "abc."]
    assert sorted(letters(made, "last", 4)) == ["abc.", "abcd"]
    assert made.state_before("next").read_at(0, 4 * SECTOR)[::SECTOR] == b"ab\0\0"
    assert made.state_after("last").read_at(0, 4 * SECTOR)[::SECTOR] == b"abcd"
    assert made.state_after("next").key == made.state_before("last").key


def test_many_writes_are_sampled(tmp_path: Path) -> None:
    events = [write(at, "x") for at in range(12)]
    made = recording(tmp_path, *events, Write(64, sector(b"y") * 64), Flush())
    found = letters(made, "", 128, sample=16)
    assert len(found) == len(set(found))
    dots = "." * 127
    assert {f"x{dots}", f".{'x' * 11}{'.' * 52}{'y' * 64}", f"{'x' * 12}{dots[11:]}"} <= {*found}
    torn = {each[64:] for each in found} - {"." * 64, "y" * 64}
    assert torn
    # Nothing and everything; alone, missing and last are each 13, less three that are equal.
    assert 20 < len(found) <= 2 + 3 * 13 + 16


def test_chance_is_repeated(tmp_path: Path) -> None:
    made = recording(tmp_path, *(write(at, "x") for at in range(40)))

    def keys(seed: int) -> list[int]:
        return [state.key for state in made.states("", sample=8, seed=seed)]

    assert keys(1) == keys(1)
    assert keys(1) != keys(2)


def test_a_state_is_a_blob_and_a_file(tmp_path: Path) -> None:
    base = bytes(range(256)) * (SIZE // 256)
    (tmp_path / "image").write_bytes(base)
    made = recording(tmp_path, write(1, "ab"), Flush(), write(2, "c"), write(9, "d"))
    state = made.state_after("")
    wanted = base[:SECTOR] + sector(b"a") + sector(b"c") + base[3 * SECTOR : 9 * SECTOR]
    wanted += sector(b"d") + base[10 * SECTOR :]
    assert state.size == SIZE
    assert state.read_at(0, SIZE) == wanted
    assert state.read_at(700, 1000) == wanted[700:1700]
    assert state.read_at(SIZE, 0) == b""
    view = bytearray(10)
    state.readinto_at(SECTOR - 5, memoryview(view))
    assert view == wanted[SECTOR - 5 : SECTOR + 5]
    with pytest.raises(TruncatedError):
        state.read_at(SIZE - 1, 2)
    state.write_to(tmp_path / "written")
    assert (tmp_path / "written").read_bytes() == wanted
    state.write_to(tmp_path / "written", offset=2 * SECTOR, size=8 * SECTOR)
    assert (tmp_path / "written").read_bytes() == wanted[2 * SECTOR : 10 * SECTOR]


# --- Sets ----------------------------------------------------------------------------------------


def named(name: str, number: int, cluster: int, size: int, attributes: int = 0x20) -> bytes:
    short_name = short(f"FILE{number}.X")
    return long_records(name, short_name) + record(short_name, cluster, size, attributes)


def volume(*records: bytes, image: FatImage) -> BytesBlob:
    folder = image.folder(*records)
    image.set_root(record(short("EFI"), image.folder(named("active.efi.extra.d", 9, folder, 0, 16)),
                          attributes=16))  # fmt: skip
    return BytesBlob(image.image())


def digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def test_a_set_is_what_the_stub_takes() -> None:
    image = FatImage(32)
    names = (
        *("A.RAW", "b.addon.efi", "c.cred", "d.pcrsig.json"),
        *(".e.raw", "f.efi", "g.json", "h.raw.tmp", "raw"),
    )
    records = [
        named(name, number, image.put(name.encode() * 300), len(name) * 300)
        for number, name in enumerate(names)
    ]
    records += [named("i.raw", 10, image.folder(), 0, 16), named("empty.raw", 11, 0, 0)]
    found = esp_set(volume(*records, image=image), FOLDER)
    wanted = {name: digest(name.encode() * 300) for name in names[:4]}
    assert found == {**wanted, "empty.raw": digest(b"")}


def test_no_folder_is_an_empty_set() -> None:
    blob = volume(image=FatImage(32))
    assert esp_set(blob, FOLDER) == {}
    assert esp_set(blob, "EFI/other.efi.extra.d") == {}


def test_files_that_share_clusters_are_no_set() -> None:
    image = FatImage(32)
    one = image.put(bytes(600))
    records = [named("a.raw", 1, one, 600), named("b.raw", 2, one, 512)]
    blob = volume(*records, image=image)
    assert isinstance(esp_set(blob, FOLDER), Broken)
    assert shared_clusters(blob, "EFI") == [(f"{FOLDER}/a.raw", f"{FOLDER}/b.raw")]


def test_a_chain_without_end_is_no_set() -> None:
    image = FatImage(32)
    one = image.put(bytes(1200))
    image.fat[one + 2] = one
    found = esp_set(volume(named("a.raw", 1, one, 1200), image=image), FOLDER)
    assert isinstance(found, Broken)


def test_a_file_without_its_clusters_is_no_set() -> None:
    image = FatImage(32)
    one = image.put(bytes(1200))
    image.fat[one + 1] = 0
    found = esp_set(volume(named("a.raw", 1, one, 1200), image=image), FOLDER)
    assert isinstance(found, Broken)


def test_a_name_that_is_there_twice_is_no_set() -> None:
    image = FatImage(32)
    records = [named("a.raw", number, image.put(b"x"), 1) for number in (1, 2)]
    assert isinstance(esp_set(volume(*records, image=image), FOLDER), Broken)


def test_a_file_in_the_place_of_the_folder_is_no_set() -> None:
    image = FatImage(32)
    folder = image.folder(named("active.efi.extra.d", 9, image.put(b"x"), 1))
    image.set_root(record(short("EFI"), folder, attributes=16))
    assert isinstance(esp_set(BytesBlob(image.image()), FOLDER), Broken)


# --- fsck.fat ------------------------------------------------------------------------------------


def esp(folder: Path) -> Recording:
    """A disk with an ESP, of which two folders are made to share a cluster."""
    (folder / "file").write_bytes(b"x" * 1000)
    source = str(folder / "file")
    make_esp(
        str(folder / "image"),
        [File(f"{FOLDER}/a.raw", source), File("EFI/other.folder/b.raw", source)],
    )
    first = Recording(folder / "image", []).state_after("")
    opened = fat.open_volume(first.volume)
    start = (1 << 20) + opened.geometry.data_offset
    efi = opened.find("EFI")
    assert efi is not None
    place = start + (efi.first_cluster - 2) * opened.geometry.cluster_size
    data = bytearray(first.read_at(place, SECTOR))
    records = {
        data[at]: at for at in range(0, SECTOR, 32) if data[at + 11] == 16 and data[at] != 46
    }
    one, other = records[ord("A")], records[ord("O")]
    data[other + 26 : other + 28] = data[one + 26 : one + 28]
    return Recording(folder / "image", [Flush(), Mark("swap"), Write(place // SECTOR, bytes(data))])


@pytest.mark.oracle("fsck.fat", "mformat")
def test_fsck_tells_of_folders_that_share_clusters(tmp_path: Path) -> None:
    old, new = esp(tmp_path).states("swap")
    written = tmp_path / "volume"
    old.write_volume_to(written)
    assert fsck_fat(written) == []
    assert shared_clusters(old.volume, "EFI") == []
    new.write_volume_to(written)
    complaints = fsck_fat(written)
    assert {each.kind for each in complaints} == {"shared", "orphans", "free count"}
    (paths,) = [each.paths for each in complaints if each.paths]
    assert paths == ("/EFI/active.efi.extra.d", "/EFI/other.folder")
    assert shared_clusters(new.volume, "EFI") == [(FOLDER, "EFI/other.folder")]
    assert [each.paths for each in fsck_repair(written) if each.paths] == [paths]
    # What it cuts off begins nowhere then, and goes the next time.
    assert [each.kind for each in fsck_repair(written)] == ["start"]
    found = esp_set(BytesBlob(written.read_bytes()), FOLDER)
    assert found == esp_set(old.volume, FOLDER)
    assert found == {"a.raw": digest(b"x" * 1000)}


@pytest.mark.oracle("fsck.fat", "mformat")
def test_fsck_tells_of_chains_that_break(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"x" * 5000)
    make_esp(str(tmp_path / "image"), [File(f"{FOLDER}/a.raw", str(tmp_path / "file"))])
    before = Recording(tmp_path / "image", []).state_after("")
    opened = fat.open_volume(before.volume)
    entry = opened.find(f"{FOLDER}/a.raw")
    assert entry is not None
    place = (1 << 20) + opened.geometry.fat_offset
    data = bytearray(before.read_at(place, SECTOR))
    at = 4 * (entry.first_cluster + 3)
    data[at : at + 4] = bytes(4)
    made = Recording(tmp_path / "image", [Write(place // SECTOR, bytes(data))])
    state = made.state_after("")
    assert isinstance(esp_set(state.volume, FOLDER), Broken)
    state.write_volume_to(tmp_path / "volume")
    kinds = {each.kind for each in fsck_fat(tmp_path / "volume")}
    assert {"chain", "fats differ"} <= kinds
    assert "other" not in kinds
