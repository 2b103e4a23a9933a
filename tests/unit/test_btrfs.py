"""Subvolumes of a btrfs: the default one, their names, and what is refused."""

from __future__ import annotations

import os
import struct

import pytest

import btrfs_kit
from btrfs_kit import Maker, chunk, fedora
from sysgraft.base.blob import BytesBlob
from sysgraft.disk.subvolumes import read_btrfs
from sysgraft.errors import FormatError, LimitError, UnsupportedError
from sysgraft.formats.btrfs import tree, volume
from sysgraft.formats.btrfs.chunks import ChunkMap
from sysgraft.formats.btrfs.volume import Subvolume, open_volume
from sysgraft.formats.crc32c import crc32c


def opened(image: bytes) -> volume.Volume:
    return open_volume(BytesBlob(image))


def test_crc32c_of_rfc_3720() -> None:
    assert crc32c(bytes(32)) ^ 0xFFFFFFFF == 0x8A9136AA


@pytest.mark.parametrize("default", [5, 256, 257])
def test_the_default_subvolume(default: int) -> None:
    assert opened(fedora(default).image()).default() == default


def test_names_of_subvolumes_and_in_them() -> None:
    found = opened(fedora().image())
    assert found.subvolumes() == (
        Subvolume(5, ""),
        Subvolume(256, "root"),
        Subvolume(257, "home"),
    )
    assert found.names(256) == {"usr", "etc", "var"}
    assert found.names(5) == {"root", "home"}


def test_a_subvolume_in_folders_of_another() -> None:
    maker = Maker(
        subvolumes=[(256, 5, 256, "@"), (260, 256, 301, "machines")],
        folders={256: {300: (256, "var"), 301: (300, "lib")}},
    )
    assert opened(maker.image()).path(260) == "@/var/lib/machines"


@pytest.mark.parametrize("checksum", ["crc32c", "sha256", "blake2b"])
@pytest.mark.parametrize("levels", [1, 2])
def test_checksums_and_levels(checksum: str, levels: int) -> None:
    maker = fedora(256)
    maker.checksum, maker.levels = checksum, levels
    found = opened(maker.image())
    assert found.default() == 256
    assert len(found.subvolumes()) == 3


def test_xxhash_is_told_and_refused() -> None:
    maker = fedora()
    maker.checksum = "xxhash"
    with pytest.raises(UnsupportedError, match="xxhash64") as caught:
        opened(maker.image())
    assert "get-default" in caught.value.hint


def test_an_unknown_checksum_is_refused() -> None:
    image = bytearray(fedora().image())
    struct.pack_into("<H", image, 0x10000 + 0xC4, 9)
    with pytest.raises(UnsupportedError, match="unknown kind 9"):
        opened(bytes(image))


def test_nodes_may_carry_another_uuid() -> None:
    maker = fedora(256)
    maker.metadata_uuid = True
    assert opened(maker.image()).default() == 256


def test_of_two_copies_the_good_one_is_read() -> None:
    maker = fedora(256)
    maker.chunk = chunk(2 | 4 | 32, (btrfs_kit.START, btrfs_kit.SECOND))
    image = bytearray(maker.image())
    image[btrfs_kit.START + 200 : btrfs_kit.SECOND : 4096] = b"\xff" * len(
        range(btrfs_kit.START + 200, btrfs_kit.SECOND, 4096)
    )
    assert opened(bytes(image)).default() == 256


def test_a_damaged_node_is_refused() -> None:
    image = bytearray(fedora().image())
    image[btrfs_kit.START + 150] ^= 1
    with pytest.raises(FormatError, match="checksum of node"):
        opened(bytes(image))


@pytest.mark.parametrize(
    ("flags", "word"), [(1 << 3, "RAID0"), (1 << 6, "RAID10"), (1 << 7, "RAID5"), (1 << 8, "RAID6")]
)
def test_striped_metadata_is_refused(flags: int, word: str) -> None:
    maker = fedora()
    maker.chunk = chunk(4 | flags)
    with pytest.raises(UnsupportedError, match=word):
        opened(maker.image())


def test_several_devices_are_refused() -> None:
    maker = fedora()
    maker.devices = 2
    with pytest.raises(UnsupportedError, match="on 2 devices"):
        opened(maker.image())


def test_metadata_on_another_device_is_refused() -> None:
    maker = fedora()
    maker.chunk = chunk(device=2)
    with pytest.raises(UnsupportedError, match="another device"):
        opened(maker.image())


def test_no_btrfs_at_all() -> None:
    with pytest.raises(FormatError, match="magic number"):
        opened(bytes(btrfs_kit.SIZE))
    with pytest.raises(FormatError):
        opened(b"short")


def test_without_a_default_entry() -> None:
    with pytest.raises(FormatError, match="no default"):
        opened(Maker(default=None).image()).default()


def test_a_default_that_is_not_there_is_a_problem() -> None:
    found = read_btrfs(BytesBlob(fedora(999).image()))
    assert found.default is None
    assert "999" in found.problem


def test_subvolumes_in_a_circle_are_refused() -> None:
    maker = Maker(subvolumes=[(256, 257, 256, "a"), (257, 256, 256, "b")])
    with pytest.raises(LimitError, match="64 folders deep"):
        opened(maker.image()).path(256)


def test_folders_in_a_circle_are_refused() -> None:
    maker = Maker(subvolumes=[(256, 5, 300, "a")], folders={5: {300: (301, "x"), 301: (300, "y")}})
    with pytest.raises(LimitError, match="deep"):
        opened(maker.image()).path(256)


def test_a_subvolume_that_lies_nowhere() -> None:
    with pytest.raises(FormatError, match="no subvolume 300"):
        opened(fedora().image()).path(300)


def test_a_node_that_points_to_one_twice_is_refused() -> None:
    maker = fedora()
    maker.levels = 2
    image = maker.image()
    # The last node written is the root of two pointers; both to the first one.
    maker._next -= 4096
    node = image[maker._next : maker._next + 4096]
    place = struct.unpack_from("<Q", node, 101 + 17)[0]
    keys = [struct.unpack_from("<QBQ", node, 101 + 33 * at) for at in range(2)]
    pointers = [(key, struct.pack("<QQ", place, btrfs_kit.GENERATION)) for key in keys]
    maker.node(pointers, 1, level=1)
    with pytest.raises(FormatError, match="not in order"):
        opened(bytes(maker._image)).subvolumes()


def test_too_many_nodes_are_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tree, "MAX_NODES", 1)
    with pytest.raises(LimitError, match="more than 1 nodes"):
        opened(fedora().image()).subvolumes()


def test_too_many_subvolumes_and_names(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(volume, "MAX_SUBVOLUMES", 1)
    monkeypatch.setattr(volume, "MAX_NAMES", 1)
    found = opened(fedora().image())
    with pytest.raises(LimitError, match="subvolumes"):
        found.subvolumes()
    with pytest.raises(LimitError, match="names"):
        found.names(256)


def test_chunks_that_hold_nothing() -> None:
    chunks = ChunkMap()
    with pytest.raises(FormatError, match="no btrfs chunk"):
        chunks.places(4096, 4096)
    for data in (b"\0" * 9, struct.pack("<QBQ", 256, 1, 0), struct.pack("<QBQ", 256, 228, 0)):
        with pytest.raises(FormatError):
            chunks.add_array(data, 1)


@pytest.mark.parametrize("offset", [0x30, 0x94, 0xA0, 0xC6])
def test_impossible_superblocks(offset: int) -> None:
    block = bytearray(fedora().image())
    block[0x10000 + offset : 0x10000 + offset + 4] = b"\xff" * 4
    sealed = btrfs_kit.digest("crc32c", bytes(block[0x10020:0x11000]))
    block[0x10000:0x10020] = sealed
    with pytest.raises(FormatError):
        opened(bytes(block))


def test_which_one_holds_the_system() -> None:
    found = read_btrfs(BytesBlob(fedora().image()))
    assert found.systems == (Subvolume(256, "root"),)
    assert found.likely_system() == Subvolume(256, "root")
    assert found.holding("/root/var/lib") == Subvolume(256, "root")
    assert found.holding("/") == Subvolume(5, "")
    assert found.holding("/other") is None


def test_names_that_are_not_utf8_are_those_of_mountinfo() -> None:
    name = os.fsdecode(b"r\xff")
    found = read_btrfs(BytesBlob(Maker(subvolumes=[(256, 5, 256, name)]).image()))
    assert found.holding(f"/{name}/var") == Subvolume(256, name)


def test_folders_are_looked_up_once(monkeypatch: pytest.MonkeyPatch) -> None:
    folders = {300 + each: (301 + each, "x") for each in range(12)} | {312: (256, "y")}
    maker = Maker(subvolumes=[(256 + each, 5, 300, f"s{each}") for each in range(6)])
    maker.folders = {5: folders}
    monkeypatch.setattr(volume, "MAX_LOOKUPS", 13)
    assert len(opened(maker.image()).subvolumes()) == 7
    monkeypatch.setattr(volume, "MAX_LOOKUPS", 12)
    with pytest.raises(LimitError, match="more than 12 folders"):
        opened(maker.image()).subvolumes()


def test_of_several_systems_the_usual_name_counts() -> None:
    maker = fedora()
    maker.subvolumes.append((258, 5, 256, "snapshot"))
    maker.names[258] = ("usr", "etc")
    assert read_btrfs(BytesBlob(maker.image())).likely_system() == Subvolume(256, "root")
    maker = Maker(
        subvolumes=[(256, 5, 256, "one"), (257, 5, 256, "two")],
        names={256: ("usr", "etc"), 257: ("usr", "etc")},
    )
    assert read_btrfs(BytesBlob(maker.image())).likely_system() is None
