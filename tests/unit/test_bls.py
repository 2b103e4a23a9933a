"""Boot loader entries as systemd-boot reads them, and the boot counters of both programs."""

from __future__ import annotations

from typing import Final

import pytest

from sysgraft.errors import LimitError
from sysgraft.formats import bls
from sysgraft.formats.bls import Counted, Entry, extra_folder, parse, split_counter

FULL: Final = b"""\
# written by kernel-install
title        Debian GNU/Linux 13 (trixie)
version      6.12.1-amd64
machine-id   ce80ce7b1b304b9fa87b52a525c5f6e4
sort-key     debian
architecture x64
uki          /EFI/Linux/debian.efi
profile      2
options      root=LABEL=root  quiet
options      systemd.show_status=no
initrd       /a/initrd
initrd       /b/initrd
extra        /x/one.addon.efi
extra        /x/two.sysext.raw
devicetree   /dtb/board.dtb
grub_users   root
grub_class   debian
"""


def test_an_entry() -> None:
    assert parse(FULL) == Entry(
        title="Debian GNU/Linux 13 (trixie)",
        version="6.12.1-amd64",
        sort_key="debian",
        machine_id="ce80ce7b1b304b9fa87b52a525c5f6e4",
        architectures=("x64",),
        uki="/EFI/Linux/debian.efi",
        profile=2,
        devicetree="/dtb/board.dtb",
        initrds=("/a/initrd", "/b/initrd"),
        options="root=LABEL=root  quiet systemd.show_status=no",
        extras=("/x/one.addon.efi", "/x/two.sysext.raw"),
        others=(("grub_users", "root"), ("grub_class", "debian")),
        kinds=("uki",),
    )
    assert parse(FULL).kind == "uki"


def test_the_lines_of_systemds_own_test() -> None:
    # src/boot/test-efi-string.c, line_get_key_value, the second text.
    text = b'this parser\n\t\t\t# is\t\r  also\tused  \r\nfor "the conf"\nformat\t !!'
    assert parse(text).others == (
        ("this", "parser"),
        ("also", "used"),
        ("for", "the conf"),
        ("format", "!!"),
    )


@pytest.mark.parametrize(
    ("line", "title"),
    [
        (b"title a", "a"),
        (b"title \t a\tb \t", "a\tb"),
        (b"title\ta", "a"),
        (b'title "a b"', "a b"),
        (b"title 'a b'", "a b"),
        (b'title " a "', " a "),
        (b"title \"a'", "\"a'"),
        (b'title a"', 'a"'),
        (b'title "', ""),
        (b'title ""', ""),
        (b"title a # b", "a # b"),
        (b"title", ""),
        (b"title ", ""),
        (b"Title a", ""),
        (b"title=a", ""),
        (b"title\x0ba", ""),
        (b"#title a", ""),
        (b" \t# title a", ""),
        (b"title a\rtitle b", "b"),
        (b"title a\n\n\ntitle b\n", "b"),
        (b"title a\0\ntitle b", "a"),
        (b"\xef\xbb\xbftitle a", ""),
        ("title ä€".encode(), "ä€"),
        ("title a😀b".encode(), "ab"),
        (b"title a\xffb", "ab"),
        (b"title a\xed\xa0\x80b", "ab"),
        (b"title a\xc1\x81b", "aAb"),
        (b"title a\xc0\x80b", "a"),
        (b"title a\xe2\x82", "a"),
        (b"title a\xe2bcd", "ad"),
        (b"title a\xfc\x80\x80\x80\x81\x81b", "aAb"),
        (b"title a\x80b", "ab"),
    ],
)
def test_lines_and_characters(line: bytes, title: str) -> None:
    assert parse(line).title == title


def test_the_last_of_equal_keys_counts_and_options_are_joined() -> None:
    found = parse(b'linux /a\nlinux /b\noptions ""\noptions x\narchitecture x64\narchitecture ARM')
    assert (found.linux, found.kind, found.options) == ("/b", "linux", " x")
    assert found.architectures == ("x64", "ARM")


@pytest.mark.parametrize(
    ("lines", "kind"),
    [
        (b"", None),
        (b"title a", None),
        (b"linux /a", "linux"),
        (b"efi /a", "efi"),
        (b"uki-url :a.efi", "uki-url"),
        (b"linux /a\nefi /b", None),
        (b"uki /a\nuki-url http://b", None),
    ],
)
def test_kinds(lines: bytes, kind: str | None) -> None:
    assert parse(lines).kind == kind


@pytest.mark.parametrize(
    ("lines", "profile"),
    [
        (b"", 0),
        (b"profile 3", 3),
        (b"profile 007", 7),
        (b"profile 3\nprofile x", 3),
        (b"profile 3\nprofile 4 5", 3),
        (b"profile -1", 0),
        (b"profile 4294967295", 4294967295),
        (b"profile 4294967296", 0),
        (b"profile " + b"9" * 5000, 0),
        ("profile \u0663".encode(), 0),
    ],
)
def test_profiles(lines: bytes, profile: int) -> None:
    assert parse(lines).profile == profile


def test_a_file_too_large() -> None:
    assert parse(b"#" * bls.MAX_SIZE) == Entry()
    with pytest.raises(LimitError):
        parse(b"#" * (bls.MAX_SIZE + 1))


@pytest.mark.parametrize(
    ("path", "firmwares"),
    [
        ("/EFI/Linux/a.efi", "\\EFI\\Linux\\a.efi"),
        ("EFI//a\\/\\b", "EFI\\a\\b"),
        ("//a/", "\\a\\"),
        ("", ""),
    ],
)
def test_paths_for_firmware(path: str, firmwares: str) -> None:
    assert bls.efi_path(path) == firmwares


@pytest.mark.parametrize(
    ("name", "is_one"),
    [
        ("a.conf", True),
        ("A.CONF", True),
        ("a+3.conf", True),
        (".conf", False),
        (".a.conf", False),
        ("auto-a.conf", False),
        ("AUTO-a.conf", False),
        ("a.conf.bak", False),
        ("", False),
    ],
)
def test_names_of_entries(name: str, is_one: bool) -> None:
    assert bls.is_entry_name(name) is is_one


# --- Boot counters -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("foo+3-1.efi", Counted("foo.efi", 3, 1)),
        ("foo+3.efi", Counted("foo.efi", 3, 0)),
        ("foo+0-3.conf", Counted("foo.conf", 0, 3)),
        ("foo+3.EFI", Counted("foo.efi", 3, 0)),
        ("+3.efi", Counted(".efi", 3, 0)),
        ("a+b+3-1.efi", Counted("a+b.efi", 3, 1)),
        ("a+1+2.efi", Counted("a+1.efi", 2, 0)),
        ("foo+03-01.efi", Counted("foo.efi", 3, 1)),
        ("foo+2147483647-2147483647.efi", Counted("foo.efi", 2147483647, 2147483647)),
        *(
            (name, Counted(name))
            for name in (
                "foo.efi",
                "foo+.efi",
                "foo+x.efi",
                "foo+3-.efi",
                "foo+3-x.efi",
                "foo+3-1-2.efi",
                "foo+3.1.efi",
                "foo+3",
                "foo+3.raw",
                "foo+3.efi+.efi",
                "foo+3.efi.bak",
                "foo+2147483648.efi",
                "foo+1-2147483648.efi",
                "foo+" + "9" * 5000 + ".efi",
                "foo+-3.efi",
                "foo+\u0663.efi",
                "foo-3.efi",
                "",
            )
        ),
    ],
)
def test_counters(name: str, found: Counted) -> None:
    assert split_counter(name) == found


@pytest.mark.parametrize(
    ("path", "folder"),
    [
        ("\\EFI\\Linux\\foo.efi", "\\EFI\\Linux\\foo.efi.extra.d"),
        ("\\EFI\\Linux\\foo+3.efi", "\\EFI\\Linux\\foo.efi.extra.d"),
        ("\\EFI\\Linux\\foo+3-1.efi", "\\EFI\\Linux\\foo.efi.extra.d"),
        ("foo+3-1", "foo.extra.d"),
        ("foo+3.x.efi", "foo.x.efi.extra.d"),
        ("foo+18446744073709551615.efi", "foo.efi.extra.d"),
        ("foo+18446744073709551616.efi", "foo+18446744073709551616.efi.extra.d"),
        ("foo+3-.efi", "foo+3-.efi.extra.d"),
        ("foo+3-1x.efi", "foo+3-1x.efi.extra.d"),
        # The first "+" of all counts, even that of a folder.
        ("a+b\\foo+3.efi", "a+b\\foo+3.efi.extra.d"),
        ("a+1.d\\foo+3.efi", "a.d\\foo+3.efi.extra.d"),
    ],
)
def test_folders_beside_a_uki(path: str, folder: str) -> None:
    assert extra_folder(path) == extra_folder(path, version=255) == folder
    assert extra_folder(path, version=254) == f"{path}.extra.d"
