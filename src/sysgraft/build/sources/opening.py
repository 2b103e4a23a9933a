"""From a `SourceSpec` to an open `Source`, with the file it reads closed at the end."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from sysgraft.build.sources.directory import DirectorySource
from sysgraft.build.sources.docker_archive import open_docker_archive
from sysgraft.build.sources.image_files import open_unchanged
from sysgraft.build.sources.oci_layout import open_oci_archive, open_oci_folder
from sysgraft.build.sources.tarball import DebSource, TarSource
from sysgraft.errors import in_file

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
    if spec.kind == "dir":
        yield DirectorySource(spec.path, workspace)
    elif spec.kind == "oci":
        yield open_oci_folder(spec, workspace)
    else:
        with in_file(spec.path):
            file = open_unchanged(spec.path)
        with file:
            yield _open_file(spec, file, workspace)


def _open_file(spec: SourceSpec, file: OpenFile, workspace: Workspace) -> Source:
    if spec.kind == "deb":
        return DebSource(file, workspace)
    if spec.kind == "docker-archive":
        return open_docker_archive(spec, file, workspace)
    if spec.kind == "oci-archive":
        return open_oci_archive(spec, file, workspace)
    return TarSource(file, workspace)
