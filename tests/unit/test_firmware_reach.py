"""Which of several files of a name the kernel takes, and where files are at hand."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from sysgraft.base.blob import BytesBlob
from sysgraft.base.tree import Inode
from sysgraft.errors import InputError
from sysgraft.firmware.search import Reach
from sysgraft.firmware.shelves import Shelf, folder_shelf, host_shelf

if TYPE_CHECKING:
    from pathlib import Path

KERNEL = "6.12.48-amd64"
# A zstd frame of one segment, which says its size, and one that does not.
GOOD_ZST = b"\x28\xb5\x2f\xfd\x20\x01\x09\x00\x00x"
BAD_ZST = b"\x28\xb5\x2f\xfd\x00\x58\x09\x00\x00x"
GOOD_XZ = b"\xfd7zXZ\0\0\x01rest"


def shelf(label: str, **files: bytes | str) -> Shelf:
    """Files by path, `__` for a slash and `_dot_` for a dot; text is the target of a link."""
    tree = {b"": Inode(0o40755)}
    for name, data in files.items():
        path = name.replace("__", "/").replace("_dot_", ".").encode()
        for depth in range(1, path.count(b"/") + 1):
            tree.setdefault(b"/".join(path.split(b"/")[:depth]), Inode(0o40755))
        link = isinstance(data, str)
        tree[path] = (
            Inode(0o120777, target=data.encode())
            if isinstance(data, str)
            else Inode(0o100644, content=BytesBlob(data))
        )
        assert link or tree[path].content is not None
    return Shelf(label, "extension", tree)


def taken(reach: Reach, name: str) -> tuple[str, str] | None:
    place = reach.find(name).taken
    return None if place is None else (place.shelf.label, place.path)


RELEASES = {
    f"updates__{KERNEL.replace('.', '_dot_')}__a": b"1",
    "updates__a": b"2",
    f"{KERNEL.replace('.', '_dot_')}__a": b"3",
    "a": b"4",
    "a_dot_zst": GOOD_ZST,
    "updates__a_dot_zst": GOOD_ZST,
    "a_dot_xz": GOOD_XZ,
}


def test_the_order_of_the_kernel() -> None:
    left = dict(RELEASES)
    seen: list[str] = []
    while left:
        located = Reach([shelf("x", **left)], KERNEL).find("a")
        assert located.taken is not None
        assert len(located.others) == len(left) - 1
        assert all(each.problem for each in located.others)
        seen.append(located.taken.path.removeprefix("usr/lib/firmware/"))
        del left[seen[-1].replace("/", "__").replace(".", "_dot_")]
    assert seen == [
        f"updates/{KERNEL}/a", "updates/a", f"{KERNEL}/a", "a", "updates/a.zst", "a.zst", "a.xz",
    ]  # fmt: skip


def test_no_kernel_no_folders_of_its_own() -> None:
    located = Reach([shelf("x", **RELEASES)]).find("a")
    assert located.taken is not None
    assert located.taken.path == "usr/lib/firmware/updates/a"


def test_the_upper_shelf_lies_over_the_lower() -> None:
    located = Reach([shelf("low", a=b"1"), shelf("high", a=b"2")]).find("a")
    assert located.taken is not None
    assert located.taken.shelf.label == "high"
    (other,) = located.others
    assert (other.shelf.label, other.problem) == ("low", "that of high lies over it")


def test_a_plain_file_below_wins_over_a_compressed_one_above() -> None:
    located = Reach([shelf("low", a=b"1"), shelf("high", a_dot_zst=GOOD_ZST)]).find("a")
    assert located.taken is not None
    assert located.taken.shelf.label == "low"
    assert "plain name comes before .zst" in located.others[0].problem


def test_what_cannot_be_decompressed_is_passed_over() -> None:
    located = Reach([shelf("x", a_dot_zst=BAD_ZST, a_dot_xz=GOOD_XZ)]).find("a")
    assert located.taken is not None
    assert located.taken.path.endswith("a.xz")
    assert "how large" in located.others[0].problem
    alone = Reach([shelf("x", a_dot_zst=BAD_ZST)]).find("a")
    assert alone.taken is None
    assert len(alone.unusable) == 1


def test_links_lead_through_shelves() -> None:
    low = shelf("low", real__b=b"1", dir__c=b"2")
    high = shelf("high", a="real/b", d="dir", e="../../x", f="f", g="/g", h__i="../a")
    reach = Reach([low, high])
    assert taken(reach, "a") == ("high", "usr/lib/firmware/a")
    assert taken(reach, "d/c") == ("high", "usr/lib/firmware/d/c")
    assert taken(reach, "h/i") == ("high", "usr/lib/firmware/h/i")
    for name in "efg":
        located = reach.find(name)
        assert located.taken is None
        assert located.unusable[0].problem == "it is a link to what is not there"


def test_a_folder_is_no_firmware() -> None:
    assert taken(Reach([shelf("x", a__b=b"1")]), "a") is None


@pytest.mark.parametrize("name", ["", "../a", "a/../a", "/a", "a//b", "a\0b", "none", "\udcff"])
def test_names_nobody_has(name: str) -> None:
    assert Reach([shelf("x", a=b"1")]).find(name).taken is None


# --- Folders -------------------------------------------------------------------------------------


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A system with firmware, one file of it elsewhere, and the package it is from."""
    firmware = tmp_path / "usr/lib/firmware"
    (firmware / "rtw88").mkdir(parents=True)
    (firmware / "rtw88/a.bin").write_bytes(b"a")
    (firmware / "b.bin").symlink_to("rtw88/a.bin")
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/db").write_bytes(b"db")
    (firmware / "db").symlink_to("/etc/db")
    (firmware / "up").symlink_to("../../../etc/db")
    (firmware / "out").symlink_to("../../../../out")
    (tmp_path.parent / "out").write_bytes(b"outside")
    (tmp_path / "lib").symlink_to("usr/lib")
    (tmp_path / "usr/share/metainfo").mkdir(parents=True)
    (tmp_path / "usr/share/metainfo/x.metainfo.xml").write_text(METAINFO)
    return tmp_path


METAINFO = """<?xml version="1.0"?>
<component type="firmware">
  <id>org.debian.firmware_x</id>
  <name>firmware-realtek</name>
  <provides>
    <firmware type="runtime">rtw88/a.bin</firmware>
    <firmware type="flashed">other</firmware>
    <firmware type="runtime">a&amp;b.bin</firmware>
  </provides>
</component>
"""


@pytest.mark.parametrize("inside", ["", "usr/lib/firmware", "lib/firmware"])
def test_a_folder(root: Path, inside: str) -> None:
    found = folder_shelf(str(root / inside))
    assert found.kind == "folder"
    assert taken(Reach([found]), "b.bin") == (str(root / inside), "usr/lib/firmware/b.bin")
    assert found.packages == ({"rtw88/a.bin": "firmware-realtek", "a&b.bin": "firmware-realtek"}
                              if not inside else {})  # fmt: skip


def test_the_machines_own(root: Path) -> None:
    found = host_shelf(str(root))
    assert found is not None
    assert found.kind == "host"
    for name, content in (("db", b"db"), ("up", b"db")):
        place = Reach([found]).find(name).taken
        assert place is not None
        assert place.inode is not None
        assert place.inode.content is not None
        assert place.inode.content.read_at(0, 2) == content
    # As if the root were the machine's, there is no such file.
    assert Reach([found]).find("out").taken is None


def test_folders_without_firmware(tmp_path: Path) -> None:
    assert host_shelf(str(tmp_path)) is None
    with pytest.raises(InputError, match="no such folder"):
        folder_shelf(str(tmp_path / "none"))


def test_a_file_that_changes_meanwhile(root: Path) -> None:
    reach = Reach([folder_shelf(str(root))])
    (root / "usr/lib/firmware/c.bin.zst").write_bytes(GOOD_ZST)
    reach = Reach([folder_shelf(str(root))])
    os.truncate(root / "usr/lib/firmware/c.bin.zst", 3)
    located = reach.find("c.bin")
    assert located.taken is None
    assert "cannot be read" in located.others[0].problem
