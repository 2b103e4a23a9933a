"""RPM packages: headers, archives, and what is refused."""

from __future__ import annotations

import bz2
import gzip
import hashlib
import lzma
import stat
import struct
from typing import TYPE_CHECKING

import pytest

from rpm_kit import (
    INT16,
    INT32,
    INT64,
    TRAILER,
    F,
    Kit,
    Value,
    archive,
    header,
    newc,
    numbers,
    short,
    string,
    strings,
)
from sysgraft.base.blob import BytesBlob
from sysgraft.build.collect import Options, open_tree
from sysgraft.errors import FormatError, InputError, LimitError, SysgraftError, UnsupportedError
from sysgraft.formats import rpm, rpm_files, rpm_header
from sysgraft.formats.rpm_header import Region, read_header

if TYPE_CHECKING:
    from pathlib import Path

ONE = F("/usr/lib/firmware/one.bin", b"one\n")


def read(kit: Kit) -> rpm.Package:
    return rpm.read_package(BytesBlob(kit.bytes()))


def tree_of(tmp_path: Path, kit: Kit) -> tuple[dict[str, bytes], tuple[str, ...]]:
    path = tmp_path / "demo.rpm"
    path.write_bytes(kit.bytes())
    with open_tree([str(path)], Options()) as collected:
        files = {
            path.decode(): inode.content.read_at(0, inode.content.size)
            for path, inode in collected.tree.items()
            if inode.content is not None
        }
        return files, collected.notes


def test_what_a_package_says_of_itself() -> None:
    package = read(
        Kit([ONE], values={1003: numbers(INT32, [2]), 1086: string(b"/sbin/ldconfig")}),
    )
    assert (package.name, package.version, package.architecture) == ("demo", "2:1.0-3", "x86_64")
    assert package.scriptlets == ("%post",)
    assert package.header_digest == "sha256"
    assert package.files[0].path == b"/usr/lib/firmware/one.bin"
    assert package.files[0].digest == ("sha256", hashlib.sha256(b"one\n").hexdigest())


def test_an_empty_package_holds_nothing(tmp_path: Path) -> None:
    assert read(Kit()).files == ()
    with pytest.raises(InputError, match="the sources hold no files"):
        tree_of(tmp_path, Kit())


@pytest.mark.parametrize(
    ("name", "pack"),
    [
        ("gzip", gzip.compress),
        ("bzip2", bz2.compress),
        ("xz", lzma.compress),
        ("lzma", lambda data: lzma.compress(data, lzma.FORMAT_ALONE)),
        ("gzip", lambda data: data),
    ],
)
def test_compressors(tmp_path: Path, name: str, pack: object) -> None:
    payload = pack(archive([ONE]))  # type: ignore[operator]
    kit = Kit([ONE], payload=payload, values={1125: string(name.encode())})
    assert tree_of(tmp_path, kit)[0] == {"usr/lib/firmware/one.bin": b"one\n"}


@pytest.mark.parametrize("is_short", [False, True])
def test_hard_links_share_what_the_last_one_holds(tmp_path: Path, *, is_short: bool) -> None:
    files = [
        F("/usr/lib/a", b"shared", inode=7),
        F("/usr/lib/b", b"own"),
        F("/usr/lib/c", b"shared", inode=7),
        F("/usr/lib/ln", mode=stat.S_IFLNK | 0o777, target=b"a"),
        F("/usr/lib/z", mode=stat.S_IFDIR | 0o700),
    ]
    path = tmp_path / "demo.rpm"
    path.write_bytes(Kit(files, is_short=is_short).bytes())
    with open_tree([f"rpm:{path}"], Options(source_date_epoch=1_600_000_000)) as collected:
        tree = collected.tree
        assert tree[b"usr/lib/a"] is tree[b"usr/lib/c"]
        content = tree[b"usr/lib/c"].content
        assert content is not None
        assert content.read_at(0, 6) == b"shared"
        assert tree[b"usr/lib/ln"].target == b"a"
        assert stat.S_IMODE(tree[b"usr/lib/z"].mode) == 0o700
        assert {inode.mtime for path, inode in tree.items() if path.count(b"/") == 2} == {
            1_600_000_000,
        }


def test_a_kept_link_to_what_lies_outside_has_its_content(tmp_path: Path) -> None:
    files = [F("/usr/lib/a", b"shared", inode=7), F("/var/z", b"shared", inode=7)]
    assert tree_of(tmp_path, Kit(files))[0] == {"usr/lib/a": b"shared"}


def test_hard_links_that_all_carry_their_content(tmp_path: Path) -> None:
    files = [F("/usr/a", b"same", inode=7), F("/usr/b", b"same", inode=7)]
    payload = newc(b"./usr/a", b"same") + newc(b"./usr/b", b"same") + TRAILER
    assert tree_of(tmp_path, Kit(files, payload))[0] == {"usr/a": b"same", "usr/b": b"same"}


def test_ghosts_are_not_there(tmp_path: Path) -> None:
    ghost = F("/usr/lib/ghost", b"later", flags=64)
    assert list(tree_of(tmp_path, Kit([ghost, ONE]))[0]) == ["usr/lib/firmware/one.bin"]


def test_other_owners_become_root_and_lose_what_would_mean_root(tmp_path: Path) -> None:
    files = [
        F("/usr/bin/both", b"x", stat.S_IFREG | 0o6755, user=b"games", group=b"mail"),
        F("/usr/bin/group", b"x", stat.S_IFREG | 0o6755, group=b"mail"),
        F("/usr/bin/root", b"x", stat.S_IFREG | 0o6755),
    ]
    path = tmp_path / "demo.rpm"
    path.write_bytes(Kit(files).bytes())
    with open_tree([str(path)], Options()) as collected:
        modes = [
            stat.S_IMODE(collected.tree[b"usr/bin/" + name].mode)
            for name in (b"both", b"group", b"root")
        ]
        notes = " ".join(collected.notes)
    assert modes == [0o755, 0o4755, 0o6755]
    assert "games, mail" in notes
    assert "/usr/bin/both, /usr/bin/group" in notes


def test_missing_digests_are_noted(tmp_path: Path) -> None:
    kit = Kit([ONE], values={5092: None, 5093: None})
    assert "no digest" in tree_of(tmp_path, kit)[1][0]
    assert (
        "no digest" in tree_of(tmp_path, Kit([ONE], signatures={1000: numbers(INT32, [5])}))[1][0]
    )


def test_old_packages_have_sha1_and_md5(tmp_path: Path) -> None:
    kit = Kit(
        [ONE], values={5011: None, 1035: strings([hashlib.md5(b"one\n").hexdigest().encode()])}
    )
    kit.signatures = {269: string(hashlib.sha1(kit.header()).hexdigest().encode())}
    assert tree_of(tmp_path, kit)[0] == {"usr/lib/firmware/one.bin": b"one\n"}
    kit.signatures = {269: string(b"0" * 40)}
    with pytest.raises(FormatError, match="digest of the package's header is sha1"):
        tree_of(tmp_path, kit)


TWO = F("/usr/two", b"two")
STATED: list[tuple[Kit, str]] = [
    (Kit([ONE], lead=b"\xed\xab\xee\xdb\3\0\0\1" + bytes(88)), "source package"),
    (Kit([ONE], values={1106: numbers(INT32, [1])}), "source package"),
    (Kit([ONE], values={5114: numbers(INT32, [7])}), "format 7"),
    (Kit([ONE], values={1124: string(b"drpm")}), "format drpm"),
    (Kit([ONE], values={1000: None}), "no name"),
    (Kit([ONE], values={1000: strings([])}), "tag 1000"),
    (Kit(values={1027: strings([b"/usr/old"])}), "rpm 3"),
    (Kit([ONE], signatures={273: string(b"0" * 64)}), "digest of the package's header"),
    (Kit([ONE], values={5092: strings([b"0" * 64])}), "digest of the package's payload"),
    (Kit([ONE], values={1035: strings([b"0" * 64])}), "digest of the file /usr/lib/firmware/one"),
    (Kit([ONE], values={5011: numbers(INT32, [99])}), "digest algorithm 99"),
    (Kit([ONE], values={1125: string(b"xz")}), "not compressed with xz"),
    (Kit([ONE], values={1125: string(b"rot13")}), "unknown compression: rot13"),
    (Kit([ONE], values={1030: numbers(INT16, [1, 2])}), "2 values of tag 1030 for 1 files"),
    (Kit([ONE], values={1030: string(b"x")}), "tag 1030 holds no numbers"),
    (Kit([ONE], values={1117: numbers(INT32, [1])}), "tag 1117 is no list"),
    (Kit([ONE], values={1116: numbers(INT32, [9])}), "folder 9, which is not listed"),
    (Kit([ONE], values={1117: (8, 2, b"x\0")}), "fewer strings"),
    (Kit([ONE], values={1000: (6, 1, b"demo")}), "the string of tag 1000 has no end"),
    (Kit([ONE], values={1118: strings([b"/" * 5000])}), "a path longer"),
    (Kit([F("/usr/../x")]), "leaves the archive"),
    (Kit([ONE, ONE]), "lists a path twice"),
    (Kit([F("/usr/x", b"x", caps=b"cap_nothing=ep")]), "usr/x: unknown capability"),
    (Kit([ONE], newc(b"./usr/other", b"x") + TRAILER), "usr/other, which is not listed"),
    (Kit([ONE], short(5) + TRAILER), "file 00000005, which is not listed"),
    (Kit([ONE], b"07070X0x000000\0\0" + TRAILER), "which is not listed"),
    (Kit([ONE], TRAILER), "is not in the package's archive"),
    (Kit([TWO], newc(b"./usr/two", b"two") * 2 + TRAILER), "comes twice"),
    (Kit([TWO], newc(b"./usr/two", b"tw") + TRAILER), "3 bytes in the header, 2 in the archive"),
    (Kit([TWO], newc(b"./usr/two", b"two")), "ends at byte"),
    (Kit([TWO], archive([TWO]) + b"x"), "data follows the end"),
    (Kit([TWO], b"070701" + b"z" * 104), "no proper numbers"),
    (Kit([TWO], newc(b"x" * 5000)), "a name of 5001 bytes"),
    (Kit([TWO], gzip.compress(archive([TWO]))[:-9], values={1125: string(b"gzip")}), "too early"),
]


@pytest.mark.parametrize(("kit", "message"), STATED, ids=[text for _, text in STATED])
def test_what_is_refused(tmp_path: Path, kit: Kit, message: str) -> None:
    with pytest.raises(FormatError, match=message) as caught:
        tree_of(tmp_path, kit)
    assert caught.value.file.endswith("demo.rpm")


def test_damage_is_named_before_what_it_causes(tmp_path: Path) -> None:
    kit = Kit([TWO], newc(b"./usr/no"), values={5092: strings([b"0" * 64])})
    with pytest.raises(FormatError, match="digest of the package's payload"):
        tree_of(tmp_path, kit)


def test_a_bomb_is_stopped(tmp_path: Path) -> None:
    size = 300 << 20
    entry = newc(b"./usr/two")
    entry = entry[:54] + b"%08x" % size + entry[62:]
    payload = bz2.compress(entry + bytes(size) + TRAILER)
    kit = Kit([TWO], payload, values={1125: string(b"bzip2"), 1028: numbers(INT32, [size])})
    with pytest.raises(LimitError, match="grow to more than"):
        tree_of(tmp_path, kit)


def test_a_package_ends_early(tmp_path: Path) -> None:
    whole = Kit([ONE]).bytes()
    for cut in (*range(0, len(whole), 37), len(whole) - 1):
        (tmp_path / "demo.rpm").write_bytes(whole[:cut])
        with pytest.raises(SysgraftError), open_tree([f"rpm:{tmp_path}/demo.rpm"], Options()):
            pass


def raw_header(*entries: tuple[int, int, int, int], store: bytes = b"") -> bytes:
    """A header with a right region and these entries over `store`."""
    count = len(entries) + 1
    index = struct.pack(">IIiI", 63, 7, len(store), 16)
    index += b"".join(struct.pack(">IIiI", *entry) for entry in entries)
    store += struct.pack(">IIiI", 63, 7, -count * 16, 16)
    return b"\x8e\xad\xe8\x01" + bytes(4) + struct.pack(">II", count, len(store)) + index + store


BROKEN = {
    "a type that is not known": raw_header((1000, 10, 0, 1), store=b"x\0"),
    "null": raw_header((1000, 0, 0, 1), store=b"x\0"),
    "no values": raw_header((1000, 6, 0, 0), store=b"x\0"),
    "two of one string": raw_header((1000, 6, 0, 2), store=b"x\0y\0"),
    "before the store": raw_header((1000, 6, -1, 1), store=b"x\0"),
    "behind the store": raw_header((1000, 6, 99, 1), store=b"x\0"),
    "in the trailer": raw_header((1000, 4, 4, 1), store=b"1234"),
    "beyond its end": raw_header((1000, 4, 0, 2), store=b"1234"),
    "more than there can be": raw_header((1000, 8, 0, 0xFFFFFFFF), store=b"x\0"),
    "not aligned": raw_header((1000, 4, 1, 1), store=b"12345678"),
    "over each other": raw_header((1000, 4, 0, 2), (1001, 4, 4, 1), store=b"12345678"),
    "out of order": raw_header((1000, 4, 4, 1), (1001, 4, 0, 1), store=b"12345678"),
    "twice": raw_header((1000, 4, 0, 1), (1000, 4, 4, 1), store=b"12345678"),
    "a region's tag": raw_header((61, 4, 0, 1), store=b"1234"),
    "no region": header(62, {}),
    "no entries": b"\x8e\xad\xe8\x01" + bytes(12),
    "another magic": b"\x8e\xad\xe8\x02" + raw_header()[4:],
    "a damaged trailer": raw_header()[:-1] + b"\0",
}


@pytest.mark.parametrize("name", BROKEN)
def test_broken_headers(name: str) -> None:
    with pytest.raises(FormatError):
        read_header(BytesBlob(BROKEN[name]), 0, Region.IMMUTABLE)


@pytest.mark.parametrize(("count", "size"), [(0x10000, 16), (1, rpm_header.MAX_STORE + 1)])
def test_too_large_headers(count: int, size: int) -> None:
    head = b"\x8e\xad\xe8\x01" + bytes(4) + struct.pack(">II", count, size)
    with pytest.raises(LimitError, match="are allowed"):
        read_header(BytesBlob(head), 0, Region.IMMUTABLE)


def test_too_many_files(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rpm_files, "MAX_FILES", 1)
    with pytest.raises(LimitError, match="a package of 2 files"):
        read(Kit([ONE, TWO]))


def test_long_names_of_folders_do_not_multiply(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rpm_files, "MAX_PATHS", 40)
    with pytest.raises(LimitError, match="or all than 40"):
        read(Kit([F("/usr/lib/" + name) for name in "abcde"]))


def test_sizes_may_have_64_bits() -> None:
    values: dict[int, Value | None] = {1028: None, 5008: numbers(INT64, [1 << 40])}
    assert read(Kit([ONE], values=values)).files[0].size == 1 << 40


def test_not_a_package() -> None:
    with pytest.raises(FormatError, match="not an RPM package"):
        rpm.read_package(BytesBlob(bytes(200)))
    with pytest.raises(UnsupportedError):
        read(Kit(lead=b"\xed\xab\xee\xdb\3\0\0\1" + bytes(88)))
