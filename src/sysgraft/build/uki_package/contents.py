"""Which files go into which package, and whether they may."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from sysgraft.build.uki_package import plugins, scripts
from sysgraft.build.uki_package.names import (
    EXTRA_SUFFIXES,
    addon_package_name,
    check_addon_name,
    check_file_name,
)
from sysgraft.errors import InputError, UsageError, in_file
from sysgraft.formats.pe import parse
from sysgraft.host.copying import seen
from sysgraft.host.files import OpenFile
from sysgraft.image.uki_inspect import inspect_uki

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from sysgraft.build.uki_package.options import PackageOptions
    from sysgraft.build.uki_package.scripts import Places
    from sysgraft.host.files import Seen
    from sysgraft.image.uki_inspect import UkiInfo

_ADDON_SUFFIX = ".addon.efi"


class Item(NamedTuple):
    """A file of a package.

    Attributes:
        place: its absolute path once installed.
        source: the file it comes from; empty for one of our own.
        expected: what the source was when it was looked at.
        text: the content of one of our own.
        mode: permissions.
        is_unsigned: whether it is an addon without a signature.
    """

    place: str
    source: str = ""
    expected: Seen | None = None
    text: str = ""
    mode: int = 0o644
    is_unsigned: bool = False


@dataclass(frozen=True, slots=True)
class Content:
    """What is in one package.

    Attributes:
        name: of the package.
        addon: which addon it is; empty for the UKI itself.
        items: its files.
        folders: those it owns, absolute.
        licenses: places of files that tell the terms.
    """

    name: str
    addon: str
    items: tuple[Item, ...]
    folders: tuple[str, ...]
    licenses: tuple[str, ...] = ()


def contents_of(
    uki: Item, name: str, places: Places, options: PackageOptions, info: UkiInfo
) -> tuple[Content, ...]:
    """What goes into the packages; that of the UKI comes first.

    Args:
        uki: the UKI.
        name: of its package.
        places: where its files go.
        options: see there.
        info: what the UKI is.

    Raises:
        UsageError: a name does not fit, or two files would have one.
        InputError: a file cannot be read, or is for another kernel or architecture.
    """
    extras = list(_beside(options.extras, places, info))
    addons: dict[str, list[Item]] = {}
    for addon in options.addons:
        items = addons.setdefault(check_addon_name(addon.name), [])
        items += _beside([addon.path], places, info)
    others = [item for items in addons.values() for item in items]
    _check_different([*extras, *others])
    found = [
        _main(uki, name, places, options, [*extras, *_plugins(places, [*extras, *others])]),
        *(
            Content(
                addon_package_name(name, addon, places.kernel_version, options.format),
                addon,
                tuple(items),
                (places.extra,),
            )
            for addon, items in addons.items()
        ),
    ]
    _check_different(item for content in found for item in content.items)
    return tuple(found)


def _main(
    uki: Item, name: str, places: Places, options: PackageOptions, more: list[Item]
) -> Content:
    kernel = [_kernel_file(path, places) for path in options.kernel_files]
    folders = [places.folder]
    if any(item.place.startswith(places.extra) for item in more):
        folders.append(places.extra)
    licenses: list[Item] = []
    if options.copyright:
        folder, file = _copyright_place(name, places, options)
        licenses.append(_from_file(options.copyright, f"{folder}/{file}"))
        folders.append(folder)
    return Content(
        name,
        "",
        (uki, *kernel, *more, *licenses),
        tuple(folders),
        tuple(item.place for item in licenses),
    )


def _copyright_place(name: str, places: Places, options: PackageOptions) -> tuple[str, str]:
    """Folder and file that tell the terms; rpm has several versions of a package side by side."""
    if options.format == "deb":
        return f"/usr/share/doc/{name}", "copyright"
    return f"/usr/share/licenses/{name}", f"copyright-{places.kernel_version}"


def plugin_place(number: int, name: str, kernel_version: str) -> str:
    """The path of a plugin for kernel-install, which runs in the order of the numbers.

    The kernel version is in it, since packages of several are installed side by side.
    """
    end = "" if name.endswith(kernel_version) else f"-{kernel_version}"
    return f"{scripts.PLUGINS}/{number:02}-{name}{end}.install"


def _plugins(places: Places, beside: list[Item]) -> Iterator[Item]:
    yield Item(places.guard, text=plugins.guard(places), mode=0o755)
    if beside:
        names = [os.path.basename(item.place) for item in beside]
        yield Item(places.plugin, text=plugins.beside(places, names), mode=0o755)


def _from_file(path: str, place: str) -> Item:
    return Item(place, source=path, expected=seen(path))


def _kernel_file(path: str, places: Places) -> Item:
    name = os.path.basename(path)
    if name.lower() == f"{places.file_name}.extra.d".lower():
        raise UsageError(
            f"{name} is the folder beside the UKI, and no file: {path}",
            hint="a file of the kernel needs another name; what lies beside goes with --extra",
        )
    # What FIPS mode compares the UKI with: the one hidden file there.
    if name != f".{places.file_name}.hmac":
        check_file_name(name, "a file of the kernel")
    return _from_file(path, f"{places.folder}/{name}")


def _beside(paths: Iterable[str], places: Places, info: UkiInfo) -> Iterator[Item]:
    """The files of the folder beside the UKI."""
    for path in paths:
        name = os.path.basename(path)
        if not name.endswith(EXTRA_SUFFIXES):
            raise UsageError(
                f"nothing for the folder beside a UKI: {path}",
                hint=f"packages hold files there that end with {', '.join(EXTRA_SUFFIXES)}",
            )
        item = _from_file(path, f"{places.extra}/{check_file_name(name, 'an extra file')}")
        if name.endswith(_ADDON_SUFFIX):
            addon = _checked_addon(path, places.kernel_version, info)
            item = item._replace(is_unsigned=not addon.signatures)
        yield item


def _checked_addon(path: str, kernel_version: str, uki: UkiInfo) -> UkiInfo:
    """What an addon is; one that the stub would not take is no good in the package."""
    with in_file(path), OpenFile(path) as blob:
        parse(blob)
    info = inspect_uki(path)
    if info.kind != "addon":
        raise InputError(f"no addon, but: {info.kind}", file=path)
    if info.architecture != uki.architecture:
        raise InputError(
            f"an addon for {info.architecture}, the UKI is for {uki.architecture}", file=path
        )
    if info.uname not in (None, kernel_version):
        raise InputError(
            f"an addon for the kernel {info.uname}, the UKI has {kernel_version}", file=path
        )
    return info


def _check_different(items: Iterable[Item]) -> None:
    places: set[str] = set()
    for item in items:
        # The boot partition is FAT: names that differ in case only are one there.
        if item.place.lower() in places:
            raise UsageError(f"two files would be {item.place}")
        places.add(item.place.lower())
