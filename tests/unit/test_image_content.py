"""Release files of an image: found in one pass, few, and parsed once however many names."""

from __future__ import annotations

import stat
from typing import TYPE_CHECKING
from uuid import UUID

import pytest

from sysgraft.base.blob import BytesBlob
from sysgraft.base.tree import Inode
from sysgraft.errors import LimitError
from sysgraft.formats import extension_release
from sysgraft.formats.erofs.reader import Reader
from sysgraft.formats.erofs.writer import plan
from sysgraft.formats.extension_release import Kind
from sysgraft.image import content
from sysgraft.image.content import read_release, release_candidates, release_files
from sysgraft.image.inspect import inspect_image
from sysgraft.image.matching import Candidate

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

FOLDER = b"usr/lib/extension-release.d"
DIRECTORY = stat.S_IFDIR | 0o755
STRICT = ((extension_release.STRICT_XATTR, b"0"),)


def release(data: bytes = b"ID=_any\n", xattrs: tuple[tuple[bytes, bytes], ...] = ()) -> Inode:
    return Inode(stat.S_IFREG | 0o644, xattrs=xattrs, content=BytesBlob(data))


def image_of(files: Mapping[bytes, Inode]) -> bytes:
    folders = {path: Inode(DIRECTORY) for path in (b"", b"usr", b"usr/lib", FOLDER)}
    tree = folders | {FOLDER + b"/" + name: inode for name, inode in files.items()}
    planned = plan(tree, uuid=UUID(int=1), build_time=0)
    data = bytearray(planned.block_count * 4096)
    planned.fill(0, memoryview(data))
    return bytes(data)


def reader_of(files: Mapping[bytes, Inode]) -> Reader:
    return Reader(BytesBlob(image_of(files)))


def linked(count: int) -> dict[bytes, Inode]:
    inode = release()
    return {b"extension-release.x%04d" % number: inode for number in range(count)}


def test_only_release_files_count() -> None:
    link = Inode(stat.S_IFLNK | 0o777, target=b"extension-release.b")
    reader = reader_of(
        {
            b"extension-release.": release(),
            b"extension-release.a": link,
            b"extension-release.b": release(b"ID=b\n", STRICT),
            b"other": release(),
        },
    )
    assert release_candidates(reader, Kind.SYSEXT) == (
        Candidate("a", strict=None, regular=False),
        Candidate("b", strict=False, regular=True),
    )
    assert read_release(reader, Kind.SYSEXT, "b").id == "b"
    assert release_candidates(reader, Kind.CONFEXT) == ()


def test_names_that_are_no_release_files_are_not_looked_up(monkeypatch: pytest.MonkeyPatch) -> None:
    class Counting(BytesBlob):
        reads = 0

        def read_at(self, offset: int, length: int) -> bytes:
            self.reads += 1
            return super().read_at(offset, length)

    others = {b"other-%05d" % number: release() for number in range(3000)}
    blob = Counting(image_of({b"extension-release.a": release(), **others}))
    reader = Reader(blob)
    blob.reads = 0
    assert list(release_files(reader, Kind.SYSEXT)) == ["a"]
    assert blob.reads < 60
    monkeypatch.setattr(content, "MAX_RELEASES", 0)
    with pytest.raises(LimitError):
        release_files(reader, Kind.SYSEXT)


def test_many_release_files_are_refused(tmp_path: Path) -> None:
    assert len(release_candidates(reader_of(linked(100)), Kind.SYSEXT)) == 100
    with pytest.raises(LimitError, match="101 files of this kind, at most 100"):
        release_candidates(reader_of(linked(101)), Kind.SYSEXT)
    path = tmp_path / "x.raw"
    path.write_bytes(image_of(linked(5000)))
    info = inspect_image(path)
    assert info.releases == {}
    [problem] = info.problems
    assert "5000 files of this kind, at most 100" in problem


def test_hard_links_to_a_release_file_are_parsed_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = []
    parse = extension_release.parse

    def counting(data: bytes, kind: Kind) -> extension_release.ExtensionRelease:
        calls.append(kind)
        return parse(data, kind)

    monkeypatch.setattr(extension_release, "parse", counting)
    path = tmp_path / "x.raw"
    path.write_bytes(image_of({**linked(90), b"extension-release.y": release(b"ID=y\n")}))
    info = inspect_image(path)
    assert len(info.releases) == 91
    assert info.releases["y"].id == "y"
    assert info.releases["x0089"].id == "_any"
    assert len(calls) == 2
