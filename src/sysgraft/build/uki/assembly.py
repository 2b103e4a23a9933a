"""All sections of an image in the order of its table, divided into what its profiles see.

The stub brings sections of its own, some of which are measured like any other (``.sbat``); a new
section of the same name takes the place of the stub's.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from sysgraft.base.blob import BytesBlob
from sysgraft.build.uki.parts import Part
from sysgraft.errors import UsageError
from sysgraft.formats import pcrsig, pe, pe_image, uki

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from sysgraft.build.uki.stub import LoadedStub

_LINUX: Final = pe.CODE | pe.READ
"""Old stubs start the kernel where it lies, so its section is code."""
_ROOM: Final = 1024
"""Blanks left for each signature made elsewhere: ukify's number, enough for RSA-4096."""


@dataclass(slots=True)
class Assembly:
    """An image in the making.

    Attributes:
        kind: what it will be.
        stub: what it starts with.
        base: the new sections of the base and of the first profile.
        joined: those of each further profile.
        signatures: PCR signatures by the number of the profile.
        room: whether room is left for signatures made elsewhere.
        of_stub: the stub's own sections that stay and have a meaning.
        measured: digests of the parts that were measured, by bank.
    """

    kind: uki.ImageKind
    stub: LoadedStub
    base: list[Part]
    joined: list[list[Part]] = field(default_factory=list)
    signatures: dict[int, pcrsig.Signatures] = field(default_factory=dict)
    room: bool = False
    of_stub: list[Part] = field(init=False)
    measured: Mapping[Part, Mapping[str, bytes]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.of_stub = list(self._of_stub({part.name for part in self.base}))
        for parts in (self.base, *self.joined):
            self._check(parts)

    def _check(self, parts: Sequence[Part]) -> None:
        names = [part.name for part in parts if part.name not in uki.BY_HARDWARE]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise UsageError(f"the section {twice[0]} is given twice")

    @property
    def parts(self) -> list[Part]:
        """The new sections in the order they are written."""
        found: list[Part] = []
        for number, parts in enumerate((self.base, *self.joined)):
            found += parts
            if self.signatures.get(number):
                found.append(self._signature_part(number))
        return found

    def _signature_part(self, number: int) -> Part:
        text = pcrsig.render(self.signatures[number])
        if self.room:
            text += " " * (_ROOM * sum(map(len, self.signatures[number].values())))
        return Part(uki.SIGNATURES, BytesBlob(text.encode("ascii")))

    def profiles(self) -> tuple[tuple[Part, ...], ...]:
        """What each profile sees, the stub's own sections among it, without PCR signatures."""
        new = [part for parts in (self.base, *self.joined) for part in parts]
        return uki.profiles([*self.of_stub, *new])

    def _of_stub(self, replaced: set[str]) -> Iterator[Part]:
        for section in self.stub.image.sections:
            if section.name in uki.KNOWN and section.name not in replaced:
                content = uki.checked_content(self.stub.blob, section)
                yield Part(section.name, content, self.stub.name)

    def layout(self, *, nx_compat: bool) -> pe_image.Layout:
        """Where everything goes; raises like `pe_image.plan`."""
        new = [
            pe_image.NewSection(part.name, part.content.size, _LINUX)
            if part.name == ".linux"
            else pe_image.NewSection(part.name, part.content.size)
            for part in self.parts
        ]
        return pe_image.plan(self.stub.blob, self.stub.image, new, nx_compat=nx_compat)
