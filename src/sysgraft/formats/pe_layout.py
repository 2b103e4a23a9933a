"""Whether the sections of an executable lie side by side, in the file and in memory.

The rules are those of the specification (Microsoft "PE Format", "Section Table"). Firmware loads
images with overlaps all the same, and measures and hashes some bytes twice then; no tool makes such
images of purpose, so a builder or verifier need not accept them. What is outside SizeOfImage is
not loaded (EDK II, PeCoffLoaderLoadImage), and systemd-stub does not see it (since v261).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sysgraft.formats.pe import Image


def layout_problem(image: Image) -> str:
    """What is wrong with where the sections are, in a sentence; empty if nothing is."""
    stored = [(one.offset, one.end, one.name) for one in image.sections if one.raw_size]
    loaded = [(one.virtual_address, one.memory_end, one.name) for one in image.sections]
    return (
        _overlap(image, stored, "in the file")
        or _overlap(image, loaded, "in memory")
        or _outside(image)
    )


def _overlap(image: Image, ranges: Iterable[tuple[int, int, str]], where: str) -> str:
    """The first range that begins before the one in front of it ends."""
    reached, above = image.size_of_headers, "the headers"
    for start, end, name in sorted(ranges, key=lambda each: each[:2]):
        if start < reached:
            return f"the section {name} overlaps {above} {where}"
        reached, above = end, f"the section {name}"
    return ""


def _outside(image: Image) -> str:
    for section in image.sections:
        if section.memory_end > image.size_of_image:
            return (
                f"the section {section.name} ends at {section.memory_end:#x} in memory, "
                f"the image at {image.size_of_image:#x}"
            )
    return ""
