"""FAT volumes: every tree is read, and damaged volumes are refused in one way."""

from __future__ import annotations

import random
from contextlib import suppress

from hypothesis import given, settings
from hypothesis import strategies as st

from fat_image import FatImage, long_records, record, short
from sysgraft.base.blob import BytesBlob
from sysgraft.errors import FormatError
from sysgraft.formats import fat
from sysgraft.formats.fat import fold

letters = st.characters(exclude_characters='\\/:*?"<>|', exclude_categories=["Cc", "Cs"])
names = st.text(letters, min_size=1, max_size=30).filter(
    lambda name: name not in (".", "..") and len(name.encode("utf-16-le")) <= 510
)
bits = st.sampled_from([12, 16, 32])


class Builder:
    """Stores nested dictionaries in a volume, contents in clusters in random order."""

    def __init__(self, kind: int, seed: int, per_cluster: int) -> None:
        self.image = FatImage(kind, clusters={12: 400}.get(kind, 4100), per_cluster=per_cluster)
        self.image.root = bytearray(64 * 512)
        if kind != 32:  # the root directory became larger
            self.image.boot[17:19] = (64 * 512 // 32).to_bytes(2, "little")
            sectors = int.from_bytes(self.image.boot[19:21], "little") + 63
            self.image.boot[19:21] = sectors.to_bytes(2, "little")
        self.chance = random.Random(seed)
        self.numbers = self.image.take(380 if kind == 12 else 3000)
        self.chance.shuffle(self.numbers)
        self.short = 0

    def records(self, tree: dict[str, object]) -> list[bytes]:
        found = []
        for name, what in tree.items():
            self.short += 1
            short_name = short(f"S{self.short}.X")
            if self.chance.random() < 0.3:  # a deleted file before it
                found += [long_records("gone", short("GONE")), record(b"\xe5ONE       ", 5, 5)]
            if isinstance(what, dict):
                inside = b"".join(self.records(what))
                entry = record(short_name, self.put(inside), attributes=0x10)
            else:
                assert isinstance(what, bytes)
                entry = record(short_name, self.put(what) if what else 0, len(what))
            found += [long_records(name, short_name), entry]
        return found

    def put(self, data: bytes) -> int:
        count = max(1, -(-len(data) // self.image.cluster_size))
        clusters = [self.numbers.pop() for _ in range(count)]
        return self.image.put(data, clusters)


def contents() -> st.SearchStrategy[bytes]:
    sizes = st.sampled_from([0, 1, 511, 512, 513, 1024, 3000])
    return st.builds(
        lambda size, seed: random.Random(seed).randbytes(size), sizes, st.integers(0, 9)
    )


trees: st.SearchStrategy[dict[str, object]] = st.recursive(
    st.dictionaries(names, contents(), max_size=4),
    lambda inner: st.dictionaries(names, contents() | inner, max_size=3),
    max_leaves=8,
)


def flat(tree: dict[str, object], prefix: str = "") -> dict[str, bytes | None]:
    found: dict[str, bytes | None] = {}
    for name, what in tree.items():
        if isinstance(what, dict):
            found[prefix + name] = None
            found |= flat(what, f"{prefix}{name}/")
        else:
            assert isinstance(what, bytes)
            found[prefix + name] = what
    return found


@given(trees, bits, st.integers(0, 99), st.sampled_from([1, 2]))
@settings(max_examples=150)
def test_every_tree_is_read(
    tree: dict[str, object], kind: int, seed: int, per_cluster: int
) -> None:
    builder = Builder(kind, seed, per_cluster)
    builder.image.set_root(*builder.records(tree))
    volume = fat.open_volume(BytesBlob(builder.image.image()))
    read = {}
    for path, entry in volume.walk():
        content = None if entry.is_dir else volume.content(entry)
        read[path] = content.read_at(0, content.size) if content is not None else None
    assert read == flat(tree)
    assert list(read) == list(flat(tree))
    for path in read:
        folder, _, name = path.rpartition("/")
        same = [e for e in volume.list(folder) if fold(e.name) == fold(name)]
        assert volume.find(path.upper() if path.isascii() else path) == same[0]


def sample(kind: int) -> bytes:
    builder = Builder(kind, 1, 1)
    tree: dict[str, object] = {
        "EFI": {"BOOT": {"BOOTX64.EFI": bytes(3000)}, "a long name of a file.efi": b"x" * 700},
        "loader": {"entries": {}, "loader.conf": b"timeout 3\n"},
    }
    builder.image.set_root(*builder.records(tree))
    return builder.image.image()


SAMPLES = {kind: sample(kind) for kind in (12, 16, 32)}


def interesting(data: bytes) -> list[int]:
    """Bytes that mean something: all that are not zero, and some that are."""
    return [place for place, value in enumerate(data) if value] + list(range(0, 4096, 5))


PLACES = {kind: interesting(data) for kind, data in SAMPLES.items()}


@given(bits, st.data())
@settings(max_examples=500)
def test_damaged_volumes_raise_only_our_errors(kind: int, data: st.DataObject) -> None:
    changed = bytearray(SAMPLES[kind])
    for _ in range(data.draw(st.integers(1, 5))):
        place = data.draw(st.sampled_from(PLACES[kind]))
        changed[place] = data.draw(st.integers(0, 255))
    end = data.draw(st.sampled_from([len(changed)] * 3 + [600, 5000, 20_000]))
    with suppress(FormatError):
        volume = fat.open_volume(BytesBlob(bytes(changed[:end])))
        assert volume.label.isprintable() or volume.label
        for path, entry in volume.walk():
            assert ".." not in path.split("/")
            assert volume.find(path) is not None
            if not entry.is_dir:
                with suppress(FormatError):
                    content = volume.content(entry)
                    assert len(content.read_at(0, content.size)) == entry.size


@given(st.binary(min_size=32, max_size=320))
def test_any_bytes_are_a_folder_or_refused(data: bytes) -> None:
    from sysgraft.formats import fat_directory  # noqa: PLC0415 - only this test reads one alone

    with suppress(FormatError):
        for entry in fat_directory.parse(data, wide_clusters=True).entries:
            assert entry.name
            assert "/" not in entry.name
