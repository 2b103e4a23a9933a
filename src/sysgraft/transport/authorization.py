"""The ``Authorization`` header a registry wants, from its challenge and what is known of us.

Spec: Distribution, "Token Authentication Specification" and "OAuth2 Token Authentication"
(refresh tokens), and RFC 7617 (Basic). Credentials go to the registry that asked and to the token
server it names, over TLS, or to hosts that were named as insecure.
"""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Final
from urllib.parse import urlencode, urlunsplit

import msgspec

from sysgraft.errors import TransferError
from sysgraft.formats.http_challenge import parse_challenges
from sysgraft.transport.pools import split_address

if TYPE_CHECKING:
    from sysgraft.formats.docker_config import Credentials
    from sysgraft.formats.http_challenge import Challenge
    from sysgraft.transport.http import Answer, Http

MAX_TOKEN: Final = 256 << 10
"""Bytes of a token server's answer; real ones have a few thousand."""

_OK: Final = 200


class _Token(msgspec.Struct, frozen=True):
    token: str = ""
    access_token: str = ""


def authorize(
    http: Http, refusal: Answer, *, credentials: Credentials | None, scope: str, host: str
) -> str:
    """The header that answers a refusal.

    Args:
        http: to ask the token server with.
        refusal: the registry's answer of status 401.
        credentials: for this registry; None for an anonymous visitor.
        scope: what is to be done, such as ``repository:library/debian:pull``.
        host: the registry's name, for messages.

    Raises:
        TransferError: there is no way in with these credentials.
    """
    challenges = {
        each.scheme: each for each in parse_challenges(refusal.header("WWW-Authenticate"))
    }
    if "bearer" in challenges:
        with _ask(http, challenges["bearer"], credentials, scope) as answer:
            if answer.status != _OK:
                raise no_access(answer, credentials, host)
            return "Bearer " + _token(answer)
    if "basic" in challenges and credentials is not None and credentials.username:
        return _basic(credentials)
    raise no_access(refusal, credentials, host)


def no_access(refusal: Answer, credentials: Credentials | None, host: str) -> TransferError:
    """The error for a registry, called `host`, that does not let us in."""
    if credentials is None:
        message = "it wants a login, and there are no credentials for it"
    else:
        message = "it does not accept the credentials there are for it"
    return TransferError(
        f"{message} (HTTP {refusal.status})",
        file=host,
        hint=f"docker login {host}, podman login {host} or skopeo login {host}",
    )


def _basic(credentials: Credentials) -> str:
    pair = f"{credentials.username}:{credentials.password}".encode()
    return "Basic " + base64.b64encode(pair).decode()


def _token(answer: Answer) -> str:
    found = _decode(answer)
    if not found or not found.isprintable() or not found.isascii():
        raise TransferError("the token server's answer has no token", file=answer.host)
    return found


def _ask(http: Http, challenge: Challenge, credentials: Credentials | None, scope: str) -> Answer:
    realm = challenge.parameters.get("realm", "")
    asked = {"scope": challenge.parameters.get("scope") or scope}
    if service := challenge.parameters.get("service"):
        asked["service"] = service
    if credentials is not None and credentials.identity_token:
        form = {
            "grant_type": "refresh_token",
            "client_id": "sysgraft",
            "refresh_token": credentials.identity_token,
            **asked,
        }
        headers = {"Content-Type": "application/x-www-form-urlencoded"}
        return http.request("POST", realm, headers, urlencode(form).encode())
    headers = {"Authorization": _basic(credentials)} if credentials is not None else {}
    return http.get(_with_query(realm, asked), headers)


def _with_query(url: str, fields: dict[str, str]) -> str:
    parts = split_address(url)
    query = "&".join(part for part in (parts.query, urlencode(fields)) if part)
    return urlunsplit(parts._replace(query=query))


def _decode(answer: Answer) -> str:
    try:
        token = msgspec.json.decode(answer.read_all(MAX_TOKEN), type=_Token)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise TransferError("the token server's answer cannot be read", file=answer.host) from error
    return token.token or token.access_token
