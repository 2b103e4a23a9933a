"""What a UKI, an addon or another EFI executable claims to be: sections, profiles, signers.

Reads each section once for its digest. It proves nothing: `sysgraft.image.uki_verify` does.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from sysgraft.errors import FormatError, in_file
from sysgraft.formats import authenticode, pcrsig, pe, uki, wincert
from sysgraft.formats.authenticode_digest import coverage
from sysgraft.formats.pe_layout import layout_problem
from sysgraft.formats.x509 import parse_certificate
from sysgraft.host.digests import digests
from sysgraft.host.files import OpenFile

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from sysgraft.base.blob import Blob
    from sysgraft.formats.x509 import Certificate

MAX_OVERLAP: Final = 16 << 20
"""Bytes that sections may have in common; those of real images have none."""


@dataclass(frozen=True, slots=True)
class SectionInfo:
    """A section.

    Attributes:
        name: with its dot.
        size: bytes of its content.
        offset: where its data are in the file.
        sha256: of its content.
        text: its content where it is text, else None.
        profile: the number of the profile it belongs to; None for the base.
    """

    name: str
    size: int
    offset: int
    sha256: bytes
    text: str | None
    profile: int | None


@dataclass(frozen=True, slots=True)
class SignatureInfo:
    """Who claims to have signed.

    Attributes:
        issuer: of the signer's certificate.
        serial: of that certificate.
        digest: algorithm of the image's digest.
        certificate: the signer's, if the signature holds it.
        timestamp: the kind of time stamp, empty if there is none.
    """

    issuer: str
    serial: int
    digest: str
    certificate: Certificate | None
    timestamp: str


@dataclass(frozen=True, slots=True)
class UkiInfo:
    """An executable.

    Attributes:
        file: as the caller named it.
        size: bytes of the file.
        kind: what it is.
        architecture: systemd's name of it, None if it has none.
        stub: which program it starts as, None if it does not say.
        uname: the kernel's release, None if it does not say.
        sections: all, in the order of the table.
        policies: how many PCR policies of each bank are signed, and how many are not.
        signatures: for Secure Boot, in their order.
        problems: what is wrong with it, a sentence each.
    """

    file: str
    size: int
    kind: uki.ImageKind
    architecture: str | None
    stub: uki.Stub | None
    uname: str | None
    sections: tuple[SectionInfo, ...]
    policies: dict[str, tuple[int, int]]
    signatures: tuple[SignatureInfo, ...]
    problems: tuple[str, ...]

    @property
    def profiles(self) -> int:
        """How many profiles it has, at least one."""
        return 1 + max((one.profile or 0 for one in self.sections), default=0)

    def seen_by(self, profile: int) -> tuple[SectionInfo, ...]:
        """What a profile shows the stub: its own sections, and the base's it does not replace."""
        own = [one for one in self.sections if one.profile == profile]
        replaced = {one.name for one in own}
        base = (one for one in self.sections if one.profile is None and one.name not in replaced)
        return (*base, *own)


def inspect_uki(path: str | os.PathLike[str], *, texts: Collection[str] = ()) -> UkiInfo:
    """Look into an EFI executable.

    Args:
        path: the file.
        texts: names of sections that are text, beside those known to be.

    Raises:
        InputError: it cannot be read, or is none.
    """
    name = os.fspath(path)
    with OpenFile(name) as blob, in_file(name):
        return _Inspection(blob, pe.parse(blob), {*uki.TEXT, *texts}).result(name)


def _content(blob: Blob, image: pe.Image, number: int) -> Blob:
    """The content of a section as ukify shows it: what the file holds of it, no padding."""
    section = image.sections[number]
    size = min(section.virtual_size, section.raw_size)
    return pe.section_blob(blob, pe.Section(section.name, 0, size, section.offset, size))


class _Inspection:
    """One run of `inspect_uki`."""

    def __init__(self, blob: Blob, image: pe.Image, texts: Collection[str]) -> None:
        self._blob = blob
        self._image = image
        self._texts = texts
        self._problems: list[str] = []

    def result(self, name: str) -> UkiInfo:
        self._refuse_endless()
        sections = tuple(self._sections())
        uname = next((one.text for one in sections if one.name == ".uname"), None)
        self._look_for_problems()
        return UkiInfo(
            file=name,
            size=self._image.size,
            kind=uki.kind_of(self._image),
            architecture=self._image.architecture,
            stub=uki.stub_of(self._blob, self._image),
            uname=uname,
            sections=sections,
            policies=self._policies(sections),
            signatures=tuple(self._signatures()),
            problems=tuple(self._problems),
        )

    def _refuse_endless(self) -> None:
        """A thousand sections may all have the same gigabyte: that takes hours to read."""
        sizes = sum(min(one.virtual_size, one.raw_size) for one in self._image.sections)
        if sizes > self._blob.size + MAX_OVERLAP:
            raise FormatError(
                f"its sections overlap: they have {sizes} bytes, the file {self._blob.size}"
            )

    def _sections(self) -> Iterator[SectionInfo]:
        profile = None
        for number, section in enumerate(self._image.sections):
            if section.name == uki.PROFILE:
                profile = 0 if profile is None else profile + 1
            content = _content(self._blob, self._image, number)
            yield SectionInfo(
                name=section.name,
                size=content.size,
                offset=section.offset,
                sha256=digests(content, ["sha256"])["sha256"],
                text=self._text(section) if section.name in self._texts else None,
                profile=profile,
            )

    def _text(self, section: pe.Section) -> str | None:
        try:
            return uki.read_text(self._blob, section)
        except FormatError as error:
            self._problems.append(error.message)
            return None

    def _policies(self, sections: tuple[SectionInfo, ...]) -> dict[str, tuple[int, int]]:
        counts: dict[str, tuple[int, int]] = {}
        for one in sections:
            if one.name != uki.SIGNATURES or one.text is None:
                continue
            try:
                document = pcrsig.parse(one.text)
            except FormatError as error:
                self._problems.append(error.message)
                continue
            for bank, entries in document.items():
                signed = sum(bool(entry.signature) for entry in entries)
                before = counts.get(bank, (0, 0))
                counts[bank] = before[0] + signed, before[1] + len(entries) - signed
        return counts

    def _signatures(self) -> Iterator[SignatureInfo]:
        offset, size = self._image.security
        if not size:
            return
        try:
            entries = wincert.parse(self._blob.read_at(offset, min(size, wincert.MAX_TABLE + 1)))
        except FormatError as error:
            self._problems.append(f"the certificate table cannot be read: {error.message}")
            return
        for number, entry in enumerate(entries, 1):
            try:
                yield _signature(entry)
            except FormatError as error:
                self._problems.append(f"signature {number} cannot be read: {error.message}")

    def _look_for_problems(self) -> None:
        problem = layout_problem(self._image)
        if problem:
            self._problems.append(problem)
        try:
            coverage(self._image)
            uki.profiles(self._image.sections)
        except FormatError as error:
            self._problems.append(error.message)


def _signature(entry: wincert.Entry) -> SignatureInfo:
    found = authenticode.parse(entry.pkcs7)
    signer = found.signer
    known = (parse_certificate(der) for der in found.signed.certificates)
    certificate = next((each for each in known if signer.is_by(each)), None)
    return SignatureInfo(
        signer.issuer, signer.serial, found.digest.algorithm, certificate, found.timestamp
    )
