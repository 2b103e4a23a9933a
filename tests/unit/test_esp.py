"""Finding the EFI system partition."""

from __future__ import annotations

from uuid import UUID

import pytest

from fat_image import FatImage
from sysgraft.base.blob import BytesBlob
from sysgraft.errors import FormatError
from sysgraft.formats import fat, gpt
from sysgraft.formats.esp import find_esp

ESP = UUID("c12a7328-f81f-11d2-ba4b-00a0c93ec93b")
OTHER = UUID("0fc63daf-8483-4772-8e79-3d69d8477de4")
VOLUME = FatImage(32).image()


def disk(*types: UUID, sector_size: int = 512) -> bytes:
    """A disk with a volume in each of these partitions."""
    sectors = -(-len(VOLUME) // sector_size)
    first = 2 + gpt.ENTRIES_SIZE // sector_size
    partitions = [
        gpt.Partition(
            index=number,
            type_uuid=kind,
            uuid=UUID(int=number + 1),
            first_lba=first + number * sectors,
            last_lba=first + (number + 1) * sectors - 1,
            sector_size=sector_size,
        )
        for number, kind in enumerate(types)
    ]
    size = 1 << 20
    table = gpt.new_table(
        size, disk_uuid=UUID(int=99), partitions=partitions, sector_size=sector_size
    )
    image = bytearray(size)
    for offset, data in gpt.render(table, size):
        image[offset : offset + len(data)] = data
    for part in partitions:
        image[part.offset : part.offset + len(VOLUME)] = VOLUME
    return bytes(image)


@pytest.mark.parametrize("sector_size", [512, 4096])
@pytest.mark.parametrize("types", [(ESP,), (OTHER, ESP), (OTHER, ESP, OTHER)])
def test_the_partition_is_found(types: tuple[UUID, ...], sector_size: int) -> None:
    found = find_esp(BytesBlob(disk(*types, sector_size=sector_size)))
    assert found.read_at(0, len(VOLUME)) == VOLUME
    assert fat.open_volume(found).label == "BOOT LABEL"


def test_a_volume_is_its_own_partition() -> None:
    blob = BytesBlob(VOLUME)
    assert find_esp(blob) is blob


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "neither"),
        (bytes(5000), "neither"),
        (disk(), "no EFI"),
        (disk(OTHER), "no EFI"),
        (disk(ESP, ESP), "2 EFI"),
    ],
)
def test_what_has_none_or_several_is_refused(data: bytes, reason: str) -> None:
    with pytest.raises(FormatError, match=reason):
        find_esp(BytesBlob(data))


def test_a_damaged_table_is_refused() -> None:
    image = bytearray(disk(ESP))
    image[1100] ^= 1
    with pytest.raises(FormatError):
        find_esp(BytesBlob(bytes(image)))
