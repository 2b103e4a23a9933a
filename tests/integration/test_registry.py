"""Debian's docker-registry on loopback: images by tag and digest, every login, TLS."""

from __future__ import annotations

import gzip
import json
import sys
from typing import TYPE_CHECKING

import pytest

from command import sysgraft
from image_kit import Layout, contents, files, sha256, tar_of
from registry_kit import (
    HTPASSWD,
    PASSWORD,
    USER,
    docker_config,
    push,
    registry,
    server_certificate,
    token_server,
)
from sysgraft.build.collect import Options, open_tree
from sysgraft.errors import InputError, TransferError

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from conftest import SigningPair

pytestmark = [pytest.mark.oracle("docker-registry"), pytest.mark.oracle("skopeo")]

BASE = tar_of({"usr/base": b"base" * 5000, "usr/gone": b"gone"})
TOP = tar_of({"usr/lib/firmware/a": bytes(range(256)) * 9000, "usr/.wh.gone": b""})
FIRMWARE: dict[str, bytes | None] = {"usr/lib/firmware/a": bytes(range(256)) * 9000}


@pytest.fixture(autouse=True)
def no_logins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Nobody's own logins; gives the folder of Docker's configuration."""
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("XDG_RUNTIME_DIR", "XDG_CONFIG_HOME", "REGISTRY_AUTH_FILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path / "docker"))
    return tmp_path / "docker"


@pytest.fixture
def host(tmp_path: Path) -> Iterator[str]:
    with registry(tmp_path) as address:
        yield address


def options(host: str, **more: object) -> Options:
    return Options(insecure_registries=(host,), whiteouts="drop", **more)  # type: ignore[arg-type]


def pushed(
    tmp_path: Path, target: str, *layers: bytes, pack: Callable[[bytes], bytes] = bytes
) -> str:
    """Push an image of these layers; its manifest's digest."""
    layout = Layout()
    descriptor = layout.manifest(*layers, pack=pack)
    layout.add(descriptor)
    path = layout.write(tmp_path / f"layout-{target.replace('/', '-').replace(':', '-')}")
    push(f"oci:{path}", f"docker://{target}", "--preserve-digests")
    return str(descriptor["digest"])


def gzipped(data: bytes) -> bytes:
    return gzip.compress(data, mtime=0)


@pytest.mark.parametrize("pack", [bytes, gzipped, zstd.compress], ids=["plain", "gzip", "zstd"])
def test_the_last_layer_is_fetched_and_no_other(
    tmp_path: Path, host: str, pack: Callable[[bytes], bytes]
) -> None:
    digest = pushed(tmp_path, f"{host}/team/fw:1", BASE, TOP, pack=pack)
    with open_tree([f"docker://{host}/team/fw:1"], options(host)) as collected:
        assert contents(collected) == FIRMWARE
        assert collected.architecture == "x86-64"
        assert collected.sources == (f"image {host}/team/fw:1 ({digest})",)
        stored = len(pack(BASE))
        assert collected.notes == (
            f"1 of 2 layers of {host}/team/fw:1 are not fetched ({stored} bytes as stored)",
        )
    # The lower layer is not needed: without it the registry still serves the image.
    blob = sha256(pack(BASE)).removeprefix("sha256:")
    (tmp_path / f"images/docker/registry/v2/blobs/sha256/{blob[:2]}/{blob}/data").unlink()
    assert files(f"docker://{host}/team/fw:1", options(host)) == FIRMWARE
    with pytest.raises(InputError):
        files(f"docker://{host}/team/fw:1", options(host, layers="all"))


def test_all_layers_and_digests_instead_of_tags(tmp_path: Path, host: str) -> None:
    digest = pushed(tmp_path, f"{host}/fw:1", BASE, TOP, pack=gzipped)
    everything = {**FIRMWARE, "usr/base": b"base" * 5000}
    for name in (f"{host}/fw:1", f"{host}/fw@{digest}", f"{host}/fw:1@{digest}"):
        assert files(f"docker://{name}", options(host, layers="all")) == everything
    # Without a prefix it is the registry's too, where no daemon has it.
    assert files(f"{host}/fw:1", options(host)) == FIRMWARE
    other = f"{host}/fw@sha256:{'0' * 64}"
    with pytest.raises(InputError, match="the registry has no image sha256:000") as caught:
        files(f"docker://{other}", options(host))
    assert caught.value.file == other


def test_one_name_for_several_architectures(tmp_path: Path, host: str) -> None:
    layout = Layout()
    for arch in ("amd64", "arm64"):
        found = layout.manifest(tar_of({"usr/arch": arch.encode()}), arch=arch)
        layout.add(found, platform={"architecture": arch, "os": "linux"})
    path = layout.write(tmp_path / "layout")
    nested = json.dumps({"schemaVersion": 2, "manifests": layout.manifests}).encode()
    layout.manifests = [layout.put(nested, "application/vnd.oci.image.index.v1+json")]
    path = layout.write(tmp_path / "nested")
    push(f"oci:{path}", f"docker://{host}/fw:1", "--all")
    name = f"docker://{host}/fw:1"
    assert files(name, options(host, architecture="arm64")) == {"usr/arch": b"arm64"}
    with open_tree([name], options(host)) as collected:
        assert contents(collected) == {"usr/arch": b"amd64"}
        assert "that for x86-64 is taken" in collected.notes[0]


def test_a_registry_is_insecure_only_if_named(tmp_path: Path, host: str) -> None:
    pushed(tmp_path, f"{host}/fw:1", TOP)
    with pytest.raises(TransferError) as caught:
        files(f"docker://{host}/fw:1", Options())
    assert "--insecure-registry" in caught.value.hint
    result = sysgraft(
        "ext", "build", "fw", f"docker://{host}/fw:1", "--unsigned", "--output", tmp_path
    )
    assert result.code == 2
    assert f"error: {host}: no secure connection" in result.err


def test_tls_with_a_certificate_the_system_knows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    certificate, key = server_certificate(tmp_path)
    tls = f"  tls: {{certificate: {certificate}, key: {key}}}\n"
    with registry(tmp_path, http_more=tls) as host:
        pushed(tmp_path, f"{host}/fw:1", TOP)
        with pytest.raises(TransferError, match="no secure connection"):
            files(f"docker://{host}/fw:1", Options(whiteouts="drop"))
        assert files(f"docker://{host}/fw:1", options(host)) == FIRMWARE
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
        assert files(f"docker://{host}/fw:1", Options(whiteouts="drop")) == FIRMWARE


def test_a_password(tmp_path: Path, no_logins: Path) -> None:
    (tmp_path / "htpasswd").write_text(f"{HTPASSWD}\n")
    auth = f"auth: {{htpasswd: {{realm: test, path: {tmp_path}/htpasswd}}}}\n"
    with registry(tmp_path, auth) as host:
        docker_config(no_logins, host)
        pushed(tmp_path, f"{host}/fw:1", TOP)
        assert files(f"docker://{host}/fw:1", options(host)) == FIRMWARE
        docker_config(no_logins, host, password="wrong")
        with pytest.raises(TransferError, match="does not accept the credentials") as caught:
            files(f"docker://{host}/fw:1", options(host))
        assert "docker login" in caught.value.hint
        assert "wrong" not in str(caught.value) + caught.value.hint
        (no_logins / "config.json").unlink()
        with pytest.raises(TransferError, match="there are no credentials for it"):
            files(f"docker://{host}/fw:1", options(host))


def test_tokens(tmp_path: Path, no_logins: Path, signing_pair: SigningPair) -> None:
    with token_server(signing_pair.key, signing_pair.certificate) as tokens:
        auth = (
            f"auth: {{token: {{realm: 'http://{tokens.address}/token', service: registry, "
            f"issuer: test, rootcertbundle: {signing_pair.certificate}}}}}\n"
        )
        with registry(tmp_path, auth) as host:
            named = Options(insecure_registries=(host, tokens.address), whiteouts="drop")
            docker_config(no_logins, host)
            pushed(tmp_path, f"{host}/team/fw:1", TOP)
            tokens.seen.clear()
            assert files(f"docker://{host}/team/fw:1", named) == FIRMWARE
            assert len(tokens.seen) == 1, "one token serves all requests"
            assert "scope=repository%3Ateam%2Ffw%3Apull" in tokens.seen[0][0]
            # A token server that is not secure gets no credentials unless it is named.
            tokens.seen.clear()
            with pytest.raises(TransferError, match="is not secure"):
                files(f"docker://{host}/team/fw:1", options(host))
            assert not tokens.seen
            identity = {"auths": {host: {"identitytoken": tokens.refresh}}}
            (no_logins / "config.json").write_text(json.dumps(identity))
            assert files(f"docker://{host}/team/fw:1", named) == FIRMWARE


def test_a_login_that_a_helper_keeps(
    tmp_path: Path, no_logins: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "htpasswd").write_text(f"{HTPASSWD}\n")
    auth = f"auth: {{htpasswd: {{realm: test, path: {tmp_path}/htpasswd}}}}\n"
    helper = tmp_path / "bin/docker-credential-vault"
    helper.parent.mkdir()
    answer = json.dumps({"ServerURL": "x", "Username": USER, "Secret": PASSWORD})
    helper.write_text(f"#!/bin/sh\ncat > {tmp_path}/asked\necho '{answer}'\n")
    helper.chmod(0o755)
    with registry(tmp_path, auth) as host:
        docker_config(no_logins, host)
        pushed(tmp_path, f"{host}/fw:1", TOP)
        monkeypatch.setenv("PATH", f"{helper.parent}:/usr/bin:/bin")
        old = {"auths": {host: {"auth": "b2xkOm9sZA=="}}, "credHelpers": {host: "vault"}}
        (no_logins / "config.json").write_text(json.dumps(old))
        assert files(f"docker://{host}/fw:1", options(host)) == FIRMWARE
        assert (tmp_path / "asked").read_text() == host
