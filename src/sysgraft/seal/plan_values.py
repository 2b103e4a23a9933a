"""What every state of a changing partition would do to the TPM: all combinations of each entry.

The combinations of one entry are all subsets of the changes that matter to it. Everything is hashed
once, whatever it is part of: images by the section, archives by what they have in common
(`sysgraft.seal.hashing`).
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from itertools import compress
from typing import TYPE_CHECKING, Final

from sysgraft.errors import InputError, LimitError, UnsupportedError, UsageError
from sysgraft.measure import boot as measure_boot
from sysgraft.measure.boot import PCRS
from sysgraft.seal.assembly import Assembly, Settings
from sysgraft.seal.esp_material import from_esp
from sysgraft.seal.hashing import Hashing
from sysgraft.seal.material import source
from sysgraft.seal.plan_entries import (
    LOADER_PCRS,
    Dependencies,
    Places,
    PlanEntry,
    find_entries,
    resolve,
)
from sysgraft.seal.plan_start import Start, is_image_known
from sysgraft.seal.transition import Transition
from sysgraft.seal.volume import open_volume

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterable, Iterator, Sequence

    from sysgraft.base.progress import Progress
    from sysgraft.seal.assembly import Images
    from sysgraft.seal.file_set import FileSet
    from sysgraft.seal.material import Material, Source

MAX_COMBINATIONS: Final = 4096
"""Of one entry: twelve files that change."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanRequest:
    """What is planned.

    Attributes:
        before: a folder or image of the EFI system partition as it is.
        after: as it will be.
        entries: names or paths of the boot entries that count; none for all.
        profile: of UKIs that are entries by themselves only this profile; None for each of them.
        loaders: programs that run before the image, instead of the partition's systemd-boot.
        pcrs: which PCRs are enrolled, of 4, 11, 12 and 13.
        banks: of which values.
        settings: what files do not say.
    """

    before: str
    after: str
    entries: tuple[str, ...] = ()
    profile: int | None = None
    loaders: tuple[str, ...] = ()
    pcrs: tuple[int, ...] = (11, 13)
    banks: tuple[str, ...] = ("sha256",)
    settings: Settings = field(default_factory=Settings)


@dataclass(frozen=True, slots=True)
class Combinations:
    """An entry with all its combinations.

    Attributes:
        entry: the entry.
        changes: numbers of the changes that matter to it.
        signature_changes: numbers of those that bring or take signatures.
        starts: by state, of which only the bits of `changes` count.
    """

    entry: PlanEntry
    changes: tuple[int, ...]
    signature_changes: tuple[int, ...]
    starts: dict[int, Start]

    @property
    def mask(self) -> int:
        """The bits of `changes`."""
        return sum(1 << number for number in self.changes)


@dataclass(frozen=True, slots=True)
class Planned:
    """All combinations of all entries.

    Attributes:
        request: what was asked.
        transition: the partition.
        entries: those that start in at least one state.
        notes: what a person should know.
    """

    request: PlanRequest
    transition: Transition
    entries: tuple[Combinations, ...]
    notes: tuple[str, ...]


def measure(request: PlanRequest, progress: Progress | None = None) -> Planned:
    """Predict what each combination does.

    Raises:
        InputError: a partition or a file of it cannot be used.
        LimitError: an entry has more than `MAX_COMBINATIONS`.
        UsageError: PCRs that do not follow from files; an entry that is not there.
    """
    for pcr in request.pcrs:
        if pcr not in PCRS:
            shown = ", ".join(map(str, PCRS))
            raise UsageError(
                f"PCR {pcr} does not follow from these files", hint=f"what does: {shown}"
            )
    transition = Transition(open_volume(request.before), open_volume(request.after))
    return _Planner(request, transition, progress).run()


def subsets(numbers: Sequence[int]) -> Iterator[int]:
    """All subsets as bits, by how many changes are made, none first."""
    bits = [1 << number for number in numbers]
    chosen = (compress(bits, _digits(each, len(bits))) for each in range(1 << len(bits)))
    yield from sorted(map(sum, chosen), key=lambda state: (state.bit_count(), state))


def _digits(number: int, count: int) -> Iterator[int]:
    return (number >> place & 1 for place in range(count))


class _Planner:
    def __init__(
        self, request: PlanRequest, transition: Transition, progress: Progress | None
    ) -> None:
        self._request = request
        self._transition = transition
        self._places = Places(transition)
        self._hashing = Hashing(request.banks, progress)
        self._images: Images = {}
        self._assemblies: dict[Hashable, Assembly] = {}
        self._loaders = tuple(source(each) for each in request.loaders)
        self._notes: list[str] = []

    def run(self) -> Planned:
        prepared = [(each, self._prepare(each)) for each in self._entries()]
        self._hashing.run()
        found = [
            replace(each, starts={state: _finish(*parts) for state, parts in starts.items()})
            for each, starts in prepared
        ]
        for assembly in self._assemblies.values():
            self._notes += assembly.notes
        notes = tuple(dict.fromkeys(self._notes))
        return Planned(self._request, self._transition, tuple(self._startable(found)), notes)

    def _entries(self) -> Iterator[Combinations]:
        profile = self._request.profile
        names = set(self._request.entries)
        known = find_entries(self._transition)
        for name in names - {text for each in known for text in (each.name, each.path)}:
            shown = ", ".join(sorted({each.name for each in known})) or "none"
            raise InputError(f"there is no boot entry called {name}", hint=f"there are: {shown}")
        for each in known:
            if names and not names & {each.name, each.path}:
                continue
            if profile is None or each.is_config or each.profile == profile:
                yield self._changes_of(each)

    def _changes_of(self, entry: PlanEntry) -> Combinations:
        needs = Dependencies(entry, self._transition, own_loader=not self._loaders)
        mattering, signing = [], []
        for number in needs.candidates(self._places):
            change = self._transition.changes[number]
            if needs.is_signature(change.path):
                signing.append(number)
            elif needs.matters(change.path, self._request.pcrs):
                mattering.append(number)
        if 1 << len(mattering) > MAX_COMBINATIONS:
            raise LimitError(
                f"{len(mattering)} files of the entry {entry.name} change, which are "
                f"{1 << len(mattering)} combinations; the limit is {MAX_COMBINATIONS}",
                hint="upgrade in several steps, or leave entries out with --entry",
            )
        return Combinations(entry, tuple(mattering), tuple(signing), {})

    def _prepare(self, entry: Combinations) -> dict[int, _Parts]:
        return {state: self._part(entry.entry, state) for state in subsets(entry.changes)}

    def _part(self, entry: PlanEntry, state: int) -> _Parts:
        volume = self._transition.state(state)
        found = resolve(entry, volume)
        if found.entry is None:
            return Start(problem=found.problem), None, None
        try:
            material = from_esp(
                volume,
                "",
                loaders=self._request.loaders,
                version=self._request.settings.version,
                known=found.entry,
            )
        except UnsupportedError as error:
            return Start(problem=error.message), None, None
        if self._loaders:
            material = replace(material, loaders=self._loaders)
        if LOADER_PCRS.isdisjoint(self._request.pcrs):
            material = replace(material, notes=())  # they are about the boot loader
        assembly = self._assembly(material)
        where = f".pcrsig of {volume.label(found.entry.image)}"
        if assembly.profile:
            where += f", profile {assembly.profile}"
        start = Start(
            image=found.entry.image,
            is_image_known=is_image_known(
                entry,
                found.entry.image,
                version=assembly.version,
                has_loader=bool(material.loaders),
            ),
            signatures=(where, b""),
        )
        return start, assembly, assembly.add_set(material.own)

    def _assembly(self, material: Material) -> Assembly:
        key = _common(material)
        if key not in self._assemblies:
            self._assemblies[key] = Assembly(
                material,
                self._request.settings,
                self._hashing,
                with_digests=False,
                images=self._images,
            )
        return self._assemblies[key]

    def _startable(self, found: list[Combinations]) -> Iterator[Combinations]:
        for each in found:
            if any(start.image for start in each.starts.values()):
                yield each
            else:
                self._notes.append(f"the entry {each.entry.name} starts no UKI")


_Parts = tuple[Start, "Assembly | None", "FileSet | None"]


def _finish(start: Start, assembly: Assembly | None, own: FileSet | None) -> Start:
    """A combination once everything is hashed."""
    if assembly is None or own is None or assembly.uki is None:
        return start
    boot = assembly.boot(own)
    return replace(
        start,
        version=assembly.version,
        systemd=assembly.systemd,
        signatures=(start.signatures[0], assembly.uki.signatures),
        public_key=assembly.uki.public_key,
        boot=boot,
        events=measure_boot.before_userspace(boot, assembly.banks),
    )


def _common(material: Material) -> Hashable:
    """Two boots with the same of this have everything in common but the files beside the image."""
    folders = (tuple(_labels(folder.files.values())) for folder in material.loader.values())
    image = material.image.label if material.image else ""
    return (
        image,
        *folders,
        tuple(_labels(material.loaders)),
        tuple(_labels(material.extras)),
        material.options,
        material.profile,
        material.is_own_entry,
    )


def _labels(files: Iterable[Source]) -> Iterator[tuple[str, str]]:
    return ((each.name, each.label) for each in files)
