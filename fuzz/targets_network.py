"""Targets: what registries, token servers and container daemons answer, from the first byte on.

The answers go through urllib3 and http.client as they would from a connection; there is none.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import os
from typing import TYPE_CHECKING, Final
from unittest import mock

import urllib3
from urllib3.connection import HTTPConnection
from urllib3.connectionpool import HTTPConnectionPool

from image_kit import Layout, tar_of
from sysgraft.build.collect import open_tree
from sysgraft.build.sources import catalog, registry
from sysgraft.build.sources.model import Options
from sysgraft.build.sources.spec import SourceSpec
from sysgraft.errors import ToolError
from sysgraft.formats.image_reference import parse_reference
from sysgraft.formats.kairos_catalog import RAW_TYPE
from sysgraft.host.unix_http import UnixConnection
from sysgraft.transport import credentials, daemon, registry_image, waiting
from sysgraft.transport.http import Http
from sysgraft.transport.plain import fetch_file
from sysgraft.transport.registry import Repository
from target import File, Target, drain
from targets_containers import saved
from targets_images import images

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from urllib3._base_connection import BaseHTTPConnection

    from sysgraft.formats.image_reference import ImageReference

_NEXT: Final = b"\n=====\n"
"""Between two answers of an input."""
_HOST: Final = "registry.example.org"


class _Socket:
    """A connection on which everything was said already."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    def sendall(self, _data: bytes) -> None:
        """Nobody listens."""

    def makefile(self, *_: object, **__: object) -> io.BufferedReader:
        """What is to be read."""
        return io.BufferedReader(io.BytesIO(self._data))

    def settimeout(self, _seconds: float) -> None:
        """It never waits."""

    def setsockopt(self, *_: object) -> None:
        """It has no options."""

    def shutdown(self, _how: int) -> None:
        """It ends by itself."""

    def close(self) -> None:
        """As `shutdown`."""


_answers: list[bytes] = []


class _Connection(HTTPConnection):
    def connect(self) -> None:
        if not _answers:
            raise ConnectionRefusedError(111, "Connection refused")
        self.sock = _Socket(_answers.pop(0))


class _Pool(HTTPConnectionPool):
    ConnectionCls = _Connection

    def _get_conn(self, timeout: float | None = None) -> BaseHTTPConnection:
        del timeout
        return self._new_conn()

    def _put_conn(self, conn: BaseHTTPConnection | None) -> None:
        if conn is not None:
            conn.close()


def _pool_manager(*_: object) -> urllib3.PoolManager:
    made = urllib3.PoolManager()
    made.pool_classes_by_scheme = {"http": _Pool, "https": _Pool}
    return made


class _Http(Http):
    def pause(self, seconds: float) -> None:
        assert 0 <= seconds < 200


def read_registry(data: bytes) -> None:
    """A registry, and whoever it sends us to: all that is fetched becomes a tree."""
    _answers[:] = data.split(_NEXT)[:20]
    options = Options(layers="all", whiteouts="drop", architecture="x86-64")
    with (
        mock.patch("sysgraft.transport.pools._make", _pool_manager),
        mock.patch.object(registry, "Http", _Http),
        mock.patch.object(registry_image, "Repository", _repository),
        mock.patch.object(waiting, "FIRST_PAUSE", 0.0),
        open_tree([SourceSpec("docker", f"{_HOST}/a/b:1")], options) as found,
    ):
        for inode in found.tree.values():
            if inode.content is not None:
                drain(inode.content)


def read_catalog_source(data: bytes) -> None:
    """A catalog somewhere on the network, and the registry it leads to."""
    _answers[:] = data.split(_NEXT)[:20]
    place = f"https://{_HOST}/catalog.json"
    options = Options(whiteouts="drop", architecture="x86-64", catalogs=(place,))
    with (
        mock.patch("sysgraft.transport.pools._make", _pool_manager),
        mock.patch.object(registry, "Http", _Http),
        mock.patch.object(catalog, "Http", _Http),
        mock.patch.object(registry_image, "Repository", _repository),
        mock.patch.object(waiting, "FIRST_PAUSE", 0.0),
        open_tree([SourceSpec("catalog", "fuzz")], options) as found,
    ):
        assert found.tree


def _with_catalog() -> Sequence[bytes]:
    manifest, image = _extension()
    body = manifest.partition(b"\r\n\r\n")[2]
    digest = hashlib.sha256(body).hexdigest()
    place = {"amd64": {"oci": f"{_HOST}/a/b@sha256:{digest}"}}
    tags = [{"tag": "1.0.0", "sysext": place, "confext": {}}]
    listed = json.dumps({"layers": [{"name": "fuzz", "latest": "1.0.0", "tags": tags}]}).encode()
    return (_NEXT.join((_answer(listed), manifest, image)),)


def _repository(http: Http, reference: ImageReference) -> Repository:
    return Repository(http, reference, credentials=lambda _: None)


def _answer(body: bytes, status: str = "200 OK", **headers: str) -> bytes:
    fields = {"Content-Length": str(len(body)), **headers}
    head = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in fields.items())
    return f"HTTP/1.1 {status}\r\n{head}\r\n".encode() + body


def _conversations() -> Sequence[bytes]:
    """A good registry; one that wants a token, redirects and is busy; one with an extension."""
    layout = Layout()
    layer = tar_of({"usr/a": b"a" * 300, "usr/b": "->a"})
    descriptor = layout.manifest(layer, pack=lambda d: gzip.compress(d, mtime=0))
    blobs = layout.blobs
    manifest = blobs[str(descriptor["digest"])]
    fields = json.loads(manifest)
    manifest_type = "application/vnd.oci.image.manifest.v1+json"
    parts = [
        _answer(manifest, Content_Type=manifest_type),
        _answer(blobs[fields["config"]["digest"]]),
        _answer(blobs[fields["layers"][0]["digest"]]),
    ]
    challenge = f'Bearer realm="https://auth.{_HOST}/token",service="r",scope="s"'
    busy = [
        _answer(b"", "401 Unauthorized", WWW_Authenticate=challenge),
        _answer(b'{"token": "abc"}'),
        _answer(b"", "429 Too Many Requests", Retry_After="1"),
        parts[0],
        _answer(b"", "307 Temporary Redirect", Location=f"https://cdn.{_HOST}/x"),
        *parts[1:],
    ]
    chunked = _answer(b"").replace(b"Content-Length: 0", b"Transfer-Encoding: chunked")
    chunked += b"%x\r\n" % len(manifest) + manifest + b"\r\n0\r\n\r\n"
    return tuple(map(_NEXT.join, (parts, busy, [chunked, *parts[1:]], _extension())))


def _extension() -> Sequence[bytes]:
    layout = Layout()
    image = images()[1]
    raw = layout.put(image, RAW_TYPE)
    config = layout.put_json({}, "config")
    manifest = layout.put_json({"schemaVersion": 2, "config": config, "layers": [raw]}, "manifest")
    return (_answer(layout.blobs[str(manifest["digest"])]), _answer(image))


# --- A daemon ------------------------------------------------------------------------------------


def read_daemon(data: bytes) -> None:
    """Docker's or Podman's API."""

    def connect(self: UnixConnection) -> None:
        self.sock = _Socket(data)

    with mock.patch.object(UnixConnection, "connect", connect):
        found = daemon.Daemon("/run/docker.sock")
        found.has("debian:13")
        found.export("debian:13", len)


def read_daemon_source(data: bytes) -> None:
    """An image of a daemon, as the tree that is made of it; the answer is the same each time."""

    def connect(self: UnixConnection) -> None:
        self.sock = _Socket(data)

    environment = mock.patch.dict(os.environ, {"DOCKER_HOST": "unix:///run/docker.sock"})
    options = Options(layers="all", whiteouts="drop", architecture="arm64")
    with (
        mock.patch.object(UnixConnection, "connect", connect),
        environment,
        open_tree([SourceSpec("docker-daemon", "fuzz:1")], options) as found,
    ):
        assert found.tree


def _exported() -> Sequence[bytes]:
    image = saved()[0]
    chunked = _answer(b"").replace(b"Content-Length: 0", b"Transfer-Encoding: chunked")
    return (_answer(image), chunked + b"%x\r\n" % len(image) + image + b"\r\n0\r\n\r\n")


# --- A single file -------------------------------------------------------------------------------


class _Sink:
    """What came of a file."""

    def __init__(self) -> None:
        self.total: int | None = None
        self.size = 0

    def begin(self, total: int | None) -> None:
        self.total, self.size = total, 0

    def add(self, data: bytes) -> None:
        self.size += len(data)


def read_plain_file(data: bytes) -> None:
    """A file on a server that breaks off, answers in parts and redirects."""
    _answers[:] = data.split(_NEXT)[:20]
    sink = _Sink()
    with (
        mock.patch("sysgraft.transport.pools._make", _pool_manager),
        mock.patch.object(waiting, "FIRST_PAUSE", 0.0),
    ):
        fetch_file(_Http(()), f"https://{_HOST}/a.raw", sink)
    assert sink.size
    assert sink.total in (None, sink.size)


def _plain_files() -> Sequence[bytes]:
    """One in a piece; one that is taken up again; one that is elsewhere; one that changed."""
    body = bytes(range(200))
    whole = _answer(body, ETag='"one"')
    part = _answer(body[80:], "206 Partial Content", Content_Range="bytes 80-199/200", ETag='"one"')
    cut = whole[:-120]
    moved = _answer(b"", "302 Found", Location=f"https://cdn.{_HOST}/b")
    gone = _answer(b"", "416 Range Not Satisfiable")
    return tuple(map(_NEXT.join, ([whole], [cut, part], [moved, whole], [cut, gone, whole])))


# --- Credentials ---------------------------------------------------------------------------------

_CREDENTIALS: Final = File("auth.json")


def read_credentials(data: bytes) -> None:
    """A file of credentials, with helpers that nobody has."""
    environment: Mapping[str, str] = {"REGISTRY_AUTH_FILE": _CREDENTIALS.put(data)}
    refuse = mock.Mock(side_effect=ToolError("no helper is run here"))
    with mock.patch.object(credentials, "run", refuse):
        found = credentials.find_credentials(parse_reference(f"{_HOST}/a:1"), environment)
    if found is not None:
        f"{found.username}:{found.password}".encode()


TARGETS: Final = (
    Target(
        name="registry",
        seeds=_conversations,
        read=read_registry,
        tokens=(
            _NEXT,
            b"HTTP/1.1 401 U\r\n",
            b"HTTP/1.1 307 T\r\n",
            b"HTTP/1.1 206 P\r\n",
            b"HTTP/1.1 503 S\r\n",
            b"Location: https://[::1\r\n",
            b"Location: //",
            b"Retry-After: ",
            b"Content-Range: bytes 0-1/2\r\n",
            b"Content-Length: ",
            b"Transfer-Encoding: chunked\r\n",
            b'WWW-Authenticate: Bearer realm="',
            b"Content-Encoding: gzip\r\n",
            b"\r\n\r\n",
        ),
        weight=8,
    ),
    Target(
        name="container-daemon",
        seeds=lambda: (
            _answer(b'{"Id": "x"}'),
            _answer(b'{"message":"no such image"}', "404 Not Found"),
            _answer(b"").replace(b"Content-Length: 0", b"Transfer-Encoding: chunked")
            + b"5\r\nhello\r\n0\r\n\r\n",
        ),
        read=read_daemon,
        tokens=(b"HTTP/1.1 ", b"\r\n", b"ffffffff\r\n", b"Content-Length: -1\r\n", b'"message":"'),
        weight=8,
    ),
    Target(name="daemon-source", seeds=_exported, read=read_daemon_source, weight=3),
    Target(
        name="catalog-source",
        seeds=_with_catalog,
        read=read_catalog_source,
        tokens=(_NEXT, b"HTTP/1.1 302 F\r\nLocation: ", b'"oci"', b"@sha256:"),
        weight=3,
    ),
    Target(
        name="plain-file",
        seeds=_plain_files,
        read=read_plain_file,
        tokens=(
            _NEXT,
            b"HTTP/1.1 206 P\r\n",
            b"Content-Range: bytes 80-199/200\r\n",
            b'ETag: W/"one"\r\n',
            b"Last-Modified: Thu, 01 Jan 1970 00:00:00 GMT\r\n",
            b"Date: ",
            b"Content-Encoding: gzip\r\n",
            b"Location: http://",
        ),
        weight=8,
    ),
    Target(
        name="credentials",
        seeds=lambda: (
            b'{"auths": {"registry.example.org": {"auth": "YTpi"}}}',
            b'{"credHelpers": {"registry.example.org": "pass"}}',
            b'{"auths": {"https://registry.example.org/a": {"username": "u", "password": "p"}}}',
        ),
        read=read_credentials,
        tokens=(
            b'"registry.example.org"',
            b'"auth"',
            b'"credsStore"',
            b"Og==",
            b"\\ud800",
            b"/w==",
        ),
        weight=8,
    ),
)
