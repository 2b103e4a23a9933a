"""Kernels as files: where the release stands, what is compressed in an EFI zboot image."""

from __future__ import annotations

import itertools
import struct
from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sysgraft.base.blob import BytesBlob
from sysgraft.errors import FormatError
from sysgraft.formats.linux_image import (
    Payload,
    banner_release,
    bzimage_release,
    zboot_payload,
)

RELEASES: Final = [
    "6.12.117+deb13-amd64",
    "7.2.13+deb14-cloud-arm64",
    "6.16~rc7",
    "6.8.0-1018-raspi",
    "6.11.4-301.fc41.x86_64",
    "5.15.0_1",
    "6.1.0:local@host/x",
    "6." + "1" * 62,
]
NO_RELEASES: Final = ["", "%s", "v6.1", "6.1 ", "6." + "1" * 63, "6.1\x01", "6.1é"]


def bzimage(text: bytes, *, pointer: int = 0x100, magic: bytes = b"HdrS") -> BytesBlob:
    """The first bytes of an x86 kernel, with a version text."""
    data = bytearray(0x400)
    data[:2] = b"MZ"
    data[0x202:0x206] = magic
    data[0x20E:0x210] = struct.pack("<H", pointer)
    data[0x300 : 0x300 + len(text)] = text
    return BytesBlob(bytes(data))


@pytest.mark.parametrize("release", RELEASES)
def test_releases_are_read(release: str) -> None:
    assert bzimage_release(bzimage(f"{release} (me@host) #1 SMP\0".encode())) == release
    text = f"\0Linux version {release} (me@host) (gcc 14) #1 SMP\n".encode()
    assert banner_release([text]) == release
    assert banner_release(bytes([byte]) for byte in text) == release


@pytest.mark.parametrize("release", NO_RELEASES)
def test_what_is_no_release_is_not_taken(release: str) -> None:
    assert bzimage_release(bzimage(f"{release} (me@host) #1\0".encode())) is None
    assert banner_release([f"Linux version {release} (me@host)".encode()]) is None


@pytest.mark.parametrize(
    "blob",
    [
        BytesBlob(b""),
        BytesBlob(bytes(0x20F)),
        bzimage(b"6.1 (me@host)", magic=b"HdrX"),
        bzimage(b"6.1 (me@host)", pointer=0),
        bzimage(b"6.1 (me@host)", pointer=0x101),
        bzimage(b"6.1 (me@host)", pointer=0x200),
        bzimage(b"6.1 (me@host)", pointer=0xFFFF),
        bzimage(b"6.1"),
    ],
)
def test_kernels_that_do_not_say_their_release(blob: BytesBlob) -> None:
    assert bzimage_release(blob) is None


def test_a_version_at_the_end_of_the_file_is_read() -> None:
    data = bzimage(b"", pointer=0x1F9).read_at(0, 0x3F9) + b"6.1 (me"
    assert bzimage_release(BytesBlob(data)) == "6.1"
    assert bzimage_release(BytesBlob(data[:-2])) == "6.1"
    assert bzimage_release(BytesBlob(data[:-3])) is None


@given(st.binary(max_size=0x400), st.integers(0, 0xFFFF))
def test_any_bytes_behind_the_magic_are_taken(data: bytes, pointer: int) -> None:
    made = bytearray(data.ljust(0x210, b"\0"))
    made[0x202:0x206] = b"HdrS"
    made[0x20E:0x210] = struct.pack("<H", pointer)
    found = bzimage_release(BytesBlob(bytes(made)))
    assert found is None or found.isprintable()


# --- The version line ----------------------------------------------------------------------------

LINE: Final = b"Linux version 6.12.48-arm64 (me@host) (gcc) #1 SMP"
noise = st.sampled_from([b"", b"\0" * 90, b"Linux version ", b"Linux version %s (%s)", b"Linux "])


@given(st.lists(noise, max_size=5), st.lists(noise, max_size=2), st.lists(st.integers(1, 400)))
def test_it_is_found_however_the_bytes_are_cut(
    before: list[bytes], behind: list[bytes], cuts: list[int]
) -> None:
    data = b"".join((*before, LINE, *behind))
    places = sorted({0, len(data), *(cut for cut in cuts if cut < len(data))})
    pieces = [data[a:b] for a, b in itertools.pairwise(places)]
    assert banner_release(pieces) == "6.12.48-arm64"
    assert banner_release(bytes([byte]) for byte in data) == "6.12.48-arm64"


def test_the_first_one_counts() -> None:
    assert banner_release([LINE, LINE.replace(b"6.12", b"7.13")]) == "6.12.48-arm64"
    assert banner_release([]) is None
    assert banner_release([b"", b"Linux version 6.1"]) is None


# --- EFI zboot -----------------------------------------------------------------------------------


def zboot(offset: int, size: int, name: bytes = b"zstd22", total: int = 200) -> bytes:
    head = b"MZ\0\0zimg" + struct.pack("<IIII", offset, size, 0, 0) + name.ljust(32, b"\0")
    return head.ljust(total, b"\0")


@pytest.mark.parametrize(
    ("data", "payload"),
    [
        (zboot(100, 50), Payload(100, 50, "zstd22")),
        (zboot(56, 144, b"gzip"), Payload(56, 144, "gzip")),
        (zboot(200, 0, b""), Payload(200, 0, "")),
        (zboot(56, 0, total=56), Payload(56, 0, "zstd22")),
        (zboot(100, 1, b"x" * 32), Payload(100, 1, "x" * 32)),
        (zboot(100, 1, b"\xff"), Payload(100, 1, "\ufffd")),
        (b"MZ".ljust(200, b"\0"), None),
        (zboot(100, 50).replace(b"MZ", b"ZM"), None),
        (zboot(100, 50, total=56)[:55], None),
        (b"", None),
    ],
)
def test_payloads(data: bytes, payload: Payload | None) -> None:
    assert zboot_payload(BytesBlob(data)) == payload


@pytest.mark.parametrize(
    ("offset", "size"),
    [(55, 10), (0, 0), (100, 101), (201, 0), (0xFFFF_FFFF, 1), (100, 0xFFFF_FFFF)],
)
def test_payloads_outside_are_refused(offset: int, size: int) -> None:
    with pytest.raises(FormatError, match=f"would be bytes {offset} to {offset + size} of 200"):
        zboot_payload(BytesBlob(zboot(offset, size)))
