"""What a stripped root keeps: owners, times, devices, and links to what stays."""

from __future__ import annotations

import gzip
import lzma
import os
import stat
import tarfile
import time
import zlib
from typing import TYPE_CHECKING

import pytest

from command import sysgraft
from sysgraft.base.blob import BytesBlob
from sysgraft.base.tree import Inode
from sysgraft.firmware.plan_document import File, Plan, Totals, render_plan
from sysgraft.formats import cpio, cpio_reader

if TYPE_CHECKING:
    from pathlib import Path

OWNER = 4711


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A root with firmware and a link to it as Debian's alternatives make them."""
    root = tmp_path / "root"
    firmware = root / "usr/lib/firmware"
    firmware.mkdir(parents=True)
    (root / "lib").symlink_to("usr/lib")
    (firmware / "regulatory.db-debian").write_bytes(b"db")
    (firmware / "unused.bin").write_bytes(b"unused")
    alternatives = root / "etc/alternatives"
    alternatives.mkdir(parents=True)
    (alternatives / "regulatory.db").symlink_to("/lib/firmware/regulatory.db-debian")
    (firmware / "regulatory.db").symlink_to("/etc/alternatives/regulatory.db")
    return root


def stripped(root: Path, output: Path, *words: str | Path) -> dict[str, tarfile.TarInfo]:
    done = sysgraft("firmware", "strip", root, "--output", output, "--force", *words)
    assert done.code == 0, done.err
    with tarfile.open(output) as tar:
        return {member.name: member for member in tar}


def test_times_stay_up_to_the_latest_one(root: Path, tmp_path: Path) -> None:
    file = root / "etc/motd"
    file.write_bytes(b"hello")
    os.utime(file, ns=(0, 1_600_000_000_123_456_789))
    found = stripped(root, tmp_path / "a.tar")
    assert found["etc/motd"].pax_headers["mtime"] == "1600000000.123456789"
    clamped = stripped(root, tmp_path / "b.tar", "--source-date-epoch", "1000")
    assert {member.mtime for member in clamped.values()} == {1000}


def test_owners_stay_so_that_no_program_becomes_roots(root: Path, tmp_path: Path) -> None:
    tool = root / "usr/tool"
    tool.write_bytes(b"tool")
    tool.chmod(0o4755)
    if os.geteuid() == 0:
        os.chown(tool, OWNER, OWNER)
        tool.chmod(0o4755)
    member = stripped(root, tmp_path / "a.tar")["usr/tool"]
    assert (member.uid, member.gid) == (tool.stat().st_uid, tool.stat().st_gid)
    assert member.mode == 0o4755


@pytest.mark.root
def test_devices_keep_their_numbers(root: Path, tmp_path: Path) -> None:
    (root / "dev").mkdir()
    os.mknod(root / "dev/null", stat.S_IFCHR | 0o666, os.makedev(1, 3))
    member = stripped(root, tmp_path / "a.tar")["dev/null"]
    assert (member.devmajor, member.devminor) == (1, 3)


def test_the_result_is_not_written_into_its_source(root: Path) -> None:
    done = sysgraft("firmware", "strip", root, "--output", root / "etc/out.tar")
    assert done.code == 2
    assert "lies inside the source" in done.err
    assert not (root / "etc/out.tar").exists()


def test_links_that_are_kept_by_name_stay_wherever_they_lead(root: Path, tmp_path: Path) -> None:
    (root / "usr/lib/firmware/absolute.db").symlink_to("/usr/lib/firmware/regulatory.db-debian")
    (root / "usr/lib/firmware/outside.db").symlink_to("/opt/vendor.db")
    (root / "usr/lib/firmware/unused.db").symlink_to("unused.bin")
    keep = ("--keep", "regulatory.db", "--keep", "outside*")
    found = stripped(root, tmp_path / "a.tar", *keep)
    firmware = {name.rpartition("/")[2] for name in found if "usr/lib/firmware/" in name}
    assert firmware == {"regulatory.db", "regulatory.db-debian", "absolute.db", "outside.db"}
    done = sysgraft("firmware", "strip", root, "--output", tmp_path / "b.tar", *keep)
    assert "1 link" in done.out, done


def test_early_files_stay_in_whatever_form_the_root_has_them(root: Path, tmp_path: Path) -> None:
    (root / "usr/lib/firmware/disk.bin.xz").write_bytes(b"disk")
    file = File("disk.bin.zst", 4, "early", ())
    gone = File("gone.bin", 4, "early", ())
    plan = Plan(
        level="device", architecture="x86-64", kernels=(), machines=1, files=(file, gone),
        links=(), licenses=(), totals=Totals(2, 8, 2, 8, 0, 0, 2, 8),
    )  # fmt: skip
    (tmp_path / "plan.json").write_bytes(render_plan(plan))
    output = tmp_path / "a.tar"
    words = ("--plan", tmp_path / "plan.json", "--output", output, "--json")
    done = sysgraft("firmware", "strip", root, *words)
    assert done.code == 0, done.err
    assert done.document["missing"] == ["gone.bin"]
    with tarfile.open(output) as tar:
        assert "usr/lib/firmware/disk.bin.xz" in tar.getnames()


# --- initrds -------------------------------------------------------------------------------------


def archive(*files: tuple[str, bytes]) -> bytes:
    """A plain archive of files, and links where a content begins with ``->``."""
    tree: dict[bytes, Inode] = {b"": Inode(mode=stat.S_IFDIR | 0o755)}
    for name, data in files:
        path = name.encode()
        for count in range(1, len(path.split(b"/"))):
            above = b"/".join(path.split(b"/")[:count])
            tree[above] = Inode(mode=stat.S_IFDIR | 0o755)
        if data.startswith(b"->"):
            tree[path] = Inode(mode=stat.S_IFLNK | 0o777, target=data[2:])
        else:
            tree[path] = Inode(mode=stat.S_IFREG | 0o644, content=BytesBlob(data))
    return b"".join(cpio.plan(tree).chunks())


FIRMWARE = ("usr/lib/firmware/a.bin", b"firmware" * 99)


def strip(initrd: bytes, folder: Path, *words: str) -> tuple[int, bytes, str]:
    (folder / "initrd").write_bytes(initrd)
    done = sysgraft(
        "firmware", "strip", folder / "initrd", "--output", folder / "slim", "--force", *words
    )
    slim = (folder / "slim").read_bytes() if done.code == 0 else b""
    return done.code, slim, done.err


def test_parts_in_any_order(tmp_path: Path) -> None:
    """What nothing goes from stays byte for byte, wherever it is."""
    front = archive(("kernel/x86/microcode/AuthenticAMD.bin", b"microcode"))
    packed = gzip.compress(archive(("init", b"init"), FIRMWARE), mtime=0)
    packed += bytes(-len(packed) % 4)
    other = lzma.compress(archive(("other", b"other")), check=lzma.CHECK_CRC32)
    other += bytes(-len(other) % 4)
    plain = archive(("etc/added", b"added"), ("usr/lib/firmware/b.bin", b"b"))
    code, slim, err = strip(front + packed + other + plain, tmp_path)
    assert code == 0, err
    assert slim.startswith(front)
    rest = slim[len(front) :]
    unpacker = zlib.decompressobj(31)
    assert names(unpacker.decompress(rest)) == {"init"}
    rest = unpacker.unused_data.lstrip(b"\0")
    assert rest.startswith(other)
    assert names(rest[len(other) :].lstrip(b"\0")) == {"etc/added"}
    last = slim.rindex(b"070701", 0, slim.rindex(b"etc/added"))
    assert last % 4 == 0, "where the kernel looks"


def test_paths_through_links_are_where_the_kernel_puts_them(tmp_path: Path) -> None:
    """``lib`` is a link of an earlier archive: it stays one, and firmware below it is found."""
    base = archive(("lib", b"->usr/lib"), ("usr/lib/firmware/a.bin", b"a"))
    more = b"".join(
        [entry(b"lib/firmware/b.bin", b"b"), entry(b"lib/firmware/c.bin", b"c"), archive()]
    )
    code, slim, err = strip(base + more, tmp_path, "--keep", "b.bin")
    assert code == 0, err
    found = [each.name for each in cpio_reader.entries(BytesBlob(slim))]
    assert b"usr/lib/firmware/b.bin" in found
    assert not [name for name in found if name.endswith((b"a.bin", b"c.bin"))]
    assert found.count(b"lib") == 1


def test_links_in_circles_are_refused(tmp_path: Path) -> None:
    base = archive(("lib", b"->lib"))
    code, _, err = strip(base + entry(b"lib/init", b"x") + archive(), tmp_path)
    assert code == 2
    assert "links lead in circles: lib" in err


def entry(name: bytes, data: bytes) -> bytes:
    fields = (1, stat.S_IFREG | 0o644, 0, 0, 1, 0, len(data), 0, 0, 0, 0, len(name) + 1, 0)
    head = b"070701" + b"%08x" * 13 % fields + name + b"\0"
    return head + bytes(-len(head) % 4) + data + bytes(-len(data) % 4)


def names(data: bytes) -> set[str]:
    found = cpio_reader.entries(BytesBlob(data))
    return {entry.name.decode() for entry in found if entry.data.size}


def test_archives_of_one_kind_become_one(tmp_path: Path) -> None:
    one, two = archive(("init", b"init"), FIRMWARE), archive(("two", b"two"))
    code, slim, err = strip(gzip.compress(one) + gzip.compress(two) + bytes(99), tmp_path)
    assert code == 0, err
    assert names(gzip.decompress(slim)) == {"init", "two"}


@pytest.mark.parametrize(
    ("behind", "message"),
    [
        (b"junk", "begins neither a cpio archive nor"),
        (b"\x02\x21\x4c\x18" + bytes(99), "compressed with LZ4, which is not read"),
        (gzip.compress(b"junk" * 99), "is no initrd"),
        (gzip.compress(b"junk" * 99)[:-9], "too early"),
        (b"\0" + b"\x1f\x8b\x08" + bytes(9), "gzip"),
    ],
)
def test_what_is_wrong_is_said(tmp_path: Path, behind: bytes, message: str) -> None:
    code, _, err = strip(archive(("init", b"init")) + behind, tmp_path)
    assert code == 2
    assert message in err
    assert not (tmp_path / "slim").exists()


def test_an_endless_number_of_parts(tmp_path: Path) -> None:
    packed = gzip.compress(archive(("two", b"two")), mtime=0)
    pair = archive(("one", b"one")) + packed + bytes(-len(packed) % 4)
    code, _, err = strip(pair * 51, tmp_path)
    assert code == 2
    assert "more than 100 parts" in err


def test_a_target_of_megabytes_is_not_read(tmp_path: Path) -> None:
    data = bytearray(archive(("link", b"->" + b"x" * 4000)))
    start = data.rindex(b"070701", 0, data.index(b"link\0"))
    data[start + 54 : start + 62] = b"%08x" % (1 << 20)
    code, _, err = strip(bytes(data) + bytes(1 << 20), tmp_path)
    assert code == 2
    assert "a link's target of 1048576 bytes" in err


def test_many_names_of_one_file_are_read_in_linear_time(tmp_path: Path) -> None:
    """Each name brings data anew, which all of the others get."""
    count = 20_000
    header = b"070701" + b"%08x" * 13
    entries = []
    for number in range(count):
        name = b"f%07d\0" % number
        fields = (1, stat.S_IFREG | 0o644, 0, 0, count, 0, 4, 0, 0, 0, 0, len(name), 0)
        entries.append(header % fields + name + bytes(-(110 + len(name)) % 4) + b"data")
    started = time.process_time()
    code, _, err = strip(b"".join(entries) + archive(), tmp_path)
    assert code == 0, err
    assert time.process_time() - started < 30
