"""``ext build --compress``: what comes out, that it is always the same, and what goes wrong."""

from __future__ import annotations

import hashlib
import os
import random
import shutil
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Final

import pytest

from command import Result, signing, sysgraft
from sysgraft.build import compressing
from sysgraft.formats.erofs.compressor import parse_codec

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from conftest import SigningPair
    from sysgraft.base.blob import Blob

CODECS: Final = ["lz4", "lz4hc", "zstd"]
EXTENT: Final = 1 << 18


@pytest.fixture
def tree(sample_tree: Path) -> Path:
    """The sample, and what is large enough to be cut."""
    firmware = sample_tree / "usr/lib/firmware"
    words = [b"%016x" % random.Random(n).getrandbits(64) for n in range(100)]
    text = b"".join(random.Random(1).choices(words, k=400_000))
    (firmware / "text.bin").write_bytes(text)
    (firmware / "noise.bin").write_bytes(random.Random(2).randbytes(2_000_000))
    (firmware / "mixed.bin").write_bytes(text[:EXTENT] + random.Random(3).randbytes(EXTENT) + text)
    (firmware / "again.bin").write_bytes(text)
    return sample_tree


def build(tree: Path, output: Path, compress: str, *options: str) -> Result:
    argv = ("ext", "build", "fw", tree, "--output", output, "--compress", compress)
    return sysgraft(*argv, *(options or ("--unsigned",)))


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.mark.parametrize("compress", CODECS)
def test_what_was_built_verifies_and_comes_out_again(
    compress: str, tree: Path, tmp_path: Path, signing_pair: SigningPair
) -> None:
    result = build(tree, tmp_path / "out", compress, *signing(signing_pair), "--json")
    assert result.code == 0, result.err
    built = result.document
    compression = built["compression"]
    codec = parse_codec(compress)
    assert codec is not None
    assert compression["codec"] == compress
    assert compression["level"] == {"lz4": None, "lz4hc": 9, "zstd": 9}[compress]
    assert compression["library"] == codec.library
    # large.bin, text.bin and again.bin, which is text.bin, and mixed.bin.
    assert compression["files"] == 4
    sizes = [251_000, 6_400_000, 6_400_000 + 2 * EXTENT]
    assert compression["bytes"] == sum(sizes)
    assert compression["storedBytes"] < 6_000_000
    assert compression["storedBytes"] % 4096 == 0
    assert built["dataSize"] < 9_000_000
    image = tmp_path / "out/fw.sysext.raw"
    assert image.stat().st_size == built["size"]
    verified = sysgraft("ext", "verify", image, "--certificate", signing_pair.certificate)
    assert verified.code == 0, verified.out
    assert sysgraft("ext", "extract", image, tmp_path / "files").code == 0
    for path in tree.rglob("*"):
        if path.is_file():
            assert (tmp_path / "files" / path.relative_to(tree)).read_bytes() == path.read_bytes()


def test_it_differs_in_size_alone(tree: Path, tmp_path: Path) -> None:
    assert build(tree, tmp_path / "none", "none").code == 0
    assert build(tree, tmp_path / "zstd", "zstd:1").code == 0
    images = [tmp_path / name / "fw.sysext.raw" for name in ("none", "zstd")]
    compared = sysgraft("ext", "diff", *images, "--json").document
    assert compared["files"] == []
    assert images[1].stat().st_size < images[0].stat().st_size / 2


def test_what_a_person_is_told(tree: Path, tmp_path: Path) -> None:
    codec = parse_codec("lz4hc")
    assert codec is not None
    shown = build(tree, tmp_path, "lz4hc:10").out
    assert "compressed  4 files, 13.6 MB in " in shown
    assert f", by lz4hc:10 of {codec.library}\n" in shown
    shown = build(tree, tmp_path, "lz4", "--force", "--unsigned").out
    assert f", by lz4 of {codec.library}\n" in shown
    assert "compressed" not in build(tree, tmp_path, "none", "--force", "--unsigned").out


def test_without_compression_there_is_none_to_report(tree: Path, tmp_path: Path) -> None:
    result = sysgraft("ext", "build", "fw", tree, "--output", tmp_path, "--unsigned", "--json")
    assert result.document["compression"] is None


# --- The same every time -------------------------------------------------------------------------


@pytest.mark.parametrize("compress", CODECS)
def test_neither_cores_nor_folders_matter(
    compress: str, tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = set()
    for count in (1, 2, 7):
        monkeypatch.setattr(compressing, "cores", lambda count=count: count)
        copy, output = tmp_path / f"copy {count}", tmp_path / f"out {count}"
        shutil.copytree(tree, copy, symlinks=True)
        assert build(copy, output, compress).code == 0
        found.add(digest(output / "fw.sysext.raw"))
    assert len(found) == 1


@pytest.mark.parametrize("compress", CODECS)
def test_threads_make_the_same(
    compress: str, tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert build(tree, tmp_path / "forked", compress).code == 0
    monkeypatch.setattr(sys, "platform", "darwin")
    monkeypatch.setattr(compressing, "cores", lambda: 3)
    assert build(tree, tmp_path / "threads", compress).code == 0
    assert digest(tmp_path / "forked/fw.sysext.raw") == digest(tmp_path / "threads/fw.sysext.raw")


def test_the_same_from_an_archive(tree: Path, tmp_path: Path) -> None:
    archive = tmp_path / "tree.tar.gz"
    words = ["tar", "-C", str(tree), "--mtime=@0", "--owner=0", "--group=0", "-czf", str(archive)]
    subprocess.run([*words, "usr"], check=True)
    assert build(tree, tmp_path / "folder", "zstd").code == 0
    assert build(archive, tmp_path / "archive", "zstd").code == 0
    assert digest(tmp_path / "folder/fw.sysext.raw") == digest(tmp_path / "archive/fw.sysext.raw")


# --- What goes wrong -----------------------------------------------------------------------------


def assert_refused(result: Result, *words: str, output: Path) -> None:
    assert result.code == 2
    assert result.err.startswith("error: "), result.err
    assert "Traceback" not in result.err
    assert all(word in result.err for word in words), result.err
    assert not output.exists() or not list(output.iterdir())


@pytest.mark.parametrize("compress", ["gzip", "lz4:9", "lz4hc:99", "zstd:0", ""])
def test_a_compression_that_is_none(compress: str, tree: Path, tmp_path: Path) -> None:
    assert_refused(build(tree, tmp_path / "out", compress), output=tmp_path / "out")


def grow(path: Path) -> None:
    with path.open("ab") as file:
        file.write(b"more")


def shrink(path: Path) -> None:
    os.truncate(path, 1000)


def rewrite(path: Path) -> None:
    size = path.stat().st_size
    path.write_bytes(bytes(size))


def replace(path: Path) -> None:
    path.rename(path.with_suffix(".old"))
    shutil.copy(path.with_suffix(".old"), path)


@pytest.mark.parametrize("change", [grow, shrink, rewrite, replace])
@pytest.mark.parametrize("moment", ["before", "after"])
def test_a_file_that_changes(
    change: Callable[[Path], None],
    moment: str,
    tree: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Before it is compressed, and after it: what is stored as it is will be read once more."""
    path = tree / "usr/lib/firmware/mixed.bin"
    pack = compressing.Packer.__call__

    def pack_and_change(self: compressing.Packer, contents: dict[int, Blob]) -> object:
        if moment == "before":
            change(path)
        packed = pack(self, contents)
        if moment == "after":
            change(path)
        return packed

    monkeypatch.setattr(compressing.Packer, "__call__", pack_and_change)
    result = build(tree, tmp_path / "out", "lz4")
    assert_refused(result, "mixed.bin", "while it was being read", output=tmp_path / "out")


@pytest.mark.root
def test_no_room_for_what_is_compressed(tree: Path, tmp_path: Path) -> None:
    """A real file system of 1 MiB is where temporary files go."""
    room = tmp_path / "room"
    room.mkdir()
    script = (
        'set -e; mount --make-rprivate /; mount -t tmpfs -o size=1m tmpfs "$1"; '
        'TMPDIR=$1; export TMPDIR; shift; exec "$@"'
    )
    words = [sys.executable, "-m", "sysgraft", "ext", "build", "fw", str(tree), "--unsigned"]
    words += ["--compress=zstd", f"--output={tmp_path / 'out'}"]
    done = subprocess.run(
        ["unshare", "-m", "sh", "-c", script, "sh", str(room), *words],
        capture_output=True,
        text=True,
        check=False,
    )
    result = Result(done.returncode, done.stdout, done.stderr)
    assert_refused(result, "No space left", str(room), output=tmp_path / "out")


def test_gigabytes_of_holes_take_seconds_and_a_terabyte_none(tree: Path, tmp_path: Path) -> None:
    hole = tree / "usr/lib/hole"
    hole.touch()
    os.truncate(hole, 2 << 30)
    began = time.monotonic()
    result = build(tree, tmp_path / "out", "lz4", "--unsigned", "--json")
    assert result.code == 0, result.err
    assert result.document["dataSize"] < 60_000_000
    os.truncate(hole, 1 << 40)
    result = build(tree, tmp_path / "none", "lz4")
    assert_refused(result, "the limit is 68719476736", output=tmp_path / "none")
    assert time.monotonic() - began < 60
