"""Targets: names of images, and what registries and catalogs say about them."""

from __future__ import annotations

import functools
import json
import sys
from typing import Final, Self

from sysgraft.errors import SysgraftError
from sysgraft.formats import docker_config, kairos_catalog
from sysgraft.formats.http_challenge import parse_challenges
from sysgraft.formats.image_reference import parse_reference
from sysgraft.formats.version_constraint import parse_constraint, parse_version
from sysgraft.transport.authorization import authorize
from sysgraft.transport.pools import Pools
from sysgraft.transport.waiting import seconds_of
from target import Target, as_header, as_text

if sys.version_info >= (3, 14):
    pass
else:
    pass
from targets_containers import _HEX


def read_reference(data: bytes) -> None:
    """The name of an image."""
    found = parse_reference(as_text(data))
    assert parse_reference(str(found)) == found
    assert found.endpoint
    assert found.manifest


def read_docker_config(data: bytes) -> None:
    """Docker's config.json."""
    found = docker_config.parse_docker_config(data)
    for host in ("docker.io", "registry.example.org:5000", "a"):
        found.credentials(host, "library/debian")
        found.helper(host)


def read_helper(data: bytes) -> None:
    """What a credential helper answers."""
    docker_config.parse_helper_answer(data)


class _Refusal:
    """An answer of status 401 with a header."""

    status = 401
    host = "registry.example.org"

    def __init__(self, header: str) -> None:
        self._header = header

    def header(self, _name: str) -> str:
        return self._header


class _Token:
    """An answer of the token server."""

    status = 200
    host = "auth.example.org"

    def __init__(self, data: bytes) -> None:
        self._data = data

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def read_all(self, limit: int) -> bytes:
        return self._data[:limit]


@functools.cache
def _pools() -> Pools:
    return Pools([])


class _Http:
    """Asks nobody; the realm comes from the other side, so it may be any text."""

    def __init__(self, answer: bytes) -> None:
        self._answer = answer

    def get(self, url: str, headers: object) -> _Token:
        _pools().for_url(url)
        assert headers is not None
        return _Token(self._answer)


def read_challenge(data: bytes) -> None:
    """WWW-Authenticate, and the token server's answer behind it, split at a NUL."""
    header, _, answer = data.partition(b"\0")
    parse_challenges(as_header(header))
    refusal = _Refusal(as_header(header))
    scope = "repository:a:pull"
    authorize(_Http(answer), refusal, credentials=None, scope=scope, host="a")  # type: ignore[arg-type]


def read_retry_after(data: bytes) -> None:
    """Retry-After."""
    seconds = seconds_of(as_header(data), now=1_790_000_000.0)
    assert seconds is None or seconds >= 0


def read_constraint(data: bytes) -> None:
    """A constraint, and versions held against it, a line each."""
    first, *rest = as_text(data).split("\n")
    for each in rest:
        parse_version(each)
    meets = parse_constraint(first)
    for each in rest:
        version = parse_version(each)
        if version is not None:
            meets(version)


def _catalog() -> bytes:
    place = {"x86-64": {"oci": f"example.org/a/b@sha256:{_HEX}"}}
    tags = [{"tag": f"1.{n}.0", "sysext": place, "confext": place} for n in range(4)]
    return json.dumps({"layers": [{"name": "fuzz", "latest": "1.3.0", "tags": tags}]}).encode()


def read_catalog(data: bytes) -> None:
    """A catalog of Kairos."""
    found = kairos_catalog.parse_catalog(data)
    asked = 0
    for name in list(found.layers)[:4]:
        for version in ("", "1.2.0", "^1.1", ">=1, <2 || 3.x"):
            try:
                found.find(name, version, kind="sysext", architecture="x86-64")
            except SysgraftError:
                asked += 1


TARGETS: Final = (
    Target(
        name="image-reference",
        seeds=lambda: (
            b"debian",
            b"example.org:5000/a/b:1.2",
            f"a/b@sha256:{_HEX}".encode(),
            b"[::1]:80/x",
        ),
        read=read_reference,
        tokens=(b"docker.io/", b"localhost", b":latest", b"@sha256:", b"library/", b"[::1]"),
        weight=15,
    ),
    Target(
        name="docker-config",
        seeds=lambda: (
            (
                b'{"auths": {"docker.io": {"auth": "YTpi"}, "https://index.docker.io/v1/": '
                b'{"identitytoken": "x"}}, "credsStore": "pass", "credHelpers": {"a": "b"}}'
            ),
        ),
        read=read_docker_config,
        tokens=(b'"auth"', b'"auths"', b"YTpi", b"Og==", b'"credHelpers"', b'"username"'),
        weight=10,
    ),
    Target(
        name="credential-helper",
        seeds=lambda: (b'{"ServerURL": "a", "Username": "<token>", "Secret": "s"}',),
        read=read_helper,
        tokens=(b'"Username"', b'"Secret"', b"<token>"),
        weight=5,
    ),
    Target(
        name="http-challenge",
        seeds=lambda: (
            (
                b'Bearer realm="https://auth.example.org/token",service="r",scope="a:b:pull"\0'
                b'{"token": "abc", "access_token": "d"}'
            ),
            b'Basic realm="x", Digest nonce=1\0{}',
        ),
        read=read_challenge,
        tokens=(
            b"Bearer ",
            b"Basic ",
            b'realm="',
            b"https://",
            b"[::1",
            b":99999/",
            b'\\"',
            b"//[",
            b"@",
        ),
        weight=15,
    ),
    Target(
        name="retry-after",
        seeds=lambda: (b"120", b"Fri, 27 Nov 2026 10:00:00 GMT", b"0"),
        read=read_retry_after,
        tokens=(b"Nov", b"GMT", b"+9999", b"1.5", b"inf", b"nan", b"\xb2", b"Feb 30", b"99:99:99"),
        weight=10,
    ),
    Target(
        name="version-constraint",
        seeds=lambda: (b">=1.2, <2 || ~3.1\n1.2.3\nv1.9.0-rc.1+5", b"^1.x\n1.0.0", b"*\n2"),
        read=read_constraint,
        tokens=(b"||", b">=", b"!=", b"~>", b"^", b" - ", b".x", b"*", b"-rc.1", b"+b"),
        weight=15,
    ),
    Target(
        name="kairos-catalog",
        seeds=lambda: (_catalog(),),
        read=read_catalog,
        tokens=(b'"layers"', b'"tags"', b'"tag"', b'"sysext"', b'"oci"', b"@sha256:"),
        weight=10,
    ),
)
