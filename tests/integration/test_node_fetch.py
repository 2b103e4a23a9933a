"""Extension images over HTTP from servers that lie, from registries, daemons and files."""

from __future__ import annotations

import gzip
import hashlib
import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest

from image_kit import Layout, docker_archive, sha256, tar_of
from podman_kit import new_podman
from registry_kit import Reply, Request, push, registry, server, server_certificate
from sysgraft.errors import (
    FormatError,
    InputError,
    LimitError,
    OutputError,
    SysgraftError,
    TransferError,
    UsageError,
)
from sysgraft.formats.kairos_catalog import CONFEXT_RAW_TYPE, RAW_TYPE
from sysgraft.host.architecture import this_architecture
from sysgraft.node.fetch import Fetched, FetchOptions, fetch
from sysgraft.transport import http, waiting

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

DATA = hashlib.shake_256(b"an extension").digest(3 << 20)
DIGEST = sha256(DATA)
OTHER = hashlib.shake_256(b"another one").digest(3 << 20)


@pytest.fixture(autouse=True)
def pauses(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[float]:
    """No waiting and no logins; gives what would have been waited for."""
    found: list[float] = []
    monkeypatch.setattr(http.Http, "pause", lambda _, seconds: found.append(seconds))
    monkeypatch.setattr(waiting, "FIRST_PAUSE", 0.001)
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("XDG_RUNTIME_DIR", "XDG_CONFIG_HOME", "REGISTRY_AUTH_FILE", "DOCKER_CONFIG"):
        monkeypatch.delenv(name, raising=False)
    return found


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """Where images go; nothing may be left there."""
    path = tmp_path / "store"
    path.mkdir()
    yield path
    assert os.listdir(path) == []


def fetched(uri: str, folder: Path, options: FetchOptions | None = None) -> tuple[Fetched, bytes]:
    with fetch(uri, str(folder), options or FetchOptions()) as found:
        assert os.listdir(folder) == [os.path.basename(found.path)]
        assert os.path.basename(found.path).startswith(".sysgraft-")
        assert os.stat(found.path).st_mode == 0o100644
        with open(found.path, "rb") as file:
            data = file.read()
    assert found.digest == sha256(data)
    assert found.size == len(data)
    return found, data


def refused(
    kind: type[SysgraftError], words: str, uri: str, folder: Path, **options: object
) -> SysgraftError:
    wanted = FetchOptions(**options)  # type: ignore[arg-type]
    with pytest.raises(kind, match=words) as caught, fetch(uri, str(folder), wanted):
        pass
    assert os.listdir(folder) == []
    for text in (str(caught.value), caught.value.hint):
        assert "secret" not in text
    return caught.value


# --- HTTP ----------------------------------------------------------------------------------------


@dataclass
class Web:
    """A server that answers as it is told, in this order; the last answer is repeated.

    Attributes:
        replies: an answer, or what makes one.
        asked: everything that was asked for.
    """

    replies: list[Reply | Callable[[Request], Reply]]
    asked: list[Request] = field(default_factory=list)

    def __call__(self, request: Request) -> Reply:
        self.asked.append(request)
        reply = self.replies.pop(0) if len(self.replies) > 1 else self.replies[0]
        return reply if isinstance(reply, Reply) else reply(request)


PATH = "/a/hello%20world.sysext.raw?token=secret#secret"


def test_a_file_over_http(folder: Path) -> None:
    web = Web([Reply(200, DATA)])
    with server(web) as host:
        found, data = fetched(f"http://{host}{PATH}", folder)
        assert data == DATA
        assert found.name == "hello world.sysext.raw"
        assert not found.proven
        for digest in (DIGEST, DIGEST.removeprefix("sha256:").upper()):
            found, _ = fetched(f"http://{host}{PATH}", folder, FetchOptions(digest=digest))
            assert found.proven
    assert web.asked[0].path.endswith("?token=secret"), "the server gets it"
    assert "Range" not in web.asked[0].headers


def test_a_file_that_was_given_a_name_stays(tmp_path: Path) -> None:
    with server(Web([Reply(200, DATA)])) as host, fetch(f"http://{host}/x", str(tmp_path)) as found:
        os.rename(found.path, tmp_path / "x.raw")
    assert (tmp_path / "x.raw").read_bytes() == DATA
    assert not list(tmp_path.glob(".sysgraft-*"))


@pytest.mark.parametrize(
    ("reply", "kind", "words"),
    [
        (Reply(404), TransferError, "hello%20world.sysext.raw: HTTP 404"),
        (Reply(403, b"secret"), TransferError, "HTTP 403"),
        (Reply(204), TransferError, "HTTP 204"),
        (Reply(206, DATA), TransferError, "HTTP 206"),
        (Reply(416), TransferError, "HTTP 416"),
        (Reply(200, b""), TransferError, "the file is empty"),
        (
            Reply(200, gzip.compress(DATA), {"Content-Encoding": "gzip"}),
            TransferError,
            "compressed",
        ),
        (Reply(200, DATA, {"Content-Length": str(9 << 30)}), LimitError, "more than 8589934592"),
        (Reply(200, b"x", endless=True), LimitError, "more than"),
        (Reply(503), TransferError, "it is busy"),
        (Reply(200, DATA, cut=1000), TransferError, "the connection broke"),
        (Reply(302, b"", {"Location": PATH}), TransferError, "more than 5 redirects"),
        (Reply(302, b"", {"Location": "file:///x?secret"}), TransferError, "without a host"),
        (Reply(302, b"", {"Location": "ftp://h/x?secret"}), TransferError, "not secure"),
        (Reply(302, b"", {"Location": "http://me:secret@h/"}), TransferError, "not an address"),
        (Reply(302, b"", {"Location": "http://a b/?secret"}), TransferError, "not an address"),
    ],
)
def test_answers_that_are_refused(
    reply: Reply, kind: type[SysgraftError], words: str, folder: Path
) -> None:
    web = Web([reply])
    limit = {"limit": 10 << 20} if reply.endless else {}
    with server(web) as host:
        error = refused(kind, words, f"http://{host}{PATH}", folder, **limit)
        assert error.file
    assert len(web.asked) <= waiting.ATTEMPTS + 1


def test_another_digest(folder: Path) -> None:
    with server(Web([Reply(200, OTHER)])) as host:
        words = f"the digest of the file is {sha256(OTHER)}, {DIGEST} is stated"
        refused(FormatError, words, f"http://{host}{PATH}", folder, digest=DIGEST)
    refused(UsageError, "not a SHA-256 digest", "http://127.0.0.1:1/x", folder, digest="sha256:1")


def test_what_does_not_fit_is_not_begun(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sysgraft.host.space.free_bytes", lambda _: 1000)
    with server(Web([Reply(200, DATA)])) as host:
        words = "3145728 bytes are needed, 1000 are free"
        refused(OutputError, words, f"http://{host}{PATH}", folder)


def part_of(data: bytes, tag: str) -> Callable[[Request], Reply]:
    """The part that is asked for if the file is still that one, else all of it."""

    def answer(request: Request) -> Reply:
        if not request.start or request.headers.get("If-Range") != tag:
            return Reply(200, data, {"ETag": tag})
        span = f"bytes {request.start}-{len(data) - 1}/{len(data)}"
        return Reply(206, data[request.start :], {"ETag": tag, "Content-Range": span})

    return answer


BREAKS = Reply(200, DATA, {"ETag": '"1"'}, cut=2 << 20)


def test_a_broken_connection_is_taken_up_where_it_broke(folder: Path) -> None:
    web = Web([BREAKS, part_of(DATA, '"1"')])
    with server(web) as host:
        found, data = fetched(f"http://{host}/x.raw", folder)
    assert data == DATA
    assert found.digest == DIGEST
    assert web.asked[1].start >= 1 << 20
    assert web.asked[1].headers["If-Range"] == '"1"'


@pytest.mark.parametrize(
    "then",
    [
        [part_of(OTHER, '"2"')],
        # Whoever sends a part of something else although it was asked not to.
        [Reply(206, OTHER[2 << 20 :], {"ETag": '"2"'}), part_of(OTHER, '"2"')],
        [Reply(206, OTHER[2 << 20 :], {"Content-Range": "bytes 5-9/10"}), part_of(OTHER, '"2"')],
        [Reply(206, OTHER[2 << 20 :]), Reply(200, OTHER)],
        [Reply(416), Reply(200, OTHER)],
    ],
)
def test_a_file_that_changed_meanwhile_is_not_mixed(
    then: list[Reply | Callable[[Request], Reply]], folder: Path
) -> None:
    with server(Web([BREAKS, *then])) as host:
        assert fetched(f"http://{host}/x.raw", folder)[1] == OTHER


@pytest.mark.parametrize("headers", [{}, {"ETag": 'W/"1"'}, {"Last-Modified": "soon"}])
def test_a_server_without_validators_begins_again(headers: dict[str, str], folder: Path) -> None:
    web = Web([Reply(200, DATA, headers, cut=2 << 20), Reply(200, DATA, headers)])
    with server(web) as host:
        assert fetched(f"http://{host}/x.raw", folder)[1] == DATA
    assert "Range" not in web.asked[1].headers


def test_a_server_that_always_breaks_is_given_up(folder: Path) -> None:
    web = Web([Reply(200, DATA, cut=2 << 20)])
    with server(web) as host:
        refused(TransferError, "the connection broke", f"http://{host}/x.raw", folder)
    assert len(web.asked) <= waiting.ATTEMPTS + 1


def test_a_server_that_hardly_sends_anything(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "_STALL_SECONDS", 0.1)
    with server(Web([Reply(200, DATA, pace=0.05)])) as host:
        refused(TransferError, "less than a kilobyte", f"http://{host}/x.raw", folder)


def test_redirects(tmp_path: Path, folder: Path) -> None:
    pair = server_certificate(tmp_path)
    with server(Web([Reply(200, DATA)])) as plain:
        there = Reply(302, b"", {"Location": f"http://{plain}/y.raw?secret"})
        with server(Web([there])) as first:
            found, data = fetched(f"http://{first}/x.raw", folder)
            assert (found.name, data) == ("x.raw", DATA)
        with server(Web([there]), pair) as secure:
            words = f"it redirects to http://{plain}, which is not secure"
            refused(TransferError, words, f"https://{secure}/x", folder, insecure=(secure, plain))
    with server(Web([Reply(200, DATA)]), pair) as secure:
        there = Reply(302, b"", {"Location": f"https://{secure}/y.raw"})
        with server(Web([there])) as first:
            options = FetchOptions(insecure=(secure,))
            assert fetched(f"http://{first}/x.raw", folder, options)[1] == DATA
            refused(TransferError, "no secure connection", f"http://{first}/x.raw", folder)
        gone = Web([Reply(302, b"", {"Location": f"http://{secure}/y"})])
        with server(gone) as first:
            refused(TransferError, "connection", f"http://{first}/x.raw", folder)


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("https://me:secret@127.0.0.1/x", "a name or password in an address is not used"),
        ("http://127.0.0.1:1/?token=secret", "no connection"),
        ("http:///x?secret", "an address without a host"),
        ("http:x", "not an address"),
        ("http://a b/?x=secret", "not an address"),
    ],
)
def test_addresses_that_lead_nowhere(url: str, words: str, folder: Path) -> None:
    refused(SysgraftError, words, url, folder)


# --- Files ---------------------------------------------------------------------------------------


def test_files(tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.raw"
    path.write_bytes(DATA)
    link = tmp_path / "link.raw"
    link.symlink_to("a.raw")
    monkeypatch.chdir(tmp_path)
    for uri in (str(path), f"file:{path}", f"file://{path}", "file:a.raw", "a.raw", str(link)):
        found, data = fetched(uri, folder)
        assert data == DATA
        assert not found.proven
    assert found.name == "link.raw"
    found, _ = fetched("a.raw", folder, FetchOptions(digest=DIGEST))
    assert found.proven
    refused(FormatError, "is stated", "a.raw", folder, digest="0" * 64)
    refused(LimitError, "more than 10 bytes", "a.raw", folder, limit=10)


def test_what_is_no_regular_file(tmp_path: Path, folder: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "empty").touch()
    refused(InputError, "not a regular file", str(tmp_path / "pipe"), folder)
    refused(InputError, "not a regular file", str(tmp_path), folder)
    refused(InputError, "empty", str(tmp_path / "empty"), folder)
    refused(InputError, "No such file", str(tmp_path / "none"), folder)
    refused(InputError, "not a regular file", "/dev/null", folder)
    with pytest.raises(OutputError), fetch(str(tmp_path), str(tmp_path / "none")):
        pass


def test_a_file_that_changes_while_it_is_copied(tmp_path: Path, folder: Path) -> None:
    path = tmp_path / "a.raw"
    path.write_bytes(DATA)

    class Touching:
        def start(self, label: str, total: int) -> None:
            assert (label, total) == (f"Copying {path}", len(DATA))
            path.write_bytes(OTHER)

        def advance(self, amount: int) -> None:
            pass

        def finish(self) -> None:
            pass

    with (
        pytest.raises(InputError, match="changed while it was being read"),
        fetch(str(path), str(folder), progress=Touching()),
    ):
        pass


# --- Registries ----------------------------------------------------------------------------------


@pytest.fixture
def host(tmp_path: Path) -> Iterator[str]:
    with registry(tmp_path) as address:
        yield address


def artifact(layout: Layout, data: bytes, kind: str = RAW_TYPE, title: str = "") -> str:
    """Put an extension image as ``oras push`` does; its manifest's digest."""
    layer = layout.put(data, kind)
    if title:
        layer["annotations"] = {"org.opencontainers.image.title": title}
    manifest = {
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "artifactType": kind,
        "config": layout.put(b"{}", "application/vnd.oci.empty.v1+json"),
        "layers": [layer],
    }
    descriptor = layout.put_json(manifest, "manifest")
    layout.add(descriptor)
    return str(descriptor["digest"])


def pushed(layout: Layout, tmp_path: Path, target: str, *more: str) -> None:
    path = layout.write(tmp_path / ("layout-" + target.replace("/", "-").replace(":", "-")))
    push(f"oci:{path}", f"docker://{target}", "--preserve-digests", *more)


@pytest.mark.oracle("docker-registry")
@pytest.mark.oracle("skopeo")
@pytest.mark.parametrize("kind", [RAW_TYPE, CONFEXT_RAW_TYPE])
def test_an_artifact(kind: str, tmp_path: Path, host: str, folder: Path) -> None:
    layout = Layout()
    digest = artifact(layout, DATA, kind, "../../etc/hello.sysext.raw")
    pushed(layout, tmp_path, f"{host}/team/hello:1")
    options = FetchOptions(insecure=(host,))
    for uri in (f"oci:{host}/team/hello:1", f"oci://{host}/team/hello:1"):
        found, data = fetched(uri, folder, options)
        assert data == DATA
        assert (found.name, found.proven) == ("hello.sysext.raw", False)
    for name in (f"{host}/team/hello@{digest}", f"{host}/team/hello:1@{digest}"):
        for prefix in ("oci:", "docker:", "docker://", "container:"):
            found, _ = fetched(f"{prefix}{name}", folder, options)
            assert found.proven
    stated = FetchOptions(insecure=(host,), digest=DIGEST)
    assert fetched(f"oci:{host}/team/hello:1", folder, stated)[0].proven
    uri = f"oci:{host}/team/hello:1"
    refused(FormatError, "is stated", uri, folder, insecure=(host,), digest="0" * 64)
    refused(LimitError, "more than 100 bytes", uri, folder, insecure=(host,), limit=100)
    refused(TransferError, "no secure connection", uri, folder)
    refused(InputError, "no image", f"oci:{host}/team/none", folder, insecure=(host,))


@pytest.mark.oracle("docker-registry")
@pytest.mark.oracle("skopeo")
@pytest.mark.parametrize("pack", [bytes, gzip.compress], ids=["plain", "gzip"])
def test_a_container_image(
    pack: Callable[[bytes], bytes], tmp_path: Path, host: str, folder: Path
) -> None:
    layout = Layout()
    lower = tar_of({"etc/os-release": b"ID=x", "old.sysext.raw": OTHER, "x.sysext.raw": OTHER})
    upper = tar_of({".wh.old.sysext.raw": b"", "x.sysext.raw": DATA, "usr/bin/x": b"x" * 9999})
    descriptor = layout.manifest(lower, upper, tar_of({"more": b"more"}), pack=pack)
    layout.add(descriptor)
    pushed(layout, tmp_path, f"{host}/team/image:1")
    options = FetchOptions(insecure=(host,))
    found, data = fetched(f"oci:{host}/team/image:1", folder, options)
    assert data == DATA
    assert (found.name, found.proven) == ("x.sysext.raw", False)
    name = f"docker:{host}/team/image@{descriptor['digest']}"
    assert fetched(name, folder, options)[0].proven
    refused(LimitError, "more than", name, folder, insecure=(host,), limit=4 << 20)


@pytest.mark.oracle("docker-registry")
@pytest.mark.oracle("skopeo")
def test_container_images_without_the_one_file(tmp_path: Path, host: str, folder: Path) -> None:
    for tag, items in {
        "none": {"a": b"a"},
        "two": {"a.raw": b"a", "b.raw": b"b"},
        "empty": {"a.raw": b""},
    }.items():
        layout = Layout()
        layout.add(layout.manifest(tar_of(items)))
        pushed(layout, tmp_path, f"{host}/x:{tag}")
    for tag, words in {
        "none": "holds no extension image",
        "two": r"several extension images: a\.raw, b\.raw",
        "empty": "empty",
    }.items():
        error = refused(SysgraftError, words, f"oci:{host}/x:{tag}", folder, insecure=(host,))
        assert f"{host}/x:{tag}" in error.file


@pytest.mark.oracle("docker-registry")
@pytest.mark.oracle("skopeo")
def test_one_name_for_several_architectures(tmp_path: Path, host: str, folder: Path) -> None:
    layout = Layout()
    for arch in ("amd64", "arm64", "s390x"):
        found = layout.manifest(tar_of({f"{arch}.raw": arch.encode()}), arch=arch)
        layout.add(found, platform={"architecture": arch, "os": "linux"})
    index = {"schemaVersion": 2, "manifests": layout.manifests}
    layout.manifests = [layout.put_json(index, "index")]
    pushed(layout, tmp_path, f"{host}/fw:1", "--all")
    options = FetchOptions(insecure=(host,), architecture="s390x")
    assert fetched(f"oci:{host}/fw:1", folder, options)[1] == b"s390x"
    if this_architecture() in ("x86-64", "arm64"):
        wanted = {"x86-64": b"amd64", "arm64": b"arm64"}[this_architecture()]
        assert fetched(f"oci:{host}/fw:1", folder, FetchOptions(insecure=(host,)))[1] == wanted
    refused(
        UsageError, "none of 3 images fit ia64", f"oci:{host}/fw:1", folder,
        insecure=(host,), architecture="ia64",
    )  # fmt: skip


def test_a_registry_that_lies_about_an_artifact(folder: Path) -> None:
    layout = Layout()
    digest = artifact(layout, DATA)

    def answer(request: Request) -> Reply:
        name = request.path.rpartition("/")[2]
        if name == DIGEST:
            return Reply(200, OTHER)
        data = layout.blobs.get(digest if name == "1" else name)
        return Reply(404) if data is None else Reply(200, data)

    with server(answer) as host:
        words = f"the digest of what was fetched is {sha256(OTHER)}"
        refused(FormatError, words, f"oci:{host}/x:1", folder, insecure=(host,))


@pytest.mark.parametrize("size", [0, -1, 1 << 60])
def test_an_artifact_of_a_size_that_makes_no_sense(size: int, folder: Path) -> None:
    layout = Layout()
    artifact(layout, DATA)
    wrong = layout.blobs[str(layout.manifests[0]["digest"])]
    wrong = wrong.replace(f'"size": {len(DATA)}'.encode(), f'"size": {size}'.encode())
    with server(lambda _: Reply(200, wrong)) as host:
        words = f"a layer of {size} bytes"
        refused(FormatError, words, f"oci:{host}/x:1", folder, insecure=(host,))


def test_a_connection_to_a_registry_that_breaks(folder: Path) -> None:
    layout = Layout()
    digest = artifact(layout, DATA)

    def answer(request: Request) -> Reply:
        name = request.path.rpartition("/")[2]
        data = layout.blobs[digest if name == "1" else name]
        if name != DIGEST:
            return Reply(200, data)
        status = 206 if request.start else 200
        return Reply(status, data[request.start :], cut=None if request.start else 2 << 20)

    with server(answer) as host:
        assert fetched(f"oci:{host}/x:1", folder, FetchOptions(insecure=(host,)))[1] == DATA


def test_names_that_are_none(folder: Path) -> None:
    for name in ("oci:me:secret@host/x", "docker:host/x?token=secret", "oci:UPPER:x"):
        refused(UsageError, "not the name of an image", name, folder)


# --- Daemons -------------------------------------------------------------------------------------


@pytest.mark.oracle("podman")
@pytest.mark.root
def test_an_image_of_the_daemon(
    tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    images = tmp_path / "podman"
    images.mkdir()
    lower = tar_of({"a.raw": OTHER, "etc/x": b""})
    upper = tar_of({".wh.a.raw": b"", "x.sysext.raw": DATA})
    docker_archive(images / "image.tar", lower, upper, tags=["localhost/hello:1"])
    with new_podman(images) as podman:
        podman.run("load", "-q", "-i", images / "image.tar")
        with podman.socket() as address:
            monkeypatch.setenv("DOCKER_HOST", address)
            found, data = fetched("docker:localhost/hello:1", folder)
            assert data == DATA
            assert (found.name, found.proven) == ("x.sysext.raw", False)
            refused(LimitError, "more than", "docker:localhost/hello:1", folder, limit=5 << 20)
            # What it does not have, and whatever oci: means, is the registry's.
            refused(TransferError, "no connection", "docker:localhost:1/none:1", folder)
            refused(TransferError, "no connection", "oci:localhost:1/hello:1", folder)


def test_daemons_that_do_not_answer(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", f"unix://{folder}/none")
    refused(TransferError, "cannot be asked", "docker:localhost:1/x:1", folder)
    monkeypatch.setenv("DOCKER_HOST", "tcp://10.0.0.1:2375")
    refused(UsageError, "not a socket", "container:localhost:1/x:1", folder)


# --- Ends ----------------------------------------------------------------------------------------


def test_nothing_is_left_by_an_interruption(folder: Path) -> None:
    with server(Web([Reply(200, DATA)])) as host:
        uri = f"http://{host}/x"
        with pytest.raises(KeyboardInterrupt), fetch(uri, str(folder)):
            raise KeyboardInterrupt
        with pytest.raises(OSError, match="mine"), fetch(uri, str(folder)):
            raise OSError("mine")


def test_file_systems_without_nameless_files(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sysgraft.node.fetch_file.unnamed_draft", lambda *_: None)
    with server(Web([Reply(200, DATA), Reply(404)])) as host:
        assert fetched(f"http://{host}/x", folder)[1] == DATA
        refused(TransferError, "HTTP 404", f"http://{host}/x", folder)
