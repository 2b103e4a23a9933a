"""Make an extension image from its sources: the main job.

    pair = load_pair("db.key", "db.pem")
    report = build_extension("firmware", ["./tree"], output="out", signing=pair)

Collects the sources into one tree, adds the extension-release file, plans the file system and
writes the image; the file appears when it is whole. Nothing here prints.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field, replace
from typing import IO, TYPE_CHECKING, Final, NamedTuple

from sysgraft.base import arch, ids
from sysgraft.base.blob import FileBlob
from sysgraft.base.progress import NoProgress
from sysgraft.build import image
from sysgraft.build.collect import open_tree
from sysgraft.build.compressing import Packer
from sysgraft.build.release import add_release, brought_release, release_fields
from sysgraft.build.resign import copy_unsigned
from sysgraft.build.sources.model import Options as SourceOptions
from sysgraft.build.sources.spec import refuse_output_among_sources, resolve
from sysgraft.errors import OutputError, UsageError
from sysgraft.formats.erofs import writer
from sysgraft.formats.erofs.compressor import parse_codec
from sysgraft.formats.erofs.packing import Packing
from sysgraft.formats.extension_release import ExtensionRelease, Kind
from sysgraft.host.output import atomic_outputs, without_parents
from sysgraft.host.spool import Spool
from sysgraft.image import names

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from uuid import UUID

    from sysgraft.base.progress import Progress
    from sysgraft.base.tree import Tree
    from sysgraft.build.collect import Collected
    from sysgraft.build.geometry import Geometry
    from sysgraft.build.sources.model import LeftOut
    from sysgraft.formats.erofs.compressor import Codec
    from sysgraft.sign.pair import SigningPair

UNSIGNED_FOLDER: Final = "unsigned"
"""The folder beside a signed image for the same without its signature: the name of the file has to
stay, systemd holds it against what is in the image."""


@dataclass(frozen=True, slots=True)
class BuildOptions:
    """How to build.

    Attributes:
        sources: kind of extension, layers, whiteouts, owners, selection, times.
        release: fields of extension-release to set, over what the sources bring.
        service_reload: have systemd reload its units after the merge.
        compress: "none", "lz4", "lz4hc" or "zstd", with ``:LEVEL`` if not the default one.
        seed: what all identifiers derive from; None derives it from the name.
        replace: whether an existing image is replaced.
        also_unsigned: beside a signed image, write the same without its signature into the
            folder `UNSIGNED_FOLDER`, under the same name.
    """

    sources: SourceOptions = field(default_factory=SourceOptions)
    release: Mapping[str, str] = field(default_factory=dict)
    service_reload: bool = False
    compress: str = "none"
    seed: UUID | None = None
    replace: bool = False
    also_unsigned: bool = False


class UnsignedCopy(NamedTuple):
    """The second flavour of a build.

    Attributes:
        path: of the image.
        size: of it in bytes.
    """

    path: str
    size: int


@dataclass(frozen=True, slots=True)
class BuildReport:
    """What was built.

    Attributes:
        path: of the image.
        name: of the extension.
        kind: sysext or confext.
        architecture: systemd's name of it.
        release: the fields of extension-release.
        root_hash: of the data.
        geometry: sizes and places of the parts.
        seed: what the identifiers derive from.
        disk_uuid: the image's.
        content: counts and sizes of the files in it.
        codec: how the files are compressed, None if they are not to be.
        sources: what they were, a line each.
        left_out: what the sources hold and the image does not.
        notes: what a person should know.
        signed: whether it bears a signature.
        unsigned: the same without its signature, where that was asked for.
    """

    path: str
    name: str
    kind: Kind
    architecture: str
    release: Mapping[str, str]
    root_hash: bytes
    geometry: Geometry
    seed: UUID
    disk_uuid: UUID
    content: writer.Summary
    codec: Codec | None
    sources: tuple[str, ...]
    left_out: tuple[LeftOut, ...]
    notes: tuple[str, ...]
    signed: bool
    unsigned: UnsignedCopy | None = None


def build_extension(
    name: str,
    sources: Sequence[str],
    *,
    output: str | os.PathLike[str] = ".",
    signing: SigningPair | None = None,
    options: BuildOptions | None = None,
    progress: Progress | None = None,
) -> BuildReport:
    """Build ``NAME.sysext.raw`` or ``NAME.confext.raw``.

    Args:
        name: of the extension.
        sources: paths, names of container images, or arguments with a prefix (see
            `sysgraft.build.sources.spec`); later ones lie over earlier ones.
        output: the folder for the image; it is made if it is not there.
        signing: who signs; None builds an image with dm-verity and no signature.
        options: see `BuildOptions`.
        progress: told how far it is.

    Raises:
        UsageError: a name or an option that makes no sense.
        InputError: a source that cannot be used.
        OutputError: the image exists, or cannot be written.
    """
    options = options or BuildOptions()
    job = prepare(name, output=output, signing=signing, options=options, progress=progress)
    # Telling what a source is can mean decompressing it, so it is done once.
    specs = [resolve(source) for source in sources]
    hint = "name a folder elsewhere with --output"
    refuse_output_among_sources(os.fspath(output), specs, hint=hint)
    with (
        atomic_outputs(job.paths, replace=options.replace, make_folders=True) as files,
        open_tree(specs, options.sources, job.progress) as collected,
    ):
        return job.run(files, collected)


def prepare(
    name: str,
    *,
    output: str | os.PathLike[str] = ".",
    signing: SigningPair | None = None,
    options: BuildOptions | None = None,
    progress: Progress | None = None,
) -> ImageJob:
    """A build of a tree that is collected elsewhere, into outputs that are opened elsewhere.

    Raises:
        UsageError: a name or an option that makes no sense.
    """
    options = options or BuildOptions()
    codec = _checked(name, options, signing)
    paths = _paths(os.fspath(output), name, options)
    return ImageJob(name, paths, options, signing, codec, progress or NoProgress())


def _checked(name: str, options: BuildOptions, signing: SigningPair | None) -> Codec | None:
    """The codec that is meant; raises `UsageError` for what makes no sense."""
    names.validate_name(name)
    if options.also_unsigned and signing is None:
        raise UsageError("without a key there is only the unsigned image")
    return parse_codec(options.compress)


def _paths(folder: str, name: str, options: BuildOptions) -> list[str]:
    """Of the image, and of the unsigned one."""
    file_name = names.file_name(name, Kind(options.sources.kind))
    paths = [without_parents(os.path.join(folder, file_name))]
    if options.also_unsigned:
        paths.append(without_parents(os.path.join(folder, UNSIGNED_FOLDER, file_name)))
    return paths


@dataclass(frozen=True, slots=True)
class ImageJob:
    """One build whose options are settled.

    Attributes:
        name: of the extension.
        paths: of the image, and of the one without a signature if that is wanted.
        options: see `BuildOptions`.
        signing: who signs; None for nobody.
        codec: how files are compressed; None for not.
        progress: told how far it is.
    """

    name: str
    paths: Sequence[str]
    options: BuildOptions
    signing: SigningPair | None
    codec: Codec | None
    progress: Progress

    @property
    def kind(self) -> Kind:
        """Of the extension."""
        return Kind(self.options.sources.kind)

    @property
    def seed(self) -> UUID:
        """What the identifiers derive from."""
        return self.options.seed or ids.default_seed(self.name)

    def run(self, files: Sequence[IO[bytes]], collected: Collected) -> BuildReport:
        """Write the image, and the unsigned one if that is wanted too, into files for `paths`."""
        with Spool() as spool:
            codec = self.codec
            packing = Packing(codec, Packer(codec, spool, self.progress)) if codec else None
            report = self._write(files[0], collected, packing)
        if not self.options.also_unsigned:
            return report
        return replace(report, unsigned=_copied(files[0], files[1], self.paths[1]))

    def _write(self, file: IO[bytes], collected: Collected, packing: Packing | None) -> BuildReport:
        """Plan the file system, write everything, and say what came of it."""
        architecture = _architecture(self.options, collected)
        tree = dict(collected.tree)
        wanted = self._release(tree, collected.release, architecture)
        add_release(tree, self.name, wanted, epoch=_epoch(self.options))
        content = writer.plan(
            tree,
            uuid=image.filesystem_uuid(self.seed, architecture),
            build_time=_epoch(self.options),
            packing=packing,
        )
        written = image.write_image(
            file,
            content,
            seed=self.seed,
            architecture=architecture,
            sign=self.signing.signature_partition if self.signing else None,
            progress=self.progress,
        )
        return self._report(collected, wanted, content.summary, written=written)

    def _release(
        self, tree: Tree, of_images: Mapping[str, str], architecture: str
    ) -> ExtensionRelease:
        options = self.options
        brought = brought_release(tree, self.name, self.kind)
        return release_fields(
            replace(brought, fields={**of_images, **brought.fields}),
            architecture,
            wanted=options.release,
            service_reload=options.service_reload,
            architecture_given=options.sources.architecture is not None,
        )

    def _report(
        self,
        collected: Collected,
        release: ExtensionRelease,
        content: writer.Summary,
        *,
        written: image.Written,
    ) -> BuildReport:
        return BuildReport(
            path=self.paths[0],
            name=self.name,
            kind=self.kind,
            architecture=_architecture(self.options, collected),
            release=release.fields,
            root_hash=written.root_hash,
            geometry=written.geometry,
            seed=self.seed,
            disk_uuid=written.disk_uuid,
            content=content,
            codec=self.codec,
            sources=tuple(collected.sources),
            left_out=tuple(collected.left_out),
            notes=(*collected.notes, *_notes(self.options, collected)),
            signed=self.signing is not None,
        )


def _copied(signed: IO[bytes], file: IO[bytes], path: str) -> UnsignedCopy:
    try:
        return UnsignedCopy(path, copy_unsigned(FileBlob(signed), file))
    except OutputError as error:
        error.file = error.file or path
        raise


def _epoch(options: BuildOptions) -> int:
    return options.sources.source_date_epoch or 0


def _architecture(options: BuildOptions, collected: Collected) -> str:
    wanted = options.sources.architecture
    if wanted is not None:
        return arch.normalize(wanted)
    return collected.architecture or arch.DEFAULT


def _notes(options: BuildOptions, collected: Collected) -> tuple[str, ...]:
    if options.sources.architecture is None and collected.architecture is None:
        return (f"no source names an architecture, built for {arch.DEFAULT} (see --arch)",)
    return ()
