"""New FAT volumes: whatever tree goes in is what our reader, a program of its own, finds."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from pieces_kit import blob, joined
from sysgraft.base.blob import BytesBlob
from sysgraft.errors import SysgraftError
from sysgraft.formats import fat
from sysgraft.formats.fat import fold
from sysgraft.formats.fat_layout import MIB
from sysgraft.formats.fat_names import problem, short_names
from sysgraft.formats.fat_writer import NewFile, VolumeOptions, plan_volume

names = st.text(max_size=20).filter(lambda name: not problem(name))
plain = st.sampled_from(["EFI", "BOOT", "loader", "keys", "linux.efi", "linux.efi.extra.d", "A~1"])
parts = st.lists(names | plain, min_size=1, max_size=4)
paths = parts.map("/".join)
trees = st.dictionaries(paths, st.binary(max_size=3000), max_size=20)


@settings(max_examples=150)
@given(trees, st.sampled_from([(3 * MIB, 512), (33 * MIB, 512), (20 * MIB, 4096)]))
def test_every_tree_is_read_as_it_was_planned(
    tree: dict[str, bytes], form: tuple[int, int]
) -> None:
    files = [NewFile(path, blob(data)) for path, data in tree.items()]
    try:
        plan = plan_volume(files, VolumeOptions(sector_size=form[1]), size=form[0])
    except SysgraftError:
        # Two names that FAT takes for one, or a file where a folder is.
        spellings = {path[: len(path) - cut] for path in tree for cut in range(len(path))}
        assert len({fold(each) for each in spellings}) < len(spellings) or any(
            other.startswith(f"{path}/") for path in tree for other in tree
        )
        return
    image = joined(plan.pieces(), plan.size, step=1 << 16)
    volume = fat.open_volume(BytesBlob(image))
    found = {
        path: volume.content(entry).read_at(0, entry.size)
        for path, entry in volume.walk()
        if not entry.is_dir
    }
    assert found == tree
    again = plan_volume(files[::-1], VolumeOptions(sector_size=form[1]), size=form[0])
    assert joined(again.pieces(), again.size) == image


@given(st.lists(names, max_size=60, unique_by=fold))
def test_no_short_name_is_that_of_another_file(found: list[str]) -> None:
    shorts = {name: text(raw) for name, raw in short_names(found).items()}
    assert len(set(shorts.values())) == len(found)
    longs = {fold(name): name for name in found}
    for name, short in shorts.items():
        assert longs.get(short, name) == name


def text(raw: bytes) -> str:
    base, extension = raw[:8].decode().rstrip(), raw[8:].decode().rstrip()
    return f"{base}.{extension}" if extension else base
