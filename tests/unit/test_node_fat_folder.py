"""What is told of a folder of the ESP before anything there is touched."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import pytest

from fat_image import FatImage, long_records, record, short
from sysgraft.errors import OutputError
from sysgraft.host.mounts import Mount
from sysgraft.node import fat_folder, leftovers
from sysgraft.node.fat_folder import FatFolder

if TYPE_CHECKING:
    from pathlib import Path

STAGE: Final = leftovers.STAGE


def folder(*free: int, **starts: int) -> FatFolder:
    names = {name.replace("_", ".").lower(): start for name, start in starts.items()}
    return FatFolder("/efi/EFI/kairos", names, free)


@pytest.mark.parametrize(
    ("free", "names", "fits"),
    [
        ((4,), ["active.efi.extra.d", STAGE], True),
        ((3,), ["active.efi.extra.d", STAGE], False),
        ((3, 1), ["active.efi.extra.d", STAGE], True),
        ((2, 2), ["active.efi.extra.d"], False),
        ((1,), [STAGE], True),
        ((), [STAGE], False),
        ((), [], True),
    ],
)
def test_names_have_to_fit_into_what_is_free(
    free: tuple[int, ...], names: list[str], *, fits: bool
) -> None:
    assert folder(*free).has_room(names) is fits


def test_a_folder_with_two_names_or_none_at_all_is_told() -> None:
    sound = folder(SYSGRAFT_NEW=7, active_efi_extra_d=9)
    assert sound.problem(STAGE) == ""
    assert folder(active_efi_extra_d=9).problem(STAGE) == ""
    shared = folder(SYSGRAFT_NEW=9, active_efi_extra_d=9).problem(STAGE)
    assert shared == f"{STAGE} and active.efi.extra.d are one and the same folder"
    assert folder(SYSGRAFT_NEW=0).problem(STAGE) == f"{STAGE} leads nowhere"


@pytest.fixture
def on_device(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A device with a folder ``EFI/kairos``, as it was left by a power cut."""
    image = FatImage(32)
    lost, whole = image.take(1)[0], image.folder()
    kairos = image.folder(
        long_records("active.efi.extra.d", short("ACTIVE~1.D")),
        record(short("ACTIVE~1.D"), whole, attributes=0x10),
        # Its name is there, and nothing of what it leads to.
        record(short(STAGE), lost, attributes=0x10),
    )
    efi = image.folder(record(short("KAIROS"), kairos, attributes=0x10))
    image.set_root(record(short("EFI"), efi, attributes=0x10))
    device = tmp_path / "device"
    device.write_bytes(image.image())
    mount = Mount("8:1", "/efi", "vfat", str(device), "rw")
    monkeypatch.setattr(fat_folder, "mount_of_folder", lambda _: mount)
    return device


def test_the_device_is_read(on_device: Path) -> None:
    found = fat_folder.fat_folder("/efi", "/efi/EFI/KAIROS")
    assert found is not None
    assert found.starts[STAGE.lower()] == 0
    assert found.starts["active.efi.extra.d"]
    assert found.free == (10,)
    on_device.write_bytes(b"")
    with pytest.raises(OutputError, match="nobody can tell"):
        fat_folder.fat_folder("/efi", "/efi/EFI/KAIROS")


@pytest.mark.usefixtures("on_device")
def test_what_leads_nowhere_is_not_touched() -> None:
    with pytest.raises(OutputError, match="leads nowhere") as caught:
        leftovers.has_leftovers("/efi", "EFI/KAIROS/active.efi.extra.d")
    assert "fsck.fat -a" in caught.value.hint


def test_where_there_is_no_fat_there_is_nothing_to_tell(tmp_path: Path) -> None:
    assert fat_folder.fat_folder(str(tmp_path), str(tmp_path)) is None
