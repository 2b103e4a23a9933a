"""Hashing many sets of files: common beginnings are hashed once, and all digests are right."""

from __future__ import annotations

import hashlib
from itertools import combinations
from typing import TYPE_CHECKING, Final

import pytest

from executables import make_pe
from sysgraft.base.blob import BytesBlob
from sysgraft.errors import LimitError, TruncatedError
from sysgraft.formats import pe, stub_archive
from sysgraft.formats.authenticode_digest import compute, coverage
from sysgraft.formats.stub_archive import TRAILER, File, Folder, Step
from sysgraft.measure.pcr import BANKS
from sysgraft.seal import hashing as seal_hashing
from sysgraft.seal.hashing import CHUNK, Hashing

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

FOLDER: Final = Folder(".extra/sysext", 0o555, 0o444)


class Counting:
    """A blob that counts the bytes that are read."""

    def __init__(self, data: bytes) -> None:
        self._blob = BytesBlob(data)
        self.data = data
        self.read = 0

    @property
    def size(self) -> int:
        return self._blob.size

    def read_at(self, offset: int, length: int) -> bytes:
        self.read += length
        return self._blob.read_at(offset, length)

    def readinto_at(self, offset: int, view: memoryview) -> None:
        self.read += len(view)
        self._blob.readinto_at(offset, view)


class Shrinking(Counting):
    """A file that another program makes shorter: only its first half is still there."""

    def readinto_at(self, offset: int, view: memoryview) -> None:
        half = len(self.data) // 2
        BytesBlob(self.data[:half]).readinto_at(offset, view)


class Listening:
    """Remembers what it is told."""

    def __init__(self) -> None:
        self.total = self.done = 0
        self.is_finished = False

    def start(self, label: str, total: int) -> None:
        assert label
        self.total += total

    def advance(self, amount: int) -> None:
        self.done += amount

    def finish(self) -> None:
        self.is_finished = True


def blobs(count: int, size: int = 5) -> dict[str, Counting]:
    names = [f"{number:02}.raw" for number in range(count)]
    return {name: Counting(name.encode() * size) for name in names}


def pack(files: dict[str, Counting], names: Iterable[str]) -> tuple[Step, ...]:
    return stub_archive.pack(FOLDER, [File(name, files[name].size, name) for name in names])


def whole(files: dict[str, Counting], names: Iterable[str]) -> bytes:
    """The archive in one piece."""
    parts = [step.head + files[str(step.key)].data + step.padding for step in pack(files, names)]
    return b"".join(parts) + TRAILER


def expected(data: bytes, banks: Sequence[str]) -> dict[str, bytes]:
    return {bank: hashlib.new(bank, data).digest() for bank in banks}


# --- Digests -------------------------------------------------------------------------------------


@pytest.mark.parametrize("banks", [("sha256",), tuple(BANKS)])
def test_every_subset(banks: tuple[str, ...]) -> None:
    files = blobs(6)
    sets = [names for count in range(7) for names in combinations(files, count)]
    hashing = Hashing(banks)
    found = {names: hashing.archive(pack(files, names), files) for names in sets}
    hashing.run()
    for names, digests in found.items():
        assert digests == expected(whole(files, names), banks), names


@pytest.mark.parametrize("size", [0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 3 * CHUNK + 2])
def test_sizes_about_the_buffer(size: int) -> None:
    files = {"a.raw": Counting(bytes(i % 251 for i in range(1000)) * (size // 1000 + 1))}
    files["a.raw"] = Counting(files["a.raw"].data[:size])
    files["b.raw"] = Counting(b"behind")
    hashing = Hashing(("sha256", "sha1"))
    archive = hashing.archive(pack(files, files), files)
    alone = hashing.blob(files["a.raw"])
    hashing.run()
    assert archive == expected(whole(files, files), hashing.banks)
    assert alone == expected(files["a.raw"].data, hashing.banks)


def test_blobs_archives_and_executables_together() -> None:
    files = blobs(3, size=100_000)
    executable = BytesBlob(make_pe([(".text", bytes(100_000)), (".data", b"\x01" * 7)]))
    covered = coverage(pe.parse(executable))
    hashing = Hashing(("sha256", "sha512"))
    program = hashing.executable(executable, covered)
    alone = hashing.blob(files["00.raw"], ("sha1",))
    archive = hashing.archive(pack(files, files), files)
    other = hashing.archive(pack(files, ["01.raw"]), files, tail=b"other tail")
    hashing.run()
    assert program == compute(executable, covered, hashing.banks)
    assert alone == expected(files["00.raw"].data, ("sha1",))
    assert archive == expected(whole(files, files), hashing.banks)
    end = whole(files, ["01.raw"]).removesuffix(TRAILER) + b"other tail"
    assert other == expected(end, hashing.banks)


def test_an_archive_of_nothing() -> None:
    hashing = Hashing(("sha256",))
    found = hashing.archive((), {})
    hashing.run()
    assert found == expected(TRAILER, ("sha256",))


def test_the_same_name_with_other_content() -> None:
    """Keys stand for contents, names do not."""
    files = {"new": Counting(b"new content"), "old": Counting(b"old content")}
    hashing = Hashing(("sha256",))
    found = {
        key: hashing.archive(stub_archive.pack(FOLDER, [File("a.raw", 11, key)]), files)
        for key in files
    }
    hashing.run()
    for key, digests in found.items():
        (step,) = stub_archive.pack(FOLDER, [File("a.raw", 11, key)])
        data = step.head + files[key].data + step.padding + TRAILER
        assert digests == expected(data, ("sha256",))


def test_several_runs() -> None:
    files = blobs(3)
    hashing = Hashing(("sha256",))
    for names in (("00.raw",), ("00.raw", "01.raw"), ("02.raw",)):
        found = hashing.archive(pack(files, names), files)
        hashing.run()
        assert found == expected(whole(files, names), ("sha256",))


# --- Work ----------------------------------------------------------------------------------------


def test_what_all_subsets_cost() -> None:
    """A file that n others go before is hashed 2ⁿ times, once for each set of them, not more."""
    files = blobs(8, size=1000)
    sets = [names for count in range(9) for names in combinations(files, count)]
    progress = Listening()
    hashing = Hashing(("sha256",), progress)
    for names in sets:
        hashing.archive(pack(files, names), files)
    sizes = [each.size for each in files.values()]
    work = sum(size << number for number, size in enumerate(sizes))
    naive = sum(files[name].size for names in sets for name in names)
    assert hashing.work == work
    assert naive == 128 * sum(sizes) > 4 * work
    hashing.run()
    assert (progress.total, progress.done, progress.is_finished) == (work, work, True)


def test_a_common_beginning_is_hashed_once_for_each_bank() -> None:
    files = blobs(12, size=50_000)
    common, own = list(files)[:2], list(files)[2:]
    hashing = Hashing(("sha1", "sha256"))
    for name in own:
        hashing.archive(pack(files, [*common, name]), files)
    assert hashing.work == 2 * sum(each.size for each in files.values())


def test_a_file_is_not_read_once_for_each_set(monkeypatch: pytest.MonkeyPatch) -> None:
    """All sets that go on with the same file are fed what is read of it once for each core."""
    monkeypatch.setattr(seal_hashing, "cores", lambda: 1)
    files = blobs(10, size=10_000)
    sets = [names for count in range(11) for names in combinations(files, count)]
    hashing = Hashing(("sha256",))
    for names in sets:
        hashing.archive(pack(files, names), files)
    work = hashing.work
    hashing.run()
    # At each depth, a file is read as often as its share of the work is cut into portions.
    assert sum(each.read for each in files.values()) < work // 8


def test_nothing_is_read_before_the_run() -> None:
    files = blobs(2)
    hashing = Hashing(("sha256",))
    found = hashing.archive(pack(files, files), files)
    hashing.blob(files["00.raw"])
    assert not any(each.read for each in files.values())
    assert found == {}


# --- What goes wrong -----------------------------------------------------------------------------


@pytest.mark.parametrize("way", ["archive", "blob", "both"])
def test_a_file_that_has_shrunk(way: str) -> None:
    files: dict[str, Counting] = {**blobs(3), "03.raw": Shrinking(bytes(3 * CHUNK))}
    hashing = Hashing(("sha256", "sha1"))
    archive = hashing.archive(pack(files, files), files) if way != "blob" else {}
    alone = hashing.blob(files["03.raw"]) if way != "archive" else {}
    with pytest.raises(TruncatedError):
        hashing.run()
    assert not any(archive.values())
    assert not any(alone.values())


def test_too_many_beginnings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(seal_hashing, "MAX_NODES", 10)
    files = blobs(11)
    hashing = Hashing(("sha256",))
    hashing.archive(pack(files, list(files)[:10]), files)
    hashing.archive(pack(files, list(files)[:9]), files)
    with pytest.raises(LimitError, match="more than 10"):
        hashing.archive(pack(files, ["10.raw"]), files)
