"""Predicts PCRs: one image, any number of sets of files beside it, phases and banks.

The values are what a TPM will hold at the end of a phase path if exactly these files are booted.
PCR 4, 11, 12 and 13 follow from files; what else decides them (`Settings`, boot loader, the release
of systemd in the initrd) is told with the result.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import combinations
from typing import TYPE_CHECKING, Final

from sysgraft.errors import LimitError, UsageError
from sysgraft.measure import boot as measure_boot
from sysgraft.measure import pcr11
from sysgraft.measure.boot import PCRS
from sysgraft.measure.pcr import check_bank
from sysgraft.seal.assembly import Assembly, Settings
from sysgraft.seal.hashing import Hashing
from sysgraft.seal.material import Folder, folder_of, from_files

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from sysgraft.base.progress import Progress
    from sysgraft.measure.boot import Boot
    from sysgraft.measure.events import Event
    from sysgraft.measure.sidecars import Skipped
    from sysgraft.seal.file_set import FileSet, UsedFile
    from sysgraft.seal.firmware_keys import FirmwareKeys
    from sysgraft.seal.image import UkiImage
    from sysgraft.seal.material import Material

MAX_SETS: Final = 1 << 14
"""Sets of one prediction: all subsets of 14 files."""
DEFAULT_BANKS: Final = ("sha256",)
SECURE_BOOT_PCR: Final = 7
KERNEL_PCR: Final = 9
FURTHER: Final = (SECURE_BOOT_PCR, KERNEL_PCR)
"""PCRs that more is needed for than files: the firmware's keys, a stub whose initrd is known."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BootRequest:
    """Which boot is meant: single files, or an entry of an EFI system partition.

    Attributes:
        uki: the image.
        extras: files beside it, or folders of such files.
        global_folder: the partition's folder ``loader``.
        loaders: programs that run before it, the first one first.
        esp: a folder or image of the partition, instead of all these.
        entry: the boot entry on it.
        sets: names of sets, and what belongs to each beside `extras`; none for one set.
        all_subsets: whether every subset of `extras` is a set.
        efivars: the firmware's keys: a folder of EFI variables or of keys, or a variable store.
        settings: what files do not say.
    """

    uki: str = ""
    extras: tuple[str, ...] = ()
    global_folder: str = ""
    loaders: tuple[str, ...] = ()
    esp: str = ""
    entry: str = ""
    sets: tuple[tuple[str, tuple[str, ...]], ...] = ()
    all_subsets: bool = False
    efivars: str = ""
    settings: Settings = field(default_factory=Settings)


@dataclass(frozen=True, slots=True)
class Predicted:
    """One set of files, and what booting with it does.

    Attributes:
        name: of the set; empty if there is one only.
        boot: what is measured.
        events: until the kernel runs, in order.
        files: the set's own files.
        skipped: files of the set that the stub passes over.
        pcrs: which PCRs were asked for.
    """

    name: str
    boot: Boot
    events: tuple[Event, ...]
    files: tuple[UsedFile, ...]
    skipped: tuple[Skipped, ...]
    pcrs: tuple[int, ...]

    def values(self, path: str, bank: str) -> dict[int, bytes]:
        """The PCRs at the end of a phase path, by number."""
        return measure_boot.values(self.events, self.boot, path, bank, pcrs=self.pcrs)


@dataclass(frozen=True, slots=True)
class Prediction:
    """What was predicted.

    Attributes:
        version: release of the stub.
        systemd: release of the systemd in the initrd.
        secure_boot: whether signatures are taken to be enforced.
        profile: the profile that is chosen.
        pcrs: which PCRs were asked for.
        banks: likewise.
        phases: phase paths, empty for the moment the kernel takes over.
        uki: the image; None where only its sidecars are known.
        files: what all sets have in common.
        skipped: files for all images that the stub passes over.
        sets: in the order they were asked for.
        notes: what a person should know.
    """

    version: int
    systemd: int
    secure_boot: bool
    profile: int
    pcrs: tuple[int, ...]
    banks: tuple[str, ...]
    phases: tuple[str, ...]
    uki: UkiImage | None
    files: tuple[UsedFile, ...]
    skipped: tuple[Skipped, ...]
    sets: tuple[Predicted, ...]
    notes: tuple[str, ...]


def predict(
    request: BootRequest,
    *,
    pcrs: Sequence[int] = (),
    banks: Sequence[str] = DEFAULT_BANKS,
    phases: Sequence[str] = (),
    progress: Progress | None = None,
) -> Prediction:
    """Predict PCRs.

    Args:
        request: which boot.
        pcrs: which of 4, 7, 9, 11, 12, 13; none for those that follow from files alone.
        banks: names of banks.
        phases: phase paths; none for those that systemd-measure takes.
        progress: told of the bytes hashed.

    Raises:
        InputError: a file is missing, or not what it has to be.
        LimitError: a set is more than the stub can load.
        UsageError: the request contradicts itself, or asks for what cannot be known.
    """
    hashing = Hashing(tuple(dict.fromkeys(map(check_bank, banks))), progress)
    material = locate(request)
    known = PCRS if material.image else PCRS[2:]
    wanted = tuple(dict.fromkeys(pcrs)) or known
    _check_pcrs(wanted, (*known, *(FURTHER if material.image else ())))
    assembly = Assembly(
        material,
        request.settings,
        hashing,
        keys=_read_keys(request.efivars),
        with_initrd=KERNEL_PCR in wanted,
    )
    paths = tuple(map(pcr11.check_path, phases)) or pcr11.DEFAULT_PATHS
    sets = [(name, assembly.add_set(folder)) for name, folder in _sets(request, material)]
    hashing.run()
    return Prediction(
        version=assembly.version,
        systemd=assembly.systemd,
        secure_boot=assembly.secure_boot,
        profile=assembly.profile,
        pcrs=wanted,
        banks=hashing.banks,
        phases=tuple(dict.fromkeys(paths)),
        uki=assembly.uki,
        files=tuple(assembly.files),
        skipped=assembly.skipped,
        sets=tuple(_predicted(name, own, assembly, wanted) for name, own in sets),
        notes=tuple(dict.fromkeys(assembly.notes)),
    )


def _predicted(name: str, own: FileSet, assembly: Assembly, pcrs: tuple[int, ...]) -> Predicted:
    boot = assembly.boot(own)
    events = list(measure_boot.before_userspace(boot, assembly.banks))
    if SECURE_BOOT_PCR in pcrs or KERNEL_PCR in pcrs:
        from sysgraft.seal import further_pcrs  # noqa: PLC0415  slow to import

        before = further_pcrs.secure_boot_events(assembly, own) if SECURE_BOOT_PCR in pcrs else ()
        after = further_pcrs.kernel_events(assembly, own) if KERNEL_PCR in pcrs else ()
        events = [*before, *events, *after]
    return Predicted(name, boot, tuple(events), tuple(own.files), own.skipped, pcrs)


def _read_keys(path: str) -> FirmwareKeys | None:
    if not path:
        return None
    from sysgraft.seal.firmware_keys import read_keys  # noqa: PLC0415  slow to import

    return read_keys(path)


def _check_pcrs(wanted: Sequence[int], known: Sequence[int]) -> None:
    for pcr in wanted:
        if pcr not in known:
            raise UsageError(
                f"PCR {pcr} does not follow from these files",
                hint=f"what does: {', '.join(map(str, sorted(known)))}",
            )


def locate(request: BootRequest) -> Material:
    """The files that a request names.

    Raises:
        InputError: they are not there.
        UsageError: the request contradicts itself.
    """
    if not request.esp:
        if request.entry:
            raise UsageError("--entry names a boot entry of --esp")
        return from_files(
            request.uki,
            request.extras,
            global_folder=request.global_folder,
            loaders=request.loaders,
        )
    if request.uki or request.global_folder:
        raise UsageError("--esp has all the files: --uki and --global exclude it")
    from sysgraft.seal.esp_material import from_esp  # noqa: PLC0415  only for a partition
    from sysgraft.seal.volume import open_volume  # noqa: PLC0415

    material = from_esp(
        open_volume(request.esp),
        request.entry,
        loaders=request.loaders,
        version=request.settings.version,
    )
    for each in folder_of(request.extras).files.values():
        material.own.add(each)
    return material


def _sets(request: BootRequest, material: Material) -> Iterator[tuple[str, Folder]]:
    """The sets with their names; a set has what lies beside the image anyway."""
    if request.all_subsets:
        yield from _subsets(material.own)
        return
    if not request.sets:
        yield "", material.own
        return
    if len(request.sets) > MAX_SETS:
        raise LimitError(f"{len(request.sets)} sets; the limit is {MAX_SETS}")
    for name, paths in request.sets:
        own = folder_of(paths)
        if paths and not own.files:
            raise UsageError(
                f"the set {name} has no files", hint=f"--set {name}= is the set without any"
            )
        yield name, _joined(material.own, own)


def _joined(common: Folder, own: Folder) -> Folder:
    found = Folder(dict(common.files), list(common.entries))
    for each in own.files.values():
        found.add(each)
    found.entries += [entry for entry in own.entries if entry.is_folder]
    return found


def _subsets(own: Folder) -> Iterator[tuple[str, Folder]]:
    names = sorted(own.files)
    if 1 << len(names) > MAX_SETS:
        raise LimitError(
            f"{len(names)} files have {1 << len(names)} subsets; the limit is {MAX_SETS}",
            hint="name the sets one by one with --set",
        )
    for count in range(len(names) + 1):
        for chosen in combinations(names, count):
            folder = Folder()
            for name in chosen:
                folder.add(own.files[name])
            yield "+".join(chosen) or "none", folder
