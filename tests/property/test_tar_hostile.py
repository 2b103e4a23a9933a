"""Archives of any bytes: read as what they are, or refused with one of our errors."""

from __future__ import annotations

import gzip
import io
import tarfile
from contextlib import suppress
from typing import TYPE_CHECKING

from hypothesis import given, settings
from hypothesis import strategies as st

from sysgraft.base.blob import BytesBlob
from sysgraft.base.tree import check_tree
from sysgraft.build.selection import select
from sysgraft.build.sources.model import Layer, Options, Workspace
from sysgraft.build.sources.tar_layer import TarBlob, read_entries
from sysgraft.build.tree_merge import TreeMerger
from sysgraft.build.usr_merge import merge_usr
from sysgraft.errors import FormatError, SysgraftError
from sysgraft.formats.stream import BlobSource
from sysgraft.formats.tar import Kind, TarReader
from sysgraft.host.spool import Spool

if TYPE_CHECKING:
    from collections.abc import Sequence

# Mostly paths that fit together, so that many archives make a tree.
ODD = ["..", ".", "", ".wh.a", ".wh..wh..opq", ".wh..wh.x", "x" * 256, "é\n", "usr", "lib"]
PARTS = st.sampled_from(["a", "b"] * 20 + ODD)
TOPS = st.sampled_from(["usr"] * 8 + ["usr/lib", "lib", "etc", "/usr", "./lib"])
PATHS = st.builds(lambda top, parts: "/".join([top, *parts]), TOPS, st.lists(PARTS, max_size=3))
TYPES = st.sampled_from(
    [tarfile.REGTYPE] * 8
    + [tarfile.DIRTYPE] * 8
    + [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE],
)
ENTRIES = st.lists(st.tuples(PATHS, TYPES, PATHS, st.binary(max_size=20)), max_size=12)


def archive(entries: Sequence[tuple[str, bytes, str, bytes]], form: int) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=form) as tar:
        for name, kind, target, data in entries:
            info = tarfile.TarInfo(name)
            info.type, info.linkname = kind, target
            info.size = len(data) if kind == tarfile.REGTYPE else 0
            tar.addfile(info, io.BytesIO(data))
    return out.getvalue()


def tree_of(data: bytes, options: Options, *, partial: bool) -> None:
    """The whole way from bytes to a tree."""
    with Spool() as spool:
        workspace = Workspace(options, spool, (b"usr", b"lib"))
        entries = read_entries(TarBlob(BytesBlob(data), 0, len(data)), workspace)
        merger = TreeMerger(options)
        merger.add(Layer("one", entries, whiteout_names=True))
        merger.add(Layer("two", entries[::-1], whiteout_names=True, is_partial=partial))
        merge_usr(merger.root)
        tree = select(merger.root, workspace)
        check_tree(tree)
        assert all(path == b"" or path.partition(b"/")[0] == b"usr" for path in tree)
        for inode in tree.values():
            if inode.content is not None:
                assert len(inode.content.read_at(0, inode.content.size)) == inode.content.size


@given(ENTRIES, st.sampled_from([tarfile.GNU_FORMAT, tarfile.PAX_FORMAT]), st.booleans())
@settings(max_examples=400)
def test_any_entries_make_a_proper_tree_or_an_error(
    entries: list[tuple[str, bytes, str, bytes]], form: int, partial: bool
) -> None:
    data = archive(entries, form)
    for packed in (data, gzip.compress(data, 1)):
        with suppress(SysgraftError):
            tree_of(packed, Options(whiteouts="keep"), partial=partial)


@given(
    st.lists(
        st.tuples(st.text(min_size=1, max_size=300).filter(lambda t: "\0" not in t), st.binary()),
        max_size=5,
    ),
    st.integers(0, 2**33),
    st.sampled_from([tarfile.GNU_FORMAT, tarfile.PAX_FORMAT]),
)
@settings(max_examples=150)
def test_what_is_written_is_read(files: list[tuple[str, bytes]], mtime: int, form: int) -> None:
    out = io.BytesIO()
    names = []
    with tarfile.open(
        fileobj=out, mode="w", format=form, encoding="utf-8", errors="replace"
    ) as tar:
        for name, data in files:
            info = tarfile.TarInfo(f"d/{name}x")
            info.size, info.mtime = len(data), mtime
            names.append(info.name.encode("utf-8", "replace"))
            tar.addfile(info, io.BytesIO(data))
    reader = TarReader(BlobSource(BytesBlob(out.getvalue())))
    found = [(m.name, reader.read(m.size), m.mtime, m.kind) for m in reader]
    contents = [data for _, data in files]
    assert found == [(n, d, mtime, Kind.FILE) for n, d in zip(names, contents, strict=True)]


VALID = archive(
    [
        ("usr/" + "n" * 200, tarfile.REGTYPE, "", b"data" * 10),
        ("usr/l", tarfile.SYMTYPE, "t" * 150, b""),
        ("usr/h", tarfile.LNKTYPE, "usr/" + "n" * 200, b""),
        ("usr/é", tarfile.REGTYPE, "", b"more"),
    ],
    tarfile.PAX_FORMAT,
)
FLIPS = st.lists(st.tuples(st.integers(0, len(VALID) - 1), st.integers(0, 255)), max_size=6)


@given(FLIPS, st.integers(0, len(VALID)), st.booleans())
@settings(max_examples=600)
def test_damaged_archives_raise_only_our_errors(
    flips: list[tuple[int, int]], end: int, resealed: bool
) -> None:
    data = bytearray(VALID)
    for place, value in flips:
        data[place] = value
    if resealed:
        reseal(data)
    reader = TarReader(BlobSource(BytesBlob(bytes(data[:end]))))
    with suppress(FormatError):
        for member in reader:
            assert len(reader.read(member.size)) == member.size


def reseal(data: bytearray) -> None:
    """Make every block's checksum right, so that damage reaches what lies behind it."""
    for start in range(0, len(data) - 511, 512):
        block = data[start : start + 512]
        if any(block):
            block[148:156] = b" " * 8
            data[start + 148 : start + 156] = b"%06o\0 " % sum(block)
