"""Unified kernel images and addons: what their sections mean (UAPI.5, systemd-stub(7)).

Which section holds what, which of them the stub measures and in what order, and how the sections
of one file divide into the base and its profiles. It does not read contents, nor decide whether
firmware would start the file.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Final, Literal, Protocol, TypeVar

from sysgraft.errors import FormatError, LimitError
from sysgraft.formats import pe

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from sysgraft.base.blob import Blob

MAX_TEXT: Final = 1 << 20
"""Bytes of a section that is read as text; a .pcrsig of some hundred signatures has 100 KiB."""
MAX_PADDING: Final = 64 << 20
"""Zeros that a section may have in memory beyond what the file holds. More is no section a tool
made, and would cost seconds of hashing each (systemd's own limit, src/shared/pe-binary.c, v261)."""

MEASURED: Final[Mapping[str, int]] = MappingProxyType(
    {
        ".linux": 252,
        ".osrel": 252,
        ".cmdline": 252,
        ".initrd": 252,
        ".ucode": 256,
        ".splash": 252,
        ".dtb": 252,
        ".uname": 254,
        ".sbat": 254,
        ".pcrpkey": 252,
        ".profile": 257,
        ".dtbauto": 257,
        ".hwids": 257,
        ".efifw": 258,
    }
)
"""What the stub measures into PCR 11, in that order, and the version it began with
(``src/fundamental/uki.h``; the order of UAPI.5's list is another one). 252 stands for older too.
Each counts with its VirtualSize; one of no size is not there to the stub (``src/boot/pe.c``)."""

SIGNATURES: Final = ".pcrsig"
"""Holds signatures of what is measured, and so is not measured itself."""
PROFILE: Final = ".profile"
"""Begins a profile: sections behind it, up to the next one, replace those of the base."""
BY_HARDWARE: Final = (".dtbauto", ".efifw")
"""May be there several times in one profile; the stub takes the first that fits the machine, and
one of the base's where none of the profile's own does."""
TEXT: Final = (".osrel", ".cmdline", ".uname", ".sbat", ".pcrpkey", ".pcrsig", ".profile")
"""Sections whose content is text."""
KNOWN: Final = (*MEASURED, SIGNATURES)
"""All sections that UAPI.5 and systemd-stub(7) name."""
ADDON_CONTENT: Final = (".cmdline", ".dtb", ".dtbauto", ".initrd", ".ucode")
"""What the stub takes from an addon; one without any of them is ignored (systemd-stub(7))."""

ImageKind = Literal["uki", "addon", "profile", "stub", "other"]

_MAGIC: Final = ".sdmagic"
_MAGIC_TEXT: Final = re.compile(rb"#### LoaderInfo: ([\x21-\x7e]+) (([0-9]+)[\x21-\x7e]*)")
_MAGIC_SIZE: Final = 256


@dataclass(frozen=True, slots=True)
class Stub:
    """Which program the file starts as, from ``.sdmagic``.

    Attributes:
        name: ``systemd-stub``, ``systemd-addon`` or ``systemd-boot``.
        version: as the program writes it, ``257.13-1~deb13u1``.
        major: the release number in it.
    """

    name: str
    version: str
    major: int


class Named(Protocol):
    """What has a section's name."""

    @property
    def name(self) -> str:
        """With its dot."""


_Section = TypeVar("_Section", bound=Named)


def profiles(sections: Iterable[_Section]) -> tuple[tuple[_Section, ...], ...]:
    """The profiles of a file, each with all its sections.

    Of each profile: the base's sections that it does not replace, then its own, in the order of
    the file. A section of no size replaces too: it is how a profile does without one. A file
    without ``.profile`` has one profile, the base.

    Raises:
        FormatError: a section that may be there once is there twice.
    """
    base: list[_Section] = []
    own: list[list[_Section]] = []
    for section in sections:
        if section.name == PROFILE:
            own.append([])
        (own[-1] if own else base).append(section)
    for part in (base, *own):
        _check_unique(part)
    return tuple(_over(base, part) for part in own or [[]])


def _check_unique(sections: Sequence[Named]) -> None:
    seen: set[str] = set()
    for section in sections:
        if section.name in seen and section.name not in BY_HARDWARE:
            raise FormatError(f"the section {section.name} is there twice")
        seen.add(section.name)


def _over(base: Sequence[_Section], own: Sequence[_Section]) -> tuple[_Section, ...]:
    replaced = {section.name for section in own if section.name not in BY_HARDWARE}
    return (*(section for section in base if section.name not in replaced), *own)


def kind_of(image: pe.Image) -> ImageKind:
    """What an executable is: a UKI, an addon, a profile to be joined, a bare stub, or other."""
    names = [section.name for section in image.sections]
    if ".linux" in names:
        return "uki"
    if not set(names) & set(KNOWN) - {".sbat", ".osrel"}:
        return "stub" if _MAGIC in names else "other"
    ours = [name for name in names if name in KNOWN and name != ".sbat"]
    return "profile" if ours[0] == PROFILE else "addon"


def stub_of(blob: Blob, image: pe.Image) -> Stub | None:
    """Which program the file starts as; None if it does not say."""
    section = image.find(_MAGIC)
    if section is None:
        return None
    content = pe.section_blob(blob, section)
    found = _MAGIC_TEXT.match(content.read_at(0, min(content.size, _MAGIC_SIZE)))
    if found is None or len(found[3]) > 4:
        return None
    return Stub(found[1].decode("ascii"), found[2].decode("ascii"), int(found[3]))


def read_text(blob: Blob, section: pe.Section) -> str:
    """The content of a section as text; NULs at the end are padding.

    Raises:
        LimitError: it has more than `MAX_TEXT` bytes.
        FormatError: it is not UTF-8, or goes on behind a NUL, where the stub stops.
    """
    content = checked_content(blob, section)
    if content.size > MAX_TEXT:
        raise LimitError(
            f"the section {section.name} has {content.size} bytes; the limit is {MAX_TEXT}"
        )
    data = content.read_at(0, content.size).rstrip(b"\0")
    if b"\0" in data:
        raise FormatError(f"the text in the section {section.name} goes on behind a NUL")
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise FormatError(f"the section {section.name} is not text in UTF-8") from error


def checked_content(blob: Blob, section: pe.Section) -> Blob:
    """The content of a section: what is in memory once it is loaded.

    Raises:
        LimitError: it is more than `MAX_PADDING` longer than what the file holds.
    """
    if section.virtual_size - section.raw_size > MAX_PADDING:
        raise LimitError(
            f"the section {section.name} is said to have {section.virtual_size} bytes, "
            f"the file holds {section.raw_size}"
        )
    return pe.section_blob(blob, section)
