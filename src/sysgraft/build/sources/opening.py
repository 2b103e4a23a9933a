"""From a `SourceSpec` to an open `Source`; files and connections are closed at the end."""

from __future__ import annotations

from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

from sysgraft.build.sources.directory import DirectorySource
from sysgraft.build.sources.docker_archive import open_docker_archive
from sysgraft.build.sources.image import ImageSource
from sysgraft.build.sources.image_files import open_unchanged
from sysgraft.build.sources.oci_layout import open_oci_archive, open_oci_folder
from sysgraft.build.sources.raw_image import RawSource
from sysgraft.build.sources.rpm import RpmSource
from sysgraft.build.sources.since import SinceSource
from sysgraft.build.sources.spec import IMAGE_KINDS, resolve
from sysgraft.build.sources.tarball import DebSource, TarSource
from sysgraft.errors import UsageError, in_file

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sysgraft.build.sources.model import Source, Workspace
    from sysgraft.build.sources.spec import SourceSpec
    from sysgraft.host.files import OpenFile


@contextmanager
def open_source(spec: SourceSpec, workspace: Workspace) -> Iterator[Source]:
    """Open what `spec` means; contents from it are valid inside the context.

    Raises:
        InputError: it cannot be read or breaks its format's rules.
        UsageError: it holds several images, or none of that name.
    """
    with ExitStack() as stack:
        source = _open(spec, workspace, stack)
        since = workspace.options.since
        if since is not None and isinstance(source, ImageSource):
            source = SinceSource(source, _base(since, workspace, stack))
        yield source


def _base(argument: str, workspace: Workspace, stack: ExitStack) -> ImageSource:
    base = _open(resolve(argument), workspace, stack)
    if not isinstance(base, ImageSource):
        raise UsageError(f"--layers since: wants an image, and that is none: {argument}")
    return base


def _open(spec: SourceSpec, workspace: Workspace, stack: ExitStack) -> Source:
    if spec.kind in IMAGE_KINDS:
        return _open_named(spec, workspace, stack)
    if spec.kind == "dir":
        return DirectorySource(spec.path, workspace)
    if spec.kind == "oci":
        return open_oci_folder(spec, workspace)
    with in_file(spec.path):
        file = open_unchanged(spec.path)
    return _open_file(spec, stack.enter_context(file), workspace)


def _open_named(spec: SourceSpec, workspace: Workspace, stack: ExitStack) -> Source:
    # Imported here: files need no network, and loading it takes longer than reading many.
    from sysgraft.build.sources import catalog, daemon, registry  # noqa: PLC0415
    from sysgraft.transport.fetching import Fetching  # noqa: PLC0415

    if spec.kind == "docker-daemon":
        return daemon.open_daemon_image(spec.path, workspace)
    fetching = stack.enter_context(Fetching())
    if spec.kind == "docker":
        return registry.open_registry_image(spec.path, workspace, fetching)
    if spec.kind == "catalog":
        return catalog.open_from_catalog(spec.path, workspace, fetching)
    return daemon.open_named_image(spec.path, workspace, fetching)


def _open_file(spec: SourceSpec, file: OpenFile, workspace: Workspace) -> Source:
    if spec.kind == "raw":
        return RawSource(file, spec.path, workspace)
    if spec.kind == "deb":
        return DebSource(file, workspace)
    if spec.kind == "rpm":
        return RpmSource(file, workspace)
    if spec.kind == "docker-archive":
        return open_docker_archive(spec, file, workspace)
    if spec.kind == "oci-archive":
        return open_oci_archive(spec, file, workspace)
    return TarSource(file, workspace)
