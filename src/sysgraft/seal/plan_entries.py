"""The boot entries of a partition that changes, and which changes matter to each of them.

An entry is a text file that names a UKI (UAPI.1, type #1), or a profile of a UKI in ``EFI/Linux``
(type #2). Whether it is there, and with what, depends on the state of the partition. Entries that
start something else than a UKI are left out.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from sysgraft.errors import InputError, in_file
from sysgraft.formats import bls, pe, uki
from sysgraft.measure.sidecars import Entry, problem
from sysgraft.seal.entry_architecture import is_shown
from sysgraft.seal.esp_material import ENTRIES, IMAGES, EspEntry
from sysgraft.seal.transition import folded

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sysgraft.seal.transition import PartitionFile, StateVolume, Transition

SIGNATURES: Final = ".pcrsig.json"
SIGNATURE_FOLDER: Final = "loader/extensions"
_SUFFIXES: Final = (
    (".addon.efi", frozenset({4, 12})),
    (".cred", frozenset({12})),
    # Before 256 a confext is a sysext to the stub.
    (".confext.raw", frozenset({12, 13})),
    (".raw", frozenset({13})),
)
_GLOBAL: Final = {
    "loader/credentials": (".cred",),
    "loader/extensions": (".confext.raw", ".raw"),
    "loader/addons": (".addon.efi",),
}
_FOLDER: Final = ".extra.d"
_LOADER_FOLDERS: Final = ("EFI/systemd", "EFI/BOOT")
LOADER_PCRS: Final = frozenset({4, 12})
"""What the boot loader measures, and what is measured of it."""


@dataclass(frozen=True, slots=True)
class PlanEntry:
    """A boot entry, in whatever state.

    Attributes:
        name: without boot counter and suffix.
        path: of the text file or of the UKI.
        is_config: whether it is a text file.
        profile: of the UKI; 0 where the text file says it.
    """

    name: str
    path: str
    is_config: bool
    profile: int = 0


@dataclass(frozen=True, slots=True)
class Found:
    """An entry in one state.

    Attributes:
        entry: what is started; None if nothing can be.
        problem: why not.
    """

    entry: EspEntry | None
    problem: str = ""


def find_entries(transition: Transition) -> tuple[PlanEntry, ...]:
    """All entries there are before or after, text files first.

    Raises:
        InputError: a file cannot be read.
    """
    volumes = (transition.state(0), transition.state(transition.end))
    found = [
        PlanEntry(_stem(path), path, is_config=True)
        for path in _paths(volumes, ENTRIES)
        if bls.is_entry_name(path.rpartition("/")[2])
        and any(_image_name(_settings(each)) for each in transition.versions(path))
    ]
    for path in _paths(volumes, IMAGES):
        if path.lower().endswith(".efi"):
            count = max(map(profile_count, transition.versions(path)))
            found += [
                PlanEntry(_stem(path), path, is_config=False, profile=number)
                for number in range(count)
            ]
    return tuple(found)


def _paths(volumes: Iterable[StateVolume], folder: str) -> list[str]:
    found = {}
    for volume in volumes:
        for each in volume.entries(folder):
            if not each.is_folder:
                path = f"{folder}/{each.name}"
                found[folded(path)] = path
    return sorted(found.values())


def _stem(path: str) -> str:
    return bls.split_counter(path.rpartition("/")[2]).name.rpartition(".")[0]


def profile_count(file: PartitionFile) -> int:
    """How many profiles a UKI has, at least one; 0 for what is no UKI."""
    try:
        image = pe.parse(file.blob)
    except InputError:
        return 0
    if uki.kind_of(image) != "uki":
        return 0
    with in_file(file.label):
        return len(uki.profiles(image.sections))


def _settings(file: PartitionFile) -> bls.Entry:
    with in_file(file.label):
        return bls.parse(file.blob.read_at(0, min(file.blob.size, bls.MAX_SIZE + 1)))


def _image_name(settings: bls.Entry) -> str:
    """The path of what an entry starts; empty if it starts no EFI program from the partition."""
    if settings.kind not in ("uki", "efi"):
        return ""
    return bls.efi_path(settings.uki or settings.efi)


def resolve(entry: PlanEntry, volume: StateVolume) -> Found:
    """What an entry starts in one state."""
    file = volume.file(entry.path)
    if file is None:
        return Found(
            None, "the entry is not there" if entry.is_config else "its image is not there"
        )
    if not entry.is_config:
        if entry.profile >= profile_count(file):
            return Found(None, "the image has no such profile")
        chosen = bls.Entry(profile=entry.profile)
        return Found(EspEntry(entry.name, file.path, settings=chosen))
    settings = _settings(file)
    image = volume.file(_image_name(settings)) if _image_name(settings) else None
    problem = _image_problem(settings, image)
    if image is None or problem:
        return Found(None, problem)
    return Found(EspEntry(entry.name, image.path, file.path, settings))


def _image_problem(settings: bls.Entry, image: PartitionFile | None) -> str:
    """Why the image that a text file names cannot be started; empty if it can."""
    if image is None:
        return "its image is not there"
    if not profile_count(image):
        return "it does not start a UKI"
    return "" if is_shown(settings, image.blob) else "it is for another architecture"


# --- What matters to it --------------------------------------------------------------------------


class Places:
    """The changes of a partition by place, to find the few that can matter to an entry."""

    def __init__(self, transition: Transition) -> None:
        self._numbers: dict[str, set[int]] = {}
        for number, change in enumerate(transition.changes):
            place = folded(change.path)
            folder = place.rpartition("/")[0]
            for each in (place, folder + "/", _uncounted(folder) + "/"):
                self._numbers.setdefault(each, set()).add(number)

    def at(self, files: Iterable[str], folders: Iterable[str]) -> list[int]:
        """Numbers of the changes of these files, and in these folders with or without counter."""
        wanted = (*files, *(f"{folder}/" for folder in folders))
        return sorted({number for each in wanted for number in self._numbers.get(each, ())})


class Dependencies:
    """Which files may matter to an entry, in any state.

    Args:
        entry: the entry.
        transition: the partition.
        own_loader: whether systemd-boot of the partition runs before it.
    """

    def __init__(self, entry: PlanEntry, transition: Transition, *, own_loader: bool) -> None:
        self._own_loader = own_loader
        self._config = folded(entry.path) if entry.is_config else ""
        self._extras: set[str] = set()
        images = {entry.path}
        if entry.is_config:
            settings = [_settings(each) for each in transition.versions(entry.path)]
            images = {name for each in settings if (name := _image_name(each))}
            self._extras = {folded(path) for each in settings for path in each.extras}
        self._images = set(map(folded, images))
        self._folders = {folded(bls.extra_folder(image)) for image in images}

    def candidates(self, places: Places) -> list[int]:
        """Numbers of the changes of which `matters` or `is_signature` may be true."""
        files = (*self._images, self._config, *self._extras)
        return places.at(files, (*self._folders, *map(folded, (*_GLOBAL, *_LOADER_FOLDERS))))

    def matters(self, path: str, pcrs: Iterable[int]) -> bool:
        """Whether a file decides what these PCRs will be, or whether the entry is there."""
        place = folded(path)
        if place in self._images or place == self._config:
            return True
        folder, _, name = path.rpartition("/")
        suffixes = self._suffixes(place, folded(folder))
        if not suffixes or problem(Entry(name)):
            return False
        matching = (numbers for end, numbers in suffixes if name.lower().endswith(end))
        return not next(matching, frozenset()).isdisjoint(pcrs)

    def _suffixes(self, place: str, folder: str) -> Iterable[tuple[str, frozenset[int]]]:
        if place in self._extras or _uncounted(folder) in self._folders:
            return _SUFFIXES
        if self._own_loader and folder in map(folded, _LOADER_FOLDERS):
            return ((".efi", LOADER_PCRS),)
        wanted = next((ends for name, ends in _GLOBAL.items() if folded(name) == folder), ())
        return [each for each in _SUFFIXES if each[0] in wanted]

    def is_signature(self, path: str) -> bool:
        """Whether a file may bring signatures for the entry."""
        folder, _, name = path.rpartition("/")
        place = folded(folder)
        there = place in self._folders or place == folded(SIGNATURE_FOLDER)
        return there and is_signature_name(name)


def is_signature_name(name: str) -> bool:
    """Whether the initrd takes a file of this name for signatures (`sysgraft.seal.early`)."""
    return name.endswith(SIGNATURES) and not name.startswith(".")


def _uncounted(folder: str) -> str:
    """A folder beside an image without the boot counter, which only stubs before 255 leave in."""
    ending = folded(_FOLDER)
    return folded(bls.extra_folder(folder.removesuffix(ending))) if folder.endswith(ending) else ""
