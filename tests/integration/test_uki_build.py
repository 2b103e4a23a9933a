"""``uki build``: which sections come out, in which order, with which content."""

from __future__ import annotations

import json
import struct
from typing import TYPE_CHECKING
from uuid import UUID

import pefile  # type: ignore[import-untyped]
import pytest

from command import sysgraft
from executables import make_pe
from sysgraft.build.uki import parts, stub
from uki_kit import (
    ADDON_LINE,
    HEADER,
    KERNEL_SBAT,
    OS_RELEASE,
    RELEASE,
    UKI_LINE,
    Kit,
    make_kernel,
    make_kit,
    make_stub,
    names_of,
    own_sections,
    section,
    sections_of,
)

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def kit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Kit:
    return make_kit(tmp_path / "kit", monkeypatch)


def devicetree(compatible: str) -> bytes:
    """A flattened devicetree with nothing but a compatible string."""
    words = b"".join(
        struct.pack(">I", word) if isinstance(word, int) else word
        for word in (1, b"\0\0\0\0", 3, len(compatible) + 1, 0)
    )
    text = compatible.encode() + b"\0"
    body = words + text.ljust(-(-len(text) // 4) * 4, b"\0") + struct.pack(">III", 2, 9, 0)[:8]
    strings = b"compatible\0"
    start, end = 40 + 16, 40 + 16 + len(body)
    header = struct.pack(
        ">10I", 0xD00DFEED, end + len(strings), start, end, 40, 17, 16, 0, len(strings), len(body)
    )
    return header + bytes(16) + body + strings


def with_all_options(kit: Kit) -> list[str]:
    hwids = {
        "type": "devicetree",
        "name": "Board",
        "compatible": "acme,a",
        "hwids": [str(UUID(int=9))],
    }
    kit.file("hwids/acme/board.json", json.dumps(hwids))
    kit.file("hwids/README", "not a description")
    kit.file("fw/acme-1/firmware.bin", b"FIRMWARE")
    return [
        f"--initrd={kit.file('one.img', b'1' * 5)}",
        f"--initrd={kit.file('two.img', b'2' * 6)}",
        f"--initrd={kit.file('three.img', b'3' * 8)}",
        "--cmdline=  quiet \t rw\n",
        f"--microcode={kit.file('ucode.img', b'UCODE')}",
        f"--splash={kit.file('splash.bmp', b'BM splash')}",
        f"--devicetree={kit.file('board.dtb', devicetree('acme,board'))}",
        f"--devicetree-auto={kit.file('a.dtb', devicetree('acme,a'))}",
        f"--devicetree-auto={kit.file('b.dtb', devicetree('acme,b'))}",
        f"--hwids={kit.folder / 'hwids'}",
        f"--efifw={kit.folder / 'fw/acme-1'}",
        "--section=.sbom:a:b",
        f"--section=extra:@{kit.file('extra.bin', bytes(range(256)))}",
    ]


# --- Sections ------------------------------------------------------------------------------------


def test_sections_come_in_the_order_of_ukify_and_hold_what_was_given(kit: Kit) -> None:
    uki = kit.build("all.efi", *with_all_options(kit))
    found = own_sections(uki)
    efifw = struct.pack("<4I", 0xFEEDDEAD, 16, len("acme-1") + 1, 8) + b"acme-1\0FIRMWARE"
    assert [each for each in found if each[0] != ".hwids"] == [
        (".sbat", (HEADER + "systemd-stub,1,S,systemd,257,u\n" + UKI_LINE).encode()),
        (".osrel", OS_RELEASE.encode()),
        (".cmdline", b"quiet rw"),
        (".dtb", devicetree("acme,board")),
        (".dtbauto", devicetree("acme,a")),
        (".dtbauto", devicetree("acme,b")),
        (".uname", RELEASE.encode()),
        (".splash", b"BM splash"),
        (".linux", kit.kernel.read_bytes()),
        (".initrd", b"11111" + bytes(3) + b"222222" + bytes(2) + b"33333333"),
        (".efifw", efifw),
        (".ucode", b"UCODE"),
        (".sbom", b"a:b"),
        ("extra", bytes(range(256))),
    ]
    assert [name for name, _ in found].index(".hwids") == 6
    assert section(uki, ".hwids").endswith(b"Board\0acme,a\0")


def test_the_headers_are_those_of_an_efi_program_that_can_be_loaded(kit: Kit) -> None:
    uki = kit.build("all.efi", *with_all_options(kit))
    image = pefile.PE(data=uki.read_bytes(), fast_load=True)
    optional = image.OPTIONAL_HEADER
    assert optional.CheckSum == image.generate_checksum()
    last = image.sections[-1]
    assert optional.SizeOfImage >= last.VirtualAddress + last.Misc_VirtualSize
    end = optional.SizeOfHeaders
    top = 0
    for each in image.sections:
        assert each.PointerToRawData == end, "raw data follow each other without gaps"
        assert each.VirtualAddress % optional.SectionAlignment == 0
        assert each.VirtualAddress >= top
        end += each.SizeOfRawData
        top = each.VirtualAddress + each.Misc_VirtualSize
    assert end == uki.stat().st_size
    flags = {each.Name.rstrip(b"\0"): each.Characteristics for each in image.sections}
    assert flags[b".linux"] == 0x4000_0020, "code that can be read"
    assert flags[b".initrd"] == flags[b".osrel"] == 0x4000_0040, "data that can be read"


@pytest.mark.parametrize(("kernel", "stays"), [(0x100, True), (0, False)])
def test_nx_compat_stays_only_where_the_kernel_has_it(kit: Kit, kernel: int, stays: bool) -> None:
    data = bytearray(kit.kernel.read_bytes())
    at = 0x40 + 24 + 70
    assert data[at : at + 2] == b"\0\1"
    data[at : at + 2] = struct.pack("<H", kernel)
    kit.kernel.write_bytes(data)
    image = pefile.PE(data=kit.build("x.efi").read_bytes(), fast_load=True)
    assert bool(image.OPTIONAL_HEADER.DllCharacteristics & 0x100) is stays


def test_one_initrd_is_taken_as_it_is(kit: Kit) -> None:
    initrd = kit.file("odd.img", b"12345")
    assert section(kit.build("x.efi", f"--initrd={initrd}"), ".initrd") == b"12345"


@pytest.mark.parametrize(
    "head", [b"070701", b"\x1f\x8b", b"(\xb5/\xfd", bytes(512) + b"070701", b"\xfd7zXZ"]
)
def test_what_the_kernel_unpacks_is_taken_without_a_word(kit: Kit, head: bytes) -> None:
    initrd = kit.file("initrd", head + b"more")
    result = kit.run(f"--initrd={initrd}", "-o", kit.folder / "x.efi")
    assert (result.code, result.err) == (0, "")


def test_what_the_kernel_would_not_unpack_is_told(kit: Kit) -> None:
    initrd = kit.file("system.tar", b"etc/".ljust(257, b"\0") + b"ustar\0")
    result = kit.run(f"--initrd={initrd}", "-o", kit.folder / "x.efi")
    assert result.code == 0
    assert f"note: {initrd} begins like nothing the kernel unpacks" in result.err
    assert "tar:" in result.err


def test_a_command_line_from_a_file_is_taken_as_it_is(kit: Kit) -> None:
    path = kit.file("cmdline", b"  a   b\n\xff")
    assert section(kit.build("x.efi", f"--cmdline=@{path}"), ".cmdline") == b"  a   b\n\xff"


@pytest.mark.parametrize("option", ["--cmdline", "--os-release", "--section=.note"])
def test_an_empty_text_makes_no_section(kit: Kit, option: str) -> None:
    separator = ":" if "section" in option else "="
    name = {"--cmdline": ".cmdline", "--os-release": ".osrel"}.get(option, ".note")
    assert name not in names_of(kit.build("x.efi", f"{option}{separator}"))
    empty = kit.file("empty", b"")
    result = kit.run(f"{option}{separator}@{empty}", "-o", kit.folder / "y.efi")
    assert result.code == 0
    assert f"note: {empty} is empty: there is no section {name}" in result.err
    assert name not in names_of(kit.folder / "y.efi")


@pytest.mark.parametrize(
    "option",
    ["--initrd", "--microcode", "--splash", "--devicetree", "--linux", "--stub", "--efifw"],
)
def test_what_cannot_be_empty_is_refused_empty(kit: Kit, option: str) -> None:
    path = kit.file("empty", b"")
    result = kit.run(f"{option}={path}", "-o", kit.folder / "x.efi")
    assert result.code == 2
    assert f"error: {path}: " in result.err
    assert not (kit.folder / "x.efi").exists()


def test_a_section_is_there_once(kit: Kit) -> None:
    for words in (
        ("--cmdline=a", "--section=.cmdline:b"),
        ("--section=.x:a", "--section=.x:b"),
        ("--section=.sbat:a",),
    ):
        result = kit.run(*words, "-o", kit.folder / "x.efi")
        assert result.code == 2
        assert "is given twice" in result.err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("--section=.cmdline", "--section wants NAME:TEXT or NAME:@PATH"),
        ("--section=.toolongname:x", "not a section name: '.toolongname'"),
        ("--section=:x", "not a section name: ''"),
        ("--section=ä:x", "not a section name"),
        ("--section=.linux:x", "use --linux"),
        ("--section=.profile:ID=x", "use --profile"),
        ("--efi-arch=ia32", "images for 'ia32' cannot be built"),
        ("--initrd-compression=zstd:20", "a zstd level of 20; 1 to 19 are possible"),
        ("--initrd-compression=xz", "--initrd-compression wants zstd, zstd:LEVEL or none"),
        ("--initrd=nowhere", "no such initrd: nowhere"),
        ("--initrd=tar:nowhere.tar", "nowhere.tar: no such file or folder"),
        ("--profile=", "--profile is empty"),
        ("--join-profile=nowhere", "nowhere: No such file"),
        ("--sbat=lines", "not SBAT metadata"),
        ("--sbat=@nowhere", "nowhere: cannot read the SBAT metadata: No such file"),
        ("--hwids=nowhere", "nowhere: cannot be read: No such file"),
        ("--efifw=nowhere", "nowhere: cannot read the folder: No such file"),
        ("--signtool=pesign", "keys in an NSS database (pesign) are not read"),
        ("--signing-engine=other", "OpenSSL's other is not used here (--signing-engine)"),
        ("--signing-provider=tpm2", "OpenSSL's tpm2 is not used here (--signing-provider)"),
        ("--certificate-provider=x", "OpenSSL's x is not used here (--certificate-provider)"),
        ("--pcr-banks=md5", "unknown PCR bank 'md5'"),
        ("--esp-copies=0", "--esp-copies and --efi-size-warn are at least 1"),
        ("--secureboot-private-key=k", "--secureboot-private-key and --secureboot-certificate go"),
        ("--sign-kernel", "--sign-kernel needs --secureboot-private-key"),
        ("--pcrsig={}", "name it with --join-pcrsig"),
        ("--sign-initrd-pcrs", "--sign-initrd-pcrs needs --pcr-private-key or --policy-digest"),
        ("--policy-digest", "--policy-digest needs a public key"),
        ("--phases=ready", "--phases is given 1 times, --pcr-private-key 0 times"),
        ("--source-date-epoch=-1", "a source date epoch of -1 is not possible"),
    ],
)
def test_options_that_make_no_sense_leave_nothing(kit: Kit, words: str, message: str) -> None:
    result = kit.run(*words.split(), "-o", kit.folder / "x.efi")
    assert result.code == 2
    assert message in result.err + result.out
    assert not (kit.folder / "x.efi").exists()


@pytest.mark.parametrize(
    "option",
    [
        "--signtool=sbsign",
        "--signtool=systemd-sbsign",
        "--signing-engine=pkcs11",
        "--signing-provider=pkcs11",
        "--certificate-provider=pkcs11",
        "--tools=/usr/bin",
    ],
)
def test_settings_for_ukifys_programs_are_taken(kit: Kit, option: str) -> None:
    kit.build("x.efi", option)


# --- The system it is for ------------------------------------------------------------------------


def test_os_release_from_text_file_and_machine(kit: Kit, monkeypatch: pytest.MonkeyPatch) -> None:
    path = kit.file("os-release", "ID=file\n")
    assert section(kit.build("a.efi", f"--os-release=@{path}"), ".osrel") == b"ID=file\n"
    assert section(kit.build("b.efi", "--os-release=ID=text"), ".osrel") == b"ID=text"
    machine = kit.file("machine", "ID=machine\n")
    words = (f"--linux={kit.kernel}", f"--stub={kit.stub}")
    monkeypatch.setattr(parts, "_MACHINE_OS_RELEASE", ("/nowhere", str(machine)))
    result = sysgraft("uki", "build", *words, "-o", kit.folder / "c.efi")
    assert result.code == 0
    assert section(kit.folder / "c.efi", ".osrel") == b"ID=machine\n"
    monkeypatch.setattr(parts, "_MACHINE_OS_RELEASE", ("/nowhere",))
    result = sysgraft("uki", "build", *words, "-o", kit.folder / "d.efi")
    assert result.code == 2
    assert "there is no os-release file" in result.err


def test_the_release_is_the_kernels_own(kit: Kit) -> None:
    result = kit.run("--json", "-o", kit.folder / "x.efi")
    assert result.document["uname"] == RELEASE
    assert section(kit.build("y.efi", f"--uname={RELEASE}"), ".uname") == RELEASE.encode()
    assert ".uname" not in names_of(kit.build("z.efi", "--uname="))


def test_another_release_than_the_kernels_is_refused(kit: Kit) -> None:
    result = kit.run("--uname=6.1.0", "-o", kit.folder / "x.efi")
    assert result.code == 2
    assert f"--uname says 6.1.0, the kernel {kit.kernel} says {RELEASE}" in result.err


def test_a_kernel_that_does_not_say_its_release_can_be_told(kit: Kit) -> None:
    kit.kernel.write_bytes(make_pe())
    assert ".uname" not in names_of(kit.build("x.efi"))
    assert section(kit.build("y.efi", "--uname=5.4"), ".uname") == b"5.4"


# --- Kernel and stub -----------------------------------------------------------------------------


def test_a_compressed_kernel_is_decompressed(kit: Kit) -> None:
    import gzip  # noqa: PLC0415 - one test
    import lzma  # noqa: PLC0415

    plain = kit.kernel.read_bytes()
    for packed in (gzip.compress(plain), lzma.compress(plain)):
        kit.kernel.write_bytes(packed)
        assert section(kit.build("x.efi", "--force"), ".linux") == plain


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"\x7fELF" + bytes(60), "the kernel is an ELF file"),
        (b"\x02\x21\x4c\x18" + bytes(60), "compressed with LZ4"),
        (b"not a kernel", "the kernel is no executable for EFI"),
        (make_pe(subsystem=3), "not one for EFI"),
        (make_kernel(machine=0xAA64), "the stub is for x86-64, the kernel for arm64"),
        (make_kernel()[:400], "the section .text would end at byte"),
    ],
)
def test_what_firmware_would_not_start_is_no_kernel(kit: Kit, data: bytes, message: str) -> None:
    kit.kernel.write_bytes(data)
    result = kit.run("-o", kit.folder / "x.efi")
    assert result.code == 2
    assert message in result.err


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (make_pe(), "its section .sdmagic does not name one"),
        (make_stub(name="systemd-boot"), "not a stub of systemd: systemd-boot"),
        (make_stub(name="systemd-addon"), "a stub for addons, which starts no kernel"),
        (b"MZ", "not an EFI executable"),
    ],
)
def test_what_starts_no_kernel_is_no_stub(kit: Kit, data: bytes, message: str) -> None:
    kit.stub.write_bytes(data)
    result = kit.run("-o", kit.folder / "x.efi")
    assert result.code == 2
    assert f"error: {kit.stub}: " in result.err
    assert message in result.err


def test_stubs_are_found_where_systemd_puts_them(kit: Kit, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stub, "FOLDER", str(kit.folder))
    arm = kit.file("Image", make_kernel(machine=0xAA64))
    words = ("--os-release=ID=x", f"--linux={arm}")
    result = sysgraft("uki", "build", *words, "-o", kit.folder / "x.efi")
    assert result.code == 2
    assert f"{kit.folder}/linuxaa64.efi.stub: there is no such stub" in result.err
    kit.file("linuxaa64.efi.stub", make_stub(machine=0xAA64))
    result = sysgraft("uki", "build", *words, "--json", "-o", kit.folder / "x.efi")
    assert result.document["architecture"] == "arm64"
    result = sysgraft("uki", "build", *words, "--efi-arch=x64", "-o", kit.folder / "y.efi")
    assert result.code == 2
    assert "the stub is for x86-64, the kernel for arm64" in result.err
    result = sysgraft(
        "uki", "addon", "--cmdline=x", "--efi-arch=aa64", "-o", kit.folder / "a.addon.efi"
    )
    assert result.code == 2
    assert f"{kit.folder}/addonaa64.efi.stub: there is no such stub" in result.err


def test_systemds_own_hardware_ids_are_taken_where_there_are_any(
    kit: Kit, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parts, "HWIDS", str(kit.folder / "own"))
    board = {"name": "B", "compatible": "acme,b", "hwids": [str(UUID(int=1))]}
    kit.file("own/x64/b.json", json.dumps(board))
    result = kit.run("-o", kit.folder / "x.efi")
    assert f"note: hardware IDs are those of {kit.folder}/own/x64 (--hwids= for none)" in result.err
    assert section(kit.folder / "x.efi", ".hwids").endswith(b"B\0acme,b\0")
    assert ".hwids" not in names_of(kit.build("y.efi", "--hwids="))
    assert ".hwids" not in names_of(kit.build("z.addon.efi", "--cmdline=x", kernel=False))


# --- SBAT ----------------------------------------------------------------------------------------


def test_sbat_of_stub_kernel_and_options_becomes_one(kit: Kit) -> None:
    kit.kernel.write_bytes(make_kernel(sbat=KERNEL_SBAT))
    own = f"sbat,1,ours\nown,3,O,own,1,u\n\n{KERNEL_SBAT.splitlines()[1]}\n"
    lines = ["systemd-stub,1,S,systemd,257,u", KERNEL_SBAT.splitlines()[1]]
    uki = kit.build("a.efi")
    assert section(uki, ".sbat").decode() == HEADER + "\n".join(lines) + "\n" + UKI_LINE
    text = kit.file("own.csv", own)
    uki = kit.build("b.efi", f"--sbat=@{text}", "--sbat=sbat,1,x\nmore,1,M,more,1,u")
    assert section(uki, ".sbat").decode() == HEADER + "\n".join(
        [*lines, "own,3,O,own,1,u", "more,1,M,more,1,u", ""]
    )


@pytest.mark.parametrize("count", [5, 40, 400])
def test_sbat_may_be_longer_than_the_stubs(kit: Kit, count: int) -> None:
    lines = [f"c{number},1,{'x' * 60},p,1,u" for number in range(count)]
    found = section(kit.build("x.efi", "--sbat=" + "\n".join(["sbat,1", *lines])), ".sbat")
    assert found.decode() == "\n".join([HEADER + "systemd-stub,1,S,systemd,257,u", *lines, ""])


def test_sbat_nobody_could_read_is_left_out(kit: Kit) -> None:
    kit.kernel.write_bytes(make_kernel(sbat="this is none"))
    assert b"none" not in section(kit.build("x.efi"), ".sbat")


# --- Addons --------------------------------------------------------------------------------------


def test_an_addon_has_its_own_sbat_and_no_kernels_sections(kit: Kit) -> None:
    initrd = kit.file("more.img", b"070701")
    path = kit.folder / "deep/folder/debug.addon.efi"
    result = sysgraft("uki", "addon", "--cmdline=debug", f"--initrd={initrd}", "--uname=6.1",
                      f"--stub={kit.addon_stub}", "-o", path)  # fmt: skip
    assert result.code == 0, result.err
    assert own_sections(path) == [
        (".cmdline", b"debug"),
        (".uname", b"6.1"),
        (".initrd", b"070701"),
        (".sbat", (HEADER + ADDON_LINE).encode()),
    ]
    assert "(unsigned addon for x86-64)" in result.out


def test_an_addon_by_uki_build_is_the_same(kit: Kit) -> None:
    by_build = kit.build("one.addon.efi", "--cmdline=a  b", kernel=False).read_bytes()
    path = kit.folder / "two.addon.efi"
    sysgraft("uki", "addon", "--cmdline=a  b", f"--stub={kit.addon_stub}", "-o", path)
    assert path.read_bytes() == by_build


def test_an_addon_without_anything_for_the_stub_is_refused(kit: Kit) -> None:
    path = kit.folder / "x.addon.efi"
    for words in ((), ("--uname=6.1",), ("--section=.note:x",)):
        result = sysgraft("uki", "addon", *words, f"--stub={kit.addon_stub}", "-o", path)
        assert result.code == 2
        assert "nothing in this addon that the stub would take" in result.err
        assert not path.exists()


@pytest.mark.parametrize("option", ["--linux=x", "--os-release=x", "--splash=x", "--profile=x",
                                    "--pcr-private-key=x", "--measure", "--config=x"])  # fmt: skip
def test_an_addon_takes_no_option_of_a_uki(kit: Kit, option: str) -> None:
    result = sysgraft("uki", "addon", "--cmdline=x", option, "-o", kit.folder / "x.addon.efi")
    assert result.code == 2
    assert "unrecognized arguments" in result.err


def test_an_addon_has_no_policies_even_if_a_key_is_there(kit: Kit) -> None:
    from conftest import make_pair  # noqa: PLC0415 - one test

    key = make_pair(kit.folder, "pcr").key
    path = kit.folder / "x.addon.efi"
    result = kit.run(f"--pcr-private-key={key}", "--cmdline=x", "-o", path, kernel=False)
    assert "PCR 11 is about UKIs: nothing is measured or signed for this addon" in result.err
    assert names_of(path) == [".cmdline", ".sbat"]


# --- Where it goes -------------------------------------------------------------------------------


def test_the_result_is_named_by_the_kernel(kit: Kit, monkeypatch: pytest.MonkeyPatch) -> None:
    work = kit.folder / "work"
    work.mkdir()
    monkeypatch.chdir(work)
    assert kit.run().code == 0
    assert [path.name for path in work.iterdir()] == ["vmlinuz.unsigned.efi"]
    result = kit.run("--cmdline=x", kernel=False)
    assert result.code == 2
    assert "--output is needed where there is no --linux" in result.err


def test_the_same_everywhere(kit: Kit, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    other = make_kit(tmp_path / "another/place", monkeypatch)
    one = kit.build("x.efi", *with_all_options(kit))
    two = other.build("y.efi", *with_all_options(other))
    assert one.read_bytes() == two.read_bytes()


# --- Cost ----------------------------------------------------------------------------------------


def test_what_an_image_costs(kit: Kit) -> None:
    initrd = kit.file("big.img", bytes(3_000_000))
    path = kit.folder / "x.efi"
    words = (f"--initrd={initrd}", "-o", path, "--force")
    result = kit.run(*words, "--esp-copies=4", "--json")
    size = path.stat().st_size
    cost = result.document["cost"]
    assert cost["esp"] == 4 * size
    assert cost["memory"] > size + 3_000_000 + 3_000_000
    assert result.document["warnings"] == []
    result = kit.run(*words, "--efi-size-warn=2", "--esp-copies=4", "--esp-size=10", "--json")
    assert result.code == 0, "a warning is no failure"
    first, second = result.document["warnings"]
    assert first.startswith("the image has 3 MB, more than 2 MB (--efi-size-warn); .initrd alone")
    assert second == "4 copies need 12 MB, the ESP has 10 MB"
    result = kit.run(*words, "--efi-size-warn=2")
    assert "warning: the image has 3 MB" in result.err
    assert ".initrd" in result.out
    assert "big.img" in result.out


def test_the_report_says_where_each_section_comes_from(kit: Kit) -> None:
    initrd = kit.file("i.img", b"070701")
    result = kit.run(f"--initrd={initrd}", "--cmdline=x", "--json", "-o", kit.folder / "x.efi")
    found = {each["name"]: (each["size"], each["source"]) for each in result.document["sections"]}
    assert found[".linux"] == (kit.kernel.stat().st_size, str(kit.kernel))
    assert found[".initrd"] == (6, str(initrd))
    assert found[".cmdline"] == (1, None)
    assert result.document["stub"] == {"name": "systemd-stub", "version": "258.3-1"}
    assert [name for name, _ in sections_of(kit.folder / "x.efi")][:3] == [
        ".text",
        ".sbat",
        ".sdmagic",
    ]
