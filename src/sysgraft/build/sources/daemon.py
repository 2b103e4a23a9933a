"""``docker-daemon:NAME``: an image of this machine's Docker or Podman, and names without a prefix.

A name without a prefix means what it means to Docker: the daemon's image if it has one, else the
registry's. A bare word is looked for in the daemon only, since it is as likely a mistyped path.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from sysgraft.build.sources.docker_archive import open_docker_archive
from sysgraft.build.sources.registry import open_registry_image
from sysgraft.build.sources.spec import SourceSpec
from sysgraft.errors import InputError, TransferError, UsageError, in_file
from sysgraft.transport.daemon import find_daemon

if TYPE_CHECKING:
    from sysgraft.build.sources.image import ImageSource
    from sysgraft.build.sources.model import Source, Workspace
    from sysgraft.transport.daemon import Daemon
    from sysgraft.transport.fetching import Fetching


_REGISTRY_HINT: Final = "docker://{} reads it from its registry"


def open_daemon_image(name: str, workspace: Workspace, daemon: Daemon | None = None) -> ImageSource:
    """The image `name` of a daemon.

    Args:
        name: as the daemon calls it.
        workspace: shared with other sources.
        daemon: whose image; None looks for one.

    Raises:
        UsageError: there is no daemon.
        InputError: it has no such image.
        TransferError: it does not answer as it should.
    """
    daemon = daemon or find_daemon()
    if daemon is None:
        raise UsageError(
            "there is no container daemon on this machine (no socket of Docker or Podman)",
            hint=f"give a saved image, or docker://{name} to read it from its registry",
        )
    spool = workspace.spool
    start = spool.append(b"")
    end = start

    def keep(data: bytes) -> None:
        nonlocal end
        workspace.progress.advance(len(data))
        end = spool.append(data) + len(data)

    workspace.progress.start(f"Exporting {name}", 0)
    daemon.export(name, keep)
    workspace.progress.finish()
    with in_file(name):
        archive = spool.blob(start, end - start)
        # The daemon was asked for one image: whatever name it gives that, it is the one.
        source = open_docker_archive(SourceSpec("docker-archive", name), archive, workspace)
    return replace(source, description=f"image {name} of the container daemon")


def open_named_image(name: str, workspace: Workspace, fetching: Fetching) -> Source:
    """The image that Docker would take for `name`; raises as the two ways it goes.

    A daemon that is there and does not answer ends it: what it has under that name, somebody else
    may have under the same one in a registry.
    """
    daemon = _daemon_with(name)
    if daemon is not None:
        return open_daemon_image(name, workspace, daemon)
    if not _names_a_registry_image(name):
        raise UsageError(
            f"no such file or folder, nor an image of that name in the daemon: {name}",
            hint=_REGISTRY_HINT.format(name),
        )
    try:
        return open_registry_image(name, workspace, fetching)
    except InputError as error:
        error.hint = error.hint or f"there is no file or folder {name} either"
        raise


def _daemon_with(name: str) -> Daemon | None:
    """The daemon, if there is one that has the image."""
    try:
        daemon = find_daemon()
        return daemon if daemon is not None and daemon.has(name) else None
    except (TransferError, UsageError) as error:
        error.hint = error.hint or _REGISTRY_HINT.format(name)
        raise


def _names_a_registry_image(name: str) -> bool:
    """Whether a tag, a digest or a host says so; anything else may be a mistyped path."""
    host, slash, _ = name.partition("/")
    has_host = bool(slash) and ({".", ":"} & set(host) or host == "localhost")
    return bool(has_host) or bool({":", "@"} & set(name.rpartition("/")[2]))
