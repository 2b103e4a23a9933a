"""Archives of any files: the digest is that of the bytes, whatever sets they come in."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from hypothesis import given, settings
from hypothesis import strategies as st

from sysgraft.base.blob import BytesBlob
from sysgraft.base.systemd import LATEST, OLDEST
from sysgraft.formats import cpio_reader, stub_archive
from sysgraft.formats.stub_archive import TRAILER, File, Numbers
from sysgraft.measure.sidecars import KINDS, Entry, choose, in_order, problem, skipped
from sysgraft.seal.hashing import Hashing

if TYPE_CHECKING:
    from sysgraft.formats.stub_archive import Step
    from sysgraft.measure.sidecars import Kind, Place

contents = st.binary(max_size=40)
stems = st.text("abAB.-+_~ 01", min_size=1, max_size=5)
suffixes = st.sampled_from([".raw", ".cred", ".confext.raw", ".RAW", ".Cred", ".addon.efi", ""])
names = st.builds(str.__add__, stems, suffixes)
folders = st.dictionaries(names, contents, max_size=6)
versions = st.integers(OLDEST, LATEST)
kinds = st.sampled_from(KINDS)
PLACES: tuple[Place, ...] = ("own", "credentials", "extensions")


def written(steps: tuple[Step, ...], files: dict[str, bytes]) -> bytes:
    return b"".join(step.head + files[str(step.key)] + step.padding for step in steps) + TRAILER


@given(st.lists(folders, min_size=1, max_size=6), kinds, st.sampled_from(["sha1", "sha256"]))
@settings(max_examples=60)
def test_the_digest_is_that_of_the_bytes(
    sets: list[dict[str, bytes]], kind: Kind, bank: str
) -> None:
    """Also where several sets begin with the same files, or have others of the same name."""
    hashing = Hashing((bank,))
    found = []
    for files in sets:
        packed = [File(name, len(files[name]), (name, files[name])) for name in in_order(files)]
        steps = stub_archive.pack(kind.folder, packed)
        blobs = {(name, data): BytesBlob(data) for name, data in files.items()}
        plain = [step._replace(key=name) for step, name in zip(steps, in_order(files), strict=True)]
        found.append((hashing.archive(steps, blobs), written(tuple(plain), files)))
    hashing.run()
    for digests, data in found:
        assert digests == {bank: hashlib.new(bank, data).digest()}


@given(folders, kinds)
@settings(max_examples=60)
def test_our_reader_reads_them(files: dict[str, bytes], kind: Kind) -> None:
    order = in_order(files)
    steps = stub_archive.pack(kind.folder, [File(name, len(files[name]), name) for name in order])
    data = written(steps, files)
    assert len(data) % 4 == 0
    entries = list(cpio_reader.entries(BytesBlob(data)))
    assert [each.number for each in entries] == list(range(1, len(entries) + 1))
    if not files:
        return
    top, folder, *rest = entries
    assert (top.name, folder.name) == (b".extra", kind.folder.path.encode())
    assert [each.name.decode() for each in rest] == [f"{kind.folder.path}/{name}" for name in order]
    assert [each.data.read_at(0, each.data.size) for each in rest] == [files[n] for n in order]


@given(st.lists(st.tuples(kinds, names, contents), max_size=6))
@settings(max_examples=60)
def test_numbers_of_a_boot_entry(listed: list[tuple[Kind, str, bytes]]) -> None:
    """Three for each file, whatever archive it goes to."""
    numbers = Numbers()
    for count, (kind, name, data) in enumerate(listed):
        step = stub_archive.pack_extra(kind.folder, File(name, len(data), 0), numbers)
        archive = step.head + data + step.padding + TRAILER
        found = [each.number for each in cpio_reader.entries(BytesBlob(archive))]
        assert found == [3 * count + 1, 3 * count + 2, 3 * count + 3]


@given(st.lists(st.builds(Entry, names, st.booleans()), max_size=8, unique_by=lambda e: e.name))
@settings(max_examples=100)
def test_every_file_goes_to_one_place_or_none(entries: list[Entry]) -> None:
    for version in range(OLDEST, LATEST + 1):
        for place in PLACES:
            chosen = [name for each in choose(place, entries, version) for name in each.names]
            passed = [each.name for each in skipped(place, entries, version)]
            assert len(chosen) == len(set(chosen))
            assert not set(chosen) & set(passed)
            assert set(chosen) <= {each.name for each in entries if not problem(each)}


@given(st.lists(st.builds(Entry, names), max_size=8, unique_by=lambda e: e.name), versions)
@settings(max_examples=100)
def test_the_order_of_the_folder_does_not_count(entries: list[Entry], version: int) -> None:
    assert choose("own", entries, version) == choose("own", entries[::-1], version)
