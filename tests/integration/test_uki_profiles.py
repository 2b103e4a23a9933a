"""UKIs with several profiles: sections, PCR 11 of each, signatures of each, wrong profile files."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from command import sysgraft
from conftest import make_pair
from executables import Piece, make_pe
from uki_kit import (
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
    paths,
    pcr11,
    pcr_signatures,
    policy,
    section,
)

if TYPE_CHECKING:
    from pathlib import Path
    from typing import Any

    from conftest import SigningPair

SBAT = (HEADER + "systemd-stub,1,S,systemd,257,u\n" + UKI_LINE).encode()


@pytest.fixture
def kit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Kit:
    return make_kit(tmp_path / "kit", monkeypatch)


@pytest.fixture(scope="module")
def pcr_pair(tmp_path_factory: pytest.TempPathFactory) -> SigningPair:
    return make_pair(tmp_path_factory.mktemp("pcr"), "PCR policies")


def values(document: dict[str, Any]) -> dict[tuple[int, str | None, str, str], str]:
    """PCR values of a report by profile, hardware, phase path and bank."""
    found = {
        (each["profile"], each["hardware"], each["phase"], each["bank"]): each["value"]
        for each in document["pcrs"]
    }
    assert len(found) == len(document["pcrs"])
    return found


# --- Sections ------------------------------------------------------------------------------------


def test_a_profile_file_begins_with_its_description_and_has_no_sbat(kit: Kit) -> None:
    path = kit.profile("debug", "--cmdline=debug", "--uname=x")
    assert own_sections(path) == [
        (".profile", b"ID=debug"),
        (".cmdline", b"debug"),
        (".uname", b"x"),
    ]
    result = sysgraft("uki", "inspect", path, "--json")
    assert result.document["images"][0]["kind"] == "profile"


def test_profiles_come_behind_what_they_share(kit: Kit) -> None:
    one = kit.profile("one", "--cmdline=first")
    two = kit.profile("two", "--cmdline=second", f"--initrd={kit.file('2.img', b'070701')}")
    uki = kit.build("x.efi", "--cmdline=base", f"--join-profile={one}", f"--join-profile={two}")
    assert own_sections(uki) == [
        (".sbat", SBAT),
        (".osrel", OS_RELEASE.encode()),
        (".cmdline", b"base"),
        (".uname", RELEASE.encode()),
        (".linux", kit.kernel.read_bytes()),
        (".profile", b"ID=main"),
        (".profile", b"ID=one"),
        (".cmdline", b"first"),
        (".profile", b"ID=two"),
        (".cmdline", b"second"),
        (".initrd", b"070701"),
    ]


def test_the_first_profile_can_have_a_description_of_its_own(kit: Kit) -> None:
    text = kit.file("profile", "ID=regular\nTITLE=Regular\n")
    one = kit.profile("one", "--cmdline=first")
    uki = kit.build("x.efi", f"--profile=@{text}", f"--join-profile={one}")
    assert own_sections(uki)[-3] == (".profile", b"ID=regular\nTITLE=Regular\n")


def test_a_uki_with_one_profile_keeps_the_sbat_of_its_kernel(kit: Kit) -> None:
    kit.kernel.write_bytes(make_kernel(sbat=KERNEL_SBAT))
    uki = kit.build("x.efi", "--profile=ID=only")
    assert names_of(uki) == [".sbat", ".osrel", ".uname", ".linux", ".profile"]
    assert KERNEL_SBAT.splitlines()[1] in section(uki, ".sbat").decode()


def test_a_profile_may_have_a_kernel_of_its_own(kit: Kit) -> None:
    other = kit.file("other", make_kernel("6.1.0-other"))
    profile = kit.build(
        "old.profile", "--profile=ID=old", f"--linux={other}", f"--stub={kit.addon_stub}"
    )
    assert names_of(profile) == [".profile", ".osrel", ".uname", ".linux"]
    uki = kit.build("x.efi", f"--join-profile={profile}")
    assert own_sections(uki)[-2:] == [(".uname", b"6.1.0-other"), (".linux", other.read_bytes())]


def test_profiles_may_differ_in_what_fits_the_hardware(kit: Kit) -> None:
    first, second = kit.file("a.dtb", b"DTB a"), kit.file("b.dtb", b"DTB b")
    profile = kit.profile("arm", f"--devicetree-auto={first}", f"--devicetree-auto={second}")
    uki = kit.build("x.efi", f"--join-profile={profile}")
    assert own_sections(uki)[-2:] == [(".dtbauto", b"DTB a"), (".dtbauto", b"DTB b")]


def test_os_release_of_profiles_goes_where_the_uki_has_none(kit: Kit) -> None:
    profile = kit.profile("x", "--os-release=ID=x")
    uki = kit.build("a.efi", f"--join-profile={profile}")
    assert own_sections(uki)[-2:] == [(".profile", b"ID=x"), (".osrel", b"ID=x")]
    uki = kit.build("b.efi", f"--join-profile={profile}", "--os-release=")
    assert own_sections(uki)[-1] == (".profile", b"ID=x")


def test_only_sections_the_stub_knows_are_joined(kit: Kit) -> None:
    pieces = [(".text", b"x"), (".profile", b"ID=p"), (".pcrpkey", b"key"), (".pcrsig", b"{}"),
              (".cmdline", b"yes"), (".note", b"n")]  # fmt: skip
    profile = kit.file("p.efi", make_pe(pieces))
    uki = kit.build("x.efi", f"--join-profile={profile}")
    assert own_sections(uki)[-2:] == [(".profile", b"ID=p"), (".cmdline", b"yes")]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (make_stub(), "its first section is not .profile"),
        (make_pe([(".cmdline", b"x"), (".profile", b"ID=x")]), "its first section is not .profile"),
        (make_pe([(".profile", b"ID=a"), (".profile", b"ID=b")]), "it holds several profiles"),
        (
            make_pe([(".profile", b"ID=a"), (".cmdline", b"1"), (".cmdline", b"2")]),
            "the section .cmdline is there twice",
        ),
        (make_pe([Piece(".profile", b"ID=a")])[:-1], "the section .profile would end at byte"),
        (b"no executable", "not an EFI executable"),
    ],
)
def test_what_is_no_profile_is_not_joined(kit: Kit, data: bytes, message: str) -> None:
    path = kit.file("p.efi", data)
    result = kit.run(f"--join-profile={path}", "-o", kit.folder / "x.efi")
    assert result.code == 2
    assert f"error: {path}: " in result.err
    assert message in result.err


def test_profiles_are_joined_to_a_uki_only(kit: Kit) -> None:
    profile = kit.profile("x", "--cmdline=x")
    result = kit.run(f"--join-profile={profile}", "--cmdline=y", "-o", kit.folder / "x.efi",
                     kernel=False)  # fmt: skip
    assert result.code == 2
    assert "adds profiles to a UKI, which needs a kernel" in result.err


# --- PCR 11 --------------------------------------------------------------------------------------


def three_profiles(kit: Kit) -> tuple[list[str], list[dict[str, bytes]]]:
    """Options for a UKI, and what each of its profiles shows a stub."""
    one = kit.profile("one", "--cmdline=first")
    two = kit.profile("two", "--os-release=ID=two", f"--splash={kit.file('2.bmp', b'BM')}")
    base = {
        ".linux": kit.kernel.read_bytes(),
        ".osrel": OS_RELEASE.encode(),
        ".cmdline": b"base",
        ".uname": RELEASE.encode(),
        ".sbat": SBAT,
    }
    return ["--cmdline=base", f"--join-profile={one}", f"--join-profile={two}"], [
        {**base, ".profile": b"ID=main"},
        {**base, ".profile": b"ID=one", ".cmdline": b"first"},
        {**base, ".profile": b"ID=two", ".osrel": b"ID=two", ".splash": b"BM"},
    ]


def test_every_profile_has_its_pcr_11(kit: Kit) -> None:
    words, profiles = three_profiles(kit)
    result = kit.run(*words, "--measure", "--json", "-o", kit.folder / "x.efi")
    assert values(result.document) == {
        (number, None, phase, bank): pcr11(contents, phase, bank)
        for number, contents in enumerate(profiles)
        for phase in paths()
        for bank in ("sha1", "sha256", "sha384", "sha512")
    }


def test_values_are_shown_moment_by_moment(kit: Kit) -> None:
    words, profiles = three_profiles(kit)
    result = kit.run(*words, "--measure", "--pcr-banks=sha1 sha256", "-o", kit.folder / "x.efi")
    tail = result.out[result.out.index("# PCR 11") :].splitlines()
    assert tail[:3] == [
        "# PCR 11, profile 0, phase enter-initrd",
        f"11:sha1={pcr11(profiles[0], 'enter-initrd', 'sha1')}",
        f"11:sha256={pcr11(profiles[0], 'enter-initrd', 'sha256')}",
    ]
    assert len([line for line in tail if line.startswith("#")]) == 12


def test_every_profile_has_its_signatures(kit: Kit, pcr_pair: SigningPair) -> None:
    words, profiles = three_profiles(kit)
    uki = kit.build("x.efi", *words, f"--pcr-private-key={pcr_pair.key}", "--pcr-banks=sha256")
    assert names_of(uki)[6:] == [
        ".profile", ".pcrsig", ".profile", ".cmdline", ".pcrsig",
        ".profile", ".osrel", ".splash", ".pcrsig",
    ]  # fmt: skip
    key = section(uki, ".pcrpkey")
    assert [[each["pol"] for each in document["sha256"]] for document in pcr_signatures(uki)] == [
        [
            policy(pcr11({**contents, ".pcrpkey": key}, phase, "sha256"), "sha256")
            for phase in paths()
        ]
        for contents in profiles
    ]


@pytest.mark.parametrize(("ids", "which"), [("one", [1]), ("main two", [0, 2])])
def test_signatures_for_some_profiles_only(
    kit: Kit, pcr_pair: SigningPair, ids: str, which: list[int]
) -> None:
    words, _ = three_profiles(kit)
    chosen = [f"--sign-profile={name}" for name in ids.split()]
    uki = kit.build("x.efi", *words, *chosen, f"--pcr-private-key={pcr_pair.key}")
    everything = kit.build("y.efi", *words, f"--pcr-private-key={pcr_pair.key}")
    assert pcr_signatures(uki) == [pcr_signatures(everything)[number] for number in which]


def test_a_profile_nobody_knows_is_not_signed_for(kit: Kit, pcr_pair: SigningPair) -> None:
    words, _ = three_profiles(kit)
    key = f"--pcr-private-key={pcr_pair.key}"
    result = kit.run(*words, "--sign-profile=tow", key, "-o", kit.folder / "x.efi")
    assert result.code == 2
    assert "no profile has the ID tow (--sign-profile)" in result.err
    assert "main, one, two" in result.err


def test_the_release_of_the_stub_decides_what_is_measured(kit: Kit) -> None:
    kit.file("fw/a/f", b"FW")
    efifw = f"--efifw={kit.folder / 'fw/a'}"
    seen_values = set()
    for version, words in (
        ("253", ()),
        ("256.1", ()),
        ("257~rc1", ("--profile=ID=x",)),
        ("258", ("--profile=ID=x", efifw)),
    ):
        kit.stub.write_bytes(make_stub(version))
        result = kit.run(*words, "--measure", "--json", "--force", "-o", kit.folder / "x.efi")
        seen = dict(own_sections(kit.folder / "x.efi"))
        if version == "253":
            del seen[".uname"], seen[".sbat"]
        hardware = ".efifw 1" if version == "258" else None
        value = values(result.document)[0, hardware, "enter-initrd", "sha256"]
        assert value == pcr11(seen, "enter-initrd", "sha256")
        seen_values.add(value)
    assert len(seen_values) == 4


@pytest.mark.parametrize(
    ("version", "option", "section"),
    [
        ("255.4", "--microcode", ".ucode"),
        ("256.1", "--devicetree-auto", ".dtbauto"),
        ("256.1", "--profile", ".profile"),
        ("257.13", "--efifw", ".efifw"),
    ],
)
def test_a_section_that_the_stub_does_not_know_is_refused(
    kit: Kit, version: str, option: str, section: str
) -> None:
    """It would do nothing; an old stub even takes .dtbauto for .dtb, and the last .cmdline."""
    kit.stub.write_bytes(make_stub(version))
    kit.file("fw/a/f", b"FW")
    given = {"--efifw": str(kit.folder / "fw/a"), "--profile": "ID=x"}
    value = given.get(option) or str(kit.file("some", b"CONTENT"))
    result = kit.run(f"{option}={value}", "-o", kit.folder / "x.efi")
    assert result.code == 2
    assert f"does not know {section}" in result.err
    assert not (kit.folder / "x.efi").exists()


def test_there_is_a_value_for_each_devicetree_and_for_none(kit: Kit, pcr_pair: SigningPair) -> None:
    first, second = kit.file("a.dtb", b"DTB a"), kit.file("b.dtb", b"DTB b")
    words = (f"--devicetree-auto={first}", f"--devicetree-auto={second}", "--pcr-banks=sha256")
    key = f"--pcr-private-key={pcr_pair.key}"
    path = kit.folder / "x.efi"
    result = kit.run(*words, key, "--measure", "--json", "-o", path)
    always = {name: data for name, data in own_sections(path) if name != ".dtbauto"}
    expected = {
        (0, hardware, phase, "sha256"): pcr11({**always, ".dtbauto": data}, phase, "sha256")
        for hardware, data in ((None, b""), (".dtbauto 1", b"DTB a"), (".dtbauto 2", b"DTB b"))
        for phase in paths()
    }
    assert values(result.document) == expected
    signed = [each["pol"] for each in pcr_signatures(path)[0]["sha256"]]
    assert signed == [policy(value, "sha256") for value in expected.values()]


def test_devicetrees_that_are_alike_are_signed_once(kit: Kit, pcr_pair: SigningPair) -> None:
    first, second = kit.file("a.dtb", b"DTB"), kit.file("b.dtb", b"DTB")
    words = (f"--devicetree-auto={first}", f"--devicetree-auto={second}", "--pcr-banks=sha256")
    uki = kit.build("x.efi", *words, f"--pcr-private-key={pcr_pair.key}")
    assert len(pcr_signatures(uki)[0]["sha256"]) == 2 * 4
