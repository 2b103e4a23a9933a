"""The tar reader: what GNU, pax and ustar archives say, and what it refuses."""

from __future__ import annotations

import io
import tarfile
from typing import TYPE_CHECKING

import pytest

from sysgraft.base.blob import BytesBlob
from sysgraft.errors import FormatError, LimitError, TruncatedError, UnsupportedError
from sysgraft.formats import tar, tar_fields
from sysgraft.formats.stream import BlobSource
from sysgraft.formats.tar import Kind, Member, TarReader, looks_like_tar

if TYPE_CHECKING:
    from collections.abc import Callable

END = bytes(1024)


def header(name: bytes = b"f", flag: bytes = b"0", size: bytes = b"0", **fields: bytes) -> bytes:
    """One POSIX header block; `fields` replace mode, uid, gid, mtime, linkname, magic, prefix."""
    places = {
        "mode": (100, 8, b"644"),
        "uid": (108, 8, b"0"),
        "gid": (116, 8, b"0"),
        "mtime": (136, 12, b"0"),
        "linkname": (157, 100, b""),
        "magic": (257, 8, b"ustar\x0000"),
        "devmajor": (329, 8, b"0"),
        "devminor": (337, 8, b"0"),
        "prefix": (345, 155, b""),
    }
    block = bytearray(512)
    block[: len(name)] = name
    block[124 : 124 + len(size)] = size
    block[156:157] = flag
    for key, (start, length, default) in places.items():
        block[start : start + length] = fields.get(key, default).ljust(length, b"\0")
    return seal(block)


def seal(block: bytearray) -> bytes:
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % sum(block)
    return bytes(block)


def padded(data: bytes) -> bytes:
    return data + bytes(-len(data) % 512)


def pax(records: dict[str, bytes], flag: bytes = b"x") -> bytes:
    return raw_pax(b"".join(record(key.encode(), value) for key, value in records.items()), flag)


def raw_pax(body: bytes, flag: bytes = b"x") -> bytes:
    return header(b"pax", flag, b"%o" % len(body)) + padded(body)


def record(key: bytes, value: bytes) -> bytes:
    length = len(key) + len(value) + 3
    while length != len(key) + len(value) + 3 + len(str(length)):
        length = len(key) + len(value) + 3 + len(str(length))
    return b"%d %s=%s\n" % (length, key, value)


def read(data: bytes) -> list[tuple[Member, bytes]]:
    reader = TarReader(BlobSource(BytesBlob(data)))
    return [(member, reader.read(member.size)) for member in reader]


def only(data: bytes) -> Member:
    [(member, _)] = read(data)
    return member


def written(write: Callable[[tarfile.TarFile], None], form: int) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=form) as archive:
        write(archive)
    return out.getvalue()


LONG = "d/" * 90 + "n" * 100


@pytest.mark.parametrize("form", [tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_long_names_large_owners_and_links_of_both_formats(form: int) -> None:
    def write(archive: tarfile.TarFile) -> None:
        info = tarfile.TarInfo(LONG)
        info.size, info.mode, info.mtime, info.uid, info.gid = (
            5,
            0o4750,
            1_700_000_000,
            3_000_000,
            7,
        )
        archive.addfile(info, io.BytesIO(b"hello"))
        link = tarfile.TarInfo("l" * 150)
        link.type, link.linkname = tarfile.SYMTYPE, "t" * 300
        archive.addfile(link)
        hard = tarfile.TarInfo("hard")
        hard.type, hard.linkname = tarfile.LNKTYPE, LONG
        archive.addfile(hard)

    (file, data), (link, _), (hard, _) = read(written(write, form))
    assert (file.name, file.kind, data) == (LONG.encode(), Kind.FILE, b"hello")
    assert (file.mode, file.mtime, file.uid, file.gid) == (0o4750, 1_700_000_000, 3_000_000, 7)
    assert (link.kind, link.linkname) == (Kind.SYMLINK, b"t" * 300)
    assert (hard.kind, hard.linkname, hard.size) == (Kind.HARD_LINK, LONG.encode(), 0)


def test_ustar_joins_prefix_and_name_only_in_posix_archives() -> None:
    assert only(header(b"name", prefix=b"a/b") + END).name == b"a/b/name"
    gnu = header(b"name", prefix=b"12345", magic=b"ustar  \0")
    assert only(gnu + END).name == b"name"


def test_pax_records_override_the_header() -> None:
    records = {
        "path": b"w/\xff\xfe",
        "size": b"3",
        "uid": b"70000",
        "mtime": b"-1.25",
        "SCHILY.xattr.user.b": b"two\nlines",
        "SCHILY.xattr.security.capability": b"\0=\0",
        "LIBARCHIVE.xattr.user.c%25": b"AQI",
        "LIBARCHIVE.xattr.user.b": b"AQI",
        "comment": b"none",
    }
    [(member, data)] = read(pax(records) + header(b"short", size=b"7") + padded(b"abc") + END)
    assert (member.name, member.size, data, member.uid) == (b"w/\xff\xfe", 3, b"abc", 70000)
    assert (member.mtime, member.mtime_nsec) == (-2, 750_000_000)
    assert member.xattrs == (
        (b"security.capability", b"\0=\0"),
        (b"user.b", b"two\nlines"),
        (b"user.c%", b"\x01\x02"),
    )


def test_data_offset_is_where_the_data_lies() -> None:
    archive = pax({"comment": b"x" * 700}) + header(b"a", size=b"5") + padded(b"hello") + END
    member = only(archive)
    assert archive[member.data_offset : member.data_offset + 5] == b"hello"


def test_unread_data_are_passed_over() -> None:
    archive = (
        header(b"a", size=b"1130") + padded(bytes(600)) + header(b"b", size=b"2") + padded(b"ok")
    )
    reader = TarReader(BlobSource(BytesBlob(archive + END)))
    found = [(member.name, reader.read(2)) for member in reader]
    assert found == [(b"a", b"\0\0"), (b"b", b"ok")]


def test_devices_directories_and_fifos() -> None:
    archive = (
        header(b"c", b"3", devmajor=b"5", devminor=b"1")
        + header(b"b", b"4")
        + header(b"p", b"6")
        + header(b"d/", b"5")
        + header(b"old/", b"\0", magic=b"")
        + END
    )
    kinds = [member.kind for member, _ in read(archive)]
    assert kinds == [
        Kind.CHARACTER_DEVICE,
        Kind.BLOCK_DEVICE,
        Kind.FIFO,
        Kind.DIRECTORY,
        Kind.DIRECTORY,
    ]
    assert read(archive)[0][0].rdev == (5, 1)


def test_base_256_numbers() -> None:
    times = [2**33, -5]
    fields = [b"\x80" + (2**33).to_bytes(11, "big"), (-5).to_bytes(12, "big", signed=True)]
    found = [only(header(mtime=field) + END).mtime for field in fields]
    assert found == times


def test_keys_nothing_reads_are_remembered() -> None:
    reader = TarReader(BlobSource(BytesBlob(pax({"SCHILY.acl.access": b"u"}) + header() + END)))
    assert len(list(reader)) == 1
    assert reader.ignored == {b"SCHILY.acl.access"}


REFUSED = {
    "checksum": (header()[:-1] + b"x" + END, FormatError, "checksum"),
    "no end marker": (header(), TruncatedError, "end marker"),
    "cut header": (header()[:300], TruncatedError, "end marker"),
    "cut data": (header(size=b"1000") + b"few", TruncatedError, "inside an entry"),
    "empty": (b"", TruncatedError, "end marker"),
    "data behind the end": (END + header() + END, FormatError, "follows the end"),
    "size not octal": (header(size=b"12a"), FormatError, "octal"),
    "negative size": (header(size=b"\xff" * 12), FormatError, "size of -1"),
    "huge size": (header(size=b"\x80" + b"\xff" * 11), FormatError, "size of"),
    "huge owner": (header(uid=b"\x80" + b"\x7f" * 7), FormatError, "owner"),
    "huge time": (header(mtime=b"\x80" + b"\x7f" * 11), FormatError, "time"),
    "no name": (header(b""), FormatError, "no name"),
    "symlink without target": (header(b"l", b"2"), FormatError, "without a target"),
    "directory with data": (header(b"d/", b"5", b"10"), FormatError, "readers disagree"),
    "hard link with data": (header(b"h", b"1", b"10", linkname=b"x"), FormatError, "disagree"),
    "file named like a folder": (header(b"d/", b"0"), FormatError, "name of a directory"),
    "GNU sparse": (header(b"s", b"S"), UnsupportedError, "sparse"),
    "pax sparse": (pax({"GNU.sparse.major": b"1"}) + header(), UnsupportedError, "sparse"),
    "multi-volume": (header(b"s", b"M"), UnsupportedError, "multi-volume"),
    "unknown type": (header(b"s", b"\x1b"), UnsupportedError, r"\\x1b"),
    "pax size negative": (pax({"size": b"-1"}) + header(), FormatError, "decimal"),
    "pax size huge": (pax({"size": b"9" * 19}) + header(), FormatError, "size of"),
    "pax size endless": (pax({"size": b"9" * 9000}) + header(), FormatError, "decimal"),
    "pax path with NUL": (pax({"path": b"a\0b"}) + header(), FormatError, "NUL"),
    "pax time": (pax({"mtime": b"1e9"}) + header(), FormatError, "decimal"),
    "pax without entry": (pax({"path": b"a"}) + END, TruncatedError, "extended header"),
    "two pax headers": (pax({"path": b"a"}) * 2 + header(), FormatError, "two extended"),
    "global path": (pax({"path": b"a"}, b"g") + header(), UnsupportedError, "global"),
    "pax length zero": (raw_pax(b"0 a=b\n"), FormatError, "record"),
    "pax length short": (raw_pax(b"3 a=b\n"), FormatError, "record"),
    "pax length long": (raw_pax(b"99 a=b\n"), FormatError, "record"),
    "pax no length": (raw_pax(b"a=b\n"), FormatError, "begin with its length"),
    "pax no key": (raw_pax(b"5 =b\n"), FormatError, "record"),
    "pax no value": (raw_pax(b"5 ab\n"), FormatError, "record"),
    "xattr without namespace": (pax({"SCHILY.xattr.x": b""}) + header(), FormatError, "attribute"),
    "xattr too long": (
        pax({"SCHILY.xattr.user.x": b"v" * 65537}) + header(),
        LimitError,
        "65537",
    ),
    "xattr not Base64": (pax({"LIBARCHIVE.xattr.user.x": b"!"}) + header(), FormatError, "Base64"),
    "name too long": (pax({"path": b"n" * 4097}) + header(), LimitError, "4097"),
    "target too long": (
        pax({"linkpath": b"n" * 4096}) + header(b"l", b"2"),
        LimitError,
        "4096",
    ),
    "GNU name too long": (header(b"L", b"L", b"20000"), LimitError, "header of"),
    "two GNU names": (
        (header(b"L", b"L", b"2") + padded(b"a\0")) * 2 + header(),
        FormatError,
        "two extended",
    ),
    "pax bomb": (header(b"x", b"x", b"4000001"), LimitError, "header of"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refuses(name: str) -> None:
    data, kind, words = REFUSED[name]
    with pytest.raises(kind, match=words):
        read(data)


def test_an_empty_pax_value_takes_its_key_back() -> None:
    assert only(pax({"path": b""}) + header(b"kept") + END).name == b"kept"


def test_harmless_global_headers_are_read_over() -> None:
    assert only(pax({"comment": b"0123abcd"}, b"g") + header() + END).name == b"f"


def test_entries_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tar, "MAX_ENTRIES", 3)
    assert len(read(header() * 3 + END)) == 3
    with pytest.raises(LimitError, match="more than 3 entries"):
        read(header() * 4 + END)


def test_metadata_are_limited_in_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tar, "MAX_METADATA", 3000)
    one = pax({"comment": b"c" * 800}) + header()
    assert len(read(one * 3 + END)) == 3
    with pytest.raises(LimitError, match="all together 3000"):
        read(one * 4 + END)


def test_ignored_keys_do_not_pile_up() -> None:
    many = b"".join(pax({f"X.{number}": b"v"}) + header() for number in range(300))
    reader = TarReader(BlobSource(BytesBlob(many + END)))
    assert len(list(reader)) == 300
    assert len(reader.ignored) == tar.MAX_IGNORED


def test_recognition_by_checksum() -> None:
    assert looks_like_tar(header())
    assert looks_like_tar(header(magic=b""))
    assert looks_like_tar(END)
    assert not looks_like_tar(header()[:511])
    assert not looks_like_tar(b"\1" + header()[1:])
    assert not looks_like_tar(b"x" * 512)


def test_times_before_the_epoch_round_down() -> None:
    assert tar_fields.pax_time(b"-0.5") == (-1, 500_000_000)
    assert tar_fields.pax_time(b"1.0000000019") == (1, 1)
    assert tar_fields.pax_time(b"7.") == (7, 0)
