"""Challenges, files of credentials and pauses: what servers and users write, and what they may."""

from __future__ import annotations

import base64
import contextlib
import json
from email.utils import formatdate

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sysgraft.errors import FormatError, LimitError, TransferError
from sysgraft.formats.docker_config import (
    MAX_SIZE,
    Credentials,
    parse_docker_config,
    parse_helper_answer,
)
from sysgraft.formats.http_challenge import parse_challenges
from sysgraft.transport.waiting import Patience, seconds_of


def encoded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


@pytest.mark.parametrize(
    ("header", "found"),
    [
        ('Basic realm="x y"', [("basic", {"realm": "x y"})]),
        (
            'Bearer realm="https://auth.example/token",service="r",scope="repository:a/b:pull,push"',
            [
                (
                    "bearer",
                    {
                        "realm": "https://auth.example/token",
                        "service": "r",
                        "scope": "repository:a/b:pull,push",
                    },
                )
            ],
        ),
        ('Negotiate, Basic realm="x"', [("negotiate", {}), ("basic", {"realm": "x"})]),
        (
            'BEARER Realm=plain , Basic realm="a\\"b"',
            [("bearer", {"realm": "plain"}), ("basic", {"realm": 'a"b'})],
        ),
        ("", []),
        ('="', []),
    ],
)
def test_challenges(header: str, found: list[tuple[str, dict[str, str]]]) -> None:
    assert [(c.scheme, dict(c.parameters)) for c in parse_challenges(header)] == found


@given(st.text(alphabet='Basic ,="\\realm \t', max_size=200))
def test_any_header_is_taken_apart(header: str) -> None:
    for challenge in parse_challenges(header):
        assert challenge.scheme
    assert len(parse_challenges(header * 1000)) <= 8192


def test_the_most_special_login_counts() -> None:
    auths = {
        "quay.io": {"auth": encoded("all:1")},
        "quay.io/team": {"auth": encoded("team:2:3")},
        "https://index.docker.io/v1/": {"auth": encoded("hub:4")},
        "ghcr.io": {},
        "reg.example": {"identitytoken": "T"},
    }
    config = parse_docker_config(json.dumps({"auths": auths, "HttpHeaders": {"x": "y"}}).encode())
    assert config.credentials("quay.io", "other/x") == Credentials("all", "1")
    assert config.credentials("quay.io", "team/x") == Credentials("team", "2:3")
    assert config.credentials("docker.io", "library/debian") == Credentials("hub", "4")
    assert config.credentials("reg.example", "x") == Credentials(identity_token="T")
    assert config.credentials("ghcr.io", "x") is None
    assert config.credentials("elsewhere", "x") is None
    assert config.helper("quay.io") == ""


def test_helpers() -> None:
    config = parse_docker_config(b'{"credHelpers": {"gcr.io": "gcloud"}, "credsStore": "pass"}')
    assert (config.helper("gcr.io"), config.helper("quay.io")) == ("gcloud", "pass")
    assert parse_helper_answer(b'{"Username": "u", "Secret": "s"}') == Credentials("u", "s")
    token = parse_helper_answer(b'{"Username": "<token>", "Secret": "s"}')
    assert token == Credentials(identity_token="s")
    with pytest.raises(FormatError):
        parse_helper_answer(b"credentials not found")


@pytest.mark.parametrize("data", [b"", b"\n", b"{}", b'{"auths": null, "credHelpers": null}'])
def test_files_without_credentials(data: bytes) -> None:
    config = parse_docker_config(data)
    assert (config.credentials("quay.io", "x"), config.helper("quay.io")) == (None, "")


def test_secrets_do_not_show() -> None:
    assert "secret" not in repr(Credentials("u", "secret", "secret"))
    with pytest.raises(FormatError) as caught:
        parse_docker_config(b'{"auths": {"x": {"auth": ["secret"]}}}')
    assert "secret" not in str(caught.value)


def test_too_many_credentials() -> None:
    with pytest.raises(LimitError):
        parse_docker_config(b" " * (MAX_SIZE + 1))


@given(st.binary(max_size=200) | st.text(alphabet='{}":,auths []', max_size=80).map(str.encode))
def test_any_file_of_credentials_is_read_or_refused(data: bytes) -> None:
    with contextlib.suppress(FormatError):
        parse_docker_config(data)


def test_pauses_that_servers_ask_for() -> None:
    now = 1_700_000_000.0
    assert seconds_of("30", now=now) == 30
    assert seconds_of(" 0 ", now=now) == 0
    assert seconds_of(formatdate(now + 90, usegmt=True), now=now) == 90
    assert seconds_of(formatdate(now - 90, usegmt=True), now=now) == 0
    assert seconds_of("9" * 400, now=now) is not None
    for text in ("", "soon", "-1", "1.5", "²"):
        assert seconds_of(text, now=now) is None


@given(st.text(max_size=60))
def test_any_pause_is_understood_or_not(text: str) -> None:
    found = seconds_of(text, now=0)
    assert found is None or found >= 0


def test_pauses_double_and_end() -> None:
    waited: list[float] = []
    patience = Patience(waited.append, "host")
    broken = TransferError("broken")
    for _ in range(4):
        patience.after_failure(broken)
    with pytest.raises(TransferError, match="broken"):
        patience.after_failure(broken)
    assert all(a <= pause < 2 * a for a, pause in zip([0.5, 1, 2, 4], waited, strict=True))
    patience.renew()
    patience.after_failure(broken)
