"""From a firmware plan to what is shipped: a signed extension, and what is needed earlier.

    plan = parse_plan(Path("plan.json").read_bytes())
    build_firmware("firmware", plan, ["/srv/firmware"], output="out", signing=pair)

All files become an extension with their terms and a bill of materials. The early ones go into an
initrd part too, where that is asked for: what is in the initrd is gone later, when a device is
reset or wakes up. Early microcode is for the processor's start alone, and goes into an archive of
its own. The same plan and firmware give the same bytes.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import IO, TYPE_CHECKING, NamedTuple

from sysgraft.base import arch
from sysgraft.base.progress import NoProgress
from sysgraft.build.collect import Collected
from sysgraft.build.extension import BuildOptions, BuildReport, ImageJob, prepare
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
from sysgraft.build.sources.spec import refuse_output_among_sources
from sysgraft.errors import InputError, UsageError
from sysgraft.formats import spdx
from sysgraft.host.output import atomic_outputs

if TYPE_CHECKING:
    import os
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
        UsageError: nothing says which files, or a result would lie in a tree.
        InputError: a tree cannot be read or lacks a file, or the set is empty.
        OutputError: a result exists or cannot be written; then there are no others either.
    """
    options = options or FirmwareOptions()
    if plan is None and not options.keep:
        raise UsageError("nothing says which firmware: give a plan, or patterns to keep")
    progress = progress or NoProgress()
    epoch = options.extension.sources.source_date_epoch
    if epoch is not None and epoch > spdx.MAX_TIME:
        raise UsageError(f"a source date epoch of {epoch} is beyond the year 9999")
    image = prepare(
        name, output=output, signing=signing, options=options.extension, progress=progress
    )
    with open_trees(trees, epoch=epoch, progress=progress) as (opened, workspace):
        return _Job(plan, opened, workspace, options, image).run()


def _early_paths(options: FirmwareOptions) -> tuple[str | None, str | None]:
    return options.early_initrd, options.early_microcode


class _Parts(NamedTuple):
    """What becomes of a set; each is None where there is nothing for it, or nobody wants it.

    Attributes:
        initrd: path of the initrd part.
        microcode: path of the archive of microcode.
        image: the build of the extension.
    """

    initrd: str | None
    microcode: str | None
    image: ImageJob | None

    @property
    def paths(self) -> list[str]:
        """Of all files, the images first."""
        images = self.image.paths if self.image else ()
        return [*images, *filter(None, (self.initrd, self.microcode))]


@dataclass(frozen=True, slots=True)
class _Job:
    """One build whose inputs are open."""

    plan: Plan | None
    trees: Sequence[FirmwareTree]
    workspace: Workspace
    options: FirmwareOptions
    image: ImageJob

    @property
    def name(self) -> str:
        return self.image.name

    @property
    def epoch(self) -> int:
        return self.options.extension.sources.source_date_epoch or 0

    def run(self) -> FirmwareReport:
        options = self.options
        chosen = choose(
            self.plan, self.trees, keep=options.keep, drop=options.drop, note=self.workspace.note
        )
        if not any(each.inode.is_file for each in chosen.values()):
            raise InputError("the set is empty: no file is planned or kept")
        parts = self._parts(chosen)
        for path in parts.paths:
            specs = [tree.spec for tree in self.trees]
            refuse_output_among_sources(path, specs, hint="name a place elsewhere")
        # All of them appear, or none does.
        with atomic_outputs(
            parts.paths, replace=options.extension.replace, make_folders=True
        ) as files:
            raw = raw_names(self.trees)
            packed = pack(chosen, self.workspace, packing=options.packing, raw=raw)
            return self._write(parts, packed, dict(zip(parts.paths, files, strict=True)))

    def _parts(self, chosen: Mapping[str, Chosen]) -> _Parts:
        """Which parts there will be; a note tells of early files that go into none."""
        files = {path: each for path, each in chosen.items() if each.inode.is_file}
        early = [path for path, each in files.items() if each.is_early]
        microcode = [path for path in early if is_microcode(path)]
        if len(microcode) == len(files):
            self.workspace.note("there is nothing but early microcode, and so no extension")
        initrd_path, microcode_path = _early_paths(self.options)
        return _Parts(
            self._wanted(len(early) - len(microcode), initrd_path, "--early-initrd"),
            self._wanted(len(microcode), microcode_path, "--early-microcode"),
            self.image if len(microcode) < len(files) else None,
        )

    def _wanted(self, files: int, path: str | None, option: str) -> str | None:
        if files and path is None:
            self.workspace.note(f"{files} early files are in no file: {option} FILE writes them")
        return path if files else None

    def _write(
        self, parts: _Parts, packed: Sequence[Packed], files: Mapping[str, IO[bytes]]
    ) -> FirmwareReport:
        early = {each.path for each in packed if each.chosen.is_early and each.chosen.inode.is_file}
        of_cpu = sum(map(is_microcode, early))
        initrd = microcode = None
        if parts.initrd is not None:
            archive = initrd_archive(packed, epoch=self.epoch)
            initrd = _written(archive, parts.initrd, files, len(early) - of_cpu)
        if parts.microcode is not None:
            archive = microcode_archive(packed, epoch=self.epoch)
            microcode = _written(archive, parts.microcode, files, of_cpu)
        shipped = [each for each in packed if not _is_early_microcode(each)]
        of_image = [each for each in shipped if each.chosen.inode.is_file]
        return FirmwareReport(
            extension=self._extension(parts.image, packed, files),
            early_initrd=initrd,
            early_microcode=microcode,
            files=len(of_image),
            size=sum(each.plain_size for each in of_image),
            notes=tuple(self.workspace.notes),
        )

    def _extension(
        self, image: ImageJob | None, packed: Sequence[Packed], files: Mapping[str, IO[bytes]]
    ) -> BuildReport | None:
        if image is None:
            return None
        collected = Collected(
            tree=self._tree(packed),
            architecture=self._architecture(),
            sources=tuple(f"firmware of {tree.name}" for tree in self.trees),
            left_out=(),
            notes=(),
        )
        return image.run([files[path] for path in image.paths], collected)

    def _tree(self, packed: Sequence[Packed]) -> dict[bytes, Inode]:
        shipped = [each for each in packed if not _is_early_microcode(each)]
        named: dict[str, Inode] = {f"{FIRMWARE}/{each.path}": each.chosen.inode for each in shipped}
        papers = licence_files(
            self.name, packed, plan=self.plan, trees=self.trees, workspace=self.workspace
        )
        named.update(papers)
        named.update(bill_of_materials(self.name, shipped, epoch=self.epoch))
        tree = {path.encode("utf-8", "surrogateescape"): inode for path, inode in named.items()}
        return dict(sorted(with_folders(tree, self.epoch).items()))

    def _architecture(self) -> str | None:
        stated = self.plan.architecture if self.plan else ""
        return arch.normalize(stated) if stated else None


def _is_early_microcode(packed: Packed) -> bool:
    return packed.chosen.is_early and is_microcode(packed.path)


def _written(archive: Archive, path: str, files: Mapping[str, IO[bytes]], count: int) -> EarlyPart:
    for chunk in archive.chunks():
        files[path].write(chunk)
    return EarlyPart(path, count, archive.size)
