"""Cpio archives: the bytes written, what is refused, and what the reader makes of odd ones."""

from __future__ import annotations

import stat
from dataclasses import replace

import pytest

from sysgraft.base.blob import BytesBlob
from sysgraft.base.tree import Inode
from sysgraft.errors import FormatError, LimitError, TruncatedError, UnsupportedError
from sysgraft.formats import cpio, cpio_reader

ROOT = Inode(stat.S_IFDIR | 0o755)
EMPTY = BytesBlob(b"")
U32 = 2**32 - 1
TRAILER = (
    b"070701" + b"00000000" * 4 + b"00000001" + b"00000000" * 6 + b"0000000b" + b"00000000"
    b"TRAILER!!!" + bytes(4)
)


class Sized:
    """A blob that says it is large and cannot be read."""

    def __init__(self, size: int) -> None:
        self.size = size

    def read_at(self, offset: int, length: int) -> bytes:
        raise AssertionError((offset, length))

    def readinto_at(self, offset: int, view: memoryview) -> None:
        raise AssertionError((offset, view))


class Watched:
    """Zeros; remembers the longest read."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.longest = 0

    def read_at(self, offset: int, length: int) -> bytes:
        assert 0 <= offset <= offset + length <= self.size
        self.longest = max(self.longest, length)
        return bytes(length)

    def readinto_at(self, offset: int, view: memoryview) -> None:
        view[:] = self.read_at(offset, len(view))


def file(data: bytes = b"", mode: int = 0o644) -> Inode:
    return Inode(stat.S_IFREG | mode, content=BytesBlob(data))


def link(target: bytes) -> Inode:
    return Inode(stat.S_IFLNK | 0o777, target=target)


def packed(tree: dict[bytes, Inode]) -> bytes:
    archive = cpio.plan({b"": ROOT, **tree})
    data = b"".join(archive.chunks())
    assert len(data) == archive.size
    return data


def read(data: bytes) -> list[cpio_reader.Entry]:
    return list(cpio_reader.entries(BytesBlob(data)))


def test_an_archive_has_the_bytes_of_the_format() -> None:
    inode = Inode(
        stat.S_IFREG | 0o4755, uid=0x12, gid=0x34, mtime=0x5EADBEEF, content=BytesBlob(b"hello")
    )
    assert packed({b"ab": inode}) == (
        b"070701" + b"00000001" + b"000041ed" + b"00000000" * 2 + b"00000001" + b"00000000" * 6
        + b"00000002" + b"00000000" + b".\0"
        + b"070701" + b"00000002" + b"000089ed" + b"00000012" + b"00000034" + b"00000001"
        + b"5eadbeef" + b"00000005" + b"00000000" * 4 + b"00000003" + b"00000000" + b"ab\0\0\0\0"
        + b"hello\0\0\0" + TRAILER
    )  # fmt: skip


def test_folders_come_before_what_is_in_them() -> None:
    folder = Inode(stat.S_IFDIR | 0o700)
    tree = {
        b"a/b/c": file(),
        b"a-b": file(),
        b"a": folder,
        b"a/b": replace(folder),
        b"a/b-": file(),
    }
    names = [entry.name for entry in read(packed(tree))]
    assert names == [b".", b"a", b"a-b", b"a/b", b"a/b-", b"a/b/c"]


def test_hard_links_share_a_number_and_the_last_has_the_data() -> None:
    one, two = file(b"data"), Inode(stat.S_IFIFO | 0o600)
    found = read(packed({b"b": one, b"a": one, b"d": one, b"c": file(b"x"), b"p": two, b"q": two}))
    facts = [(e.name, e.number, e.links, e.data.read_at(0, e.data.size)) for e in found]
    assert facts == [
        (b".", 1, 1, b""),
        (b"a", 2, 3, b""),
        (b"b", 2, 3, b""),
        (b"c", 3, 1, b"x"),
        (b"d", 2, 3, b"data"),
        (b"p", 4, 2, b""),
        (b"q", 4, 2, b""),
    ]


def test_a_link_with_two_names_keeps_its_target_under_both() -> None:
    one = link(b"target")
    found = read(packed({b"a": one, b"b": one}))
    assert [entry.data.read_at(0, entry.data.size) for entry in found] == [b"", *[b"target"] * 2]


def test_devices_keep_their_numbers_and_others_have_none() -> None:
    tree = {
        b"c": Inode(stat.S_IFCHR | 0o600, rdev=(5, 1)),
        b"b": Inode(stat.S_IFBLK | 0o600, rdev=(4095, 0xFFFFF)),
        b"f": replace(file(), rdev=(1, 2)),
    }
    assert [(e.name, e.device) for e in read(packed(tree))] == [
        (b".", (0, 0)),
        (b"b", (4095, 0xFFFFF)),
        (b"c", (5, 1)),
        (b"f", (0, 0)),
    ]


@pytest.mark.parametrize(
    ("mtime", "stored"),
    [
        (-5, 0),
        (0, 0),
        (2**31, 2**31),
        (2**32 - 1, 2**32 - 1),
        (2**32, 2**32 - 1),
        (2**60, 2**32 - 1),
    ],
)
def test_times_become_the_nearest_that_fit(mtime: int, stored: int) -> None:
    assert read(packed({b"f": replace(file(), mtime=mtime)}))[1].mtime == stored


def test_contents_are_read_in_pieces() -> None:
    large, small = Watched(3 * cpio.CHUNK + 5), Watched(3)
    archive = cpio.plan(
        {
            b"": ROOT,
            b"a": Inode(stat.S_IFREG, content=small),
            b"b": Inode(stat.S_IFREG, content=large),
        }
    )
    assert large.longest == small.longest == 0, "the size is known before anything is read"
    lengths = [len(chunk) for chunk in archive.chunks()]
    assert sum(lengths) == archive.size
    assert max(lengths) == large.longest == cpio.CHUNK
    assert len(lengths) < 7, "small pieces go together"


def test_the_largest_file_is_planned_and_a_larger_one_is_named() -> None:
    tree = {b"": ROOT, b"big": Inode(stat.S_IFREG, content=Sized(2**32 - 1))}
    assert cpio.plan(tree).size == 112 + 116 + 2**32 + 124
    tree[b"big"] = Inode(stat.S_IFREG, content=Sized(2**32))
    with pytest.raises(LimitError, match=r"^big: .*4294967296"):
        cpio.plan(tree)


def test_lost_attributes_are_counted_once_for_each_inode() -> None:
    labelled = replace(file(), xattrs=((b"security.capability", b"x"),))
    tree = {
        b"a": labelled,
        b"b": labelled,
        b"c": file(),
        b"": replace(ROOT, xattrs=((b"a", b"b"),)),
    }
    assert cpio.plan(tree).lost_xattrs == cpio.LostXattrs(2, (b"", b"a"))
    many = {b"%d" % n: replace(labelled) for n in range(5)}
    assert cpio.plan({b"": ROOT, **many}).lost_xattrs == cpio.LostXattrs(5, (b"0", b"1", b"2"))
    assert cpio.plan({b"": ROOT}).lost_xattrs == cpio.LostXattrs(0, ())


@pytest.mark.parametrize(
    ("path", "inode", "error"),
    [
        (b"TRAILER!!!", file(), FormatError),
        (b"/".join([b"d" * 255] * 16 + [b"f"]), file(), LimitError),
        (b"n" * 256, file(), LimitError),
        (b"f", Inode(stat.S_IFREG), FormatError),
        (b"f", Inode(0o644, content=EMPTY), FormatError),
        (b"f", Inode(stat.S_IFREG | 1 << 17, content=EMPTY), FormatError),
        (b"f", Inode(stat.S_IFIFO, content=EMPTY), FormatError),
        (b"f", replace(file(), uid=2**32), FormatError),
        (b"f", replace(file(), gid=-1), FormatError),
        (b"f", link(b""), FormatError),
        (b"f", link(b"a\0b"), FormatError),
        (b"f", link(b"t" * 4096), LimitError),
        (b"f", Inode(stat.S_IFCHR, rdev=(4096, 0)), LimitError),
        (b"f", Inode(stat.S_IFBLK, rdev=(0, 2**20)), LimitError),
        (b"f", Inode(stat.S_IFBLK, rdev=(0, -1)), LimitError),
    ],
)
def test_what_an_initrd_cannot_hold_is_named(
    path: bytes, inode: Inode, error: type[FormatError]
) -> None:
    parts = path.split(b"/")[:-1]
    folders = {b"/".join(parts[: n + 1]): replace(ROOT) for n in range(len(parts))}
    with pytest.raises(error, match=path[:20].decode()) as caught:
        cpio.plan({b"": ROOT, **folders, path: inode})
    assert type(caught.value) is error
    assert len(str(caught.value)) < 300


def test_the_longest_path_and_target_are_written() -> None:
    parts = [b"d" * 255] * 16
    tree = {b"/".join(parts[: n + 1]): replace(ROOT) for n in range(len(parts))}
    path = max(tree, key=len)
    assert len(path) == 4095
    tree[path] = link(b"t" * 4095)
    assert read(packed(tree))[-1].name == path


def test_a_folder_cannot_have_two_names() -> None:
    folder = Inode(stat.S_IFDIR | 0o755)
    with pytest.raises(FormatError, match="two paths"):
        cpio.plan({b"": ROOT, b"a": folder, b"b": folder})
    with pytest.raises(FormatError, match="no root"):
        cpio.plan({b"a": file()})


# --- Reading -------------------------------------------------------------------------------------


def test_archives_behind_one_another_are_one_list() -> None:
    first, second = packed({b"a": file(b"one")}), packed({b"b": file(b"two")})
    for gap in (0, 4, 512, 200_000):
        found = read(first + bytes(gap) + second + bytes(gap))
        assert [(e.name, e.archive) for e in found] == [(b".", 0), (b"a", 0), (b".", 1), (b"b", 1)]
    assert read(b"") == read(bytes(1000)) == []


def test_where_the_plain_archives_end_is_told() -> None:
    plain = packed({b"kernel": file(b"microcode")}) + bytes(512)
    for behind in (b"\x1f\x8b\x08", b"\x28\xb5\x2f\xfd more", b"\xfd7zXZ"):
        assert cpio_reader.plain_size(BytesBlob(plain + behind)) == len(plain)
        found = cpio_reader.entries(BytesBlob(plain + behind))
        assert [next(found).name, next(found).name] == [b".", b"kernel"]
        with pytest.raises(UnsupportedError, match=f"at byte {len(plain)} "):
            next(found)
    assert cpio_reader.plain_size(BytesBlob(plain)) == len(plain)
    assert cpio_reader.plain_size(BytesBlob(b"\x1f\x8b")) == 0


def test_capital_digits_and_the_checksummed_form_are_read() -> None:
    data = packed({b"ab": replace(file(b"\xff"), uid=0xABCDEF)})
    other = data.replace(b"070701", b"070702").replace(b"00abcdef", b"00ABCDEF")
    assert [e.uid for e in read(other)] == [0, 0xABCDEF]


def test_an_archive_cut_anywhere_is_refused() -> None:
    data = packed({b"a": file(b"12345"), b"b": link(b"a"), b"c": file(b"x" * 200)})
    assert len(read(data)) == 4
    for length in range(1, len(data)):
        with pytest.raises(TruncatedError):
            read(data[:length])


@pytest.mark.parametrize(
    ("old", "new", "error"),
    [
        (b"070701", b"070707", FormatError),  # the old portable form
        (b"070701", b"0x0701", FormatError),
        (b"00000005", b"0000000g", FormatError),
        (b"00000005", b"+0000005", FormatError),
        (b"00000005", b" 0000005", FormatError),
        (b"00000005", b"0_000005", FormatError),
        (b"00000005", b"ffffffff", TruncatedError),
        (b"00000003", b"ffffffff", LimitError),
        (b"00000003", b"00001001", LimitError),
        (b"00000003", b"00001000", TruncatedError),
        (b"00000003", b"00000001", FormatError),  # no name
        (b"00000003", b"00000000", FormatError),
        (b"00000003", b"00000002", FormatError),  # no NUL where the name ends
        (b"00000003", b"00000004", FormatError),  # a NUL inside
        (b"00000003", b"00000008", FormatError),
    ],
)
def test_wrong_headers_are_refused(old: bytes, new: bytes, error: type[FormatError]) -> None:
    data = packed({b"ab": file(b"hello")})
    at = data.rindex(old, 0, len(data) - len(TRAILER))
    with pytest.raises(error) as caught:
        read(data[:at] + new + data[at + len(old) :])
    assert type(caught.value) is error


def test_entries_begin_at_multiples_of_four() -> None:
    data = packed({})
    with pytest.raises(FormatError, match="aligned"):
        read(data + b"\0" + data)


def test_the_number_of_entries_is_limited(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cpio_reader, "MAX_ENTRIES", 10)
    data = packed({b"%d" % n: file() for n in range(9)})
    with pytest.raises(LimitError):
        read(data)
