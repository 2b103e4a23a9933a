"""The stub that starts an image: found where systemd installs it, or as given."""

from __future__ import annotations

import os
import platform
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from sysgraft.base import arch
from sysgraft.build.uki.options import EFI_ARCHITECTURES
from sysgraft.errors import FormatError, InputError, UsageError, in_file
from sysgraft.formats import pe, uki

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sysgraft.base.blob import Blob
    from sysgraft.build.uki.inputs import Inputs
    from sysgraft.build.uki.kernel import Kernel
    from sysgraft.build.uki.options import UkiOptions

FOLDER: Final = "/usr/lib/systemd/boot/efi"
"""Where systemd installs its stubs (``linuxx64.efi.stub``)."""
LINUX: Final = "systemd-stub"
ADDON: Final = "systemd-addon"
"""What the two kinds of stub call themselves; the second starts nothing."""

_EXACT_NAMES: Final = 257
"""The release from which on stubs compare the whole name of a section, not its beginning."""
_USED_BY_OTHERS: Final = (".uname", ".sbat")
"""Sections that old stubs do not measure, and that others read: tools, shim."""


@dataclass(frozen=True, slots=True)
class LoadedStub:
    """A stub.

    Attributes:
        name: of its file.
        blob: its bytes.
        image: its headers.
        version: which program it is.
    """

    name: str
    blob: Blob
    image: pe.Image
    version: uki.Stub


def load_stub(options: UkiOptions, inputs: Inputs, kernel: Kernel | None) -> LoadedStub:
    """Find and read the stub for a kernel, or the one for addons.

    Raises:
        InputError: there is none.
        FormatError: it is no stub of systemd, the wrong one, or for another architecture.
    """
    path = options.stub or _default_path(options, kernel)
    if not os.path.exists(path):
        raise InputError(
            "there is no such stub",
            file=path,
            hint="name one with --stub; on Debian the package systemd-boot-efi has it",
        )
    blob = inputs.file(path, "stub")
    with in_file(path):
        image = pe.parse(blob)
        version = uki.stub_of(blob, image)
        if version is None or version.name not in (LINUX, ADDON):
            name = "its section .sdmagic does not name one" if version is None else version.name
            raise FormatError(
                f"not a stub of systemd: {name}",
                hint="what a stub measures has to be known; give linux*.efi.stub of systemd",
            )
        if kernel is not None and version.name == ADDON and options.profile is None:
            raise FormatError("a stub for addons, which starts no kernel")
        _check_architecture(image, options, kernel)
    return LoadedStub(path, blob, image, version)


def check_known(stub: LoadedStub, names: Iterable[str]) -> None:
    """See that the stub of a UKI will use its sections.

    An addon or profile is read by the stub of the UKI it is for, whose version is not known here.

    Raises:
        FormatError: the stub is older than a section that does nothing without it.
    """
    for name in names:
        if stub.version.major < _EXACT_NAMES and name not in uki.KNOWN:
            _check_prefix(stub, name)
        since = uki.MEASURED.get(name, 0)
        if since > stub.version.major and name not in _USED_BY_OTHERS:
            raise FormatError(
                f"the stub of systemd {stub.version.major} does not know {name}, "
                f"which came with {since}",
                file=stub.name,
                hint="leave the section out, or take a newer stub with --stub",
            )


def _check_prefix(stub: LoadedStub, name: str) -> None:
    for known in uki.KNOWN:
        if name.startswith(known):
            raise FormatError(
                f"the stub of systemd {stub.version.major} takes {name} for {known}",
                file=stub.name,
                hint="give the section another name, or take a newer stub with --stub",
            )


def _default_path(options: UkiOptions, kernel: Kernel | None) -> str:
    kind = "addon" if kernel is None else "linux"
    return f"{FOLDER}/{kind}{options.efi_arch or _architecture(kernel)}.efi.stub"


def _architecture(kernel: Kernel | None) -> str:
    """EFI's name of the kernel's architecture, or of this machine's."""
    machine = kernel.image.architecture if kernel is not None else None
    wanted = machine or arch.normalize(platform.machine())
    for efi, name in EFI_ARCHITECTURES.items():
        if name == wanted:
            return efi
    raise UsageError(f"no stub for {wanted} is known", hint="name one with --stub, and --efi-arch")


def _check_architecture(image: pe.Image, options: UkiOptions, kernel: Kernel | None) -> None:
    found = image.architecture
    if kernel is not None and kernel.image.machine != image.machine:
        raise FormatError(f"the stub is for {found}, the kernel for {kernel.image.architecture}")
    if options.efi_arch and EFI_ARCHITECTURES[options.efi_arch] != found:
        raise FormatError(f"the stub is for {found}, --efi-arch says {options.efi_arch}")
