"""A partition to look into: how names are found, and that each folder is read once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from fat_image import FatImage, long_records, record, short
from sysgraft.base.blob import BytesBlob
from sysgraft.errors import InputError, UsageError
from sysgraft.formats import fat
from sysgraft.measure.sidecars import Entry
from sysgraft.seal import material, volume
from sysgraft.seal.material import Folder, Source
from sysgraft.seal.volume import open_volume

if TYPE_CHECKING:
    from pathlib import Path

    from sysgraft.seal.volume import Volume

MANY = 300


def as_folder(path: Path) -> Volume:
    (path / "EFI/Linux/d").mkdir(parents=True)
    for number in range(MANY):
        (path / f"EFI/Linux/File{number}.raw").write_bytes(b"%d" % number)
    return open_volume(str(path))


def as_image(path: Path) -> Volume:
    image = FatImage(32, clusters=4000)
    files = []
    for number in range(MANY):
        name = short(f"F{number:06}")
        data = b"%d" % number
        files.append(long_records(f"File{number}.raw", name))
        files.append(record(name, image.put(data), len(data)))
    files.append(record(short("D"), image.folder(), attributes=0x10))
    linux = image.folder(*files)
    efi = image.folder(
        long_records("Linux", short("LINUX")), record(short("LINUX"), linux, attributes=0x10)
    )
    image.set_root(record(short("EFI"), efi, attributes=0x10))
    (path / "image").write_bytes(image.image())
    return open_volume(str(path / "image"))


@pytest.fixture(params=[as_folder, as_image])
def partition(request: pytest.FixtureRequest, tmp_path: Path) -> Volume:
    found: Volume = request.param(tmp_path)
    return found


def test_each_folder_is_read_once(partition: Volume, monkeypatch: pytest.MonkeyPatch) -> None:
    read = []

    def counting(real: Any) -> Any:
        def count(*words: Any) -> Any:
            read.append(words[-1])
            return real(*words)

        return count

    monkeypatch.setattr(volume, "list_folder", counting(volume.list_folder))
    monkeypatch.setattr(fat.Volume, "list", counting(fat.Volume.list))
    for number in range(MANY):
        path = f"efi\\LINUX/file{number}.RAW"
        assert partition.find(path) == f"EFI/Linux/File{number}.raw"
        assert partition.open(path).read_at(0, 1) == str(number)[:1].encode()
    assert len(partition.entries("EFI/Linux")) == MANY + 1
    assert len(read) == 3


def test_what_is_not_there_is_not_found(partition: Volume) -> None:
    for path in ("", "EFI", "EFI/Linux/d", "EFI/Linux/x", "EFI/Linux/File1.raw/x", "EFI/../EFI"):
        assert partition.find(path) is None
        with pytest.raises(InputError, match="no such file"):
            partition.open(path)
    for folder in ("x", "EFI/Linux/File1.raw", "EFI/Linux/x", "EFI/.."):
        assert partition.entries(folder) == ()
    assert partition.entries("efi/linux/D") == ()
    assert partition.entries("") == (Entry("EFI", is_folder=True),)


def test_in_a_folder_the_exact_name_goes_before_one_in_another_case(tmp_path: Path) -> None:
    for name in ("A.efi", "a.EFI", "a.efi"):
        (tmp_path / name).write_text(name)
    if len(list(tmp_path.iterdir())) < 3:
        pytest.skip("the file system does not tell letters of another case apart")
    found = open_volume(str(tmp_path))
    assert found.find("a.efi") == "a.efi"
    assert found.find("a.EFI") == "a.EFI"
    assert found.find("A.EFI") == "A.efi"


def test_in_an_image_short_names_are_found(tmp_path: Path) -> None:
    found = as_image(tmp_path)
    assert found.find("EFI/LINUX/F000007") == "EFI/Linux/File7.raw"


def test_names_are_compared_once_each(monkeypatch: pytest.MonkeyPatch) -> None:
    folded = []

    def fold(name: str) -> str:
        folded.append(name)
        return fat.fold(name)

    monkeypatch.setattr(material, "fold", fold)
    folder = Folder()
    for number in range(MANY):
        folder.add(Source(f"{number}.raw", f"/{number}.raw", BytesBlob(b"")))
    assert len(folded) <= 2 * MANY
    with pytest.raises(UsageError, match=r"/7\.raw and x would be one file"):
        folder.add(Source("7.RAW", "x", BytesBlob(b"")))
    copy = Folder(dict(folder.files), list(folder.entries))
    with pytest.raises(UsageError, match=r"/7\.raw and x would be one file"):
        copy.add(Source("7.RAW", "x", BytesBlob(b"")))
