"""Compressed data, packages and image documents with damage raise only our errors."""

from __future__ import annotations

import bz2
import gzip
import io
import json
import lzma
import sys
import tarfile
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sysgraft.base.blob import BytesBlob
from sysgraft.errors import FormatError
from sysgraft.formats import deb, oci
from sysgraft.formats.allowance import Allowance, Limits
from sysgraft.formats.compression import Compression, Decompressor
from sysgraft.formats.stream import BlobSource

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def one_clear_line() -> Iterator[None]:
    """Let our errors pass, if a terminal can show them; any other exception fails the test."""
    try:
        yield
    except FormatError as error:
        if not error.message.isprintable():
            pytest.fail(f"not one clear line: {error.message!r}")


DATA = b"".join(b"%d and some text\n" % number for number in range(300))
PACKED = {
    Compression.GZIP: gzip.compress(DATA),
    Compression.XZ: lzma.compress(DATA),
    Compression.LZMA: lzma.compress(DATA, lzma.FORMAT_ALONE),
    Compression.BZIP2: bz2.compress(DATA),
    Compression.ZSTD: zstd.compress(
        DATA, options={int(zstd.CompressionParameter.checksum_flag): 1}
    ),
}
SMALL = Limits(output=1 << 20, free=1 << 16, ratio=50)
DAMAGE = st.lists(st.tuples(st.integers(0, 1 << 20), st.integers(0, 255)), max_size=4)


def damaged(data: bytes, damage: list[tuple[int, int]], cut: int) -> bytes:
    changed = bytearray(data)
    for place, value in damage:
        changed[place % len(data)] = value
    return bytes(changed[: len(data) - cut % (len(data) + 1)])


@given(st.sampled_from(sorted(PACKED, key=str)), DAMAGE, st.integers(0, 1 << 20) | st.just(0))
@settings(max_examples=500)
def test_damaged_streams(kind: Compression, damage: list[tuple[int, int]], cut: int) -> None:
    data = damaged(PACKED[kind], damage, cut)
    stream = Decompressor(BlobSource(BytesBlob(data)), kind, Allowance(SMALL))
    total = 0
    with one_clear_line():
        while out := stream.read(1 << 16):
            total += len(out)
    assert total <= SMALL.output


@given(st.binary(max_size=200), st.sampled_from(sorted(PACKED, key=str)))
def test_anything_as_a_stream(data: bytes, kind: Compression) -> None:
    with one_clear_line():
        Decompressor(BlobSource(BytesBlob(data)), kind, Allowance(SMALL)).read(1 << 21)


def package() -> bytes:
    control = io.BytesIO()
    with tarfile.open(fileobj=control, mode="w") as archive:
        text = b"Package: a\nVersion: 1\nArchitecture: all\n"
        info = tarfile.TarInfo("./control")
        info.size = len(text)
        archive.addfile(info, io.BytesIO(text))
    parts = {
        "debian-binary": b"2.0\n",
        "control.tar.xz": lzma.compress(control.getvalue()),
        "data.tar.gz": gzip.compress(control.getvalue()),
    }
    out = b"!<arch>\n"
    for name, data in parts.items():
        head = f"{name:<16}{0:<12}{0:<6}{0:<6}{100644:<8}{len(data):<10}`\n".encode()
        out += head + data + b"\n" * (len(data) % 2)
    return out


PACKAGE = package()


@given(DAMAGE, st.integers(0, 1 << 20) | st.just(0))
@settings(max_examples=300)
def test_damaged_packages(damage: list[tuple[int, int]], cut: int) -> None:
    with one_clear_line():
        found = deb.read_package(BytesBlob(damaged(PACKAGE, damage, cut)))
        assert found.data.size >= 0


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["schemaVersion", "manifests", "digest", "size", "layers", "config"])
            | st.sampled_from(
                ["rootfs", "diff_ids", "platform", "annotations", "Config", "Layers"]
            ),
            inner,
            max_size=5,
        )
    ),
    max_leaves=20,
)


@given(JSON.map(lambda value: json.dumps(value).encode()) | st.binary(max_size=50))
@settings(max_examples=300)
def test_any_documents(data: bytes) -> None:
    parsers = (oci.parse_index, oci.parse_manifest, oci.parse_config, oci.parse_saved_images)
    for parse in parsers:
        with one_clear_line():
            parse(data)


@given(st.text(max_size=80))
def test_any_text_as_a_digest(text: str) -> None:
    with one_clear_line():
        assert str(oci.parse_digest(text)) == text
