"""``tar:FILE`` and ``deb:FILE``: one archive, one layer."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sysgraft.base import arch
from sysgraft.base.tree import printable
from sysgraft.build.sources.model import Layer
from sysgraft.build.sources.tar_layer import TarBlob, read_entries
from sysgraft.errors import UsageError, in_file
from sysgraft.formats.deb import read_package

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sysgraft.build.sources.model import Workspace
    from sysgraft.host.files import OpenFile


class TarSource:
    """A tar archive, maybe compressed."""

    def __init__(self, file: OpenFile, workspace: Workspace) -> None:
        self._path = file.path
        self._tar = TarBlob(file, 0, file.size)
        self._workspace = workspace

    @property
    def description(self) -> str:
        """See `Source`."""
        return f"archive {self._path}"

    @property
    def architecture(self) -> str | None:
        """See `Source`; an archive does not say."""
        return None

    def layers(self) -> Iterator[Layer]:
        """See `Source`: one layer."""
        yield one_layer(self.description, self._path, self._tar, self._workspace)


class DebSource:
    """A Debian package; its maintainer scripts are not run."""

    def __init__(self, file: OpenFile, workspace: Workspace) -> None:
        self._path = file.path
        self._file = file
        self._workspace = workspace
        with in_file(file.path):
            self._package = read_package(file)

    @property
    def description(self) -> str:
        """See `Source`."""
        package = self._package
        text = f"Debian package {package.name} {package.version} ({package.architecture})"
        return printable(text.encode())

    @property
    def architecture(self) -> str | None:
        """See `Source`; None for packages for all architectures."""
        return architecture_of(self._package.architecture, self._workspace)

    def layers(self) -> Iterator[Layer]:
        """See `Source`: one layer."""
        tar = TarBlob(self._package.data, 0, self._package.data.size)
        yield one_layer(self.description, self._path, tar, self._workspace)


def one_layer(name: str, path: str, tar: TarBlob, workspace: Workspace) -> Layer:
    """The layer that an archive in the file `path` is."""
    workspace.progress.start(f"Reading {name}", tar.size)
    with in_file(path):
        entries = read_entries(tar, workspace)
    workspace.progress.finish()
    return Layer(name, entries)


def architecture_of(stated: str, workspace: Workspace) -> str | None:
    """The systemd spelling of what a package or image says it is for, if that is anything."""
    if stated in ("", "all", "any", "unknown"):
        return None
    try:
        return arch.normalize(stated)
    except UsageError:
        workspace.note(f"the architecture {stated[:40]!r} that a source states is not known")
        return None
