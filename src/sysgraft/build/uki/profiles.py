"""Profile files joined to a UKI (``--join-profile``): their sections go behind the base's.

A profile file is an executable that holds ``.profile`` and what it changes; `uki build` makes one
of an addon stub when it gets ``--profile`` and no kernel.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sysgraft.base.blob import SubBlob
from sysgraft.build.uki.parts import Part
from sysgraft.errors import FormatError, in_file
from sysgraft.formats import os_release, pe, uki

if TYPE_CHECKING:
    from sysgraft.base.blob import Blob
    from sysgraft.build.uki.inputs import Inputs
    from sysgraft.build.uki.options import UkiOptions

_NOT_TAKEN: Final = (".pcrpkey", uki.SIGNATURES)
"""One key serves all profiles, and signatures are made anew."""


def joined(path: str, inputs: Inputs, options: UkiOptions) -> list[Part]:
    """The parts of one profile file, the one with its description first.

    Raises:
        FormatError: it is no profile file.
    """
    blob = inputs.file(path, "profile")
    with in_file(path):
        image = pe.parse(blob)
        wanted = [name for name in uki.KNOWN if name not in _NOT_TAKEN]
        if options.os_release == "":
            wanted.remove(".osrel")
        sections = [section for section in image.sections if section.name in wanted]
        if not sections or sections[0].name != uki.PROFILE:
            raise FormatError(
                "not a profile: its first section is not .profile",
                hint="build it with --profile, without --linux, on the addon stub",
            )
        if sum(section.name == uki.PROFILE for section in sections) > 1:
            raise FormatError("it holds several profiles, each has to be a file of its own")
        if any(section.name == ".sbat" for section in sections):
            raise FormatError(
                "it has a section .sbat, and shim refuses an image with two of them",
                hint="build the profile on the addon stub",
            )
        uki.profiles(sections)
    return [Part(section.name, _content(blob, section), path) for section in sections]


def _content(blob: Blob, section: pe.Section) -> Blob:
    """What the file holds of a section; zeros that are in memory only are not copied."""
    return SubBlob(blob, section.offset, min(section.virtual_size, section.raw_size))


def profile_id(part: Part | None) -> str:
    """The ID of a profile's description (UAPI.5), empty if it has none."""
    if part is None:
        return ""
    text = part.content.read_at(0, part.content.size)
    return os_release.parse(text.rstrip(b"\0")).get("ID", "")
