"""Registries that lie, stall, break off or want patience: never believed, and not for ever."""

from __future__ import annotations

import hashlib
import json
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest

from command import sysgraft
from image_kit import Layout, files, sha256, tar_of
from registry_kit import Reply, Request, server
from sysgraft.build.collect import Options
from sysgraft.errors import FormatError, InputError, LimitError, TransferError, UnsupportedError
from sysgraft.transport import http, waiting

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    Lie = Callable[[Request, Reply], Reply | None]

CONTENT = hashlib.shake_256(b"firmware").digest(3 << 20)
LAYER = tar_of({"usr/lib/firmware/a": CONTENT})
WANTED: dict[str, bytes | None] = {"usr/lib/firmware/a": CONTENT}
NAME = "team/fw"


@dataclass
class Liar:
    """A registry with one image; `lies` may replace any answer.

    Attributes:
        lies: what is answered instead, by the last part of the path; None for the truth.
        asked: everything that was asked for.
    """

    lies: Callable[[Request, Reply], Reply | None] = lambda _request, _truth: None
    asked: list[Request] = field(default_factory=list)
    layout: Layout = field(default_factory=Layout)
    manifest: str = ""

    def __post_init__(self) -> None:
        self.manifest = str(self.layout.manifest(LAYER)["digest"])

    def __call__(self, request: Request) -> Reply:
        self.asked.append(request)
        truth = self.truth(request)
        return self.lies(request, truth) or truth

    def truth(self, request: Request) -> Reply:
        name = request.path.rpartition("/")[2]
        data = self.layout.blobs.get(self.manifest if name == "1" else name)
        if data is None or not request.path.startswith(f"/v2/{NAME}/"):
            return Reply(404)
        if request.start:
            return Reply(206, data[request.start :])
        kind = "application/vnd.oci.image.manifest.v1+json"
        return Reply(200, data, {"Content-Type": kind} if "manifests" in request.path else {})

    def layer_requests(self) -> list[int]:
        return [each.start for each in self.asked if each.path.endswith(sha256(LAYER))]


def fetched(liar: Callable[[Request], Reply], reference: str = "1") -> dict[str, bytes | None]:
    with server(liar) as host:
        separator = "@" if reference.startswith("sha256:") else ":"
        options = Options(insecure_registries=(host,))
        return files(f"docker://{host}/{NAME}{separator}{reference}", options)


@pytest.fixture(autouse=True)
def pauses(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[float]:
    """No waiting and no logins; gives what would have been waited for."""
    found: list[float] = []
    monkeypatch.setattr(http.Http, "pause", lambda _, seconds: found.append(seconds))
    monkeypatch.setattr(waiting, "FIRST_PAUSE", 0.001)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("XDG_RUNTIME_DIR", raising=False)
    return found


def for_layer(
    reply: Callable[[Reply, Request], Reply | None],
) -> Callable[[Request, Reply], Reply | None]:
    """A lie about the layer only."""

    def lie(request: Request, truth: Reply) -> Reply | None:
        return reply(truth, request) if request.path.endswith(sha256(LAYER)) else None

    return lie


def test_the_truth_is_believed() -> None:
    assert fetched(Liar()) == WANTED


@pytest.mark.parametrize(
    ("reply", "words"),
    [
        (lambda t: Reply(200, bytes(len(t.body))), "the digest of what was fetched is sha256:"),
        (lambda t: Reply(200, t.body[:-1]), "the server has .* bytes, .* are stated"),
        (lambda t: Reply(200, t.body + b"x"), "the server has .* bytes, .* are stated"),
        (lambda t: Reply(200, t.body, endless=True), "sends more than the .* bytes stated"),
        (lambda _: Reply(200, b"\0", endless=True), "sends more than the .* bytes stated"),
        (lambda _: Reply(403), "HTTP 403"),
        (lambda _: Reply(416), "HTTP 416"),
        (lambda _: Reply(404), "the registry has no blob sha256:"),
        (lambda _: Reply(204), "HTTP 204"),
    ],
)
def test_a_layer_that_is_not_the_stated_one(reply: Callable[[Reply], Reply], words: str) -> None:
    with pytest.raises(InputError, match=words):
        fetched(Liar(for_layer(lambda truth, _: reply(truth))))


def test_a_changed_byte_in_the_middle_changes_everything() -> None:
    changed = bytearray(LAYER)
    changed[len(changed) // 2] ^= 1
    with pytest.raises(FormatError, match="the digest of what was fetched"):
        fetched(Liar(for_layer(lambda _truth, _request: Reply(200, bytes(changed)))))


def test_a_connection_that_breaks_is_made_anew_from_there() -> None:
    def breaks(truth: Reply, request: Request) -> Reply:
        return Reply(truth.status, truth.body, cut=(2 << 20) if request.start < (1 << 20) else None)

    liar = Liar(for_layer(breaks))
    assert fetched(liar) == WANTED
    assert liar.layer_requests()[0] == 0
    assert liar.layer_requests()[1] >= 1 << 20, "the rest is asked for"


def test_a_server_without_ranges_begins_again() -> None:
    calls = []

    def breaks(_truth: Reply, _request: Request) -> Reply:
        calls.append(1)
        return Reply(200, LAYER, cut=(2 << 20) if len(calls) == 1 else None)

    assert fetched(Liar(for_layer(breaks))) == WANTED
    assert len(calls) == 2


def test_a_connection_that_breaks_again_and_again_is_given_up() -> None:
    liar = Liar(for_layer(lambda truth, _: Reply(truth.status, truth.body, cut=10)))
    with pytest.raises(TransferError, match="the connection broke"):
        fetched(liar)
    assert len(liar.layer_requests()) <= waiting.ATTEMPTS + 1


def test_another_blob_when_asked_for_the_rest() -> None:
    def turns(truth: Reply, request: Request) -> Reply:
        if request.start:
            return Reply(206, bytes(len(truth.body)))
        return Reply(200, truth.body, cut=2 << 20)

    with pytest.raises(FormatError, match="the digest of what was fetched"):
        fetched(Liar(for_layer(turns)))


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504])
@pytest.mark.parametrize(("header", "least", "most"), [("7", 7, 7), ("", 0, 1), ("soon", 0, 1)])
def test_a_busy_registry_is_asked_again(
    status: int, header: str, least: float, most: float, pauses: list[float]
) -> None:
    busy = [Reply(status, b"", {"Retry-After": header})] * 2
    liar = Liar(for_layer(lambda _truth, _request: busy.pop() if busy else None))
    assert fetched(liar) == WANTED
    assert len(pauses) == 2
    assert all(least <= pause <= most for pause in pauses)


def test_a_registry_that_stays_busy_or_wants_too_much_patience(pauses: list[float]) -> None:
    with pytest.raises(TransferError, match=r"it is busy \(HTTP 503\) after 5 attempts"):
        fetched(Liar(for_layer(lambda _truth, _request: Reply(503))))
    pauses.clear()
    wants = Reply(429, b"", {"Retry-After": "86400"})
    with pytest.raises(TransferError, match="wants a pause of 86400 seconds"):
        fetched(Liar(for_layer(lambda _truth, _request: wants)))
    assert not pauses


@pytest.mark.parametrize(
    "target",
    [
        "http://{other}/blob",
        "file:///etc/passwd",
        "ftp://{other}/blob",
        "https://user:secret@{other}/x",
        "gopher:x",
        "https://[::1",  # no address at all
        "//user:secret@[x]/",
        "https://user@{other}/x",
        "https://registry.example\\@{other}/x",
        "//{other}\\@registry.example/",
    ],
)
def test_redirects_that_lead_out_of_security(target: str) -> None:
    seen: list[Request] = []

    def other(request: Request) -> Reply:
        seen.append(request)
        return Reply(200, LAYER)

    with server(other) as host:
        there = Reply(307, b"", {"Location": target.format(other=host)})
        with pytest.raises(TransferError) as caught:
            fetched(Liar(for_layer(lambda _truth, _request: there)))
        assert "secret" not in str(caught.value)
    assert not seen


def test_redirects_without_end() -> None:
    round_and_round = Liar()
    round_and_round.lies = lambda request, _: Reply(302, b"", {"Location": request.path})
    with pytest.raises(TransferError, match="more than 5 redirects"):
        fetched(round_and_round)
    assert len(round_and_round.asked) <= 8


def test_a_redirect_to_a_store_gets_no_login(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    seen: list[Request] = []

    def store(request: Request) -> Reply:
        seen.append(request)
        return Reply(200, LAYER)

    def lie(request: Request, _truth: Reply) -> Reply | None:
        if "Authorization" not in request.headers:
            return Reply(401, b"", {"WWW-Authenticate": 'Basic realm="x"'})
        if request.path.endswith(sha256(LAYER)):
            return Reply(307, b"", {"Location": f"http://{host_of_store}/blob?signed=1"})
        return None

    with server(store) as host_of_store, server(Liar(lie)) as host:
        login = {"auths": {host: {"auth": "dTpw"}}}
        (tmp_path / "config.json").write_text(json.dumps(login))
        options = Options(insecure_registries=(host, host_of_store))
        assert files(f"docker://{host}/{NAME}:1", options) == WANTED
    assert len(seen) == 1
    assert "Authorization" not in seen[0].headers


def test_a_store_that_asks_who_we_are_is_not_told(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    seen: list[Request] = []

    def store(request: Request) -> Reply:
        seen.append(request)
        realm = f'Bearer realm="http://{request.headers["Host"]}/token"'
        return Reply(401, b"", {"WWW-Authenticate": f'{realm}, Basic realm="x"'})

    def lie(request: Request, _truth: Reply) -> Reply | None:
        if request.path.endswith(sha256(LAYER)):
            return Reply(307, b"", {"Location": f"http://{host_of_store}/blob"})
        return None

    with server(store) as host_of_store, server(Liar(lie)) as host:
        logins = {name: {"auth": "dTpw"} for name in (host, host_of_store)}
        (tmp_path / "config.json").write_text(json.dumps({"auths": logins}))
        with pytest.raises(TransferError, match="HTTP 401"):
            files(f"docker://{host}/{NAME}:1", Options(insecure_registries=(host, host_of_store)))
    assert {request.path for request in seen} == {"/blob"}
    assert not any("Authorization" in request.headers for request in seen)


@pytest.mark.parametrize(
    ("body", "error", "words"),
    [
        (b"", FormatError, "cannot be read"),
        (b"[]", FormatError, "cannot be read"),
        (b"{}", FormatError, "neither an image manifest nor an index"),
        (b'{"manifests": [], "layers": []}', FormatError, "neither an image manifest nor an index"),
        (b'{"schemaVersion": 2, "manifests": []}', FormatError, "there is no image in it"),
        (b"[" * 100000, FormatError, "cannot be read"),
        (b" " * (5 << 20), TransferError, "an answer of more than"),
    ],
)
def test_manifests_that_are_none(body: bytes, error: type[InputError], words: str) -> None:
    liar = Liar(lambda request, _: Reply(200, body) if "manifests" in request.path else None)
    with pytest.raises(error, match=words):
        fetched(liar)


def test_a_manifest_other_than_the_digest_that_was_asked_for() -> None:
    liar = Liar()
    assert fetched(liar, liar.manifest) == WANTED
    other = json.dumps({"schemaVersion": 2}).encode()
    liar.lies = lambda request, _: Reply(200, other) if "manifests" in request.path else None
    with pytest.raises(FormatError, match="the digest of the manifest is"):
        fetched(liar, liar.manifest)


def with_manifest(change: Callable[[dict[str, object]], object]) -> Liar:
    """A liar whose manifest was changed before it was stored."""
    liar = Liar()
    manifest = json.loads(liar.layout.blobs[liar.manifest])
    change(manifest)
    liar.manifest = str(liar.layout.put_json(manifest, "manifest")["digest"])
    return liar


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        (lambda m: m["layers"][0].update(size=1 << 60), FormatError, "a layer of"),
        (lambda m: m["layers"][0].update(size=-1), FormatError, "a layer of -1 bytes"),
        (lambda m: m["layers"][0].update(size=10), FormatError, "are stated"),
        (lambda m: m["layers"][0].update(digest="sha256:../../x"), FormatError, "not a digest"),
        (lambda m: m["layers"][0].update(digest="md5:00"), UnsupportedError, "md5"),
        (lambda m: m["config"].update(size=1 << 40), LimitError, "image configuration of more"),
        (lambda m: m["config"].update(digest=sha256(LAYER)), FormatError, "are stated"),
        (lambda m: m.update(layers=m["layers"] * 2), FormatError, "its configuration speaks of 1"),
        (lambda m: m.update(layers=m["layers"] * 2000), LimitError, "2000 layers"),
    ],
)
def test_manifests_that_make_no_sense(
    change: Callable[[dict[str, object]], object], error: type[InputError], words: str
) -> None:
    with pytest.raises(error, match=words):
        fetched(with_manifest(change))


def test_a_manifest_of_the_first_format() -> None:
    kind = "application/vnd.docker.distribution.manifest.v1+prettyjws"
    old = Reply(200, b"{}", {"Content-Type": kind})
    with pytest.raises(UnsupportedError, match=r"before Docker 1\.10"):
        fetched(Liar(lambda request, _: old if "manifests" in request.path else None))


@pytest.mark.parametrize(
    "challenge",
    [
        "",
        "Bearer",
        'Bearer realm=""',
        'Bearer realm="file:///etc/passwd"',
        'Bearer realm="https://[::1"',
        "Digest x=1",
        "Basic,,",
    ],
)
def test_challenges_that_lead_nowhere(challenge: str) -> None:
    refusal = Reply(401, b"", {"WWW-Authenticate": challenge})
    with pytest.raises(TransferError):
        fetched(Liar(lambda _request, _truth: refusal))


@pytest.mark.parametrize("token", [b"", b"[]", b"{}", b'{"token": "a\\nb"}', b"x" * (300 << 10)])
def test_token_servers_that_give_none(token: bytes) -> None:
    def answer(request: Request) -> Reply:
        if request.path.startswith("/token"):
            return Reply(200, token)
        return Reply(
            401, b"", {"WWW-Authenticate": f'Bearer realm="http://{request.headers["Host"]}/token"'}
        )

    with pytest.raises(TransferError):
        fetched(answer)


@pytest.mark.parametrize(
    "text",
    [
        "{",
        "[]",
        '{"auths": []}',
        '{"auths": {"HOST": {"auth": "%%%"}}}',
        '{"auths": {"HOST": {"auth": "bm9jb2xvbg=="}}}',
        '{"auths": {"HOST": {"auth": "/////w=="}}}',
        '{"credsStore": "../../bin/sh"}',
        '{"credsStore": "is-not-installed"}',
    ],
)
def test_rotten_credentials(text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    refusal = Reply(401, b"", {"WWW-Authenticate": 'Basic realm="x"'})
    with server(Liar(lambda _request, _truth: refusal)) as host:
        (tmp_path / "config.json").write_text(text.replace("HOST", host))
        result = sysgraft(
            "ext", "build", "fw", f"docker://{host}/{NAME}:1", "--unsigned", "--output", tmp_path,
            "--insecure-registry", host,
        )  # fmt: skip
    assert result.code == 2
    assert result.err.startswith("error: ")
    assert "Traceback" not in result.err
    assert not list(tmp_path.glob("*.raw*"))


def test_a_registry_that_hardly_sends_anything(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "_STALL_SECONDS", 0.2)
    start = time.monotonic()
    with pytest.raises(TransferError, match="less than a kilobyte"):
        fetched(Liar(for_layer(lambda truth, _: Reply(truth.status, truth.body, pace=0.01))))
    assert time.monotonic() - start < 30, "it ends by itself"


def test_a_bomb_from_a_registry() -> None:
    import gzip  # noqa: PLC0415

    liar = Liar()
    zeros = tar_of({"usr/zeros": bytes(40 << 20)})
    packed = gzip.compress(zeros * 8, 9, mtime=0)
    manifest = json.loads(liar.layout.blobs[liar.manifest])
    config = {"architecture": "amd64", "rootfs": {"diff_ids": [sha256(zeros * 8)]}}
    manifest["config"] = liar.layout.put_json(config, "config")
    manifest["layers"] = [liar.layout.put(packed)]
    liar.manifest = str(liar.layout.put_json(manifest, "manifest")["digest"])
    with pytest.raises(LimitError, match="bytes of gzip data grow to more than"):
        fetched(liar)
