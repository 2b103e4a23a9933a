"""What was built, section by section."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sysgraft.build.uki.parts import Part
    from sysgraft.build.uki.pcrs import Value
    from sysgraft.formats import pcrsig, uki
    from sysgraft.formats.authenticode import ImageDigest


@dataclass(frozen=True, slots=True)
class SectionReport:
    """A new section.

    Attributes:
        name: with its dot.
        size: bytes of its content.
        source: where it comes from, empty for what the options say.
    """

    name: str
    size: int
    source: str


@dataclass(frozen=True, slots=True)
class UkiReport:
    """What was built.

    Attributes:
        path: of the file.
        kind: what it is.
        architecture: systemd's name of it.
        size: bytes of the file.
        memory_size: bytes it takes once it is loaded.
        stub: which program it starts as.
        uname: the kernel's release, None if it is not known or there is no kernel.
        sections: the new ones, in the order of the file.
        signed: whether it bears a signature for Secure Boot.
        digest: what that signature is about, or would be.
        pcrs: values of PCR 11; empty unless they were asked for or signed.
        policies: PCR policies, signed ones or those to be signed elsewhere, of all profiles.
        notes: what a person should know.
    """

    path: str
    kind: uki.ImageKind
    architecture: str
    size: int
    memory_size: int
    stub: uki.Stub
    uname: str | None
    sections: tuple[SectionReport, ...]
    signed: bool
    digest: ImageDigest
    pcrs: tuple[Value, ...]
    policies: pcrsig.Signatures
    notes: tuple[str, ...]


def sections_of(parts: Sequence[Part]) -> tuple[SectionReport, ...]:
    """The report's lines on sections."""
    return tuple(SectionReport(part.name, part.content.size, part.source) for part in parts)
