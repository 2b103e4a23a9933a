"""Debian packages: structure, control fields, and what is refused."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import tarfile

import pytest

from sysgraft.base.blob import BytesBlob
from sysgraft.errors import FormatError, LimitError, UnsupportedError
from sysgraft.formats import deb
from sysgraft.formats.compression import Compression

CONTROL = b"Package: fw\nVersion: 1:2-3\nArchitecture: arm64\nDescription: one\n two: three\n"


def ar_member(name: str, data: bytes) -> bytes:
    head = f"{name:<16}{0:<12}{0:<6}{0:<6}{100644:<8}{len(data):<10}`\n".encode()
    return head + data + b"\n" * (len(data) % 2)


def tar_of(files: dict[str, bytes]) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return out.getvalue()


def package(members: dict[str, bytes]) -> BytesBlob:
    return BytesBlob(b"!<arch>\n" + b"".join(ar_member(*item) for item in members.items()))


def with_control(control: bytes, version: bytes = b"2.0\n") -> BytesBlob:
    return package(
        {
            "debian-binary": version,
            "control.tar": tar_of({"./control": control}),
            "data.tar": tar_of({}),
        },
    )


def test_fields_and_data_of_a_package() -> None:
    data = gzip.compress(tar_of({"./usr/x": b"x"}))
    found = deb.read_package(
        package(
            {
                "debian-binary": b"2.0\n",
                "_gpgorigin": b"later versions may add these",
                "control.tar.xz": lzma.compress(tar_of({"./postinst": b"", "./control": CONTROL})),
                "data.tar.gz": data,
            },
        ),
    )
    assert (found.name, found.version, found.architecture) == ("fw", "1:2-3", "arm64")
    assert found.compression is Compression.GZIP
    assert found.data.read_at(0, found.data.size) == data


@pytest.mark.parametrize(
    ("suffix", "compress", "kind"),
    [
        ("", bytes, Compression.NONE),
        (".bz2", bz2.compress, Compression.BZIP2),
        (".lzma", lambda data: lzma.compress(data, lzma.FORMAT_ALONE), Compression.LZMA),
    ],
)
def test_older_compressions(suffix: str, compress: type[bytes], kind: Compression) -> None:
    found = deb.read_package(
        package(
            {
                "debian-binary": b"2.0\n",
                "control.tar" + suffix: compress(tar_of({"control": CONTROL})),
                "data.tar" + suffix: compress(tar_of({})),
            },
        ),
    )
    assert found.compression is kind


REFUSED = {
    "not first": (package({"control.tar": b""}), FormatError, "debian-binary"),
    "empty": (package({}), FormatError, "debian-binary"),
    "version": (with_control(CONTROL, b"3.0\n"), UnsupportedError, "version 3.0"),
    "no control": (package({"debian-binary": b"2.0\n"}), FormatError, "no control.tar"),
    "order": (
        package({"debian-binary": b"2.0\n", "data.tar": b"", "control.tar": b""}),
        FormatError,
        "no control.tar where",
    ),
    "suffix": (
        package({"debian-binary": b"2.0\n", "control.tar.rar": b"", "data.tar": b""}),
        UnsupportedError,
        "compression",
    ),
    "wrong suffix": (
        package({"debian-binary": b"2.0\n", "control.tar.gz": tar_of({}), "data.tar": tar_of({})}),
        FormatError,
        "as its name says",
    ),
    "no control file": (
        package({"debian-binary": b"2.0\n", "control.tar": tar_of({}), "data.tar": tar_of({})}),
        FormatError,
        "no control file",
    ),
    "large control file": (with_control(b"A: b\n" * 300_000), LimitError, "control file"),
    "no architecture": (with_control(b"Package: a\nVersion: 1\n"), FormatError, "Architecture"),
    "no field": (with_control(CONTROL + b"nonsense\n"), FormatError, "not a field"),
    "twice": (with_control(CONTROL + b"package: b\n"), FormatError, "not a field"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refuses(name: str) -> None:
    blob, kind, words = REFUSED[name]
    with pytest.raises(kind, match=words):
        deb.read_package(blob)
