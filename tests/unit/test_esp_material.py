"""The files of a boot entry on a partition: as a folder, and as a FAT image."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import pytest

from executables import make_pe
from fat_image import FatImage, long_records, record, short
from sysgraft.errors import InputError, SysgraftError, UnsupportedError, UsageError
from sysgraft.seal.esp_material import entries, find_entry, from_esp
from sysgraft.seal.volume import open_volume
from uki_kit import make_stub

if TYPE_CHECKING:
    from pathlib import Path

    from sysgraft.seal.material import Folder, Material, Source
    from sysgraft.seal.volume import Volume

LOADER: Final = make_pe(
    [(".text", b"\xc3" * 9), (".sdmagic", b"#### LoaderInfo: systemd-boot 262-1 ####\0")]
)
SHELL: Final = make_pe([(".text", b"\xc3" * 10)])


def image(version: str = "262-1") -> bytes:
    return make_stub(version)


@dataclass(frozen=True, slots=True)
class Esp:
    """A partition as a folder."""

    root: Path

    def put(self, path: str, data: bytes | str = b"data") -> None:
        place = self.root / path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(data.encode() if isinstance(data, str) else data)

    @property
    def volume(self) -> Volume:
        return open_volume(str(self.root))

    def as_image(self, path: Path) -> Volume:
        """The same files on a FAT volume."""
        fat = FatImage(32, clusters=4000)
        fat.set_root(*_records(fat, self.root, [0]))
        path.write_bytes(fat.image())
        return open_volume(str(path))


def _records(fat: FatImage, folder: Path, count: list[int]) -> list[bytes]:
    found = []
    for each in sorted(folder.iterdir(), reverse=True):
        count[0] += 1
        name = short(f"F{count[0]:06}")
        found.append(long_records(each.name, name))
        if each.is_dir():
            found.append(record(name, fat.folder(*_records(fat, each, count)), attributes=0x10))
        else:
            data = each.read_bytes()
            found.append(record(name, fat.put(data) if data else 0, len(data)))
    return found


@pytest.fixture
def esp(tmp_path: Path) -> Esp:
    """With everything that can belong to an entry."""
    esp = Esp(tmp_path / "esp")
    esp.put("EFI/BOOT/BOOTX64.EFI", LOADER)
    esp.put("EFI/BOOT/a-shell.efi", SHELL)
    esp.put("EFI/Linux/main+3-1.efi", image())
    for name in ("b.raw", "A.raw", "token.cred", ".hidden.raw"):
        esp.put(f"EFI/Linux/main.efi.extra.d/{name}", name)
    (esp.root / "EFI/Linux/main.efi.extra.d/folder.raw").mkdir()
    esp.put("loader/credentials/wide.cred", "wide")
    esp.put("loader/extensions/wide.raw", "wide")
    esp.put("loader/addons/all.addon.efi", SHELL)
    esp.put("images/other.efi", image("257.1-1"))
    esp.put("images/other.efi.extra.d/only.raw", "only")
    esp.put("more/x.cred", "x")
    esp.put("more/y.sysext.raw", "")
    esp.put(
        "loader/entries/text+2.conf",
        "title Text\nuki /images/other.efi\nprofile 1\noptions a\noptions b\n"
        "extra /more/y.sysext.raw\nextra \\more\\X.CRED\nextra /more/missing.cred\n",
    )
    return esp


def contents(source: Source | None) -> tuple[str, bytes] | None:
    return (source.name, source.blob.read_at(0, source.blob.size)) if source else None


def folder(found: Folder) -> tuple[set[object], dict[str, object]]:
    assert all(name == each.name for name, each in found.files.items())
    return set(found.entries), {name: contents(each) for name, each in found.files.items()}


def plain(material: Material) -> dict[str, Any]:
    """All that is in it, without where it lies."""
    return {
        "image": contents(material.image),
        "own": folder(material.own),
        "loader": {name: folder(each) for name, each in material.loader.items()},
        "loaders": list(map(contents, material.loaders)),
        "extras": list(map(contents, material.extras)),
        "options": material.options,
        "profile": material.profile,
        "is_own_entry": material.is_own_entry,
        "notes": material.notes,
    }


# --- Folder and image ----------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["main", "text", "images/other.efi", "EFI/LINUX/MAIN+3-1.EFI"])
def test_a_folder_and_an_image_are_the_same(esp: Esp, tmp_path: Path, name: str) -> None:
    volume = esp.as_image(tmp_path / "esp.img")
    found = plain(from_esp(esp.volume, name))
    assert plain(from_esp(volume, name)) == found
    assert len(found["own"][1]) in (1, 4)


def test_both_have_the_same_entries(esp: Esp, tmp_path: Path) -> None:
    found = entries(esp.volume)
    assert [(each.name, each.image) for each in found] == [
        ("text", "images/other.efi"),
        ("main", "EFI/Linux/main+3-1.efi"),
    ]
    assert entries(esp.as_image(tmp_path / "esp.img")) == found


# --- What belongs to an entry --------------------------------------------------------------------


def test_an_image_that_is_an_entry(esp: Esp) -> None:
    found = plain(from_esp(esp.volume, "main"))
    assert found["image"] == ("main+3-1.efi", image())
    names, files = found["own"]
    assert set(files) == {"b.raw", "A.raw", "token.cred", ".hidden.raw"}
    assert {each.name for each in names if each.is_folder} == {"folder.raw"}
    assert set(found["loader"]) == {"credentials", "extensions", "addons"}
    assert found["loader"]["extensions"][1] == {"wide.raw": ("wide.raw", b"wide")}
    assert found["loaders"] == [("BOOTX64.EFI", LOADER)]
    assert (found["extras"], found["options"], found["profile"]) == ([], None, 0)
    assert (found["is_own_entry"], found["notes"]) == (True, ())


def test_a_text_file(esp: Esp) -> None:
    """A file that it lists and that is not there is passed over; empty ones are looked at later."""
    found = plain(from_esp(esp.volume, "text"))
    assert found["image"] == ("other.efi", image("257.1-1"))
    assert found["own"][1] == {"only.raw": ("only.raw", b"only")}
    assert found["extras"] == [("y.sysext.raw", b""), ("x.cred", b"x")]
    assert (found["options"], found["profile"], found["is_own_entry"]) == ("a b", 1, False)
    assert found["loaders"] == [("BOOTX64.EFI", LOADER)]


def test_a_text_file_with_an_efi_program_has_no_extras(esp: Esp) -> None:
    esp.put("loader/entries/efi.conf", "efi /images/other.efi\nextra /more/x.cred\noptions c\n")
    found = plain(from_esp(esp.volume, "efi"))
    assert (found["extras"], found["options"]) == ([], "c")


def test_a_path_is_what_the_firmware_starts(esp: Esp) -> None:
    found = plain(from_esp(esp.volume, "images/other.efi"))
    assert found["loaders"] == []
    assert (found["options"], found["profile"], found["notes"]) == (None, 0, ())


def test_without_a_boot_loader_there_is_a_note(esp: Esp) -> None:
    os.unlink(esp.root / "EFI/BOOT/BOOTX64.EFI")
    (note,) = from_esp(esp.volume, "main").notes
    assert "no systemd-boot" in note
    given = from_esp(esp.volume, "main", loaders=[str(esp.root / "EFI/BOOT/a-shell.efi")])
    assert (len(given.loaders), given.notes) == (1, ())


def test_systemds_own_folder_goes_first(esp: Esp) -> None:
    esp.put("EFI/systemd/systemd-bootx64.efi", LOADER)
    assert from_esp(esp.volume, "main").loaders[0].name == "systemd-bootx64.efi"


# --- Boot counters -------------------------------------------------------------------------------


@pytest.mark.parametrize(("version", "count"), [("254.1-1", 0), ("255.1-1", 4), ("262-1", 4)])
def test_the_counter_is_no_part_of_the_folder_since_255(esp: Esp, version: str, count: int) -> None:
    esp.put("EFI/Linux/main+3-1.efi", image(version))
    esp.put("EFI/Linux/main+3-1.efi.extra.d/old.raw")
    assert len(from_esp(esp.volume, "main").own.files) == count


def test_before_255_the_folder_is_that_of_the_next_attempt(esp: Esp) -> None:
    """systemd-boot counts the attempt, and renames the image, before it starts it."""
    esp.put("EFI/Linux/main+3-1.efi", image("254.1-1"))
    esp.put("EFI/Linux/main+2-2.efi.extra.d/next.raw")
    assert list(from_esp(esp.volume, "main").own.files) == ["next.raw"]
    direct = from_esp(esp.volume, "EFI/Linux/main+3-1.efi")
    assert list(direct.own.files) == ["next.raw"]


@pytest.mark.parametrize("name", ["main", "main.efi", "main+3-1.efi", "EFI/Linux/main+3-1.efi"])
def test_names_with_and_without_a_counter(esp: Esp, name: str) -> None:
    assert find_entry(esp.volume, name).image == "EFI/Linux/main+3-1.efi"


def test_an_entry_that_failed_too_often_is_still_one(esp: Esp) -> None:
    esp.put("EFI/Linux/bad+0-3.efi", image())
    assert find_entry(esp.volume, "bad").image == "EFI/Linux/bad+0-3.efi"


@pytest.mark.parametrize("name", ["text", "text.conf", "text+2.conf"])
def test_a_counter_of_a_text_file(esp: Esp, name: str) -> None:
    assert find_entry(esp.volume, name).config == "loader/entries/text+2.conf"


# --- Which entry ---------------------------------------------------------------------------------


def test_not_found(esp: Esp) -> None:
    with pytest.raises(InputError, match="no boot entry that starts a UKI called nothing") as error:
        from_esp(esp.volume, "nothing")
    assert "there are: main, text" in error.value.hint
    assert error.value.file == str(esp.root)


def test_ambiguous(esp: Esp) -> None:
    esp.put("EFI/Linux/text.efi", image())
    with pytest.raises(InputError, match="more than one boot entry called text"):
        from_esp(esp.volume, "text")
    assert from_esp(esp.volume, "EFI/Linux/text.efi").is_own_entry


def test_no_name_with_several(esp: Esp) -> None:
    with pytest.raises(UsageError, match=r"which boot entry .* main, text"):
        from_esp(esp.volume, "")


def test_no_name_with_one(esp: Esp) -> None:
    os.unlink(esp.root / "loader/entries/text+2.conf")
    assert find_entry(esp.volume, "").name == "main"


def test_no_entries(tmp_path: Path) -> None:
    (tmp_path / "esp").mkdir()
    with pytest.raises(UsageError, match="there are: none"):
        from_esp(open_volume(str(tmp_path / "esp")), "")


@pytest.mark.parametrize(
    "text",
    [
        "linux /vmlinuz\ninitrd /initrd\n",
        "uki /missing.efi\n",
        "uki /images/other.efi\nlinux /vmlinuz\n",
        "uki-url http://example.org/x.efi\n",
        "title nothing\n",
        "",
    ],
)
def test_text_files_that_start_no_uki_from_here(esp: Esp, text: str) -> None:
    esp.put("loader/entries/text+2.conf", text)
    assert [each.name for each in entries(esp.volume)] == ["main"]


def test_folders_are_no_entries(esp: Esp) -> None:
    (esp.root / "EFI/Linux/folder.efi").mkdir()
    (esp.root / "loader/entries/folder.conf").mkdir()
    assert len(entries(esp.volume)) == 2


# --- What cannot be read -------------------------------------------------------------------------


def test_an_image_that_is_none(esp: Esp) -> None:
    esp.put("EFI/Linux/main+3-1.efi", b"MZ and nothing")
    with pytest.raises(InputError) as error:
        from_esp(esp.volume, "main")
    assert error.value.file.endswith("EFI/Linux/main+3-1.efi")


@pytest.mark.parametrize("data", [b"", b"no file system", bytes(4096)])
def test_no_partition(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "esp.img"
    path.write_bytes(data)
    with pytest.raises(SysgraftError) as error:
        open_volume(str(path))
    assert error.value.file == str(path)


def test_a_way_out_of_the_partition(esp: Esp, tmp_path: Path) -> None:
    """Neither an entry nor what it lists can name a file beside it."""
    (tmp_path / "secret.cred").write_bytes(b"secret")
    (tmp_path / "outside.efi").write_bytes(image())
    esp.put("loader/entries/out.conf", "uki /../outside.efi\n")
    esp.put("loader/entries/text+2.conf", "uki /images/other.efi\nextra /../secret.cred\n")
    assert [each.name for each in entries(esp.volume)] == ["text", "main"]
    assert from_esp(esp.volume, "text").extras == ()
    with pytest.raises(InputError):
        from_esp(esp.volume, "../outside.efi")


# --- What a systemd-boot knows -------------------------------------------------------------------


def boot_loader(release: int) -> bytes:
    magic = f"#### LoaderInfo: systemd-boot {release}-1 ####\0".encode()
    return make_pe([(".text", b"\xc3" * 9), (".sdmagic", magic)])


def test_entries_with_uki_are_known_since_258(esp: Esp) -> None:
    esp.put("loader/entries/new.conf", "uki /EFI/Linux/main.efi\nprofile 1\n")
    esp.put("EFI/Linux/main.efi", image())
    esp.put("EFI/BOOT/BOOTX64.EFI", boot_loader(257))
    with pytest.raises(UnsupportedError, match="systemd-boot 257 does not know"):
        from_esp(esp.volume, "new")
    esp.put("EFI/BOOT/BOOTX64.EFI", boot_loader(258))
    assert from_esp(esp.volume, "new").profile == 0
    esp.put("EFI/BOOT/BOOTX64.EFI", boot_loader(259))
    assert from_esp(esp.volume, "new").profile == 1
