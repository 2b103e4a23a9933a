"""Files as blobs, outputs that appear whole, and inputs that change under the reader."""

from __future__ import annotations

import errno
import os
import stat
import sys
from typing import TYPE_CHECKING

import pytest

from sysgraft.errors import InputError, LimitError, OutputError, TruncatedError
from sysgraft.host.files import OpenFile, read_small
from sysgraft.host.output import atomic_output
from sysgraft.host.spool import Spool

if TYPE_CHECKING:
    from pathlib import Path


def test_an_open_file_reads_exactly_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "f"
    path.write_bytes(b"0123456789")
    with OpenFile(path) as blob:
        assert blob.read_at(3, 4) == b"3456"
        with pytest.raises(TruncatedError):
            blob.read_at(8, 3)
        with pytest.raises(TruncatedError):
            blob.read_at(-1, 1)


def test_a_changed_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "f"
    path.write_bytes(b"0123456789")
    seen = path.stat()
    os.utime(path, ns=(0, seen.st_mtime_ns + 1))
    with pytest.raises(InputError, match="changed while"):
        OpenFile(path, expected=(seen.st_size, seen.st_mtime_ns)).read_at(0, 1)


@pytest.mark.parametrize("kind", ["fifo", "folder"])
def test_only_files_are_read(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "x"
    path.mkdir() if kind == "folder" else os.mkfifo(path)
    with pytest.raises(InputError, match="not a regular file"):
        OpenFile(path).read_at(0, 0)


@pytest.mark.skipif(sys.platform != "linux", reason="counts descriptors in /proc")
def test_more_files_than_descriptors(tmp_path: Path) -> None:
    blobs = []
    for number in range(300):
        (tmp_path / str(number)).write_bytes(b"%d" % number)
        blobs.append(OpenFile(tmp_path / str(number)))
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(2):
        for number, blob in enumerate(blobs):
            assert blob.read_at(0, blob.size) == b"%d" % number
    assert len(os.listdir("/proc/self/fd")) <= before + 16
    for blob in blobs:
        blob.close()


def test_a_shrunken_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "f"
    path.write_bytes(b"0123456789")
    with OpenFile(path) as blob:
        assert blob.size == 10
        os.truncate(path, 4)
        with pytest.raises(TruncatedError, match="shrank"):
            blob.read_at(0, 10)


def test_the_spool_gives_back_what_it_took() -> None:
    with Spool() as spool:
        first, second = spool.append(b"abc"), spool.append(b"defg")
        assert spool.blob(first, 3).read_at(0, 3) == b"abc"
        assert spool.blob(second, 4).read_at(1, 3) == b"efg"
        with pytest.raises(TruncatedError):
            spool.blob(second, 5)


def test_a_small_file_has_a_limit(tmp_path: Path) -> None:
    path = tmp_path / "f"
    path.write_bytes(b"12345")
    assert read_small(path, 5, "certificate") == b"12345"
    with pytest.raises(LimitError, match="certificate"):
        read_small(path, 4, "certificate")
    with pytest.raises(InputError, match="No such file"):
        read_small(tmp_path / "absent", 4, "certificate")


def test_an_output_appears_only_when_it_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "out"
    with pytest.raises(InputError), atomic_output(path, replace=False) as file:
        file.write(b"half")
        raise InputError("stop")
    assert list(tmp_path.iterdir()) == []
    with atomic_output(path, replace=False) as file:
        file.write(b"whole")
        assert not path.exists()
    assert path.read_bytes() == b"whole"
    assert list(tmp_path.iterdir()) == [path]


def test_an_existing_output_stays_without_replace(tmp_path: Path) -> None:
    path = tmp_path / "out"
    path.write_bytes(b"old")
    with pytest.raises(OutputError, match="exists"), atomic_output(path, replace=False):
        pass
    with pytest.raises(OutputError, match="exists"):
        path.unlink()
        with atomic_output(path, replace=False) as file:
            file.write(b"new")
            path.write_bytes(b"somebody else's")
    assert path.read_bytes() == b"somebody else's"
    with atomic_output(path, replace=True) as file:
        file.write(b"new")
    assert path.read_bytes() == b"new"


def test_the_output_has_the_mode_the_umask_asks_for(tmp_path: Path) -> None:
    old = os.umask(0o027)
    try:
        with atomic_output(tmp_path / "out", replace=False):
            pass
    finally:
        os.umask(old)
    assert stat.S_IMODE((tmp_path / "out").stat().st_mode) == 0o640


def test_a_full_disk_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with (
        pytest.raises(OutputError, match="No space left"),
        atomic_output(tmp_path / "out", replace=False) as file,
    ):
        file.write(b"x")
    assert list(tmp_path.iterdir()) == []
