"""A kernel image that is about to be installed: what it is, and whether the firmware would take it.

An image that is cut short, or that Secure Boot refuses, is found before anything is written. A
signature is held against the firmware's db and dbx as firmware does; where shim stands before the
kernel it has keys of its own, and nothing is said.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple
from uuid import UUID

from sysgraft.errors import FormatError, InputError, SysgraftError, in_file
from sysgraft.formats import uki
from sysgraft.formats.efivar import GLOBAL_VARIABLE
from sysgraft.host.files import OpenFile
from sysgraft.image.uki_structure import read_structure

if TYPE_CHECKING:
    from sysgraft.base.progress import Progress
    from sysgraft.host.efivars import EfiVariables

_SHIM: Final = UUID("605dab50-e046-4300-abb6-3dd810dd8b23")
"""SHIM_LOCK_GUID, the vendor of ``MokListRT`` (shim's MokVars.txt)."""
_MZ: Final = b"MZ"
_MOK: Final = "MokListRT"


class KernelImage(NamedTuple):
    """An image.

    Attributes:
        path: of it.
        is_uki: whether it has a kernel in it.
        version: that it says it has; empty if it says none.
        stub: release of its stub; 0 where it does not say.
        size: bytes.
    """

    path: str
    is_uki: bool
    version: str
    stub: int
    size: int


def read_image(path: str) -> KernelImage:
    """Look at an image.

    Raises:
        InputError: it cannot be read, is no program for EFI, or is cut short.
    """
    with OpenFile(path) as blob, in_file(path):
        if blob.read_at(0, min(2, blob.size)) != _MZ:
            return KernelImage(path, is_uki=False, version="", stub=0, size=blob.size)
        structure = read_structure(blob)
        image = structure.image
        if uki.kind_of(image) != "uki":
            return KernelImage(path, is_uki=False, version="", stub=0, size=blob.size)
        section = image.find(".uname")
        version = uki.read_text(blob, section).strip() if section else ""
        stub = uki.stub_of(blob, image)
        return KernelImage(
            path, is_uki=True, version=version, stub=stub.major if stub else 0, size=blob.size
        )


def require_uki(image: KernelImage) -> None:
    """Raise `InputError` for what is no UKI."""
    if not image.is_uki:
        raise InputError(
            "it is no UKI: there is no kernel in a section of its own",
            file=image.path,
            hint="make one of it (sysgraft uki build), or install it with --layout bls and its "
            "initrds",
        )


def firmware_refusal(
    image: KernelImage, variables: EfiVariables | None, *, progress: Progress | None = None
) -> str:
    """Why the firmware would not start an image; empty if it would, or nobody can tell.

    Args:
        image: the image.
        variables: the firmware's; None where they are not known.
        progress: told of what is read.
    """
    if variables is None or not _is_enforcing(variables) or _has_shim(variables):
        return ""
    from sysgraft.image.uki_verify import UkiVerifyOptions, verify_uki  # noqa: PLC0415  Secure Boot
    from sysgraft.sign.verify import trust  # noqa: PLC0415  likewise

    def load() -> trust.TrustStore:
        return trust.from_efivars(variables, for_executables=True)

    try:
        verdict = verify_uki(image.path, UkiVerifyOptions(trust=load), progress=progress)
    except SysgraftError as error:
        return str(error)
    failed = (each for each in verdict.checks if not each.passes)
    return next((f"{each.name}: {each.reason}" for each in failed), "")


def _is_enforcing(variables: EfiVariables) -> bool:
    values = []
    for name in ("SecureBoot", "SetupMode"):
        found = variables.read(name, GLOBAL_VARIABLE)
        values.append(found.data if found else b"")
    return values == [b"\1", b"\0"]


def _has_shim(variables: EfiVariables) -> bool:
    return variables.read(_MOK, _SHIM) is not None


def require_version(given: str, image: KernelImage) -> str:
    """The version of the kernel.

    Raises:
        FormatError: the image says another one than is given.
        InputError: neither says one.
    """
    if given and image.version and given != image.version:
        raise FormatError(
            f"it is a kernel {image.version}, not {given}",
            file=image.path,
            hint="modules are looked for by what the kernel says; leave --kernel-version out",
        )
    if not (given or image.version):
        raise InputError(
            "nothing in it says its version", file=image.path, hint="give it with --kernel-version"
        )
    return given or image.version
