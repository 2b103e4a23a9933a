"""``uki inspect``: what an executable claims to be, for people and in JSON, section by section."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import pytest

from command import signing, sysgraft
from executables import make_pe, signed_pe, uki_pieces, with_table
from sysgraft.image import uki_inspect
from sysgraft.testing.certificates import make_identity
from uki_kit import (
    OS_RELEASE,
    RELEASE,
    Kit,
    make_kit,
    make_stub,
    section,
    sections_of,
)

if TYPE_CHECKING:
    from pathlib import Path
    from typing import Any

    from conftest import SigningPair

FIRST, SECOND = make_identity("the first"), make_identity("the second", kind="p256")


@pytest.fixture
def kit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Kit:
    return make_kit(tmp_path / "kit", monkeypatch)


@pytest.fixture
def image(kit: Kit, signing_pair: SigningPair) -> Path:
    """A signed UKI with two profiles and signed policies."""
    initrd = kit.file("initrd", b"070701" * 500)
    profile = kit.profile("debug", "--cmdline=debug")
    return kit.build(
        "x.efi", f"--initrd={initrd}", "--cmdline=quiet", f"--join-profile={profile}",
        f"--pcr-private-key={signing_pair.key}", "--pcr-banks=sha256,sha384",
        *signing(signing_pair),
    )  # fmt: skip


def inspect(*words: str | Path) -> dict[str, Any]:
    result = sysgraft("uki", "inspect", "--json", *words)
    assert result.code == 0, result.err
    (found,) = result.document["images"]
    assert isinstance(found, dict)
    return found


# --- An image ------------------------------------------------------------------------------------


def test_sections_with_their_digests_and_places(image: Path) -> None:
    found = inspect(image, "--all")
    data = image.read_bytes()
    assert [each["name"] for each in found["sections"]] == [name for name, _ in sections_of(image)]
    for each, (_, content) in zip(found["sections"], sections_of(image), strict=True):
        assert each["size"] == len(content)
        assert each["sha256"] == hashlib.sha256(content).hexdigest()
        assert data[each["offset"] : each["offset"] + each["size"]] == content
    texts = {each["name"]: each["text"] for each in found["sections"] if each["profile"] is None}
    assert texts[".osrel"] == OS_RELEASE
    assert texts[".linux"] is None
    assert texts[".sdmagic"] is None


def test_what_an_image_is(image: Path, signing_pair: SigningPair) -> None:
    found = inspect(image)
    assert (found["kind"], found["architecture"], found["uname"]) == ("uki", "x86-64", RELEASE)
    assert found["stub"] == {"name": "systemd-stub", "version": "258.3-1"}
    assert found["size"] == image.stat().st_size
    assert found["profiles"] == 2
    assert found["pcrPolicies"] == {
        "sha256": {"signed": 8, "unsigned": 0},
        "sha384": {"signed": 8, "unsigned": 0},
    }
    assert [each["profile"] for each in found["sections"]] == [*[None] * 7, 0, 0, 1, 1, 1]
    (signature,) = found["signatures"]
    assert signature["subject"] == signature["issuer"] == "CN=sysgraft test signer,O=sysgraft tests"
    assert (signature["digest"], signature["timestamp"]) == ("sha256", None)
    assert found["problems"] == []
    assert signing_pair.certificate.exists()


def test_what_a_person_reads(image: Path) -> None:
    result = sysgraft("uki", "inspect", image)
    lines = result.out.splitlines()
    assert lines[0] == f"{image}  ({image.stat().st_size / 1000:.1f} kB)"
    assert "  kind          uki" in lines
    assert f"  kernel        {RELEASE}" in lines
    assert "  profiles      2" in lines
    assert "  PCR policies  sha256: 8 signed" in lines
    assert any(line.startswith("  signed by     CN=sysgraft test signer") for line in lines)
    assert "      VERSION_ID=1" in lines
    assert any(
        line.startswith("  .cmdline  5 B  sha256 ") and "profile 1" in line for line in lines
    )
    assert "      debug" in lines
    assert "pkfp" not in result.out
    assert ".text" not in result.out
    assert ".text" in sysgraft("uki", "inspect", "--all", image).out


def test_several_files_at_once(kit: Kit, image: Path) -> None:
    addon = kit.build("x.addon.efi", "--cmdline=x", kernel=False)
    result = sysgraft("uki", "inspect", image, addon, kit.stub, kit.kernel, "--json")
    assert [each["kind"] for each in result.document["images"]] == ["uki", "addon", "stub", "other"]
    result = sysgraft("uki", "inspect", image, addon)
    assert "  signed by     nobody" in result.out


def test_one_that_cannot_be_read_leaves_no_document(kit: Kit, image: Path) -> None:
    for wrong in (kit.folder / "nowhere", kit.file("text", "text")):
        result = sysgraft("uki", "inspect", image, wrong, "--json")
        assert result.code == 2
        assert result.out == ""
        assert f"error: {wrong}: " in result.err


# --- Sections ------------------------------------------------------------------------------------


def test_only_the_sections_asked_for(image: Path) -> None:
    found = inspect(image, "--section=.osrel", "--section=.linux:binary")
    assert [each["name"] for each in found["sections"]] == [".osrel", ".linux"]
    result = sysgraft("uki", "inspect", image, "--section=.osrel:binary", "--section=.pcrsig:text")
    assert "ID=kit" not in result.out
    assert "pkfp" in result.out
    assert "pkfp" in sysgraft("uki", "inspect", image, "--section=.pcrsig").out


def test_a_section_can_be_read_as_text(kit: Kit) -> None:
    uki = kit.build("x.efi", "--section=.note:some text", "--section=.junk:ab")
    assert "some text" not in sysgraft("uki", "inspect", uki, "--section=.note").out
    assert "      some text" in sysgraft("uki", "inspect", uki, "--section=.note:text").out
    found = inspect(uki, "--section=.linux:text")
    assert found["sections"][0]["text"] is None
    assert [".linux" in problem for problem in found["problems"]] == [True]


def test_sections_go_to_files(kit: Kit, image: Path) -> None:
    kernel, osrel = kit.folder / "kernel", kit.folder / "osrel"
    words = (f"--section=.linux:binary@{kernel}", f"--section=.osrel@{osrel}")
    result = sysgraft("uki", "inspect", image, *words)
    assert result.code == 0, result.err
    assert kernel.read_bytes() == section(image, ".linux")
    assert osrel.read_text() == OS_RELEASE
    result = sysgraft("uki", "inspect", image, *words)
    assert result.code == 2
    assert "the file exists" in result.err
    kernel.write_text("old")
    assert sysgraft("uki", "inspect", image, *words, "--force").code == 0
    assert kernel.read_bytes() == section(image, ".linux")


def test_which_section_is_meant_has_to_be_clear(kit: Kit, image: Path) -> None:
    target = kit.folder / "cmdline"
    word = f"--section=.cmdline:binary@{target}"
    result = sysgraft("uki", "inspect", image, word)
    assert result.code == 2
    assert "has 2 sections .cmdline, one is to be written" in result.err
    assert "choose a profile with --profile" in result.err
    assert not target.exists()
    for number, text in ((0, "quiet"), (1, "debug")):
        assert sysgraft("uki", "inspect", image, word, f"--profile={number}", "--force").code == 0
        assert target.read_text() == text
    result = sysgraft("uki", "inspect", image, f"--section=.note@{target}", "--force")
    assert result.code == 2
    assert "has no sections .note, one is to be written" in result.err
    assert target.read_text() == "debug"
    result = sysgraft("uki", "inspect", image, image, word)
    assert result.code == 2
    assert "sections of several files cannot go to one file" in result.err


def test_a_section_that_is_not_there_is_told(image: Path) -> None:
    result = sysgraft("uki", "inspect", image, "--section=.note")
    assert result.code == 0
    assert result.err == f"note: {image} has no section .note\n"


def test_what_a_profile_shows(image: Path) -> None:
    for number, cmdline, name in ((0, "quiet", "main"), (1, "debug", "debug")):
        found = inspect(image, f"--profile={number}")["sections"]
        names = [each["name"] for each in found]
        assert len(set(names)) == len(names)
        texts = {each["name"]: each["text"] for each in found}
        assert (texts[".cmdline"], texts[".profile"]) == (cmdline, f"ID={name}")
        assert ".linux" in names
    for wrong in ("2", "-1"):
        result = sysgraft("uki", "inspect", image, f"--profile={wrong}")
        assert result.code == 2
        assert f"has no profile {wrong}, it has 2" in result.err


@pytest.mark.parametrize("text", ["", ":text", ".toolongname", ".a:hex", ".a@", "ä"])
def test_what_is_no_section(image: Path, text: str) -> None:
    result = sysgraft("uki", "inspect", image, f"--section={text}")
    assert result.code == 2
    assert "--section wants NAME, NAME:text or NAME:binary@FILE" in result.err


# --- What is wrong -------------------------------------------------------------------------------


def test_signatures_that_cannot_be_read_do_not_hide_the_others(kit: Kit) -> None:
    data = make_pe(uki_pieces())
    both = kit.file("both.efi", signed_pe(data, FIRST, SECOND))
    names = [each["subject"].partition(",")[0] for each in inspect(both)["signatures"]]
    assert names == ["CN=the first", "CN=the second"]
    broken = bytearray(both.read_bytes())
    broken[len(data) + 8 + 40] ^= 0xFF
    found = inspect(kit.file("broken.efi", bytes(broken)))
    assert [each["subject"].partition(",")[0] for each in found["signatures"]] == ["CN=the second"]
    assert [each.partition(":")[0] for each in found["problems"]] == ["signature 1 cannot be read"]
    found = inspect(kit.file("junk.efi", with_table(data, b"\1" * 16)))
    assert found["signatures"] == []
    assert found["problems"][0].startswith("the certificate table cannot be read: ")


def test_sections_that_share_their_bytes_are_not_read_for_hours(
    kit: Kit, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(uki_inspect, "MAX_OVERLAP", 4096)
    image = bytearray(make_pe([(f".s{number}", bytes(4096)) for number in range(8)]))
    first = image.index(b".s0\0") + 16
    for number in range(1, 8):
        at = image.index(f".s{number}\0".encode()) + 16
        image[at : at + 8] = image[first : first + 8]
    path = kit.file("x.efi", bytes(image[: 512 + 4096 + 512]))
    result = sysgraft("uki", "inspect", path)
    assert result.code == 2
    assert "its sections overlap: they have 32768 bytes" in result.err


def test_nothing_an_image_says_can_break_the_terminal(kit: Kit) -> None:
    data = make_pe(
        uki_pieces((".uname", b"1\x1b[31m\r2"), (".profile", b"ID=\x1b]0;x\x07\n\nTITLE=y"))
    )
    result = sysgraft("uki", "inspect", kit.file("x.efi", data), "--all")
    assert "\x1b" not in result.out
    assert "\x07" not in result.out
    assert "\r" not in result.out


def test_a_stub_says_its_version(kit: Kit) -> None:
    found = inspect(kit.file("x.efi", make_stub("262.1", name="systemd-boot")))
    assert (found["kind"], found["stub"]) == ("stub", {"name": "systemd-boot", "version": "262.1"})
