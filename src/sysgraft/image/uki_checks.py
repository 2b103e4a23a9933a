"""Are the sections of an EFI executable what UAPI.5 and systemd-stub want? The check `content`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sysgraft.errors import FormatError
from sysgraft.formats import pe, uki
from sysgraft.formats.authenticode_digest import filled_gaps
from sysgraft.image.checks import Check, fail, ok

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sysgraft.base.blob import Blob
    from sysgraft.formats.authenticode_digest import Coverage
    from sysgraft.formats.pe import Image
    from sysgraft.image.uki_structure import Structure

_KINDS: Final = {
    "uki": "a unified kernel image",
    "addon": "an addon",
    "profile": "a profile to be joined to a unified kernel image",
    "other": "an executable that is neither UKI nor addon",
}


def check_content(blob: Blob, structure: Structure) -> tuple[Check, tuple[str, ...]]:
    """Whether the sections are what UAPI.5 and the stub want, and nothing is left unsigned.

    Returns:
        The check, and what is worth knowing beside it.
    """
    image = structure.image
    try:
        kind = uki.kind_of(image)
        problems = [
            *_unsigned_bytes(blob, structure.covered),
            *_sbat_problems(image),
            *_problems(blob, image, kind),
        ]
        notes = (*_gap_notes(structure.covered), *_notes(blob, image, kind))
    except FormatError as error:
        return fail("content", error.message), ()
    if problems:
        return fail("content", "; ".join(problems)), notes
    return ok("content", _described(blob, image, kind)), notes


def _described(blob: Blob, image: Image, kind: uki.ImageKind) -> str:
    if kind == "stub":
        stub = uki.stub_of(blob, image)
        return f"{stub.name} {stub.version} by itself" if stub else "a stub by itself"
    parts = len(uki.profiles(image.sections)) if kind == "uki" else 1
    return _KINDS[kind] + (f" with {parts} profiles" if parts > 1 else "")


def _unsigned_bytes(blob: Blob, covered: Coverage) -> Iterator[str]:
    for offset, length in filled_gaps(blob, covered):
        yield f"{length} bytes at byte {offset} are in no section, so no signature covers them"


def _sbat_problems(image: Image) -> Iterator[str]:
    """Whatever the file is, shim refuses it (verify_sbat_section); profiles have none of their own.

    This is no matter of the base and its profiles: shim knows no profiles.
    """
    count = sum(section.name == ".sbat" for section in image.sections)
    if count > 1:
        yield f"it has {count} sections .sbat, and shim refuses an image with two of them"


def _gap_notes(covered: Coverage) -> Iterator[str]:
    for offset, length in covered.gaps:
        yield f"{length} bytes at byte {offset} are in no section and not signed; all must be zero"


def _problems(blob: Blob, image: Image, kind: uki.ImageKind) -> Iterator[str]:
    """What UAPI.5 forbids, a sentence each.

    Raises:
        FormatError: sections are there twice, or claim more than they hold.
    """
    if kind in ("stub", "other"):
        return
    for section in image.sections:
        if section.name in uki.KNOWN:
            uki.checked_content(blob, section)
    uki.profiles(image.sections)
    if image.subsystem != pe.EFI_APPLICATION:
        yield f"its subsystem is {image.subsystem}, not {pe.EFI_APPLICATION} (EFI application)"
    names = {section.name for section in image.sections}
    if kind == "addon" and not names & set(uki.ADDON_CONTENT):
        yield f"the stub ignores it: an addon holds one of {', '.join(uki.ADDON_CONTENT)}"
    if kind == "addon" and ".osrel" in names:
        yield "it has .osrel, as unified kernel images do, but no .linux"


def _notes(blob: Blob, image: Image, kind: uki.ImageKind) -> Iterator[str]:
    if kind not in ("uki", "addon"):
        return
    if kind == "uki" and image.find(".osrel") is None:
        yield "without .osrel boot menus such as systemd-boot do not show it"
    if uki.stub_of(blob, image) is None:
        yield "the stub does not say what it is (no .sdmagic section)"
