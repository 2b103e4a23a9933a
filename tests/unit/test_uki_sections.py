"""What the sections of UKIs mean: kinds, profiles, stubs and their versions, texts."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

import pytest

from executables import MAGIC, make_pe, uki_pieces
from sysgraft.base.blob import BytesBlob
from sysgraft.errors import FormatError, LimitError
from sysgraft.formats import pe, uki

if TYPE_CHECKING:
    from sysgraft.formats.pe import Image


def image_of(*names: str) -> Image:
    return pe.parse(BytesBlob(make_pe([(name, b"x") for name in names])))


@pytest.mark.parametrize(
    ("names", "kind"),
    [
        ((".text", ".sbat", ".sdmagic", ".osrel", ".linux", ".initrd"), "uki"),
        ((".linux",), "uki"),
        ((".text", ".sdmagic", ".cmdline"), "addon"),
        ((".sdmagic", ".sbat", ".uname", ".dtb"), "addon"),
        ((".sdmagic", ".pcrsig"), "addon"),
        ((".sdmagic", ".profile", ".cmdline"), "profile"),
        ((".sdmagic", ".sbat", ".profile", ".cmdline"), "profile"),
        ((".sdmagic", ".cmdline", ".profile"), "addon"),
        ((".text", ".sdmagic", ".sbat"), "stub"),
        ((".text", ".sdmagic", ".sbat", ".osrel"), "stub"),  # systemd-boot
        ((".text", ".sbat"), "other"),
        ((".text",), "other"),
        ((), "other"),
    ],
)
def test_kinds(names: tuple[str, ...], kind: str) -> None:
    assert uki.kind_of(image_of(*names)) == kind


# --- Profiles ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class One:
    """A section, told apart by its text."""

    text: str

    @property
    def name(self) -> str:
        return self.text.rstrip("0123456789")


def profiles(*texts: str) -> list[str]:
    """The profiles of a file with these sections, each as a line."""
    found = uki.profiles([One(text) for text in texts])
    return [" ".join(one.text for one in profile) for profile in found]


def test_without_profiles_there_is_the_base() -> None:
    assert profiles() == [""]
    assert profiles(".linux", ".cmdline") == [".linux .cmdline"]


def test_a_profile_replaces_what_it_has_itself() -> None:
    assert profiles(
        ".linux", ".cmdline0", ".profile0", ".profile1", ".cmdline1", ".profile2", ".linux2", ".x2"
    ) == [
        ".linux .cmdline0 .profile0",
        ".linux .profile1 .cmdline1",
        ".cmdline0 .profile2 .linux2 .x2",
    ]


def test_what_is_for_certain_hardware_stays_beside_the_profiles_own() -> None:
    assert profiles(
        ".linux", ".dtbauto1", ".dtbauto2", ".efifw1", ".hwids1", ".profile", ".dtbauto3", ".hwids3"
    ) == [".linux .dtbauto1 .dtbauto2 .efifw1 .profile .dtbauto3 .hwids3"]


@pytest.mark.parametrize(
    "texts",
    [
        (".linux1", ".linux2"),
        (".cmdline1", ".osrel", ".cmdline2", ".profile"),
        (".profile1", ".cmdline1", ".cmdline2"),
        (".linux", ".profile1", ".profile2", ".x1", ".x2"),
    ],
)
def test_what_is_there_twice_is_refused(texts: tuple[str, ...]) -> None:
    with pytest.raises(FormatError, match="is there twice"):
        profiles(*texts)


# --- Stubs ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("magic", "stub"),
    [
        (MAGIC, uki.Stub("systemd-stub", "257.13", 257)),
        (b"#### LoaderInfo: systemd-stub 252.39-1~deb12u2 ####\0", ("252.39-1~deb12u2", 252)),
        (b"#### LoaderInfo: systemd-addon 262~rc1-1ubuntu3 ####", ("262~rc1-1ubuntu3", 262)),
        (b"#### LoaderInfo: systemd-boot 9 ####", ("9", 9)),
        (b"#### LoaderInfo: systemd-stub 260.3 ####", ("260.3", 260)),
        (b"#### LoaderInfo: systemd-stub 9999 ####", ("9999", 9999)),
    ],
)
def test_stubs_say_what_they_are(magic: bytes, stub: uki.Stub | tuple[str, int]) -> None:
    data = BytesBlob(make_pe([(".text", b"\xc3"), (".sdmagic", magic)]))
    found = uki.stub_of(data, pe.parse(data))
    assert found is not None
    assert stub in (found, (found.version, found.major))


@pytest.mark.parametrize(
    "magic",
    [
        b"",
        b"x",
        b" #### LoaderInfo: systemd-stub 257 ####",
        b"#### LoaderInfo: systemd-stub v257 ####",
        b"#### LoaderInfo: systemd-stub  257 ####",
        b"#### LoaderInfo: systemd-stub 99999 ####",
        b"#### LoaderInfo: " + b"s" * 300 + b" 257 ####",
        b"#### LoaderInfo: systemd-st\xffub 257 ####",
    ],
)
def test_what_is_no_magic_says_nothing(magic: bytes) -> None:
    data = BytesBlob(make_pe([(".text", b"\xc3"), (".sdmagic", magic)]))
    assert uki.stub_of(data, pe.parse(data)) is None


def test_without_magic_nothing_is_said() -> None:
    data = BytesBlob(make_pe())
    assert uki.stub_of(data, pe.parse(data)) is None


# --- Texts ---------------------------------------------------------------------------------------


def text_of(content: bytes) -> str:
    data = BytesBlob(make_pe([(".osrel", content)]))
    return uki.read_text(data, pe.parse(data).sections[0])


@pytest.mark.parametrize(
    ("content", "text"),
    [(b"", ""), (b"\0\0", ""), (b"ID=x\n", "ID=x\n"), (b"ID=x\n\0\0", "ID=x\n"),
     ("ä€".encode(), "ä€"), (b"a" * uki.MAX_TEXT, "a" * uki.MAX_TEXT)],
)  # fmt: skip
def test_texts(content: bytes, text: str) -> None:
    assert text_of(content) == text


@pytest.mark.parametrize(
    ("content", "kind", "words"),
    [
        (b"\xff", FormatError, "not text in UTF-8"),
        (b"a\0b", FormatError, "goes on behind a NUL"),
        (b"\0b\0", FormatError, "goes on behind a NUL"),
        (b"a" * (uki.MAX_TEXT + 1), LimitError, "the limit is 1048576"),
    ],
)
def test_what_is_no_text(content: bytes, kind: type[FormatError], words: str) -> None:
    with pytest.raises(kind, match=words):
        text_of(content)


def test_zeros_in_memory_beyond_the_file_count() -> None:
    data = BytesBlob(make_pe(uki_pieces()))
    section = pe.parse(data).find(".cmdline")
    assert section is not None
    longer = replace(section, virtual_size=section.raw_size + uki.MAX_PADDING)
    content = uki.checked_content(data, longer)
    assert content.size == longer.virtual_size
    assert content.read_at(0, 6) == b"quiet\0"
    assert content.read_at(content.size - 4, 4) == bytes(4)
    with pytest.raises(LimitError):
        uki.checked_content(data, replace(longer, virtual_size=longer.virtual_size + 1))


# --- Tables --------------------------------------------------------------------------------------


def test_tables_agree() -> None:
    named: Final = set(uki.KNOWN)
    assert len(uki.KNOWN) == len(named) == 15
    assert named > {*uki.BY_HARDWARE, *uki.TEXT, *uki.ADDON_CONTENT, uki.PROFILE}
    assert uki.SIGNATURES not in uki.MEASURED
    assert all(len(name) <= 8 for name in named)
