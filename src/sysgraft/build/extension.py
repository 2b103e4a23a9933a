"""Make an extension image from its sources: the main job.

    pair = load_pair("db.key", "db.pem")
    report = build_extension("firmware", ["./tree"], output="out", signing=pair)

Collects the sources into one tree, adds the extension-release file, plans the file system and
writes the image; the file appears when it is whole. Nothing here prints.
"""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from sysgraft.base import arch, ids
from sysgraft.base.blob import BytesBlob
from sysgraft.base.progress import NoProgress
from sysgraft.base.tree import Inode, parent
from sysgraft.build import image
from sysgraft.build.collect import open_tree
from sysgraft.build.sources.model import Options as SourceOptions
from sysgraft.errors import FormatError, UsageError
from sysgraft.formats import extension_release, os_release
from sysgraft.formats.erofs import writer
from sysgraft.formats.extension_release import ExtensionRelease, Kind
from sysgraft.host.output import atomic_output, make_folder
from sysgraft.image import names

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from uuid import UUID

    from sysgraft.base.progress import Progress
    from sysgraft.base.tree import MutableTree, Tree
    from sysgraft.build.collect import Collected
    from sysgraft.build.geometry import Geometry
    from sysgraft.build.sources.model import LeftOut
    from sysgraft.sign.pair import SigningPair

# What an image is built for when neither the caller nor a source says: the field's default.
DEFAULT_ARCHITECTURE: Final = "x86-64"


@dataclass(frozen=True, slots=True)
class BuildOptions:
    """How to build.

    Attributes:
        sources: kind of extension, layers, whiteouts, owners, selection, times.
        release: fields of extension-release to set, over what the sources bring.
        service_reload: have systemd reload its units after the merge.
        seed: what all identifiers derive from; None derives it from the name.
        replace: whether an existing image is replaced.
    """

    sources: SourceOptions = field(default_factory=SourceOptions)
    release: Mapping[str, str] = field(default_factory=dict)
    service_reload: bool = False
    seed: UUID | None = None
    replace: bool = False


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
        sources: what they were, a line each.
        left_out: what the sources hold and the image does not.
        notes: what a person should know.
        signed: whether it bears a signature.
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
    sources: tuple[str, ...]
    left_out: tuple[LeftOut, ...]
    notes: tuple[str, ...]
    signed: bool


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
        sources: paths or ``dir: deb: tar: docker-archive: oci-archive: oci:`` arguments; later
            ones lie over earlier ones.
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
    progress = progress or NoProgress()
    names.validate_name(name)
    kind = Kind(options.sources.kind)
    folder = os.fspath(output)
    make_folder(folder)
    path = os.path.join(folder, names.file_name(name, kind))
    with (
        atomic_output(path, replace=options.replace) as file,
        open_tree(sources, options.sources, progress) as collected,
    ):
        architecture = _architecture(options, collected)
        tree = dict(collected.tree)
        release = _add_release(tree, name, architecture, options=options)
        seed = options.seed or ids.default_seed(name)
        planned = writer.plan(
            tree,
            uuid=image.filesystem_uuid(seed, architecture),
            build_time=_epoch(options),
        )
        written = image.write_image(
            file,
            planned,
            seed=seed,
            architecture=architecture,
            sign=signing.signature_partition if signing else None,
            progress=progress,
        )
        return BuildReport(
            path=path,
            name=name,
            kind=kind,
            architecture=architecture,
            release=release.fields,
            root_hash=written.root_hash,
            geometry=written.geometry,
            seed=seed,
            disk_uuid=written.disk_uuid,
            content=planned.summary,
            sources=tuple(collected.sources),
            left_out=tuple(collected.left_out),
            notes=(*collected.notes, *_notes(options, collected)),
            signed=signing is not None,
        )


def _epoch(options: BuildOptions) -> int:
    return options.sources.source_date_epoch or 0


def _architecture(options: BuildOptions, collected: Collected) -> str:
    wanted = options.sources.architecture
    if wanted is not None:
        return arch.normalize(wanted)
    return collected.architecture or DEFAULT_ARCHITECTURE


def _notes(options: BuildOptions, collected: Collected) -> tuple[str, ...]:
    if options.sources.architecture is None and collected.architecture is None:
        return (f"no source names an architecture, built for {DEFAULT_ARCHITECTURE} (see --arch)",)
    return ()


def _add_release(
    tree: MutableTree,
    name: str,
    architecture: str,
    *,
    options: BuildOptions,
) -> ExtensionRelease:
    """Put the extension-release file into the tree, over one the sources bring."""
    kind = Kind(options.sources.kind)
    path = extension_release.path(kind, name)
    fields = {"ID": "_any", **_brought(tree, path, kind)}
    fields["ARCHITECTURE"] = _release_architecture(fields, architecture, options=options)
    if options.service_reload:
        fields["EXTENSION_RELOAD_MANAGER"] = "1"
    fields.update(options.release)
    release = ExtensionRelease(kind, fields)
    if fields["ARCHITECTURE"] not in (extension_release.ANY, architecture):
        raise UsageError(
            f"ARCHITECTURE={fields['ARCHITECTURE']} in an image built for {architecture}",
            hint="name the architecture with --arch",
        )
    _add_parents(tree, path, _epoch(options))
    inode = Inode(
        mode=stat.S_IFREG | 0o644,
        mtime=_epoch(options),
        content=BytesBlob(extension_release.render(release)),
    )
    # systemd up to 254 takes NAME.sysext.raw for an image called NAME.sysext (checked with 252),
    # and looks for a release file of that name; newer ones prefer the exact name.
    tree[path] = tree[path + f".{kind}".encode()] = inode
    return release


def _release_architecture(
    fields: Mapping[str, str],
    architecture: str,
    *,
    options: BuildOptions,
) -> str:
    if options.sources.architecture is not None:
        return architecture
    return fields.get("ARCHITECTURE", architecture)


def _brought(tree: Tree, path: bytes, kind: Kind) -> Mapping[str, str]:
    """The fields of a release file that is in the sources already."""
    inode = tree.get(path)
    if inode is None:
        return {}
    if inode.content is None:
        raise FormatError("the sources' extension-release is not a regular file")
    size = min(inode.content.size, os_release.MAX_SIZE + 1)
    return extension_release.parse(inode.content.read_at(0, size), kind).fields


def _add_parents(tree: MutableTree, path: bytes, epoch: int) -> None:
    folder = parent(path)
    if folder not in tree:
        _add_parents(tree, folder, epoch)
        tree[folder] = Inode(mode=stat.S_IFDIR | 0o755, mtime=epoch)
