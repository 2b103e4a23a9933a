"""PCR 9: the command line and the initrd that Linux measures, release by release of the stub."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import lzma
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest

from executables import make_pe
from sysgraft.base.blob import BytesBlob
from sysgraft.errors import UnsupportedError
from sysgraft.formats import eventlog
from sysgraft.measure import events, pcr9
from sysgraft.measure.boot import Addon, Boot, Program
from sysgraft.seal.addons import read_addons
from sysgraft.seal.hashing import Hashing
from sysgraft.seal.image import read_uki
from sysgraft.seal.initrd import hash_initrd
from sysgraft.seal.material import Folder, Source

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sysgraft.seal.addons import AddonFile

ASSETS: Final = Path(__file__).parents[1] / "assets/eventlog"
BANKS: Final = ("sha1", "sha256", "sha384", "sha512")

# --- What Linux measured -------------------------------------------------------------------------


def test_events_and_pcr_are_those_of_a_real_boot() -> None:
    data = lzma.decompress((ASSETS / "ovmf-stub-257.bin.xz").read_bytes())
    options, initrd = (each for each in eventlog.parse(data).events if each.pcr == 9)
    found = pcr9.predict("console=ttyS0 quiet", dict(initrd.digests), BANKS)
    assert [(each.type, each.data, dict(each.digests)) for each in found] == [
        (each.type, each.data, dict(each.digests)) for each in (options, initrd)
    ]
    values = json.loads((ASSETS / "ovmf-stub-257.pcrs.json").read_text())
    for bank in BANKS:
        assert events.value(found, 9, bank).hex() == values[bank]["9"]


def test_what_is_not_there_is_not_measured() -> None:
    assert pcr9.predict(None, None, BANKS) == ()
    (event,) = pcr9.predict("", None, ("sha256",))
    assert event.digests["sha256"] == hashlib.sha256(b"\0\0").digest()


def test_a_kernel_that_is_told_to_take_no_initrd_is_refused() -> None:
    with pytest.raises(UnsupportedError, match="noinitrd"):
        pcr9.predict("quiet noinitrd", {}, BANKS)
    pcr9.predict("quiet noinitrds", {}, BANKS)


@pytest.mark.parametrize(
    ("version", "kernel", "reason"),
    [
        (261, "6.12.1", "secret of the machine"),
        (262, None, "secret of the machine"),
        (257, "6.1.0-13-amd64", r"Linux 6\.1 does not"),
        (257, "5.18", r"Linux 5\.18 does not"),
    ],
)
def test_what_cannot_be_known_is_refused(version: int, kernel: str | None, reason: str) -> None:
    with pytest.raises(UnsupportedError, match=f"PCR 9 cannot be known: .*{reason}"):
        pcr9.check(version, kernel)


@pytest.mark.parametrize("kernel", [None, "", "6.2", "6.12.117+deb13-amd64", "10.0", "odd"])
def test_the_rest_is_taken(kernel: str | None) -> None:
    pcr9.check(252, kernel)
    pcr9.check(260, kernel)


# --- Command line --------------------------------------------------------------------------------


def addon(cmdline: str | None, *, is_global: bool = False, ignored: str = "") -> Addon:
    return Addon(
        program=Program("a.addon.efi", {}), is_global=is_global, cmdline=cmdline, ignored=ignored
    )


def boot(version: int, **options: object) -> Boot:
    return dataclasses.replace(Boot(version=version, systemd=version), **options)  # type: ignore[arg-type]


ADDONS: Final = (addon("g", is_global=True), addon("own\n"), addon("no", ignored="for another"))


@pytest.mark.parametrize(
    ("made", "embedded", "final"),
    [
        (boot(252), "quiet \n", "quiet \n"),
        (boot(253), "quiet \n", "quiet"),
        (boot(257), " quiet\n", "quiet"),
        (boot(257), None, None),
        (boot(257), "", ""),
        (boot(257, options="mine"), "quiet", "mine"),
        (boot(256, options="mine"), "quiet", "mine"),
        (boot(254, addons=ADDONS), "quiet", "quiet g own"),
        (boot(256, addons=ADDONS), "quiet", "quiet g own"),
        (boot(260, addons=ADDONS), "quiet", "quiet g own"),
        (boot(257, addons=ADDONS), None, "g own"),
        (boot(257, addons=(addon(None),)), "quiet", "quiet"),
        (boot(256, addons=(addon(" "),)), "quiet", "quiet"),
        (boot(257, addons=ADDONS, smbios="more"), "quiet", "quiet g own more"),
        (boot(256, smbios="more "), "quiet", "quiet more "),
        (boot(254, smbios=""), "quiet", "quiet "),
        (boot(257, smbios="more"), None, "more"),
        (boot(260), None, None),
    ],
)
def test_the_command_line_is_put_together(
    made: Boot, embedded: str | None, final: str | None
) -> None:
    assert pcr9.final_cmdline(made, embedded) == final


@pytest.mark.parametrize(
    ("made", "embedded"),
    [
        (boot(252, options="mine"), "quiet"),
        (boot(255), " "),
        (boot(256, options=""), "quiet"),
        (boot(256, smbios="more"), None),
        (boot(258, profile=1), None),
        (boot(260, loader_options="@1"), None),
    ],
)
def test_a_command_line_that_depends_on_more_is_refused(made: Boot, embedded: str | None) -> None:
    with pytest.raises(UnsupportedError, match="PCR 9 cannot be known"):
        pcr9.final_cmdline(made, embedded)


# --- Initrd --------------------------------------------------------------------------------------

TRAILER: Final = (
    b"070701000000000000000000000000000000000000000100000000000000000000000000000000"
    b"00000000000000000000000B00000000TRAILER!!!\0\0\0\0"
)


def padded(data: bytes) -> bytes:
    return data + bytes(-len(data) % 4)


def cpio(*entries: tuple[str, int, bytes]) -> bytes:
    """An archive as the stub writes it: paths, modes, contents."""
    whole = b""
    for number, (path, mode, content) in enumerate(entries, 1):
        name = path.encode() + b"\0"
        head = f"070701{number:08x}{mode:08x}{0:016x}00000001{0:08x}{len(content):08x}"
        head += f"{0:032x}{len(name):08x}{0:08x}"
        whole += padded(head.encode() + name) + padded(content)
    return whole + TRAILER


def embedded(name: str, content: bytes) -> bytes:
    return cpio((".extra", 0o40555, b""), (f".extra/{name}", 0o100444, content))


def packed(folder: str, modes: tuple[int, int], *files: tuple[str, bytes]) -> bytes:
    path = f".extra/{folder}"
    inside = ((f"{path}/{name}", 0o100000 | modes[1], content) for name, content in files)
    return cpio((".extra", 0o40555, b""), (path, 0o40000 | modes[0], b""), *inside)


SECRET: Final = (0o500, 0o400)
OPEN: Final = (0o555, 0o444)
SECTIONS: Final = {
    ".text": b"\xc3",
    ".osrel": b"ID=x\n",
    ".ucode": b"ucode",
    ".initrd": b"initrd",
    ".pcrpkey": b"key",
    ".pcrsig": b"{}\n",
    ".profile": b"ID=p",
    ".linux": b"kernel",
}
OWN: Final = {"b.cred": b"secret", "a.raw": b"", "z.confext.raw": b"conf", "B.raw": b"raw"}
LOADER: Final = {
    "credentials": {"all.cred": b"12345"},
    "extensions": {"w.raw": b"wide", "w.confext.raw": b"wider"},
}

UCODE = padded(b"ucode")
INITRD = padded(b"initrd")
CRED = packed("credentials", SECRET, ("b.cred", b"secret"))
GLOBAL_CRED = packed("global_credentials", SECRET, ("all.cred", b"12345"))
SYSEXT = packed("sysext", OPEN, ("B.raw", b"raw"), ("a.raw", b""))
OLD_SYSEXT = packed("sysext", OPEN, ("B.raw", b"raw"), ("a.raw", b""), ("z.confext.raw", b"conf"))
GLOBAL_SYSEXT = packed("global_sysext", OPEN, ("w.raw", b"wide"))
CONFEXT = packed("confext", OPEN, ("z.confext.raw", b"conf"))
GLOBAL_CONFEXT = packed("global_confext", OPEN, ("w.confext.raw", b"wider"))
KEYS = embedded("tpm2-pcr-signature.json", b"{}\n") + embedded("tpm2-pcr-public-key.pem", b"key")
ABOUT = embedded("os-release", b"ID=x\n") + embedded("profile", b"ID=p")


def source(name: str, data: bytes) -> Source:
    return Source(name, f"/somewhere/{name}", BytesBlob(data))


def folder(files: Mapping[str, bytes]) -> Folder:
    found = Folder()
    for name, data in files.items():
        found.add(source(name, data))
    return found


def initrd(
    version: int,
    sections: Mapping[str, bytes],
    beside: Mapping[str, Mapping[str, bytes]] | None = None,
    addons: Sequence[AddonFile] = (),
) -> dict[str, bytes] | None:
    uki = read_uki(source("x.efi", make_pe(list(sections.items()))), version=version)
    hashing = Hashing(BANKS)
    folders = {name: folder(files) for name, files in (beside or {}).items()}
    found = hash_initrd(uki, folders, addons, hashing)
    hashing.run()
    return found


def digests(data: bytes) -> dict[str, bytes]:
    return {bank: hashlib.new(bank, data).digest() for bank in BANKS}


@pytest.mark.parametrize(
    ("version", "parts"),
    [
        (252, INITRD + CRED + GLOBAL_CRED + OLD_SYSEXT + KEYS),
        (255, INITRD + CRED + GLOBAL_CRED + OLD_SYSEXT + KEYS),
        (256, UCODE + INITRD + CRED + GLOBAL_CRED + SYSEXT + CONFEXT + KEYS),
        (257, UCODE + INITRD + CRED + GLOBAL_CRED + SYSEXT + CONFEXT + KEYS + ABOUT),
        (
            260,
            UCODE
            + INITRD
            + CRED
            + GLOBAL_CRED
            + SYSEXT
            + GLOBAL_SYSEXT
            + CONFEXT
            + GLOBAL_CONFEXT
            + KEYS
            + ABOUT,
        ),
    ],
)
def test_parts_follow_each_other_in_the_order_of_the_release(version: int, parts: bytes) -> None:
    sections = dict(SECTIONS)
    if version < 257:
        del sections[".profile"]
    else:  # what is behind it belongs to the profile
        sections[".profile"] = sections.pop(".profile")
    assert initrd(version, sections, {"own": OWN, **LOADER}) == digests(parts)


def addons(*files: Mapping[str, bytes]) -> list[AddonFile]:
    named = {
        f"{number}.addon.efi": make_pe([(".text", b"\xc3"), *sections.items()])
        for number, sections in enumerate(files)
    }
    return list(read_addons(folder(named), 257, None, is_global=False))


def test_microcode_of_addons_comes_first_and_the_last_addon_before_the_others() -> None:
    sections = {".text": b"\xc3", ".initrd": b"initrd", ".linux": b"kernel"}
    found = addons({".ucode": b"u0"}, {".ucode": b"u1", ".initrd": b"i1"}, {".initrd": b"i2"})
    whole = padded(b"u1") + padded(b"u0") + INITRD + padded(b"i1") + padded(b"i2")
    assert initrd(257, sections, addons=found) == digests(whole)
    assert initrd(256, sections, addons=found) == digests(b"initrd")


def test_an_addon_that_is_ignored_gives_nothing() -> None:
    (found,) = addons({".initrd": b"i", ".linux": b"kernel"})
    sections = {".text": b"\xc3", ".initrd": b"initrd", ".linux": b"kernel"}
    assert found.ignored
    assert initrd(257, sections, addons=[found]) == digests(b"initrd")


def test_a_part_alone_is_not_padded() -> None:
    kernel = {".text": b"\xc3", ".linux": b"kernel"}
    for version in (252, 256, 257):
        assert initrd(version, {**kernel, ".initrd": b"initrd"}) == digests(b"initrd")
    assert initrd(256, {**kernel, ".ucode": b"ucode"}) == digests(UCODE)
    assert initrd(257, {**kernel, ".ucode": b"ucode"}) == digests(b"ucode")
    assert initrd(257, {**kernel, ".osrel": b"ID=x\n"}) == digests(
        embedded("os-release", b"ID=x\n")
    )
    assert initrd(257, kernel) is None


def test_what_is_added_on_the_machine_cannot_be_known() -> None:
    with pytest.raises(UnsupportedError, match="secret"):
        initrd(261, SECTIONS)
