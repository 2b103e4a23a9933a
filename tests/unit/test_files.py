"""Files as blobs, outputs that appear whole, and inputs that change under the reader."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import stat
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from sysgraft.errors import InputError, LimitError, OutputError, TruncatedError
from sysgraft.host import drafts, output
from sysgraft.host.files import OpenFile, Seen, pwrite_all
from sysgraft.host.output import atomic_output, atomic_outputs
from sysgraft.host.small import read_small
from sysgraft.host.spool import Spool

if TYPE_CHECKING:
    from pathlib import Path

    from sysgraft.host.drafts import Draft

needs_full_device = pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no /dev/full here")


@pytest.fixture(params=["unnamed", "named"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Outputs without a name until they are whole, and those with a temporary one."""
    if request.param == "named":
        monkeypatch.setattr(drafts, "_UNNAMED", 0)
    elif not drafts._UNNAMED:
        pytest.skip("no files without a name here")


both_ways = pytest.mark.usefixtures("way")


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
        OpenFile(path, expected=Seen.of(seen)).read_at(0, 1)


def test_a_file_is_not_its_size_and_time(tmp_path: Path) -> None:
    path, other = tmp_path / "f", tmp_path / "other"
    path.write_bytes(b"harmless")
    other.write_bytes(b"a secret")
    for each in (path, other):
        os.utime(each, ns=(7, 7))
    seen = Seen.of(path.stat())
    assert OpenFile(path, expected=seen).read_at(0, 8) == b"harmless"
    with OpenFile(path, expected=seen) as blob:
        other.rename(path)
        with pytest.raises(InputError, match="changed while"):
            blob.read_at(0, 8)


def test_contents_written_over_with_the_time_set_back_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "f"
    path.write_bytes(b"one")
    seen = Seen.of(path.stat())
    with OpenFile(path, expected=seen) as blob:
        assert blob.read_at(0, 3) == b"one"
        while path.stat().st_ctime_ns == seen.ctime_ns:
            path.write_bytes(b"two")
            os.utime(path, ns=(0, seen.mtime_ns))
        with pytest.raises(InputError, match="changed while"):
            blob.read_at(0, 3)


def test_a_link_in_place_of_a_file_is_not_followed(tmp_path: Path) -> None:
    path, secret = tmp_path / "f", tmp_path / "secret"
    secret.write_bytes(b"a secret")
    path.symlink_to(secret)
    assert OpenFile(path).read_at(0, 8) == b"a secret"
    # Even where all numbers are right, which takes a hard link.
    with pytest.raises(InputError, match="changed while"):
        OpenFile(path, expected=Seen.of(secret.stat()), follow=False).read_at(0, 8)


def test_a_file_opened_again_has_to_be_the_same(tmp_path: Path) -> None:
    path = tmp_path / "f"
    path.write_bytes(b"one")
    blob = OpenFile(path)
    assert blob.read_at(0, 3) == b"one"
    blob.close()
    assert blob.read_at(0, 3) == b"one"
    blob.close()
    (tmp_path / "g").write_bytes(b"two")
    (tmp_path / "g").rename(path)
    with pytest.raises(InputError, match="changed while"):
        blob.read_at(0, 3)


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


@pytest.mark.parametrize("kind", ["fifo", "folder", "device"])
def test_pipes_folders_and_devices_are_no_small_files(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "x"
    if kind == "fifo":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
    else:
        path.symlink_to(os.devnull)
    with pytest.raises(InputError, match="certificate: it is not a regular file") as caught:
        read_small(path, 4, "certificate")
    assert caught.value.file == str(path)


@needs_full_device
def test_a_full_disk_is_named_by_who_knows_the_file(tmp_path: Path) -> None:
    with (
        open("/dev/full", "wb", buffering=0) as full,
        pytest.raises(OutputError, match="No space left") as caught,
        atomic_output(tmp_path / "out", replace=False),
    ):
        pwrite_all(full.fileno(), 0, b"x")
    assert caught.value.file == str(tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


@both_ways
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


@both_ways
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
    assert list(tmp_path.iterdir()) == [path]


@both_ways
def test_replacing_keeps_permissions_and_links(tmp_path: Path) -> None:
    path, link = tmp_path / "data", tmp_path / "folder" / "link"
    path.write_bytes(b"old")
    path.chmod(0o600)
    link.parent.mkdir()
    link.symlink_to("../data")
    with atomic_output(link, replace=True) as file:
        file.write(b"new")
    assert link.is_symlink()
    assert path.read_bytes() == b"new"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert sorted(tmp_path.rglob("*")) == [path, link.parent, link]


def test_a_link_to_nothing_is_replaced_where_it_points(tmp_path: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to("data")
    with pytest.raises(OutputError, match="exists"), atomic_output(link, replace=False):
        pass
    with atomic_output(link, replace=True) as file:
        file.write(b"new")
    assert (tmp_path / "data").read_bytes() == b"new"
    link.unlink()
    link.symlink_to(link)
    with pytest.raises(OutputError, match="cannot be written"), atomic_output(link, replace=True):
        pass


@pytest.mark.parametrize("kind", ["folder", "fifo", "device"])
def test_only_files_are_replaced(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "x"
    if kind == "device":
        path.symlink_to(os.devnull)
    else:
        path.mkdir() if kind == "folder" else os.mkfifo(path)
    before = path.stat()
    with pytest.raises(OutputError, match="not a regular file"), atomic_output(path, replace=True):
        pass
    assert path.stat().st_ino == before.st_ino


@both_ways
def test_folders_made_for_an_output_go_with_it(tmp_path: Path) -> None:
    path = tmp_path / "a/b/out"
    with pytest.raises(OutputError, match="cannot write here"), atomic_output(path, replace=False):
        pass
    with pytest.raises(InputError), atomic_output(path, replace=False, make_folders=True):
        raise InputError("stop")
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "a").mkdir()
    with pytest.raises(InputError), atomic_output(path, replace=False, make_folders=True):
        raise InputError("stop")
    assert list(tmp_path.rglob("*")) == [tmp_path / "a"], "what was there before stays"
    with pytest.raises(InputError), atomic_output(path, replace=False, make_folders=True):
        (tmp_path / "a/b/somebody else's").touch()
        raise InputError("stop")
    assert (tmp_path / "a/b/somebody else's").exists()
    with atomic_output(path, replace=False, make_folders=True) as file:
        file.write(b"whole")
    assert path.read_bytes() == b"whole"


@both_ways
@pytest.mark.parametrize("replace", [True, False])
def test_an_output_outlives_the_folder_another_one_made(tmp_path: Path, replace: bool) -> None:
    path = tmp_path / "a/b/out"
    with (
        contextlib.ExitStack() as stack,
        pytest.raises(InputError),
        atomic_output(tmp_path / "a/b/other", replace=replace, make_folders=True),
    ):
        file = stack.enter_context(atomic_output(path, replace=replace, make_folders=True))
        file.write(b"whole")
        raise InputError("stop")
    assert path.read_bytes() == b"whole"
    assert sorted(tmp_path.rglob("*")) == [tmp_path / "a", tmp_path / "a/b", path]


@pytest.mark.skipif(not drafts._UNNAMED, reason="no files without a name here")
def test_folders_made_once_more_go_with_an_output_that_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> None:
        shutil.rmtree(tmp_path / "a", ignore_errors=True)
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))

    monkeypatch.setattr(os, "link", full)
    path = tmp_path / "a/b/out"
    with (
        pytest.raises(OutputError, match="No such file"),
        atomic_output(path, replace=False, make_folders=True),
    ):
        pass
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_goes_is_not_made_for_who_wants_none(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    with (
        pytest.raises(OutputError, match="No such file"),
        atomic_output(tmp_path / "a/out", replace=False),
    ):
        shutil.rmtree(tmp_path / "a")
    assert list(tmp_path.iterdir()) == []


@both_ways
@pytest.mark.parametrize("replace", [True, False])
def test_no_folder_is_made_only_to_be_left_again(tmp_path: Path, replace: bool) -> None:
    with atomic_output(tmp_path / "none/../new/out", replace=replace, make_folders=True) as file:
        file.write(b"whole")
    assert (tmp_path / "new/out").read_bytes() == b"whole"
    assert sorted(tmp_path.rglob("*")) == [tmp_path / "new", tmp_path / "new/out"]


def test_the_way_up_from_a_link_is_that_of_its_target(tmp_path: Path) -> None:
    (tmp_path / "far/folder").mkdir(parents=True)
    (tmp_path / "link").symlink_to("far/folder")
    with atomic_output(tmp_path / "link/../new/out", replace=False, make_folders=True):
        pass
    assert (tmp_path / "far/new/out").exists()
    assert not (tmp_path / "new").exists()


def test_folders_that_cannot_be_made_are_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    path = tmp_path / "file/folder/out"
    with (
        pytest.raises(OutputError, match="cannot make the folder") as caught,
        atomic_output(path, replace=False, make_folders=True),
    ):
        pass
    assert caught.value.file == str(tmp_path / "file")


@pytest.mark.skipif(not drafts._UNNAMED, reason="no files without a name here")
@pytest.mark.parametrize("replace", [True, False])
def test_nothing_is_left_of_an_output_whose_writer_is_killed(tmp_path: Path, replace: bool) -> None:
    path = tmp_path / "out"
    code = f"""
import os, signal
from sysgraft.host.output import atomic_output
with atomic_output({str(path)!r}, replace={replace}) as file:
    file.write(b"half")
    file.flush()
    os.kill(os.getpid(), signal.SIGKILL)
"""
    done = subprocess.run([sys.executable, "-c", code], check=False, timeout=60)
    assert done.returncode < 0
    assert list(tmp_path.iterdir()) == []


@both_ways
def test_a_long_name_leaves_room_for_a_temporary_one(tmp_path: Path) -> None:
    path = tmp_path / ("ä" * 127)
    with atomic_output(path, replace=True) as file:
        file.write(b"x")
    assert path.read_bytes() == b"x"


@both_ways
def test_the_output_has_the_mode_the_umask_asks_for(tmp_path: Path) -> None:
    old = os.umask(0o027)
    try:
        with atomic_output(tmp_path / "out", replace=False):
            pass
    finally:
        os.umask(old)
    assert stat.S_IMODE((tmp_path / "out").stat().st_mode) == 0o640


@both_ways
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


# --- Several outputs at once ---------------------------------------------------------------------


def pair_of(folder: Path) -> list[Path]:
    return [folder / "out", folder / "deep/out"]


def write_pair(folder: Path, text: str, *, replace: bool) -> None:
    with atomic_outputs(pair_of(folder), replace=replace, make_folders=True) as files:
        for number, file in enumerate(files):
            file.write(f"{text} {number}".encode())


@both_ways
@pytest.mark.parametrize("replace", [True, False])
def test_two_outputs_appear_together(tmp_path: Path, replace: bool) -> None:
    write_pair(tmp_path, "whole", replace=replace)
    assert [path.read_text() for path in pair_of(tmp_path)] == ["whole 0", "whole 1"]
    write_pair(tmp_path, "again", replace=True)
    assert [path.read_text() for path in pair_of(tmp_path)] == ["again 0", "again 1"]
    assert len(list(tmp_path.rglob("*"))) == 3


@both_ways
@pytest.mark.parametrize("taken", [0, 1])
def test_one_that_exists_keeps_both_away(tmp_path: Path, taken: int) -> None:
    path = pair_of(tmp_path)[taken]
    path.parent.mkdir(exist_ok=True)
    path.write_text("old")
    with pytest.raises(OutputError, match="exists") as caught:
        write_pair(tmp_path, "new", replace=False)
    assert caught.value.file == str(path)
    assert [each.read_text() for each in tmp_path.rglob("out")] == ["old"]


@both_ways
@pytest.mark.parametrize("exists", [True, False])
def test_the_first_goes_again_if_the_second_cannot_come(
    tmp_path: Path, exists: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if exists:
        write_pair(tmp_path, "old", replace=False)
    real = output._publish

    def publish(draft: Draft, place: output._Place, *, replace: bool) -> None:
        if place.folder.endswith("deep"):
            assert pair_of(tmp_path)[0].read_text() == "new 0"
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        real(draft, place, replace=replace)

    monkeypatch.setattr(output, "_publish", publish)
    with pytest.raises(OutputError, match="No space left") as caught:
        write_pair(tmp_path, "new", replace=True)
    assert caught.value.file == str(tmp_path / "deep/out")
    found = [path.read_text() for path in pair_of(tmp_path) if path.exists()]
    assert found == (["old 0", "old 1"] if exists else [])
    assert len(list(tmp_path.rglob("*"))) == (3 if exists else 0)
