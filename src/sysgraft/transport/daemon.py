"""Images in a container daemon on this machine: Docker's or Podman's API on a Unix socket.

API: Docker Engine API 1.41, "Inspect an image" and "Export an image", which Podman answers too. The
socket is that of ``$DOCKER_HOST``, else the first that is there of Docker's, Docker Desktop's and
Podman's. Only images are read; daemons on other machines are not asked.
"""

from __future__ import annotations

import http.client
import os
from typing import TYPE_CHECKING, Final
from urllib.parse import quote

from sysgraft.base.text import one_line
from sysgraft.errors import InputError, TransferError, UsageError
from sysgraft.host.unix_http import UnixConnection, is_socket

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

_SECONDS: Final = 300.0  # the daemon packs the image before it sends the first byte
_CHUNK: Final = 1 << 18
_OK: Final = 200
_NOT_FOUND: Final = 404
_MAX_MESSAGE: Final = 4096

MAX_IMAGE: Final = 64 << 30
"""Bytes of an exported image: what all sources together may decompress to."""


class Daemon:
    """A daemon behind a socket.

    Args:
        path: of the socket.
    """

    def __init__(self, path: str) -> None:
        self.path = path

    def has(self, name: str) -> bool:
        """Whether it has an image of that name.

        Raises:
            TransferError: it does not answer as it should.
        """
        status, _ = self._ask(f"/images/{_quoted(name)}/json", lambda _: None)
        if status not in (_OK, _NOT_FOUND):
            raise TransferError(f"HTTP {status} for the image {one_line(name)}", file=self.path)
        return status == _OK

    def export(self, name: str, write: Callable[[bytes], object]) -> None:
        """Give the image, as ``docker save`` writes it, to `write` piece by piece.

        Raises:
            InputError: there is no such image.
            TransferError: the daemon does not answer as it should, or the image is larger than
                `MAX_IMAGE`.
        """

        def take(response: http.client.HTTPResponse) -> None:
            for piece in _pieces(response, self.path):
                write(piece)

        status, message = self._ask(f"/images/{_quoted(name)}/get", take)
        if status == _NOT_FOUND:
            raise InputError(f"the daemon has no image {one_line(name)}", file=self.path)
        if status != _OK:
            raise TransferError(f"the daemon says: {message or status}", file=self.path)

    def _ask(
        self, path: str, take: Callable[[http.client.HTTPResponse], object]
    ) -> tuple[int, str]:
        connection = UnixConnection(self.path, _SECONDS)
        try:
            connection.request("GET", path)
            response = connection.getresponse()
            if response.status != _OK:
                return response.status, _message(response.read(_MAX_MESSAGE))
            take(response)
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise TransferError(
                f"the daemon cannot be asked: {_why(error)}", file=self.path
            ) from error
        else:
            return response.status, ""
        finally:
            connection.close()


def _pieces(response: http.client.HTTPResponse, path: str) -> Iterator[bytes]:
    size = 0
    while data := response.read(_CHUNK):
        size += len(data)
        if size > MAX_IMAGE:
            raise TransferError(f"an image of more than {MAX_IMAGE} bytes", file=path)
        yield data


def _message(body: bytes) -> str:
    """What a daemon says is wrong, on one line; it is JSON with a ``message``."""
    text = body.decode(errors="replace")
    return one_line(text.partition('"message":"')[2].partition('"')[0] or text)[:300]


def _why(error: Exception) -> str:
    if isinstance(error, PermissionError):
        return "no permission (be root, or in the group of the socket)"
    return one_line(str(getattr(error, "strerror", None) or error)[:200]) or type(error).__name__


def _quoted(name: str) -> str:
    return quote(name, safe="/:@")


def find_daemon(environment: Mapping[str, str] = os.environ) -> Daemon | None:
    """The daemon of this machine; None if there is none.

    Raises:
        UsageError: ``$DOCKER_HOST`` leads to another machine.
    """
    named = environment.get("DOCKER_HOST", "")
    if named.startswith("unix://"):
        return Daemon(named.removeprefix("unix://"))
    if named:
        raise UsageError(
            f"DOCKER_HOST={one_line(named)} is not a socket of this machine (unix://PATH)",
            hint="save the image there with docker save, and give the file",
        )
    found = [path for path in _places(environment) if is_socket(path)]
    usable = [path for path in found if os.access(path, os.R_OK | os.W_OK)]
    return Daemon((usable or found)[0]) if found else None


def _places(environment: Mapping[str, str]) -> Iterator[str]:
    home, runtime = environment.get("HOME"), environment.get("XDG_RUNTIME_DIR")
    yield "/var/run/docker.sock"
    yield "/run/docker.sock"
    if home:
        yield f"{home}/.docker/run/docker.sock"
    if runtime:
        yield f"{runtime}/docker.sock"
        yield f"{runtime}/podman/podman.sock"
    yield "/run/podman/podman.sock"
