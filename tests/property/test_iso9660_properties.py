"""New ISO 9660 volumes: whatever tree goes in is what an independent, strict reader finds."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from iso_reader import SECTOR, Iso
from pieces_kit import blob, joined
from sysgraft.errors import InputError
from sysgraft.formats.iso9660_names import identifiers
from sysgraft.formats.iso9660_writer import NewFile, VolumeOptions, plan_volume

names = st.text(
    st.characters(exclude_characters="/\0", exclude_categories=["Cs"]), min_size=1, max_size=80
).filter(lambda name: name not in (".", "..") and len(name.encode()) <= 255)
plain = st.sampled_from(["EFI", "efi", "boot", "a.b.c", "n" * 240, "n" * 255, "ä" * 100])
paths = st.lists(names | plain, min_size=1, max_size=6).map("/".join)
trees = st.dictionaries(paths, st.binary(max_size=5000), max_size=40)
BOOT = "boot/efi.img"


@settings(max_examples=200)
@given(trees, st.integers(0, 1 << 33))
def test_every_tree_is_read_as_it_was_planned(tree: dict[str, bytes], time: int) -> None:
    tree = {BOOT: b"FAT" * 1000, **tree}
    files = [NewFile(path, blob(data)) for path, data in tree.items()]
    try:
        plan = plan_volume(files, VolumeOptions("VOLUME", BOOT, time))
    except InputError:
        assert any(other.startswith(f"{path}/") for path in tree for other in tree)
        return
    image = joined(plan.pieces(), plan.size)
    assert Iso(image).files() == tree
    assert image[plan.offset(BOOT) :][:3000] == tree[BOOT]
    assert plan.offset(BOOT) % (1 << 20) == 0
    places = sorted(each for each in plan.extents.values() if each.size)
    for one, two in pairwise(places):
        assert one.sector * SECTOR + one.size <= two.sector * SECTOR


@given(st.lists(names, max_size=60, unique=True), st.data())
def test_identifiers_are_unlike_and_of_the_standards_letters(
    found: list[str], data: st.DataObject
) -> None:
    folders = [name for name in found if data.draw(st.booleans())]
    made = identifiers(found, folders)
    assert len(set(made.values())) == len(found)
    allowed = set(b"ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_")
    for name, identifier in made.items():
        text = identifier if name in folders else identifier.removesuffix(b";1")
        assert len(text) <= 30
        assert set(text) - allowed <= (set() if name in folders else set(b"."))
        assert text.count(b".") == (0 if name in folders else 1)
