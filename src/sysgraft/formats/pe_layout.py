"""Whether the sections of an executable lie side by side, in the file and in memory."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sysgraft.formats.pe import Image


def layout_problem(image: Image) -> str:
    """What is wrong with where the sections are, in a sentence; empty if nothing is.

    Firmware loads images whose sections overlap, and measures and hashes some bytes twice then.
    No tool makes such images of purpose, so a builder or verifier need not accept them.
    """
    by_offset = sorted((one for one in image.sections if one.raw_size), key=lambda s: s.offset)
    end, above = image.size_of_headers, "the headers"
    for section in by_offset:
        if section.offset < end:
            return f"the section {section.name} overlaps {above} in the file"
        end, above = section.end, f"the section {section.name}"
    by_address = sorted(image.sections, key=lambda s: s.virtual_address)
    end, above = 0, "the headers"
    for section in by_address:
        if section.virtual_address < end:
            return f"the section {section.name} overlaps {above} in memory"
        end = section.virtual_address + section.virtual_size
        above = f"the section {section.name}"
    return ""
