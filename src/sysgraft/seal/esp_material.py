"""The files of one boot entry on an EFI system partition.

An entry is a UKI in ``EFI/Linux`` (UAPI.1, type #2), a text file in ``loader/entries`` that names
one (type #1), or any other UKI by its path, as where the firmware starts it without a boot loader.
The stub looks for everything on the partition that the image is on. Which entry a boot loader would
choose is not decided here.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from sysgraft.base.systemd import LATEST
from sysgraft.errors import InputError, UnsupportedError, UsageError, in_file
from sysgraft.formats import bls, pe, uki
from sysgraft.seal.entry_architecture import is_shown
from sysgraft.seal.material import LOADER_FOLDERS, Folder, Material, Source, source
from sysgraft.seal.start_options import loader_release

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from sysgraft.seal.volume import Volume

IMAGES: Final = "EFI/Linux"
ENTRIES: Final = "loader/entries"
_LOADERS: Final = ("EFI/systemd", "EFI/BOOT")
_LOADER: Final = "systemd-boot"
_UKI_SINCE: Final = 258
_PROFILE_SINCE: Final = 259
"""Releases of systemd-boot that know these keys of text files."""
_UNCOUNTED: Final = 255
"""The first release whose stub leaves the boot counter out when it looks for its folder."""
_MAX_SHOWN: Final = 12


@dataclass(frozen=True, slots=True)
class EspEntry:
    """A boot entry.

    Attributes:
        name: without boot counter and suffix.
        image: path of the UKI.
        config: path of the text file; empty for a UKI that is an entry by itself.
        settings: what the text file says.
    """

    name: str
    image: str
    config: str = ""
    settings: bls.Entry = field(default_factory=bls.Entry)


def entries(volume: Volume) -> tuple[EspEntry, ...]:
    """All boot entries that start a UKI, text files first, by name.

    Raises:
        InputError: the partition cannot be read.
    """
    return (*_configured(volume), *_images(volume))


def _configured(volume: Volume) -> Iterator[EspEntry]:
    for each in sorted(volume.entries(ENTRIES)):
        if each.is_folder or not bls.is_entry_name(each.name):
            continue
        path = f"{ENTRIES}/{each.name}"
        blob = volume.open(path)
        with in_file(volume.label(path)):
            settings = bls.parse(blob.read_at(0, min(blob.size, bls.MAX_SIZE + 1)))
        image = volume.find(bls.efi_path(settings.uki or settings.efi))
        if settings.kind not in ("uki", "efi") or image is None:
            continue
        if is_shown(settings, volume.open(image)):
            yield EspEntry(_stem(each.name), image, path, settings)


def _images(volume: Volume) -> Iterator[EspEntry]:
    for each in sorted(volume.entries(IMAGES)):
        if not each.is_folder and each.name.lower().endswith(".efi"):
            yield EspEntry(_stem(each.name), f"{IMAGES}/{each.name}")


def _stem(name: str) -> str:
    plain = bls.split_counter(name).name
    return plain.rpartition(".")[0]


def find_entry(volume: Volume, name: str) -> EspEntry:
    """The entry that a person means.

    Args:
        volume: the partition.
        name: of the entry, with or without its suffix and boot counter, or the path of a UKI;
            empty for the only one there is.

    Raises:
        InputError: there is no such entry, or more than one.
    """
    path = volume.find(name) if name else None
    if path is not None and path.lower().endswith(".efi"):
        return EspEntry(_stem(path.rpartition("/")[2]), path)
    known = entries(volume)
    wanted = {name, _stem(name)} if "." in name else {name}
    found = [each for each in known if not name or each.name in wanted]
    if len(found) == 1:
        return found[0]
    names = sorted({each.name for each in known})
    shown = ", ".join(names[:_MAX_SHOWN]) or "none"
    if not name:
        raise UsageError(f"which boot entry is meant: give --entry (there are: {shown})")
    problem = "more than one boot entry" if found else "no boot entry that starts a UKI"
    raise InputError(
        f"there is {problem} called {name}",
        file=volume.name,
        hint=f"there are: {shown}; the path of a UKI will do as well",
    )


def from_esp(
    volume: Volume,
    name: str,
    *,
    loaders: Iterable[str] = (),
    version: int | None = None,
    known: EspEntry | None = None,
) -> Material:
    """The files of a boot entry.

    Args:
        volume: the partition.
        name: of the entry, see `find_entry`.
        loaders: files of the programs that run before the image; none for systemd-boot, if the
            partition has it and the entry needs one.
        version: release of the stub, where the image does not say.
        known: the entry, where it is known already.

    Raises:
        InputError: there is no such entry, or a file of it is missing.
    """
    entry = known or find_entry(volume, name)
    image = _source(volume, entry.image)
    before = tuple(source(each) for each in loaders)
    notes = []
    if not before and (entry.config or entry.image.startswith(f"{IMAGES}/")):
        loader = _boot_loader(volume, entry.image)
        if loader is None:
            notes.append(
                "the partition has no systemd-boot: PCR 4 is that of an image the "
                "firmware starts (--loader names what runs before it)"
            )
        else:
            before = (loader,)
    known_keys = _check_keys(entry, before)
    release = version or _stub_version(image) or _UNCOUNTED
    path = entry.image if not before or release >= _UNCOUNTED else _renamed(entry.image)
    own = bls.extra_folder(path, version=release)
    return Material(
        image=image,
        own=_folder(volume, own),
        loader={each: _folder(volume, f"loader/{each}") for each in LOADER_FOLDERS},
        loaders=before,
        extras=tuple(_extras(volume, entry)),
        options=entry.settings.options or None,
        profile=entry.settings.profile if known_keys >= _PROFILE_SINCE else 0,
        is_own_entry=not entry.config,
        notes=tuple(notes),
    )


def _check_keys(entry: EspEntry, loaders: tuple[Source, ...]) -> int:
    """The release of systemd-boot that reads the entry; of no other one the latest is assumed.

    Raises:
        UnsupportedError: it does not know such entries.
    """
    release = loader_release(loaders[-1]) if loaders else 0
    if entry.settings.kind == "uki" and 0 < release < _UKI_SINCE:
        raise UnsupportedError(
            f"systemd-boot {release} does not know entries with the key uki", file=entry.config
        )
    return release or LATEST


def _renamed(path: str) -> str:
    """The image's path as systemd-boot renames it before it starts it: one attempt less."""
    folder, slash, name = path.rpartition("/")
    counted = bls.split_counter(name)
    if not counted.left:
        return path
    stem, dot, suffix = counted.name.rpartition(".")
    done = (counted.done or 0) + 1
    return f"{folder}{slash}{stem}+{counted.left - 1}-{done}{dot}{suffix}"


def _source(volume: Volume, path: str) -> Source:
    return Source(path.rpartition("/")[2], volume.label(path), volume.open(path))


def _folder(volume: Volume, path: str) -> Folder:
    found = Folder()
    for each in volume.entries(path):
        if each.is_folder:
            found.entries.append(each)
        else:
            found.add(_source(volume, f"{path}/{each.name}"))
    return found


def _extras(volume: Volume, entry: EspEntry) -> Iterator[Source]:
    """The files an entry lists; one that is not there is passed over, as by systemd-boot."""
    if entry.settings.kind != "uki":
        return
    for each in entry.settings.extras:
        path = volume.find(bls.efi_path(each))
        if path is not None:
            yield _source(volume, path)


def _boot_loader(volume: Volume, image: str) -> Source | None:
    """systemd-boot, as the firmware starts it by its own entry or as the removable media's."""
    for folder in _LOADERS:
        for each in sorted(volume.entries(folder)):
            path = f"{folder}/{each.name}"
            if each.is_folder or not each.name.lower().endswith(".efi") or path == image:
                continue
            found = _source(volume, path)
            if _program(found) == _LOADER:
                return found
    return None


def _program(source: Source) -> str:
    try:
        stub = uki.stub_of(source.blob, pe.parse(source.blob))
    except InputError:
        return ""
    return stub.name if stub else ""


def _stub_version(image: Source) -> int | None:
    with in_file(image.label):
        stub = uki.stub_of(image.blob, pe.parse(image.blob))
    return stub.major if stub else None
