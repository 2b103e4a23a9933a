"""Debian 13's own stubs, boot manager and kernel: what they are, as its package lists say."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pefile  # type: ignore[import-untyped]  # has no stubs
import pytest

from sysgraft.base.blob import BytesBlob, chunks
from sysgraft.formats import pe, pe_image, uki
from sysgraft.formats.linux_image import banner_release, bzimage_release, zboot_payload
from sysgraft.formats.pe_layout import layout_problem

if TYPE_CHECKING:
    from pathlib import Path

    from conftest import Debian13

pytestmark = pytest.mark.oracle("debian-13")

NAMES = {
    "linuxx64.efi.stub": "systemd-stub",
    "addonx64.efi.stub": "systemd-addon",
    "systemd-bootx64.efi": "systemd-boot",
}


def same_as_pefile(data: bytes) -> pe.Image:
    """Read the headers, and hold every number against pefile."""
    image = pe.parse(BytesBlob(data))
    other = pefile.PE(data=data, fast_load=True)
    header = other.OPTIONAL_HEADER
    assert (image.machine, image.timestamp, image.subsystem) == (
        other.FILE_HEADER.Machine, other.FILE_HEADER.TimeDateStamp, header.Subsystem,
    )  # fmt: skip
    assert (image.section_alignment, image.file_alignment) == (
        header.SectionAlignment, header.FileAlignment,
    )  # fmt: skip
    assert (image.size_of_image, image.size_of_headers, image.checksum) == (
        header.SizeOfImage, header.SizeOfHeaders, header.CheckSum,
    )  # fmt: skip
    security = header.DATA_DIRECTORY[4]
    assert image.security == (security.VirtualAddress, security.Size)
    assert image.security_offset == security.get_file_offset()
    assert image.table_offset == other.sections[0].get_file_offset()
    assert [
        (one.name, one.virtual_address, one.virtual_size, one.offset, one.raw_size)
        for one in image.sections
    ] == [
        (one.Name.rstrip(b"\0").decode(), one.VirtualAddress, one.Misc_VirtualSize,
         one.PointerToRawData, one.SizeOfRawData)
        for one in other.sections
    ]  # fmt: skip
    assert [one.characteristics for one in image.sections] == [
        one.Characteristics for one in other.sections
    ]
    nx_compatible = bool(header.DllCharacteristics & 0x100)
    assert pe_image.nx_compatible(BytesBlob(data), image) == nx_compatible
    return image


@pytest.mark.parametrize("name", NAMES)
def test_programs_of_systemd_say_what_they_are(name: str, debian13: Debian13) -> None:
    data = (debian13.root / "usr/lib/systemd/boot/efi" / name).read_bytes()
    image = same_as_pefile(data)
    assert (layout_problem(image), image.architecture) == ("", "x86-64")
    assert uki.kind_of(image) == "stub"
    version = debian13.run(["dpkg-query", "-W", "-f", "${Version}", "systemd-boot-efi"]).stdout
    found = uki.stub_of(BytesBlob(data), image)
    assert found == uki.Stub(NAMES[name], version, int(version.partition(".")[0]))


def kernel_of(debian13: Debian13) -> Path:
    (path,) = (debian13.root / "boot").glob("vmlinuz-*")
    return path


def test_a_kernel_says_its_release(debian13: Debian13) -> None:
    path = kernel_of(debian13)
    data = path.read_bytes()
    image = same_as_pefile(data)
    assert (image.architecture, image.subsystem) == ("x86-64", pe.EFI_APPLICATION)
    assert uki.kind_of(image) == "other"
    blob = BytesBlob(data)
    assert bzimage_release(blob) == path.name.removeprefix("vmlinuz-")
    assert zboot_payload(blob) is None
    # The version line is in what is compressed, if it is there at all.
    assert banner_release(chunks(blob)) in (None, bzimage_release(blob))
