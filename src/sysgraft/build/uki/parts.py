"""The sections of a UKI, addon or profile, in the order they are written.

The order is ukify's, so that tools which look at one kind of image find the other as they expect:
what profiles share comes before the first ``.profile``, and PCR signatures after what they sign.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from sysgraft.base.blob import BytesBlob
from sysgraft.build.uki.kernel import uname
from sysgraft.build.uki.options import EFI_ARCHITECTURES
from sysgraft.errors import FormatError, InputError, UsageError, in_file
from sysgraft.formats import pe, sbat, uki
from sysgraft.host.folders import walk
from sysgraft.host.small import read_small

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sysgraft.base.blob import Blob
    from sysgraft.build.uki.inputs import Inputs
    from sysgraft.build.uki.kernel import Kernel
    from sysgraft.build.uki.options import UkiOptions
    from sysgraft.build.uki.stub import LoadedStub
    from sysgraft.formats.hwids import Device

DEFAULT_PROFILE: Final = "ID=main"
"""The first profile where others join it and it has no description of its own; ukify's word."""
HWIDS: Final = "/usr/lib/systemd/boot/hwids"
"""Where systemd installs descriptions of hardware, a folder for each architecture."""
_MACHINE_OS_RELEASE: Final = ("/etc/os-release", "/usr/lib/os-release")
_MAX_OS_RELEASE: Final = 1 << 20
_MAX_JSON: Final = 1 << 20


@dataclass(frozen=True, slots=True)
class Part:
    """A section to be written.

    Attributes:
        name: with its dot.
        content: its bytes.
        source: where they come from, for the report; empty for what the options say themselves.
    """

    name: str
    content: Blob
    source: str = ""


def base_parts(
    options: UkiOptions, inputs: Inputs, kernel: Kernel | None, pcrpkey: bytes | None
) -> list[Part]:
    """All parts of the base, without ``.sbat``, the base's own ``.profile`` and signatures."""
    makers = (
        _os_release(options, inputs, kernel),
        _text(".cmdline", options.cmdline, inputs, "command line", squeeze=True),
        _file(".dtb", options.devicetree, inputs, "devicetree"),
        *(_file(".dtbauto", path, inputs, "devicetree") for path in options.devicetree_auto),
        _hwids(options, inputs, kernel),
        _uname(options, kernel),
        _file(".splash", options.splash, inputs, "splash image"),
        None if pcrpkey is None else Part(".pcrpkey", BytesBlob(pcrpkey)),
        None if kernel is None else Part(".linux", kernel.blob, kernel.name),
        _initrd(options, inputs),
        *(_efifw(path, inputs) for path in options.efifw),
        _file(".ucode", options.microcode, inputs, "microcode"),
        *(_text(name, text, inputs, f"section {name}") for name, text in options.sections),
    )
    return [part for part in makers if part is not None]


def profile_part(options: UkiOptions, inputs: Inputs) -> Part | None:
    """The description of the base's own profile."""
    text = options.profile
    if text is None and options.join_profiles:
        text = DEFAULT_PROFILE
    part = _text(uki.PROFILE, text, inputs, "profile")
    if text is not None and part is None:
        raise UsageError("--profile is empty", hint="a profile has at least an ID: --profile ID=x")
    return part


def _text(
    name: str, value: str | None, inputs: Inputs, what: str, *, squeeze: bool = False
) -> Part | None:
    """A section with a text; none for an empty one, which no stub would see either."""
    if value is None:
        return None
    data = inputs.text(value, what)
    source = value[1:] if value.startswith("@") else ""
    if squeeze and not source:
        data = b" ".join(data.split())
    if not data and source:
        inputs.workspace.note(f"{source} is empty: there is no section {name}")
    return Part(name, BytesBlob(data), source) if data else None


def _file(name: str, path: str | None, inputs: Inputs, what: str) -> Part | None:
    return None if path is None else Part(name, inputs.file(path, what), path)


def _os_release(options: UkiOptions, inputs: Inputs, kernel: Kernel | None) -> Part | None:
    """What was given, else the root file system's, else this machine's; addons have none."""
    if options.os_release is not None:
        return _text(".osrel", options.os_release, inputs, "os-release file")
    if kernel is None:
        return None
    for rootfs in inputs.rootfs:
        if rootfs.os_release is not None:
            return Part(".osrel", BytesBlob(rootfs.os_release), rootfs.description)
    for path in _MACHINE_OS_RELEASE:
        if os.path.exists(path):
            data = read_small(path, _MAX_OS_RELEASE, "os-release file")
            return Part(".osrel", BytesBlob(data), path)
    raise UsageError(
        "there is no os-release file: nothing says which system this image starts",
        hint="give --os-release @FILE, or an empty --os-release= for an image without one",
    )


def _uname(options: UkiOptions, kernel: Kernel | None) -> Part | None:
    text = uname(options.uname, kernel)
    return None if text is None else Part(".uname", BytesBlob(text.encode()))


def _initrd(options: UkiOptions, inputs: Inputs) -> Part | None:
    blob = inputs.packed_initrd()
    return None if blob is None else Part(".initrd", blob, ", ".join(options.initrds))


def _hwids(options: UkiOptions, inputs: Inputs, kernel: Kernel | None) -> Part | None:
    """From a folder with JSON descriptions, at any depth; systemd's own where none is named."""
    folder = options.hwids
    if folder is None and kernel is not None:
        folder = _own_hwids(kernel.image, inputs)
    if not folder:
        return None
    from sysgraft.formats import hwids  # noqa: PLC0415  few images have hardware descriptions

    devices = [each for path in _json_files(folder) for each in _described(path)]
    if not devices:
        raise InputError("there is no hardware description (*.json) in it", file=folder)
    return Part(".hwids", BytesBlob(hwids.render(devices)), folder)


def _own_hwids(kernel: pe.Image, inputs: Inputs) -> str | None:
    """Where systemd has descriptions for an architecture, as ukify takes them since v258."""
    for efi, name in EFI_ARCHITECTURES.items():
        folder = os.path.join(HWIDS, efi)
        if name == kernel.architecture and os.path.isdir(folder):
            inputs.workspace.note(f"hardware IDs are those of {folder} (--hwids= for none)")
            return folder
    return None


def _json_files(folder: str) -> Iterator[str]:
    """In ukify's order, which the section keeps: folder by folder, names in byte order."""
    for found in sorted(walk(folder), key=lambda each: each.path.split(b"/")):
        if found.path.endswith(b".json"):
            yield os.path.join(folder, os.fsdecode(found.path))


def _described(path: str) -> tuple[Device, ...]:
    from sysgraft.formats import hwids  # noqa: PLC0415

    with in_file(path):
        return hwids.parse_description(read_small(path, _MAX_JSON, "hardware description"))


def _efifw(folder: str, inputs: Inputs) -> Part:
    """A firmware file in a folder of its own, whose name identifies it."""
    from sysgraft.formats import efifw  # noqa: PLC0415

    try:
        names = os.listdir(folder)
    except OSError as error:
        raise InputError(f"cannot read the folder: {error.strerror}", file=folder) from error
    if len(names) != 1:
        raise InputError(
            f"a folder with one firmware file is wanted, it has {len(names)}", file=folder
        )
    path = os.path.join(folder, names[0])
    name = os.path.basename(os.path.normpath(folder))
    return Part(".efifw", efifw.wrap(name, inputs.file(path, "firmware")), path)


def sbat_part(options: UkiOptions, inputs: Inputs, stub: LoadedStub, kernel: Kernel | None) -> Part:
    """SBAT of stub, kernel and options in one; an addon's is its own."""
    values = options.sbat or ((sbat.UKI,) if kernel else (sbat.ADDON,))
    texts = [_sbat_text(value, inputs) for value in values]
    if kernel is not None:
        texts = [*_sbat_of(stub.name, stub.blob), *_sbat_of(kernel.name, kernel.blob), *texts]
    return Part(".sbat", BytesBlob(sbat.merge(texts).encode("utf-8")))


def _sbat_text(value: str, inputs: Inputs) -> str:
    with in_file(value[1:] if value.startswith("@") else ""):
        try:
            text = inputs.text(value, "SBAT metadata").decode("utf-8")
        except UnicodeDecodeError as error:
            raise FormatError("the SBAT metadata is not text in UTF-8") from error
        sbat.parse(text)
        return text


def _sbat_of(name: str, blob: Blob) -> list[str]:
    with in_file(name):
        section = pe.parse(blob).find(".sbat")
        text = "" if section is None else uki.read_text(blob, section)
        if not text:
            return []
        try:
            sbat.parse(text)
        except FormatError:
            return []  # nothing that shim would read either
        return [text]
