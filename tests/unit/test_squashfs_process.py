"""The child that reads squashfs: what it may not do to its parent, and what the parent believes."""

from __future__ import annotations

import os
import signal
import stat
import sys
import time
from typing import TYPE_CHECKING, Any

import pytest

from golden_images import golden
from sysgraft.base.blob import BytesBlob
from sysgraft.errors import FormatError, LimitError, UnsupportedError
from sysgraft.host import squashfs
from sysgraft.host.squashfs import ROOT, DiskInode, Listing, SquashfsProcess
from sysgraft.image.content import UsrReader
from sysgraft.image.inspect import inspect_image
from sysgraft.image.squashfs import SquashfsReader

if TYPE_CHECKING:
    from pathlib import Path

# A child that says what the test wants, in the words of the protocol.
HEAD = """
import os, struct, sys, time
def send(kind, content):
    os.write(1, struct.pack(">I1s", len(content), kind) + content)
os.read(0, 65536)  # the question
"""
IMAGE = BytesBlob(bytes(8192))


def child(script: str) -> SquashfsProcess:
    return SquashfsProcess(IMAGE, (sys.executable, "-c", HEAD + script))


@pytest.mark.parametrize(
    ("script", "message"),
    [
        ("", "broke off"),
        ("sys.exit(3)", r"broke off \(status 3\)"),
        ("os.kill(os.getpid(), 9)", r"broke off \(status -9\)"),
        ("os.write(1, b'x')", "broke off"),
        ("send(b'J', b'')", "nonsense"),
        ("send(b'J', b'{}')", "nonsense"),
        ("send(b'J', b'[' * 100000)", "nonsense"),
        ("send(b'D', b'bytes where a listing belongs')", "nonsense"),
        ("send(b'?', b'')", "nonsense"),
        ("send(b'E', b'nothing said')", "nonsense"),
        ("""send(b'E', b'{"kind": "other", "message": ""}')""", "nonsense"),
        ("""send(b'E', b'{"kind": "damaged", "message": "x\\\\u001b[1m"}')""", r"damaged: x\\x1b"),
        ("send(b'N', b'short')", "nonsense"),
        ("send(b'N', struct.pack('>QI', 8192, 1))", "nonsense"),
        ("send(b'N', struct.pack('>QI', 1 << 63, 1))", "nonsense"),
        ("send(b'N', struct.pack('>QI', 0, 1 << 30))", "nonsense"),
        ("os.write(1, struct.pack('>I1s', 0xFFFFFFFF, b'J'))", "4294967295 bytes to list"),
    ],
)
def test_what_is_no_answer(script: str, message: str) -> None:
    process = child(script)
    with pytest.raises(FormatError, match=message):
        process.listing(ROOT)
    process.close()
    with pytest.raises(FormatError, match="has ended"):
        process.listing(ROOT)


def test_content_of_another_length_is_no_answer() -> None:
    with pytest.raises(FormatError, match="nonsense"):
        child("send(b'D', b'123')").read(1, 0, 2)


@pytest.mark.parametrize("script", ["time.sleep(60)", "while True: send(b'N', bytes(11) + b'!')"])
def test_one_that_never_answers_is_ended(script: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(squashfs, "MAX_SECONDS", 0.5)
    process = child(script)
    begin = time.monotonic()
    with pytest.raises(LimitError, match=r"longer than 0\.5 seconds"):
        # The second asks for bytes without end and never takes them.
        process.listing(ROOT)
    assert time.monotonic() - begin < 10
    assert process._process.returncode == -signal.SIGKILL


def test_its_memory_is_bounded() -> None:
    script = """
from sysgraft.host import squashfs_child as c
c.limit_resources()
try:
    bytearray(2 << 30)
except MemoryError as error:
    import json
    send(b"E", json.dumps(c._described_error(error)).encode())
"""
    with pytest.raises(LimitError, match="too much memory"):
        child(script).listing(ROOT)


def test_it_can_write_no_files(tmp_path: Path) -> None:
    script = f"""
import signal
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
from sysgraft.host import squashfs_child as c
c.limit_resources()
try:
    with open({str(tmp_path / "file")!r}, "wb", 0) as file:
        file.write(b"x")
except OSError:
    send(b"E", b'{{"kind": "damaged", "message": "too large"}}')
"""
    with pytest.raises(FormatError, match="too large"):
        child(script).listing(ROOT)
    assert (tmp_path / "file").read_bytes() == b""


def test_a_failure_is_an_answer_and_the_next_question_follows() -> None:
    process = child("""
send(b'E', b'{"kind": "damaged", "message": "first"}')
send(b'D', b'ok')
time.sleep(60)
""")
    with pytest.raises(FormatError, match="first"):
        process.listing(ROOT)
    assert process.read(1, 0, 2) == b"ok"
    process.close()


def test_it_ends_with_its_reader(tmp_path: Path) -> None:
    blob = BytesBlob(partition(tmp_path))
    reader = SquashfsReader(blob)
    pid = reader._process._process.pid
    os.kill(pid, 0)
    del reader
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_a_forked_worker_does_not_end_it(tmp_path: Path) -> None:
    process = SquashfsProcess(BytesBlob(partition(tmp_path)))
    pid = os.fork()
    if not pid:
        process.close()
        os._exit(0)
    os.waitpid(pid, 0)
    assert process.listing(ROOT).inode.mode == stat.S_IFDIR | 0o755


def test_forked_workers_read_through_children_of_their_own(tmp_path: Path) -> None:
    blob = BytesBlob(partition(tmp_path))
    tree = SquashfsReader(blob).read_tree()
    contents = [inode.content for inode in tree.values() if inode.content is not None]
    expected = [content.read_at(0, content.size) for content in contents]
    workers = []
    for _ in range(3):
        workers.append(os.fork())
        if not workers[-1]:
            found = [content.read_at(0, content.size) for content in contents]
            os._exit(0 if found == expected else 1)
    for _ in range(5):
        assert [content.read_at(0, content.size) for content in contents] == expected
    assert {os.waitpid(pid, 0)[1] for pid in workers} == {0}


def partition(folder: Path) -> bytes:
    """The squashfs in a golden image."""
    image = golden("sysext-252-squashfs", folder)
    data = inspect_image(image).dissection.data
    assert data is not None
    start = data.partition.offset
    return image.read_bytes()[start : start + data.partition.size]


@pytest.mark.usefixtures("without_squashfs")
def test_without_the_library_it_says_how_to_get_it() -> None:
    with pytest.raises(UnsupportedError, match=r"pip install 'sysgraft\[squashfs\]'"):
        SquashfsReader(IMAGE)


def test_a_child_that_cannot_start() -> None:
    with pytest.raises(UnsupportedError, match="no process can be started"):
        SquashfsProcess(IMAGE, ("/nonexistent/python",))


# What the walk believes of what it is told.

TOP: dict[str, Any] = {"mode": stat.S_IFDIR | 0o755, "ref": 1}


def disk(name: str = "", **changes: Any) -> DiskInode:
    fields: dict[str, Any] = {
        "ref": 99,
        "mode": stat.S_IFREG | 0o644,
        "uid": 0,
        "gid": 0,
        "mtime": 0,
        "size": 0,
        "target": "",
        "device": 0,
        "xattrs": [],
        "name": name,
    }
    return DiskInode(**{**fields, **changes})


class Told:
    """A process whose directories are given."""

    def __init__(self, folders: dict[int, list[DiskInode]], root: DiskInode | None = None) -> None:
        self.folders = folders
        self.root = root or disk(**TOP)

    def listing(self, ref: int) -> Listing:
        ref = 1 if ref == ROOT else ref
        inode = self.root if ref == 1 else disk(ref=ref)
        return Listing(inode, self.folders.get(ref, []))


def reader(*entries: DiskInode, **folders: list[DiskInode]) -> SquashfsReader:
    told = Told({1: list(entries)} | {int(key[1:]): value for key, value in folders.items()})
    return SquashfsReader(IMAGE, told)  # type: ignore[arg-type]


DIRECTORY = {"mode": stat.S_IFDIR | 0o755}
LINK = {"mode": stat.S_IFLNK | 0o777}


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        ([disk("")], "a name that cannot be"),
        ([disk("..")], "a name that cannot be"),
        ([disk(".")], "a name that cannot be"),
        ([disk("a/b")], "a name that cannot be"),
        ([disk("/etc")], "a name that cannot be"),
        ([disk("a\0b")], "a name that cannot be"),
        ([disk("n" * 256)], "a name that cannot be"),
        ([disk("☃")], "nonsense"),
        ([disk("x"), disk("x", ref=98)], "x is there twice"),
        ([disk("x", mode=0o644)], "x: an inode that makes no sense"),
        ([disk("x", mode=1 << 20)], "x: an inode that makes no sense"),
        ([disk("x", uid=-1)], "x: an inode that makes no sense"),
        ([disk("x", size=1 << 63)], "x: an inode that makes no sense"),
        ([disk("x", size=-1)], "x: an inode that makes no sense"),
        ([disk("x", mtime=1 << 32)], "x: an inode that makes no sense"),
        ([disk("x", **LINK)], "x: a link to nowhere"),
        ([disk("x", **LINK, target="a\0")], "x: a link to nowhere"),
        ([disk("x", **LINK, target="a" * 4096)], "x: a link to nowhere"),
        ([disk("x", target="a")], "x: a link to nowhere"),
        ([disk("x", xattrs=[("user.☃", "")])], "nonsense"),
        ([disk("x", ref=1, **DIRECTORY)], "x is a directory in two places"),
        ([disk("x", ref=5, **DIRECTORY), disk("y", ref=5, **DIRECTORY)], "y is a directory in two"),
    ],
)
def test_what_is_not_believed(entries: list[DiskInode], message: str) -> None:
    with pytest.raises(FormatError, match=message):
        reader(*entries).read_tree()


def test_a_root_that_is_no_directory() -> None:
    told = Told({}, disk(ref=1))
    with pytest.raises(FormatError, match="root of the image is not a directory"):
        SquashfsReader(IMAGE, told).read_tree()  # type: ignore[arg-type]


def test_trees_are_bounded() -> None:
    many = reader(*(disk(str(number), ref=100 + number) for number in range(50)))
    assert len(many.read_tree(max_entries=51)) == 51
    with pytest.raises(LimitError, match="more than 50 paths"):
        many.read_tree(max_entries=50)
    xattrs = [("user.x", "v" * (1 << 16))]
    heavy = reader(*(disk(str(n), ref=100 + n, xattrs=xattrs) for n in range(3000)))
    with pytest.raises(LimitError, match="attributes exceed"):
        heavy.read_tree()


@pytest.fixture
def linked() -> SquashfsReader:
    return reader(
        disk("lib", ref=5, **LINK, target="/deep/lib"),
        disk("circle", ref=6, **LINK, target="circle"),
        disk("deep", ref=7, **DIRECTORY),
        r7=[disk("lib", ref=8, **DIRECTORY), disk("up", ref=9, **LINK, target="../../..")],
        r8=[disk("x", ref=10), disk("hard", ref=10)],
    )


def test_links_are_followed_inside(linked: SquashfsReader) -> None:
    assert linked.lookup(b"lib/x") is linked.lookup(b"deep/lib/hard")
    assert linked.lookup(b"deep/up/deep/up/lib/x") is not None
    assert linked.listdir(b"lib") == [b"hard", b"x"]
    assert linked.listdir(b"") == [b"circle", b"deep", b"lib"]
    found = linked.lookup(b"lib")
    assert found is not None
    assert found.is_symlink
    with pytest.raises(FormatError, match="more than 40 links"):
        linked.lookup(b"circle/x")
    with pytest.raises(FormatError, match="no directory"):
        linked.listdir(b"lib/x")
    with pytest.raises(LimitError, match="2 files of this kind"):
        linked.select(b"deep/lib", lambda _: True, max_entries=1)
    assert linked.select(b"lib", lambda _: True, max_entries=9) == {}


def test_a_usr_partition_is_seen_below_usr(linked: SquashfsReader) -> None:
    mounted = UsrReader(linked)
    assert b"usr/deep/lib/x" in mounted.read_tree()
    assert mounted.lookup(b"usr/deep/lib/x") is not None
    assert mounted.lookup(b"deep/lib/x") is None
    with pytest.raises(UnsupportedError, match="usr/lib is a symbolic link"):
        mounted.lookup(b"usr/lib/x")
