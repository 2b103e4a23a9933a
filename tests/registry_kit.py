"""Registries on loopback: Debian's docker-registry with every kind of login, and one that lies."""

from __future__ import annotations

import base64
import http.server
import ipaddress
import json
import os
import re
import socket
import ssl
import subprocess
import threading
import time
import urllib.parse
import urllib.request
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa

from sysgraft.host.run import locate
from sysgraft.testing.certificates import NOT_AFTER, NOT_BEFORE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

USER: Final = "builder"
PASSWORD: Final = "corr:ect horse"
# bcrypt of PASSWORD, cost 5.
HTPASSWD: Final = "builder:$2b$05$cDJVydu6gtHcLrvrfrgWUeaMwKjatvC1XoHApHoAyeRwoyswzH8xG"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def registry(folder: Path, more: str = "", http_more: str = "") -> Iterator[str]:
    """A docker-registry that keeps its images below `folder`; gives ``127.0.0.1:PORT``."""
    port = free_port()
    config = folder / "registry.yml"
    config.write_text(
        f"version: 0.1\nlog: {{level: error, accesslog: {{disabled: true}}}}\n"
        f"storage: {{filesystem: {{rootdirectory: {folder}/images}}}}\n"
        f"http:\n  addr: 127.0.0.1:{port}\n{http_more}{more}"
    )
    with open(folder / "registry.log", "wb") as log:
        process = subprocess.Popen(
            [locate("docker-registry"), "serve", str(config)], stdout=log, stderr=log
        )
    try:
        wait_for_port(port, process)
        yield f"127.0.0.1:{port}"
    finally:
        process.kill()
        process.wait()


def wait_for_port(port: int, process: subprocess.Popen[bytes]) -> None:
    for _ in range(600):
        assert process.poll() is None, "the server ended by itself"
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    raise AssertionError("the server does not listen")


def push(source: str, target: str, *more: str, env: Mapping[str, str] | None = None) -> None:
    """Copy an image, with skopeo: ``push("oci:layout:tag", "docker://…")``."""
    command = [locate("skopeo"), "copy", "--quiet", "--insecure-policy"]
    done = subprocess.run(
        [*command, "--dest-tls-verify=false", *more, source, target],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, **(env or {})},
    )
    assert done.returncode == 0, done.stderr


def docker_config(folder: Path, host: str, user: str = USER, password: str = PASSWORD) -> None:
    """``config.json`` of Docker with a login for `host`."""
    folder.mkdir(exist_ok=True)
    auth = base64.b64encode(f"{user}:{password}".encode()).decode()
    (folder / "config.json").write_text(json.dumps({"auths": {host: {"auth": auth}}}))


def server_certificate(folder: Path) -> tuple[Path, Path]:
    """A certificate for 127.0.0.1 that signs itself, and its key, as files."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "loopback")])
    address = x509.IPAddress(ipaddress.ip_address("127.0.0.1"))
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), 1, NOT_BEFORE, NOT_AFTER)
        .add_extension(x509.SubjectAlternativeName([address]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    paths = folder / "server.pem", folder / "server.key"
    encoding = serialization.Encoding.PEM
    paths[0].write_bytes(certificate.public_bytes(encoding))
    plain = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    paths[1].write_bytes(key.private_bytes(encoding, *plain))
    return paths


# --- Token authentication ------------------------------------------------------------------------


def _b64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


@dataclass
class TokenServer:
    """Gives out tokens that the registry believes (Distribution, "Token Authentication").

    Attributes:
        address: of the server.
        key: what the tokens are signed with.
        certificate: PEM, what the registry is told to believe.
        seen: path and Authorization header of every request.
        refresh: an identity token it takes in a POST.
    """

    address: str
    key: rsa.RSAPrivateKey
    certificate: bytes
    seen: list[tuple[str, str]] = field(default_factory=list)
    refresh: str = "an identity token"

    def token(self, scope: str) -> str:
        der = x509.load_pem_x509_certificate(self.certificate).public_bytes(
            serialization.Encoding.DER
        )
        header = {"typ": "JWT", "alg": "RS256", "x5c": [base64.b64encode(der).decode()]}
        now = int(time.time())
        kind, name, actions = scope.split(":")
        access = [{"type": kind, "name": name, "actions": actions.split(",")}]
        times = {"nbf": now - 60, "iat": now - 60, "exp": now + 600}
        claims = {"iss": "test", "aud": "registry", "sub": USER, "access": access, **times}
        text = ".".join(_b64(json.dumps(part).encode()) for part in (header, claims))
        signature = self.key.sign(text.encode(), padding.PKCS1v15(), hashes.SHA256())
        return f"{text}.{_b64(signature)}"

    def accepts(self, authorization: str) -> bool:
        login = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
        return authorization == f"Basic {login}"


@contextmanager
def token_server(key: Path, certificate: Path) -> Iterator[TokenServer]:
    """A token server whose key and certificate are those files."""
    private = serialization.load_pem_private_key(key.read_bytes(), None)
    assert isinstance(private, rsa.RSAPrivateKey)
    tokens = TokenServer("", private, certificate.read_bytes())

    def answer(request: Request) -> Reply:
        tokens.seen.append((request.path, request.headers.get("Authorization", "")))
        fields = dict(urllib.parse.parse_qsl(urllib.parse.urlsplit(request.path).query))
        if request.method == "POST":
            fields = dict(urllib.parse.parse_qsl(request.body.decode()))
            if fields.get("refresh_token") != tokens.refresh:
                return Reply(401)
        elif not tokens.accepts(request.headers.get("Authorization", "")):
            return Reply(401)
        return Reply(200, json.dumps({"token": tokens.token(fields["scope"])}).encode())

    with server(answer) as address:
        tokens.address = address
        yield tokens


# --- A server that does as it is told ------------------------------------------------------------


@dataclass
class Request:
    """What was asked."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes = b""

    @property
    def start(self) -> int:
        """The first byte wanted."""
        match = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        return int(match[1]) if match else 0


@dataclass
class Reply:
    """What is answered.

    Attributes:
        status: of HTTP.
        body: all of it.
        headers: further ones; a Content-Length here is believed.
        cut: bytes of the body after which the connection ends.
        endless: whether the body's last byte is repeated for ever.
        pace: seconds before each byte.
    """

    status: int
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    cut: int | None = None
    endless: bool = False
    pace: float = 0.0


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    answer: Callable[[Request], Reply]

    def do_GET(self) -> None:
        length = int(self.headers.get("Content-Length", 0))
        body = self.rfile.read(length) if length else b""
        request = Request(self.command, self.path, dict(self.headers), body)
        self._send(type(self).answer(request))

    do_POST = do_GET  # noqa: N815  the base class looks for this name

    def _send(self, reply: Reply) -> None:
        self.send_response(reply.status)
        headers = {"Content-Length": str(len(reply.body)), **reply.headers}
        if reply.endless:
            del headers["Content-Length"]
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.close_connection = reply.cut is not None or reply.endless
        try:
            self._send_body(reply)
        except OSError:
            self.close_connection = True

    def _send_body(self, reply: Reply) -> None:
        body = reply.body[: reply.cut]
        if reply.pace:
            for byte in body:
                time.sleep(reply.pace)
                self.wfile.write(bytes([byte]))
            return
        self.wfile.write(body)
        while reply.endless:
            self.wfile.write(body[-1:] * 65536)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  the base's name
        pass


class _Server(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that went away is nothing to tell of."""


@contextmanager
def server(
    answer: Callable[[Request], Reply], pair: tuple[Path, Path] | None = None
) -> Iterator[str]:
    """An HTTP server on loopback, over TLS with a certificate and key; gives ``127.0.0.1:PORT``."""
    handler = type("Handler", (_Handler,), {"answer": staticmethod(answer)})
    with _Server(("127.0.0.1", 0), handler) as listening:
        if pair is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(*pair)
            listening.socket = context.wrap_socket(listening.socket, server_side=True)
        thread = threading.Thread(target=listening.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        try:
            yield f"127.0.0.1:{listening.server_port}"
        finally:
            listening.shutdown()
            thread.join()
