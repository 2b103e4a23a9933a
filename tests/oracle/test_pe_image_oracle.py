"""What is laid out on systemd's stubs, against ukify byte for byte, pefile, objdump and objcopy."""

from __future__ import annotations

import random
import re
import subprocess
from typing import TYPE_CHECKING, Final

import pefile  # type: ignore[import-untyped]  # has no stubs
import pytest

from executables import make_pe
from sysgraft.base.blob import BytesBlob
from sysgraft.errors import FormatError
from sysgraft.formats import pe, sbat, uki
from sysgraft.formats.pe_checksum import Checksum
from sysgraft.formats.pe_image import NewSection, nx_compatible, plan

if TYPE_CHECKING:
    from pathlib import Path

    from conftest import Debian13

pytestmark = pytest.mark.oracle("debian-13")

Contents = list[tuple[str, bytes]]

FOLDER: Final = "usr/lib/systemd/boot/efi"
STUBS: Final = ("linuxx64.efi.stub", "addonx64.efi.stub")
CODE: Final = pe.CODE | pe.READ
DLL_CHARACTERISTICS: Final = 70


@pytest.fixture(params=STUBS)
def stub(request: pytest.FixtureRequest, debian13: Debian13) -> tuple[str, bytes]:
    """A stub's path in Debian 13, and its bytes."""
    path = f"{FOLDER}/{request.param}"
    return path, (debian13.root / path).read_bytes()


def random_contents(count: int) -> Contents:
    """Sections of all lengths around the alignments, some empty, and SBAT of some length."""
    source = random.Random(count)
    names = [".osrel", ".initrd", ".x", "y", ".eightch", "0123456", ".dtbauto", ".z_Z-~"]
    sizes = [0, 1, 511, 512, 513, 4095, 4096, 4097, 70_000]
    found = [
        (names[number] if number < 8 else f".s{number}", source.randbytes(source.choice(sizes)))
        for number in range(count)
    ]
    return [*found, sbat_part(f"sbat,1\n{'a' * source.randrange(400)},1\n")]


def sbat_part(*texts: str) -> tuple[str, bytes]:
    """The section .sbat as ukify 257 makes it; later releases leave out the NUL."""
    return ".sbat", sbat.merge(texts).encode() + b"\0"


def assemble(stub: bytes, contents: Contents, *, nx_compat: bool = True) -> bytes:
    """The stub with these sections; data are put where the layout says."""
    new = [
        NewSection(name, len(data), CODE) if name == ".linux" else NewSection(name, len(data))
        for name, data in contents
    ]
    layout = plan(BytesBlob(stub), pe.parse(BytesBlob(stub)), new, nx_compat=nx_compat)
    made = bytearray(layout.header.ljust(layout.size, b"\0"))
    for one in layout.placed:
        if one.number is not None:
            data = contents[one.number][1]
        else:
            assert one.stub_section is not None
            data = stub[one.stub_section.offset :][: one.stub_section.raw_size]
        made[one.section.offset : one.section.offset + len(data)] = data
    return bytes(made)


def ukify(debian13: Debian13, folder: Path, stub: str, *options: str) -> bytes | str:
    """What ukify builds on a stub, or what it says where it refuses to."""
    done = debian13.run(
        ["ukify", "build", f"--stub=/{stub}", *options, "--output=/mnt/in/theirs.efi"],
        binds={folder: "/mnt/in"},
        check=False,
    )
    return done.stderr if done.returncode else (folder / "theirs.efi").read_bytes()


def as_options(folder: Path, contents: Contents) -> list[str]:
    """The options that give these sections to ukify."""
    options = []
    for number, (name, data) in enumerate(contents):
        (folder / f"part{number}").write_bytes(data.rstrip(b"\0") if name == ".sbat" else data)
        path = f"@/mnt/in/part{number}"
        options.append(f"--sbat={path}" if name == ".sbat" else f"--section={name}:{path}")
    return options


@pytest.mark.parametrize("count", [0, 1, 8, 13])
def test_the_file_is_the_one_ukify_makes(
    tmp_path: Path, debian13: Debian13, stub: tuple[str, bytes], count: int
) -> None:
    contents = random_contents(count)
    theirs = ukify(debian13, tmp_path, stub[0], *as_options(tmp_path, contents))
    assert assemble(stub[1], contents) == theirs


@pytest.mark.parametrize("nx_compat", [True, False])
def test_a_uki_is_the_one_ukify_makes(
    tmp_path: Path, debian13: Debian13, *, nx_compat: bool
) -> None:
    kernel = bytearray(make_pe([(".text", b"\xc3" * 5000), (".sbat", b"sbat,1\nkernel,7,k\n")]))
    image = pe.parse(BytesBlob(bytes(kernel)))
    assert nx_compatible(BytesBlob(bytes(kernel)), image)
    if not nx_compat:
        kernel[image.optional_offset + DLL_CHARACTERISTICS + 1] = 0
    assert nx_compatible(BytesBlob(bytes(kernel)), image) == nx_compat
    path = f"{FOLDER}/{STUBS[0]}"
    stub = (debian13.root / path).read_bytes()
    (tmp_path / "linux").write_bytes(kernel)
    (tmp_path / "initrd").write_bytes(bytes(range(256)) * 9)
    theirs = ukify(
        debian13, tmp_path, path, "--linux=/mnt/in/linux", "--initrd=/mnt/in/initrd",
        "--os-release=ID=x", "--cmdline=quiet", "--uname=6.12", "--section=extra:text",
    )  # fmt: skip
    own = pe.parse(BytesBlob(stub)).find(".sbat")
    assert own is not None
    contents = [
        (".osrel", b"ID=x"),
        (".cmdline", b"quiet"),
        (".uname", b"6.12"),
        (".linux", bytes(kernel)),
        (".initrd", bytes(range(256)) * 9),
        ("extra", b"text"),
        sbat_part(uki.read_text(BytesBlob(stub), own), "sbat,1\nkernel,7,k\n", sbat.UKI),
    ]
    assert assemble(stub, contents, nx_compat=nx_compat) == theirs


def test_many_sections_fit_where_ukify_has_no_room(tmp_path: Path, debian13: Debian13) -> None:
    path = f"{FOLDER}/{STUBS[0]}"
    stub = (debian13.root / path).read_bytes()
    image = pe.parse(BytesBlob(stub))
    first = min(section.virtual_address for section in image.sections)
    most = (first - image.table_offset) // pe.SECTION.size - len(image.sections)
    for count in (20, most, most + 1, 100):
        contents = [(".dtbauto", bytes([number])) for number in range(count)]
        fits = image.table_offset + pe.SECTION.size * (count + 6) <= image.size_of_headers
        theirs = ukify(
            debian13, tmp_path, path, *as_options(tmp_path, contents), f"--sbat={sbat.ADDON}"
        )
        contents.append(sbat_part(sbat.ADDON))
        if count > most:
            with pytest.raises(FormatError, match=f"no room for {count + 6} sections"):
                assemble(stub, contents)
        else:
            ours = assemble(stub, contents)
            assert (ours == theirs) == fits
            check_with_pefile(ours, stub, contents)
        assert fits or "Not enough header space" in str(theirs)


def test_sbat_that_ukify_has_no_room_for_is_moved(tmp_path: Path, debian13: Debian13) -> None:
    path = f"{FOLDER}/{STUBS[0]}"
    stub = (debian13.root / path).read_bytes()
    for length in (600, 5000):
        contents = [(".x", b"x"), sbat_part(f"sbat,1\n{'a' * length},1\n")]
        theirs = ukify(debian13, tmp_path, path, *as_options(tmp_path, contents))
        assert "Not enough space in existing section .sbat" in str(theirs)
        check_with_pefile(assemble(stub, contents), stub, contents)


def check_with_pefile(made: bytes, stub: bytes, contents: Contents) -> None:
    """Read an image with pefile and hold it against what went in."""
    found = pefile.PE(data=made, fast_load=True)
    assert found.get_warnings() == []
    before = pefile.PE(data=stub, fast_load=True)
    own = [one for one in before.sections if name_of(one) not in dict(contents)]
    held = [(name_of(one), one.get_data()[: one.Misc_VirtualSize]) for one in found.sections]
    assert sorted(held) == sorted(
        [(name_of(one), one.get_data()[: one.Misc_VirtualSize]) for one in own] + contents
    )
    header = found.OPTIONAL_HEADER
    check_ranges(found)
    top = max(one.VirtualAddress + one.Misc_VirtualSize for one in found.sections)
    assert header.SizeOfImage == -(-top // header.SectionAlignment) * header.SectionAlignment
    assert header.AddressOfEntryPoint == before.OPTIONAL_HEADER.AddressOfEntryPoint
    assert [(one.VirtualAddress, one.Size) for one in header.DATA_DIRECTORY] == [
        (one.VirtualAddress, one.Size) for one in before.OPTIONAL_HEADER.DATA_DIRECTORY
    ]
    assert header.CheckSum == 0
    checksum = Checksum()
    checksum.update(made)
    assert checksum.value(len(made)) == found.generate_checksum()


def name_of(section: pefile.SectionStructure) -> str:
    name: bytes = section.Name
    return name.rstrip(b"\0").decode()


def check_ranges(found: pefile.PE) -> None:
    """All data behind the headers and each other, all addresses likewise, both aligned."""
    header = found.OPTIONAL_HEADER
    offset, address = header.SizeOfHeaders, header.SizeOfHeaders
    for one in sorted(found.sections, key=lambda each: each.PointerToRawData):
        if one.SizeOfRawData:
            assert one.PointerToRawData == offset
            assert one.PointerToRawData % header.FileAlignment == 0
            assert one.SizeOfRawData % header.FileAlignment == 0
            offset += one.SizeOfRawData
    assert offset == len(found.__data__)
    for one in found.sections:
        assert one.VirtualAddress >= address
        assert one.VirtualAddress % header.SectionAlignment == 0
        address = one.VirtualAddress + one.Misc_VirtualSize


@pytest.mark.parametrize("count", range(0, 14, 3))
def test_pefile_reads_what_went_in(stub: tuple[str, bytes], count: int) -> None:
    contents = random_contents(count)
    check_with_pefile(assemble(stub[1], contents), stub[1], contents)


@pytest.mark.oracle("objcopy")
@pytest.mark.oracle("objdump")
def test_binutils_read_what_went_in(tmp_path: Path, stub: tuple[str, bytes]) -> None:
    contents = random_contents(13)
    made = assemble(stub[1], contents)
    path = tmp_path / "made.efi"
    path.write_bytes(made)
    listed = subprocess.run(
        ["objdump", "-h", path], capture_output=True, text=True, check=True, timeout=60
    )
    assert listed.stderr == ""
    lines = re.findall(r"^ +\d+ (\S+) +([0-9a-f]+) +([0-9a-f]+) ", listed.stdout, re.MULTILINE)
    image = pe.parse(BytesBlob(made))
    base = int.from_bytes(made[image.optional_offset + 24 :][:8], "little")
    assert [(name, int(size, 16), int(vma, 16) - base) for name, size, vma in lines] == [
        (one.name, min(one.virtual_size, one.raw_size), one.virtual_address)
        for one in image.sections
    ]
    for number, (name, data) in enumerate(contents):
        if not data:
            continue
        target = tmp_path / f"dump{number}"
        subprocess.run(
            ["objcopy", "-O", "binary", f"--only-section={name}", path, target],
            capture_output=True, check=True, timeout=60,
        )  # fmt: skip
        assert target.read_bytes().rstrip(b"\0") == data.rstrip(b"\0")
