"""The files of a medium: where each goes on the EFI system partition, and where it comes from.

Everything is opened and looked at here, so that what cannot work is refused before a byte is
written. FAT has no links: a file for several boot entries is there several times.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NamedTuple

from sysgraft.base.blob import BytesBlob
from sysgraft.base.text import one_line
from sysgraft.build.enrolment import ESP_FOLDER, read_updates
from sysgraft.build.media import loader
from sysgraft.build.media.doubts import doubts
from sysgraft.build.media.files import MediaFile, carried_files, opened
from sysgraft.build.media.options import BootImage, MediaOptions, check, counted_name
from sysgraft.build.resign import Target
from sysgraft.build.uki.budget import MEGABYTE
from sysgraft.build.uki_sign import sign_executable
from sysgraft.errors import FormatError, InputError, UsageError, in_file
from sysgraft.formats import authvar, bls, pe, uki
from sysgraft.formats.stub_folders import (
    ADDON,
    EXTENSIONS,
    GLOBAL_EXTENSIONS_SINCE,
    global_folder,
    is_taken,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from sysgraft.base.blob import Blob
    from sysgraft.formats.authvar import SignedUpdate

_NO_LOADERS: Final = ("systemd-stub", "systemd-addon")
_IMAGES: Final = {"generic": "EFI/Linux", "kairos": "EFI/kairos"}


class Executable(NamedTuple):
    """A program that firmware will judge: the file it comes from, and its bytes."""

    source: str
    content: Blob


@dataclass(frozen=True, slots=True)
class MediaContent:
    """What a medium has.

    Attributes:
        architecture: of its UKIs, as systemd calls it.
        files: of the EFI system partition.
        carried: for an installer.
        executables: what firmware will judge, each once.
        keys: the folder with the keys; empty for none.
        updates: the keys to be enrolled, by database.
        warnings: what a person should worry about, a sentence each.
    """

    architecture: str
    files: tuple[MediaFile, ...]
    carried: tuple[MediaFile, ...]
    executables: tuple[Executable, ...]
    keys: str
    updates: Mapping[str, SignedUpdate]
    warnings: tuple[str, ...]


class _Image(NamedTuple):
    """A UKI that was looked at: its name, file, place, and the release of its stub or 0."""

    boot: BootImage
    content: Blob
    place: str
    stub: int


def gather(options: MediaOptions, work: str) -> MediaContent:
    """Open everything a medium will have.

    Args:
        options: what that is.
        work: a folder for what is made on the way; it has to stay until all is written.

    Raises:
        UsageError: the options contradict each other.
        InputError: a file cannot be used.
    """
    check(options)
    architecture, images = _images(options)
    boot_loader = _boot_loader(options, architecture, work)
    updates = read_updates(options.keys) if options.keys else {}
    sidecars = (
        *_extras(options, images, architecture),
        *_shared(options, images, architecture),
    )
    carried = tuple(carried_files(options.carried))
    return MediaContent(
        architecture=architecture,
        files=(
            *(boot_loader._replace(path=place) for place in loader.places(architecture)),
            *(MediaFile(each.place, each.content, "UKI", each.boot.path) for each in images),
            *sidecars,
            *_settings(options, images),
            *_keys(updates),
        ),
        carried=carried,
        executables=tuple(_executables(boot_loader, images, sidecars)),
        keys=options.keys,
        updates=updates,
        warnings=(
            *_warnings(options, images),
            *doubts((*sidecars, *carried), options.keys, updates),
        ),
    )


# --- UKIs and boot loader ------------------------------------------------------------------------


def _images(options: MediaOptions) -> tuple[str, list[_Image]]:
    """The architecture of all UKIs, and each of them."""
    found = [(each, *_looked_at(each.path)) for each in options.images]
    architecture = found[0][2].architecture
    for each, _, image, _ in found:
        if image.architecture != architecture:
            raise InputError(
                f"it is for {image.architecture}, {found[0][0].path} for {architecture}",
                file=each.path,
            )
    if architecture is None:
        raise FormatError("a UKI for an unknown architecture", file=found[0][0].path)
    return architecture, [
        _Image(each, content, _place(options, each.name), stub) for each, content, _, stub in found
    ]


def _looked_at(path: str) -> tuple[Blob, pe.Image, int]:
    content = opened(path)
    with in_file(path):
        image = pe.parse(content)
        kind = uki.kind_of(image)
        if kind != "uki":
            raise FormatError(
                "it is not a UKI", hint="a UKI has a kernel in it: sysgraft uki build"
            )
        stub = uki.stub_of(content, image)
    return content, image, (stub.major if stub else 0) or 0


def _place(options: MediaOptions, name: str) -> str:
    """Where a UKI goes; what counts tries is its own name, or that of its entry of text."""
    tries = options.tries if options.layout == "generic" else None
    return f"{_IMAGES[options.layout]}/{counted_name(name, tries, '.efi')}"


def _boot_loader(options: MediaOptions, architecture: str, work: str) -> MediaFile:
    source = options.boot_loader or loader.default_path(architecture)
    content = opened(source)
    with in_file(source):
        image = _for_machine(content, architecture)
        found = uki.stub_of(content, image)
        kind = uki.kind_of(image)
        if kind in ("uki", "addon", "profile") or (found and found.name in _NO_LOADERS):
            raise FormatError(
                "it is no boot loader", hint="systemd-boot is one, a UKI or its stub none"
            )
    if options.signing is not None:
        target = os.path.join(work, "boot-loader.efi")
        sign_executable(source, options.signing, target=Target(target, replace=True))
        content = opened(target)
    return MediaFile("", content, "boot loader", source)


def _for_machine(content: Blob, architecture: str) -> pe.Image:
    image = pe.parse(content)
    if image.architecture != architecture:
        raise FormatError(f"it is for {image.architecture}, the UKIs for {architecture}")
    return image


def _sidecar(path: str, architecture: str) -> Blob:
    """A file for the stub; an addon is one, and for this architecture."""
    content = opened(path)
    if path.lower().endswith(ADDON):
        with in_file(path):
            kind = uki.kind_of(_for_machine(content, architecture))
            if kind != "addon":
                raise FormatError(f"it is no addon, but: {kind}")
    return content


def _executables(
    boot_loader: MediaFile, images: Sequence[_Image], sidecars: Sequence[MediaFile]
) -> Iterator[Executable]:
    """What firmware judges before it starts it, or lets the stub use it."""
    yield Executable(boot_loader.source, boot_loader.content)
    found = {each.boot.path: each.content for each in images}
    found |= {each.source: each.content for each in sidecars if each.path.lower().endswith(ADDON)}
    for source, content in found.items():
        yield Executable(source, content)


# --- What goes beside them -----------------------------------------------------------------------


def _extras(
    options: MediaOptions, images: Sequence[_Image], architecture: str
) -> Iterator[MediaFile]:
    """A file for each image that it goes beside."""
    for extra in options.extras:
        name = _sidecar_name(extra.path)
        content = _sidecar(extra.path, architecture)
        for image in images:
            if extra.entry in ("", image.boot.name):
                folder = _extra_folder(image)
                yield MediaFile(f"{folder}/{name}", content, "extra", extra.path)


def _extra_folder(image: _Image) -> str:
    """The folder where the stub of an image looks for what belongs to it.

    Raises:
        UsageError: it would look elsewhere as soon as a boot was counted.
    """
    if not image.stub:
        return bls.extra_folder(image.place)
    folder = bls.extra_folder(image.place, version=image.stub)
    if folder != bls.extra_folder(image.place):
        raise UsageError(
            f"the stub of {image.boot.name} is of systemd {image.stub}, which loses what lies "
            "beside an image when a boot of it is counted; later ones do not",
            hint="leave out --tries, or build the UKI on a stub of systemd 255 or newer",
        )
    return folder


def _shared(
    options: MediaOptions, images: Sequence[_Image], architecture: str
) -> Iterator[MediaFile]:
    for path in options.shared:
        name = _sidecar_name(path)
        folder = global_folder(name)
        for image in images:
            if folder == EXTENSIONS and 0 < image.stub < GLOBAL_EXTENSIONS_SINCE:
                raise UsageError(
                    f"the stub of {image.boot.name} is of systemd {image.stub}, which looks for no "
                    f"extensions in {EXTENSIONS}; that came with {GLOBAL_EXTENSIONS_SINCE}",
                    hint=f"give {path} with --extra",
                )
        yield MediaFile(f"{folder}/{name}", _sidecar(path, architecture), "shared", path)


def _sidecar_name(path: str) -> str:
    name = os.path.basename(path)
    if not is_taken(name) or not name.isascii():
        raise InputError(
            "systemd-stub passes over a file of this name",
            file=path,
            hint="it takes .sysext.raw, .confext.raw, .addon.efi and .cred, in ASCII",
        )
    return name


def _settings(options: MediaOptions, images: Sequence[_Image]) -> Iterator[MediaFile]:
    yield _text(loader.SETTINGS, loader.settings_text(options))
    if options.layout == "kairos":
        for image in images:
            name = counted_name(image.boot.name, options.tries, ".conf")
            text = loader.entry_text(options, image.boot.name, image.place)
            yield _text(f"{loader.ENTRIES}/{name}", text)


def _text(path: str, text: str) -> MediaFile:
    return MediaFile(path, BytesBlob(text.encode()), "settings")


def _keys(updates: Mapping[str, SignedUpdate]) -> Iterator[MediaFile]:
    folder = ESP_FOLDER.replace(os.sep, "/")
    for name, update in updates.items():
        yield MediaFile(f"{folder}/{name}.auth", BytesBlob(authvar.serialise(update)), "keys")


# --- What to worry about -------------------------------------------------------------------------


def _warnings(options: MediaOptions, images: Sequence[_Image]) -> Iterator[str]:
    for image in images:
        size = image.content.size
        if size > options.warn_size:
            yield (
                f"{one_line(image.boot.path)} has {size / MEGABYTE:.0f} MB, more than "
                f"{options.warn_size / MEGABYTE:.0f} MB (--efi-size-warn): while it starts, "
                "firmware has it in memory twice"
            )
    folders = {global_folder(os.path.basename(path)) for path in options.shared}
    unknown = [image.boot.name for image in images if not image.stub]
    if EXTENSIONS in folders and unknown:
        yield (
            f"the stub of {', '.join(unknown)} does not say of which release it is; extensions "
            f"for all images are used from systemd {GLOBAL_EXTENSIONS_SINCE} on"
        )
