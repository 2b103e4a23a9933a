"""Credentials for registries: ``config.json`` of Docker, ``auth.json`` of Podman and skopeo.

Formats: Docker CLI reference, "docker login", "Credential store"; containers-auth.json(5). A value
of ``credHelpers`` or ``credsStore`` names a program, which is not run here.
"""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import msgspec

from sysgraft.errors import FormatError, LimitError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

MAX_SIZE: Final = 1 << 20
"""Bytes of the file; real ones have some hundred."""

HUB_KEY: Final = "https://index.docker.io/v1/"
"""What Docker calls its own registry in this file."""


@dataclass(frozen=True, slots=True)
class Credentials:
    """Who one is for a registry; secrets do not show in its ``repr``.

    Attributes:
        username: a name; empty with an identity token.
        password: its password.
        identity_token: an OAuth2 refresh token instead of both.
    """

    username: str = ""
    password: str = field(default="", repr=False)
    identity_token: str = field(default="", repr=False)


class _Auth(msgspec.Struct, frozen=True):
    auth: str = ""
    username: str = ""
    password: str = ""
    identitytoken: str = ""


class _File(msgspec.Struct, frozen=True, rename="camel"):
    auths: dict[str, _Auth] | None = None
    cred_helpers: dict[str, str] | None = None
    creds_store: str = ""


@dataclass(frozen=True, slots=True)
class DockerConfig:
    """What a file says.

    Attributes:
        auths: by registry or repository.
        helpers: the suffix of a ``docker-credential-…`` program, by registry.
        store: that of the program for all others; empty for none.
    """

    auths: Mapping[str, Credentials]
    helpers: Mapping[str, str]
    store: str

    def credentials(self, host: str, path: str) -> Credentials | None:
        """Those the file itself has for a repository; the most special entry counts."""
        return next((self.auths[key] for key in _keys(host, path) if key in self.auths), None)

    def helper(self, host: str) -> str:
        """The program that keeps the credentials for a registry; empty for none."""
        return next(
            (self.helpers[key] for key in _keys(host, "") if key in self.helpers), self.store
        )


def _keys(host: str, path: str) -> Iterator[str]:
    """What the entry for a repository may be called, the most special first."""
    while path:
        yield f"{host}/{path}"
        path = path.rpartition("/")[0]
    yield host
    yield from (f"https://{host}", f"https://{host}/", f"http://{host}", f"https://{host}/v1/")
    if host == "docker.io":
        yield from ("index.docker.io", HUB_KEY)


def parse_docker_config(data: bytes) -> DockerConfig:
    """Read such a file.

    Raises:
        LimitError: it is larger than `MAX_SIZE`.
        FormatError: it is not JSON of that kind, or an entry cannot be decoded.
    """
    if len(data) > MAX_SIZE:
        raise LimitError(f"more than {MAX_SIZE} bytes of credentials")
    try:
        file = msgspec.json.decode(data.strip() or b"{}", type=_File)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError) as error:
        # The decoder's words may quote a secret.
        raise FormatError("not a file of registry credentials: no such JSON") from error
    auths = {name: _credentials(name, auth) for name, auth in (file.auths or {}).items()}
    return DockerConfig(
        {name: found for name, found in auths.items() if found is not None},
        file.cred_helpers or {},
        file.creds_store,
    )


def _credentials(name: str, auth: _Auth) -> Credentials | None:
    """None for an empty entry, which Docker writes where a helper has the secret."""
    if auth.identitytoken:
        return Credentials(identity_token=auth.identitytoken)
    if not auth.auth:
        return Credentials(auth.username, auth.password) if auth.username else None
    try:
        text = base64.b64decode(auth.auth, validate=True).decode()
    except (binascii.Error, ValueError) as error:
        raise FormatError(f"the credentials for {name[:100]} are not base64 of text") from error
    username, colon, password = text.partition(":")
    if not colon or not username:
        raise FormatError(f"the credentials for {name[:100]} are not USER:PASSWORD")
    return Credentials(username, password.rstrip("\0"))


class _HelperAnswer(msgspec.Struct, frozen=True):
    Username: str = ""
    Secret: str = ""


def parse_helper_answer(data: bytes) -> Credentials:
    """What a ``docker-credential-…`` program prints for ``get``.

    Raises:
        FormatError: it is not JSON with ``Username`` and ``Secret``.
    """
    try:
        answer = msgspec.json.decode(data, type=_HelperAnswer)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError) as error:
        raise FormatError("the credential helper's answer cannot be read") from error
    if answer.Username == "<token>":
        return Credentials(identity_token=answer.Secret)
    return Credentials(answer.Username, answer.Secret)
