"""What ``uki build`` leaves behind when something goes wrong late, and how much memory it takes."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from command import signing, sysgraft
from uki_kit import OS_RELEASE, Kit, make_kit, section

if TYPE_CHECKING:
    from collections.abc import Iterator

    from conftest import SigningPair

MEBIBYTE = 1 << 20


@pytest.fixture
def kit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Kit:
    return make_kit(tmp_path / "kit", monkeypatch)


def everything_in(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


# --- Existing files ------------------------------------------------------------------------------


def test_an_existing_file_is_replaced_with_force_only(kit: Kit) -> None:
    path = kit.file("x.efi", "precious")
    result = kit.run("-o", path)
    assert result.code == 2
    assert f"error: {path}: the file exists" in result.err
    assert "--force" in result.err
    assert path.read_text() == "precious"
    path.chmod(0o600)
    assert kit.run("--force", "-o", path).code == 0
    assert path.read_bytes()[:2] == b"MZ"
    assert path.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("verb", ["addon", "build", "join"])
def test_a_failure_keeps_what_was_there(kit: Kit, verb: str) -> None:
    path = kit.file("x.efi", "precious")
    words = {
        "addon": ("addon", "--cmdline=x", "--initrd=nowhere", f"--stub={kit.addon_stub}"),
        "build": ("build", f"--linux={kit.kernel}", f"--stub={kit.stub}", "--splash=nowhere"),
        "join": ("build", f"--join-pcrsig={kit.stub}", "--pcrsig={}"),
    }[verb]
    result = sysgraft("uki", *words, "--force", "-o", path)
    assert result.code == 2
    assert path.read_text() == "precious"


def test_the_kernel_may_be_replaced_by_its_image(kit: Kit) -> None:
    kernel = kit.kernel.read_bytes()
    assert kit.run("--force", "-o", kit.kernel).code == 0
    assert section(kit.kernel, ".linux") == kernel


# --- Failing late --------------------------------------------------------------------------------


def test_nothing_is_left_of_a_build_that_fails_late(kit: Kit) -> None:
    fifo = kit.folder / "fifo"
    os.mkfifo(fifo)
    before = everything_in(kit.folder)
    for words in (
        (f"--initrd={fifo}",),
        (f"--initrd={kit.folder}/nowhere",),
        (f"--section=.x:@{kit.folder}/nowhere",),
        (f"--join-profile={kit.stub}",),
        (f"--initrd=dir:{kit.folder}/nowhere",),
    ):
        result = kit.run(*words, "-o", kit.folder / "deep/folder/x.efi")
        assert result.code == 2
        assert everything_in(kit.folder) == before


def test_nothing_is_left_when_an_initrd_cannot_be_read_to_its_end(kit: Kit, tmp_path: Path) -> None:
    # The file shrinks after it was opened: a write that is cut short, as by a full download disk.
    initrd = kit.file("initrd", bytes(40 * MEBIBYTE))
    script = (
        "import os, sys\n"
        "from sysgraft.host import files\n"
        "plain = files.pread_into\n"
        "def shrinking(fd, offset, view):\n"
        "    if offset > 20 << 20:\n"
        f"        os.truncate({str(initrd)!r}, 1 << 20)\n"
        "    return plain(fd, offset, view)\n"
        "files.pread_into = shrinking\n"
        "from sysgraft.cli.main import entry\n"
        "sys.argv = ['sysgraft', *sys.argv[1:]]\n"
        "entry()\n"
    )
    words = ("uki", "build", f"--linux={kit.kernel}", f"--stub={kit.stub}", "--config=",
             f"--os-release={OS_RELEASE}", f"--initrd={initrd}")  # fmt: skip
    done = subprocess.run(
        [sys.executable, "-c", script, *words, "-o", tmp_path / "out/x.efi"],
        capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip
    assert done.returncode == 2
    assert f"error: {initrd}: the file " in done.stderr
    assert not (tmp_path / "out").exists()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system with room for 4 MiB."""
    place = tmp_path / "disk"
    place.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", place], check=True)
    try:
        yield place
    finally:
        subprocess.run(["umount", place], check=True)


@pytest.mark.root
def test_nothing_is_left_on_a_full_disk(
    kit: Kit, small_disk: Path, signing_pair: SigningPair
) -> None:
    initrd = kit.file("initrd", bytes(8 * MEBIBYTE))
    path = small_disk / "folder/x.efi"
    result = kit.run(f"--initrd={initrd}", *signing(signing_pair), "-o", path)
    assert result.code == 2
    assert f"error: {path}: cannot be written: No space left on device" in result.err
    assert everything_in(small_disk) == []
    old = small_disk / "old.efi"
    old.write_text("precious")
    result = kit.run(f"--initrd={initrd}", "--force", "-o", old)
    assert result.code == 2
    assert old.read_text() == "precious"
    assert everything_in(small_disk) == ["old.efi"]


@pytest.mark.root
def test_nothing_is_left_when_there_is_no_room_for_temporary_files(
    kit: Kit, small_disk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TMPDIR", str(small_disk))
    monkeypatch.setattr("tempfile.tempdir", None)
    kit.file("root/etc/random", os.urandom(8 * MEBIBYTE))
    result = kit.run(f"--initrd={kit.folder}/root", "-o", kit.folder / "x.efi")
    assert result.code == 2
    assert f"error: {small_disk}: cannot be written: No space left on device" in result.err
    assert not (kit.folder / "x.efi").exists()
    assert everything_in(small_disk) == []


# --- Memory --------------------------------------------------------------------------------------

# Runs one command line; the most memory it had comes last on stdout. Not from getrusage, which
# counts in what the process was before it became this program.
MEASURED = """
import re, sys
from sysgraft.cli.main import main
code = main(sys.argv[1:])
print(re.search(r"VmHWM:\\s+([0-9]+) kB", open("/proc/self/status").read())[1])
sys.exit(code)
"""


def peak_of(*words: str | Path) -> int:
    """Bytes of memory a command took at most."""
    done = subprocess.run(
        [sys.executable, "-c", MEASURED, *map(str, words)],
        capture_output=True, text=True, check=False, timeout=600,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return int(done.stdout.splitlines()[-1]) * 1024


@pytest.fixture
def large_folder() -> Iterator[Path]:
    """A folder for large files, in memory where there is such a place."""
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else None) as name:
        yield Path(name)


@pytest.mark.skipif(sys.platform != "linux", reason="other systems do not tell the peak")
def test_a_gigabyte_of_initrd_takes_little_memory(
    kit: Kit, large_folder: Path, signing_pair: SigningPair
) -> None:
    initrd, path = kit.folder / "initrd", large_folder / "x.efi"
    with initrd.open("wb") as file:
        file.truncate(1 << 30)
    words = ("--config=", f"--linux={kit.kernel}", f"--stub={kit.stub}", "--os-release=ID=x",
             f"--initrd={initrd}", f"--pcr-private-key={signing_pair.key}")  # fmt: skip
    peak = peak_of("uki", "build", *words, *signing(signing_pair), "-o", path)
    assert path.stat().st_size > 1 << 30
    assert peak < 150 * MEBIBYTE
    assert peak_of("uki", "inspect", path) < 150 * MEBIBYTE


@pytest.mark.skipif(sys.platform != "linux", reason="other systems do not tell the peak")
def test_a_large_root_file_system_takes_little_memory(kit: Kit) -> None:
    (kit.folder / "root").mkdir()
    for number in range(4):
        with (kit.folder / f"root/{number}").open("wb") as file:
            file.truncate(100 * MEBIBYTE)
    words = ("--config=", f"--linux={kit.kernel}", f"--stub={kit.stub}", "--os-release=ID=x",
             f"--initrd={kit.folder}/root", "--initrd-compression=zstd:1")  # fmt: skip
    assert peak_of("uki", "build", *words, "-o", kit.folder / "x.efi") < 200 * MEBIBYTE
