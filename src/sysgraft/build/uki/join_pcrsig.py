"""Puts PCR signatures made elsewhere into a UKI that has room for them (``--join-pcrsig``).

The image was built with ``--policy-digest``: its ``.pcrsig`` holds the policies, and blanks. The
signatures come as a document of the same form; each is verified with the image's own ``.pcrpkey``
where that is the key it names. Since the content changes, a signature for Secure Boot has to be
made anew: the old one is dropped.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from typing import IO, TYPE_CHECKING, Final

from sysgraft.base.blob import BytesBlob, JoinedBlob, PaddedBlob, SubBlob
from sysgraft.base.progress import NoProgress
from sysgraft.build.sealing import Signing, unsealed, write_sealed
from sysgraft.build.uki.inputs import Inputs
from sysgraft.build.uki.options import UkiOptions
from sysgraft.errors import FormatError, InputError, KeyMaterialError, in_file
from sysgraft.formats import pcrsig, pe, pe_headers, uki
from sysgraft.formats.pe_image import align
from sysgraft.host.output import atomic_output
from sysgraft.sign import pcr as sign_pcr
from sysgraft.sign.pcr_public import public_key_in

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from sysgraft.base.blob import Blob
    from sysgraft.base.progress import Progress
    from sysgraft.build.sealing import Unsealed
    from sysgraft.sign.pair import SigningPair

_PUBLIC_KEY: Final = ".pcrpkey"


@dataclass(frozen=True, slots=True)
class JoinReport:
    """What came of it.

    Attributes:
        path: of the result.
        signed: whether it bears a signature for Secure Boot.
        policies: how many PCR policies it has.
        attached: how many of them are signed now.
        notes: what a person should know.
    """

    path: str
    signed: bool
    policies: int
    attached: int
    notes: tuple[str, ...]


def join_signatures(
    image: str,
    signatures: str,
    output: str | os.PathLike[str],
    *,
    signing: SigningPair | None = None,
    replace: bool = False,
    progress: Progress | None = None,
) -> JoinReport:
    """Make a copy of a UKI with PCR signatures in it.

    Args:
        image: the UKI.
        signatures: TEXT|@PATH, JSON.
        output: where the result goes.
        signing: who signs it for Secure Boot.
        replace: whether an existing file is replaced.
        progress: told how far it is.

    Raises:
        InputError: the image has no policies, or none of the signatures fits them.
        KeyMaterialError: a signature does not verify.
        OutputError: the file exists, or cannot be written.
    """
    path = os.fspath(output)
    with (
        atomic_output(path, replace=replace, make_folders=True) as file,
        Inputs(UkiOptions(), progress) as inputs,
    ):
        with in_file(signatures[1:] if signatures.startswith("@") else ""):
            signed = pcrsig.parse(inputs.text(signatures, "PCR signatures"))
        return _Join(image, inputs, signing, progress or NoProgress()).run(file, path, signed)


@dataclass(frozen=True, slots=True)
class _Join:
    image: str
    inputs: Inputs
    signing: SigningPair | None
    progress: Progress

    def run(self, file: IO[bytes], path: str, signed: pcrsig.Signatures) -> JoinReport:
        blob = self.inputs.file(self.image, "image")
        with in_file(self.image):
            image = pe.parse(blob)
            bare = unsealed(blob, image)
            documents = _documents(blob, image)
            unproven = _check(blob, image, signed)
            joined = {at: pcrsig.attach(each, signed) for at, each in documents.items()}
            total, attached = _count(joined.values())
            if not attached:
                raise InputError(
                    "none of the signatures is for a PCR policy of this image",
                    hint="sign what --policy-digest printed when this very image was built",
                )
            result = _rewritten(bare, image, joined)
        write_sealed(file, result, Signing(self.signing), self.progress)
        notes = self._notes(image, total - attached, unproven)
        return JoinReport(path, self.signing is not None, total, attached, tuple(notes))

    def _notes(self, image: pe.Image, unsigned: int, unproven: int) -> Iterator[str]:
        if unsigned:
            yield f"{unsigned} PCR policies of the image are still without a signature"
        if unproven:
            yield f"{unproven} signatures are not by the key in .pcrpkey and were not verified"
        if image.security != (0, 0) and self.signing is None:
            yield "the signature for Secure Boot no longer held and is gone: sign the result"


def _documents(blob: Blob, image: pe.Image) -> dict[int, pcrsig.Signatures]:
    """The policies of each ``.pcrsig``, by the section's number."""
    found = {
        number: pcrsig.parse(uki.read_text(blob, section))
        for number, section in enumerate(image.sections)
        if section.name == uki.SIGNATURES
    }
    if not found:
        raise InputError("this image has no section .pcrsig", hint="build it with --policy-digest")
    return found


def _check(blob: Blob, image: pe.Image, signed: pcrsig.Signatures) -> int:
    """Refuse signatures that the image's own key did not make, though they bear its name.

    Returns:
        How many there are by other keys.
    """
    entries = [entry for each in signed.values() for entry in each if entry.signature]
    section = image.find(_PUBLIC_KEY)
    if section is None:
        return len(entries)
    key = public_key_in(uki.read_text(blob, section).encode())
    name = sign_pcr.fingerprint(key)
    claimed = [entry for entry in entries if entry.fingerprint in (b"", name)]
    for entry in claimed:
        if not sign_pcr.verifies(entry, key):
            raise KeyMaterialError(
                f"the signature of the policy {entry.policy.hex()} was not made by the key in "
                f"{_PUBLIC_KEY}"
            )
    return len(entries) - len(claimed)


def _count(documents: Iterable[pcrsig.Signatures]) -> tuple[int, int]:
    entries = [entry for each in documents for part in each.values() for entry in part]
    return len(entries), sum(bool(entry.signature) for entry in entries)


def _rewritten(
    bare: Unsealed, image: pe.Image, documents: dict[int, pcrsig.Signatures]
) -> Unsealed:
    """The image with other contents of ``.pcrsig``."""
    header = bytearray(bare.header)
    whole = JoinedBlob([BytesBlob(bare.header), bare.body])
    sections = list(image.sections)
    parts: list[Blob] = []
    at = len(header)
    for number in sorted(documents, key=lambda each: image.sections[each].offset):
        data = pcrsig.render(documents[number]).encode("ascii")
        section = sections[number] = _resized(image.sections[number], len(data))
        place = image.table_offset + pe.SECTION.size * number
        header[place : place + pe.SECTION.size] = bytes(section)
        parts += [
            SubBlob(whole, at, section.offset - at),
            PaddedBlob(BytesBlob(data), section.raw_size),
        ]
        at = section.end
    parts.append(SubBlob(whole, at, whole.size - at))
    # The last section may have become shorter: ukify counts anew too.
    top = max(section.virtual_address + section.virtual_size for section in sections)
    size = min(image.size_of_image, align(top, image.section_alignment))
    field = image.optional_offset + pe_headers.SIZE_OF_IMAGE
    header[field : field + 4] = size.to_bytes(4, "little")
    return replace(bare, header=bytes(header), body=JoinedBlob(parts))


def _resized(section: pe.Section, size: int) -> pe.Section:
    if size > section.raw_size:
        raise FormatError(
            f"the section {section.name} has room for {section.raw_size} bytes, the policies "
            f"with their signatures need {size}",
            hint="build the image with --policy-digest, which leaves room",
        )
    return replace(section, virtual_size=size)
