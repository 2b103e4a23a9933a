"""The archives systemd-stub and systemd-boot make: byte for byte, and as GNU cpio reads them."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING, Final

import pytest

from sysgraft.base.blob import BytesBlob
from sysgraft.errors import LimitError
from sysgraft.formats import cpio_reader, stub_archive
from sysgraft.formats.stub_archive import TRAILER, File, Folder, Numbers, Step

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

SYSEXT: Final = Folder(".extra/sysext", 0o555, 0o444)
SECRET: Final = Folder(".extra/credentials", 0o500, 0o400)

# Written down by hand from newc's table: magic, then inode, mode, uid, gid, nlink, mtime, size, the
# device's and the node's major and minor numbers, namesize, check.
BY_HAND: Final = (
    b"070701" b"00000001" b"0000416d" b"00000000" b"00000000" b"00000001" b"00000000" b"00000000"
    b"00000000" b"00000000" b"00000000" b"00000000" b"00000007" b"00000000"
    b".extra\0" b"\0\0\0"
    b"070701" b"00000002" b"0000416d" b"00000000" b"00000000" b"00000001" b"00000000" b"00000000"
    b"00000000" b"00000000" b"00000000" b"00000000" b"0000000e" b"00000000"
    b".extra/sysext\0"
    b"070701" b"00000003" b"00008124" b"00000000" b"00000000" b"00000001" b"00000000" b"00000005"
    b"00000000" b"00000000" b"00000000" b"00000000" b"00000014" b"00000000"
    b".extra/sysext/a.raw\0" b"\0\0"
    b"abcde" b"\0\0\0"
    b"070701" b"00000000" b"00000000" b"00000000" b"00000000" b"00000001" b"00000000" b"00000000"
    b"00000000" b"00000000" b"00000000" b"00000000" b"0000000B" b"00000000"
    b"TRAILER!!!\0" b"\0\0\0"
)  # fmt: skip


def packed(folder: Folder, files: Mapping[str, bytes]) -> bytes:
    steps = stub_archive.pack(folder, [File(name, len(files[name]), name) for name in files])
    return joined(steps, files)


def joined(steps: Iterable[Step], files: Mapping[str, bytes]) -> bytes:
    return b"".join(s.head + files[str(s.key)] + s.padding for s in steps) + TRAILER


def test_bytes_by_hand() -> None:
    assert packed(SYSEXT, {"a.raw": b"abcde"}) == BY_HAND


def test_the_trailer() -> None:
    assert len(TRAILER) == 124
    assert BY_HAND.endswith(TRAILER)


@pytest.mark.parametrize("size", range(9))
def test_contents_are_padded_to_four_bytes(size: int) -> None:
    data = bytes(range(1, size + 1))
    archive = packed(SYSEXT, {"a.raw": data, "b.raw": data})
    assert len(archive) % 4 == 0
    found = {each.name: each.data for each in cpio_reader.entries(BytesBlob(archive))}
    assert found[b".extra/sysext/b.raw"].read_at(0, size) == data
    assert found[b".extra/sysext/a.raw"].size == size


FILES: Final = {"Z.raw": b"", "a.raw": b"1", "b" * 200 + ".raw": bytes(4097), "c.raw": b"1234"}


def test_sizes() -> None:
    steps = stub_archive.pack(SYSEXT, [File(name, len(data), name) for name, data in FILES.items()])
    assert tuple(step.key for step in steps) == tuple(FILES)


def test_folders_come_once_in_front() -> None:
    steps = stub_archive.pack(SYSEXT, [File(name, 0, name) for name in ("a", "b", "c")])
    assert [step.head.count(b"070701") for step in steps] == [3, 1, 1]
    assert stub_archive.pack(SYSEXT, []) == ()


def test_archives_of_sets_begin_alike() -> None:
    """As long as their files do: that is what makes hashing many of them cheap."""
    both = [stub_archive.pack(SYSEXT, [File(n, 5, n) for n in names]) for names in ("abc", "abd")]
    assert both[0][:2] == both[1][:2]
    assert both[0][2] != both[1][2]


def test_a_file_that_is_too_large() -> None:
    stub_archive.pack(SYSEXT, [File("a.raw", stub_archive.MAX_FILE, "a")])
    with pytest.raises(LimitError, match=r"a\.raw has 4294967296 bytes"):
        stub_archive.pack(SYSEXT, [File("a.raw", stub_archive.MAX_FILE + 1, "a")])
    with pytest.raises(LimitError):
        stub_archive.pack_extra(SYSEXT, File("a", stub_archive.MAX_FILE + 1, "a"), Numbers())


# --- As GNU cpio reads them ----------------------------------------------------------------------


def listed(archive: bytes) -> list[tuple[str, str, int]]:
    """Names, permissions and sizes."""
    argv = ["cpio", "--list", "--verbose", "--numeric-uid-gid", "--quiet"]
    done = subprocess.run(argv, input=archive, capture_output=True, check=True, timeout=60)
    assert done.stderr == b""
    found = []
    for line in done.stdout.decode().splitlines():
        mode, links, uid, gid, size, *_, name = line.split()
        assert (links, uid, gid) in (("1", "0", "0"), ("2", "0", "0")), line
        found.append((name, mode, int(size)))
    return found


@pytest.mark.oracle("cpio")
@pytest.mark.parametrize(
    ("folder", "modes"),
    [(SYSEXT, ("dr-xr-xr-x", "-r--r--r--")), (SECRET, ("dr-x------", "-r--------"))],
)
def test_gnu_cpio_lists_them(folder: Folder, modes: tuple[str, str]) -> None:
    files = [(f"{folder.path}/{name}", modes[1], len(data)) for name, data in FILES.items()]
    top = [(".extra", "dr-xr-xr-x", 0), (folder.path, modes[0], 0)]
    assert listed(packed(folder, FILES)) == [*top, *files]


@pytest.mark.oracle("cpio")
def test_gnu_cpio_lists_what_a_boot_entry_has_extra() -> None:
    files = {"b.sysext.raw": b"first", "a.sysext.raw": b"second"}
    numbers = Numbers()
    steps = [stub_archive.pack_extra(SYSEXT, File(n, len(d), n), numbers) for n, d in files.items()]
    assert [name for name, _, _ in listed(joined(steps, files))] == [
        ".extra",
        ".extra/sysext",
        ".extra/sysext/b.sysext.raw",
        ".extra",
        ".extra/sysext",
        ".extra/sysext/a.sysext.raw",
    ]


# --- What a boot entry lists ---------------------------------------------------------------------


def test_archives_of_a_boot_entry_are_numbered_together() -> None:
    numbers = Numbers()
    steps = [
        stub_archive.pack_extra(folder, File(name, 0, name), numbers)
        for folder, name in ((SYSEXT, "b"), (SECRET, "x"), (SYSEXT, "a"))
    ]
    inodes = [int(part[:8], 16) for step in steps for part in step.head.split(b"070701") if part]
    assert inodes == list(range(1, 10))


def test_one_file_looks_alike_in_both() -> None:
    """The first file of an entry is packed as the stub packs a single file."""
    extra = stub_archive.pack_extra(SYSEXT, File("a.raw", 5, "a.raw"), Numbers())
    assert joined([extra], {"a.raw": b"abcde"}) == BY_HAND
