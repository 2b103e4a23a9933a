"""From a firmware plan to what is shipped: a signed extension, and what is needed earlier.

    plan = parse_plan(Path("plan.json").read_bytes())
    build_firmware("firmware", plan, ["/srv/firmware"], output="out", signing=pair)

All files become an extension with their terms and a bill of materials. The early ones go into an
initrd part too, where that is asked for: what is in the initrd is gone later, when a device is
reset or wakes up. Early microcode is for the processor's start alone, and goes into an archive of
its own. The same plan and firmware give the same bytes.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import IO, TYPE_CHECKING

from sysgraft.base import arch
from sysgraft.base.progress import NoProgress
from sysgraft.build.collect import Collected
from sysgraft.build.extension import BuildOptions, BuildReport, build_collected
from sysgraft.build.firmware_set.choosing import choose
from sysgraft.build.firmware_set.early import (
    initrd_archive,
    is_microcode,
    microcode_archive,
    with_folders,
)
from sysgraft.build.firmware_set.packing import pack
from sysgraft.build.firmware_set.papers import bill_of_materials, licence_files, raw_names
from sysgraft.build.firmware_set.trees import FIRMWARE, open_trees
from sysgraft.errors import InputError, UsageError
from sysgraft.host.output import atomic_output

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sysgraft.base.progress import Progress
    from sysgraft.base.tree import Inode
    from sysgraft.build.firmware_set.choosing import Chosen
    from sysgraft.build.firmware_set.packing import Packed, Packing
    from sysgraft.build.firmware_set.trees import FirmwareTree
    from sysgraft.build.sources.model import Workspace
    from sysgraft.firmware.plan_document import Plan
    from sysgraft.formats.cpio import Archive
    from sysgraft.sign.pair import SigningPair


@dataclass(frozen=True, slots=True)
class FirmwareOptions:
    """How to build.

    Attributes:
        packing: how each file is stored.
        keep: patterns of files beside the plan's, see `sysgraft.build.firmware_set.choosing`.
        drop: patterns of files that are left out.
        early_initrd: where the initrd part with the early files goes; None makes none.
        early_microcode: where the archive of early microcode goes; None makes none.
        extension: how the extension is built.
    """

    packing: Packing = "keep"
    keep: tuple[str, ...] = ()
    drop: tuple[str, ...] = ()
    early_initrd: str | None = None
    early_microcode: str | None = None
    extension: BuildOptions = field(default_factory=BuildOptions)


@dataclass(frozen=True, slots=True)
class EarlyPart:
    """An archive that was written.

    Attributes:
        path: of the file.
        files: how many files are in it.
        size: bytes of the archive.
    """

    path: str
    files: int
    size: int


@dataclass(frozen=True, slots=True)
class FirmwareReport:
    """What was built.

    Attributes:
        extension: with all files but early microcode; None if there are no others.
        early_initrd: with the early files; None where it was not asked for, or there are none.
        early_microcode: likewise of microcode.
        files: how many firmware files the extension holds.
        size: bytes of them as drivers get them.
        notes: what a person should know.
    """

    extension: BuildReport | None
    early_initrd: EarlyPart | None
    early_microcode: EarlyPart | None
    files: int
    size: int
    notes: tuple[str, ...]


def build_firmware(
    name: str,
    plan: Plan | None,
    trees: Sequence[str],
    *,
    output: str | os.PathLike[str] = ".",
    signing: SigningPair | None = None,
    options: FirmwareOptions | None = None,
    progress: Progress | None = None,
) -> FirmwareReport:
    """Build a set of firmware.

    Args:
        name: of the extension.
        plan: names the files; None if the options' patterns alone do.
        trees: where the files are, in the order the plan's index was made from: folders,
            packages, images.
        output: folder for the extension.
        signing: who signs; None builds it without a signature.
        options: see `FirmwareOptions`.
        progress: told how far it is.

    Raises:
        UsageError: nothing says which files.
        InputError: a tree cannot be read or lacks a file, or the set is empty.
        OutputError: a result exists or cannot be written.
    """
    options = options or FirmwareOptions()
    if plan is None and not options.keep:
        raise UsageError("nothing says which firmware: give a plan, or patterns to keep")
    progress = progress or NoProgress()
    epoch = options.extension.sources.source_date_epoch
    with open_trees(trees, epoch=epoch, progress=progress) as (opened, workspace):
        job = _Job(name, plan, opened, workspace, options, progress)
        return job.run(os.fspath(output), signing)


@dataclass(frozen=True, slots=True)
class _Job:
    """One build whose inputs are open."""

    name: str
    plan: Plan | None
    trees: Sequence[FirmwareTree]
    workspace: Workspace
    options: FirmwareOptions
    progress: Progress

    @property
    def epoch(self) -> int:
        return self.options.extension.sources.source_date_epoch or 0

    def run(self, output: str, signing: SigningPair | None) -> FirmwareReport:
        options = self.options
        chosen = choose(self.plan, self.trees, keep=options.keep, drop=options.drop)
        if not any(each.inode.is_file for each in chosen.values()):
            raise InputError("the set is empty: no file is planned or kept")
        raw = raw_names(self.trees)
        packed = pack(chosen, self.workspace, packing=options.packing, raw=raw)
        shipped = [each for each in packed if not _is_early_microcode(each)]
        initrd, microcode = self._early(chosen, packed)
        extension = self._extension(shipped, output, signing)
        files = [each for each in shipped if each.chosen.inode.is_file]
        return FirmwareReport(
            extension=extension,
            early_initrd=initrd,
            early_microcode=microcode,
            files=len(files),
            size=sum(each.plain_size for each in files),
            notes=tuple(self.workspace.notes),
        )

    def _early(
        self, chosen: Mapping[str, Chosen], packed: Sequence[Packed]
    ) -> tuple[EarlyPart | None, EarlyPart | None]:
        early = [each for each in packed if each.chosen.is_early and each.chosen.inode.is_file]
        of_cpu = sum(is_microcode(each.path) for each in early)
        initrd = self._part(
            initrd_archive(packed, epoch=self.epoch),
            self.options.early_initrd,
            len(early) - of_cpu,
            "--early-initrd",
        )
        microcode = self._part(
            microcode_archive(chosen, epoch=self.epoch),
            self.options.early_microcode,
            of_cpu,
            "--early-microcode",
        )
        return initrd, microcode

    def _part(
        self, archive: Archive | None, path: str | None, files: int, option: str
    ) -> EarlyPart | None:
        if archive is None:
            return None
        if path is None:
            self.workspace.note(f"{files} early files are in no file: {option} FILE writes them")
            return None
        with atomic_output(path, replace=self.options.extension.replace) as file:
            _write(archive, file)
        return EarlyPart(path, files, archive.size)

    def _extension(
        self, shipped: Sequence[Packed], output: str, signing: SigningPair | None
    ) -> BuildReport | None:
        if not any(each.chosen.inode.is_file for each in shipped):
            self.workspace.note("there is nothing but early microcode, and so no extension")
            return None
        collected = Collected(
            tree=self._tree(shipped),
            architecture=self._architecture(),
            sources=tuple(f"firmware of {tree.name}" for tree in self.trees),
            left_out=(),
            notes=(),
        )
        return build_collected(
            self.name,
            collected,
            output=output,
            signing=signing,
            options=self.options.extension,
            progress=self.progress,
        )

    def _tree(self, shipped: Sequence[Packed]) -> dict[bytes, Inode]:
        named: dict[str, Inode] = {f"{FIRMWARE}/{each.path}": each.chosen.inode for each in shipped}
        named.update(licence_files(self.name, self.plan, self.trees, self.workspace))
        named.update(bill_of_materials(self.name, shipped, epoch=self.epoch))
        tree = {path.encode("utf-8", "surrogateescape"): inode for path, inode in named.items()}
        return dict(sorted(with_folders(tree, self.epoch).items()))

    def _architecture(self) -> str | None:
        stated = self.plan.architecture if self.plan else ""
        return arch.normalize(stated) if stated else None


def _is_early_microcode(packed: Packed) -> bool:
    return packed.chosen.is_early and is_microcode(packed.path)


def _write(archive: Archive, file: IO[bytes]) -> None:
    for chunk in archive.chunks():
        file.write(chunk)
