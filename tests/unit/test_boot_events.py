"""What a boot extends PCRs with: every event, in the order of each release."""

from __future__ import annotations

import hashlib
import struct
from contextlib import nullcontext
from dataclasses import replace
from typing import TYPE_CHECKING, Final

import pytest

from sysgraft.base.systemd import LATEST, OLDEST
from sysgraft.errors import UnsupportedError
from sysgraft.measure import boot as measure_boot
from sysgraft.measure import events
from sysgraft.measure.boot import Addon, Boot, Packed, Program, before_userspace, in_userspace
from sysgraft.measure.pcr11 import Measured
from sysgraft.measure.sidecars import KINDS

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sysgraft.measure.events import Event

BANKS: Final = ("sha1", "sha256")
ALL: Final = range(OLDEST, LATEST + 1)


def digests(data: bytes) -> dict[str, bytes]:
    return {bank: hashlib.new(bank, data).digest() for bank in BANKS}


def program(name: str) -> Program:
    return Program(name, digests(name.encode()))


def addon(name: str, *, is_global: bool = False, ignored: str = "") -> Addon:
    """One with everything in it."""
    parts = {part: digests(f"{name}{part}".encode()) for part in (".dtb", ".initrd", ".ucode")}
    text = f"of-{name}"
    return Addon(
        program=program(name), is_global=is_global, cmdline=text, parts=parts, ignored=ignored
    )


def archives(*names: str) -> tuple[Packed, ...]:
    return tuple(
        Packed(kind, kind.event, digests(kind.name.encode()), ("a",))
        for kind in KINDS
        if kind.name in names
    )


def full(version: int) -> Boot:
    """Everything that can be, also what that release does not know."""
    entry = Packed(KINDS[0], "Entry credentials initrd", digests(b"entry"), ("x",))
    return Boot(
        version=version,
        loaders=(program("shim"), program("loader")),
        image=program("image"),
        kernel=program("kernel"),
        sections=(Measured(".linux", digests(b"linux")), Measured(".osrel", digests(b"os"))),
        profile=1,
        loader_options="@1 options",
        options="options",
        smbios="smbios",
        addons=(addon("all", is_global=True), addon("a"), addon("b")),
        archives=archives(*(kind.name for kind in KINDS)),
        entry_archives=(entry,),
        systemd=LATEST,
    )


def names(found: Iterable[Event], pcr: int) -> list[str]:
    return [each.name for each in found if each.pcr == pcr]


# --- Single events -------------------------------------------------------------------------------


def test_what_firmware_measures() -> None:
    calling = events.calling(BANKS)
    text = b"Calling EFI Application from Boot Option"
    assert (calling.pcr, calling.type, calling.data) == (4, 0x80000007, text)
    assert calling.digests == digests(text)
    separator = events.separator(4, BANKS)
    assert (separator.pcr, separator.type, separator.data) == (4, 4, bytes(4))
    assert separator.digests == digests(bytes(4))


def test_a_text_counts_with_its_nul() -> None:
    found = events.text("cmdline", "x", "a\u00e9", BANKS)
    assert (found.pcr, found.type) == (12, 0x0D)
    assert found.data == b"a\0\xe9\0\0\0"
    assert found.digests == digests(found.data)


def test_a_profile_is_tagged() -> None:
    found = events.profile(12, BANKS)
    payload = b"1\x002\x00\x00\x00"
    assert (found.pcr, found.type) == (12, 6)
    assert found.data == struct.pack("<II", 0x13AED6DB, 6) + payload
    assert found.digests == digests(payload)


@pytest.mark.parametrize(
    ("tag", "number"),
    [
        (events.DTB_TAG, 0x6C46F751),
        (events.INITRD_TAG, 0x49DFFE0F),
        (events.UCODE_TAG, 0xDAC08E1A),
    ],
)
def test_a_part_of_an_addon_is_tagged_with_its_name(tag: int, number: int) -> None:
    found = events.addon_part(tag, "x.addon.efi", ".dtb", digests(b"content"))
    name = "x.addon.efi\0".encode("utf-16-le")
    assert found.data == struct.pack("<II", number, len(name)) + name
    assert (found.pcr, found.type, found.digests) == (12, 6, digests(b"content"))


def test_sections_count_with_name_and_content() -> None:
    first, second = events.sections([Measured(".linux", digests(b"content"))], BANKS)
    assert first.digests == digests(b".linux\0")
    assert second.digests == digests(b"content")
    assert first.data == second.data == ".linux\0".encode("utf-16-le")
    assert (first.pcr, first.type, second.pcr, second.type) == (11, 0x0D, 11, 0x0D)


def test_an_archive_goes_where_its_kind_says() -> None:
    for kind in KINDS:
        found = events.archive(kind, kind.event, digests(b"x"), ("a.raw",))
        assert (found.pcr, found.files) == (kind.pcr, ("a.raw",))
        assert found.data == (kind.event + "\0").encode("utf-16-le")


def test_words_of_userspace_have_no_nul() -> None:
    found = events.word(11, "phase", "ready", BANKS)
    assert found.digests == digests(b"ready")
    assert found.type == events.USERSPACE


# --- The order -----------------------------------------------------------------------------------


@pytest.mark.parametrize("version", range(257, LATEST + 1))
def test_pcr_12(version: int) -> None:
    assert names(before_userspace(full(version), BANKS), 12) == [
        "Entry credentials initrd",
        "command line of the boot entry",
        "profile 1",
        "command line given to the stub",
        "command line of addons",
        "command line in SMBIOS",
        ".dtb of all",
        ".dtb of a",
        ".dtb of b",
        "Credentials initrd",
        "Global credentials initrd",
        "Configuration extension initrd",
        "Global configuration extension initrd",
        # The kernel takes the first microcode it finds.
        ".ucode of b",
        ".ucode of a",
        ".ucode of all",
        ".initrd of all",
        ".initrd of a",
        ".initrd of b",
    ]


@pytest.mark.parametrize("version", [255, 256])
def test_devicetrees_behind_the_archives(version: int) -> None:
    found = names(before_userspace(full(version), BANKS), 12)
    place = found.index("Global configuration extension initrd")
    assert found[place + 1 : place + 4] == [".dtb of all", ".dtb of a", ".dtb of b"]
    assert not any(name.startswith(".dtb") for name in found[:place])


def test_each_folder_of_addons_by_itself() -> None:
    """Only v254 measures their command lines so."""
    found = [e for e in before_userspace(full(254), BANKS) if e.component == "addon"]
    texts = [e.data.decode("utf-16-le") for e in found if e.type == events.EV_IPL]
    assert texts == ["of-all\0", "of-a of-b\0"]


@pytest.mark.parametrize("version", ALL)
def test_the_other_pcrs(version: int) -> None:
    found = before_userspace(full(version), BANKS)
    assert names(found, 4) == [
        *("Calling EFI Application from Boot Option", "separator", "shim", "loader", "image"),
        *("all", "a", "b", "kernel"),
    ]
    assert names(found, 11) == ["name of .linux", ".linux", "name of .osrel", ".osrel"]
    assert names(found, 13) == ["System extension initrd", "Global system extension initrd"]
    assert {each.pcr for each in found} == set(measure_boot.PCRS)


def test_little_to_measure() -> None:
    found = before_userspace(Boot(version=262, image=program("image"), systemd=262), BANKS)
    assert [each.pcr for each in found] == [4, 4, 4]


def test_an_addon_that_is_ignored_was_loaded_all_the_same() -> None:
    ignored = addon("a", ignored="it is for another kernel")
    boot = Boot(version=262, image=program("image"), addons=(ignored,), systemd=262)
    found = before_userspace(boot, BANKS)
    assert names(found, 4)[-1] == "a"
    assert names(found, 12) == []


def test_without_the_image() -> None:
    boot = replace(full(262), image=None, kernel=None, loaders=(), sections=())
    assert {each.pcr for each in before_userspace(boot, BANKS)} == {12, 13}
    found = measure_boot.values(before_userspace(boot, BANKS), boot, "", "sha256", pcrs=(12, 13))
    assert set(found) == {12, 13}


# --- Values --------------------------------------------------------------------------------------


def extended(*data: bytes) -> bytes:
    value = bytes(32)
    for each in data:
        value = hashlib.sha256(value + hashlib.sha256(each).digest()).digest()
    return value


def test_values_by_hand() -> None:
    boot = Boot(
        version=262,
        image=program("image"),
        sections=(Measured(".linux", digests(b"kernel")),),
        archives=archives("sysext", "confext"),
        systemd=262,
    )
    before = before_userspace(boot, BANKS)
    found = measure_boot.values(before, boot, "", "sha256")
    assert found == {
        4: extended(b"Calling EFI Application from Boot Option", bytes(4), b"image"),
        11: extended(b".linux\0", b"kernel"),
        12: extended(b"confext"),
        13: extended(b"sysext"),
    }
    later = measure_boot.values(before, boot, "enter-initrd:leave-initrd", "sha256")
    assert later[11] == extended(b".linux\0", b"kernel", b"enter-initrd", b"leave-initrd")
    assert later[13] == extended(b"sysext", b"os-separator")
    assert later[12] == extended(b"confext", b"os-separator")


def test_nothing_is_zeros() -> None:
    boot = Boot(version=257, image=program("image"), systemd=257)
    found = measure_boot.values(before_userspace(boot, BANKS), boot, "", "sha1")
    assert (found[12], found[13]) == (bytes(20), bytes(20))


@pytest.mark.parametrize("systemd", ALL)
def test_the_separator_of_the_running_system(systemd: int) -> None:
    """That of the initrd's systemd, not of the stub's; not in PCR 11, nor without a phase."""
    boot = replace(full(257), systemd=systemd)
    assert in_userspace(boot, "", BANKS) == ()
    found = in_userspace(boot, "enter-initrd", BANKS)
    separators = [each.pcr for each in found if each.component == "separator"]
    assert separators == ([4, 12, 13] if systemd >= 261 else [])
    assert [each.name for each in found if each.pcr == 11] == ["enter-initrd"]
    further = in_userspace(boot, "enter-initrd", BANKS, (7, 11))
    assert [each.pcr for each in further] == ([7, 11] if systemd >= 261 else [11])
    # Where there is no initrd of its own nothing is separated.
    assert [each.pcr for each in in_userspace(boot, "sysinit", BANKS)] == [11]


@pytest.mark.parametrize(
    ("systemd", "path", "known"),
    [
        (258, "enter-initrd:leave-initrd:sysinit", True),
        (259, "enter-initrd", True),
        (260, "enter-initrd:leave-initrd", True),
        (260, "enter-initrd:leave-initrd:sysinit", False),
        (259, "sysinit", False),
        (261, "", True),
        (261, "enter-initrd", False),
    ],
)
def test_pcr_9_is_unknown_once_systemd_measures_nvpcrs_into_it(
    systemd: int, path: str, known: bool
) -> None:
    boot = replace(full(257), systemd=systemd)
    with nullcontext() if known else pytest.raises(UnsupportedError, match="PCR 9"):
        in_userspace(boot, path, BANKS, (9, 11))
