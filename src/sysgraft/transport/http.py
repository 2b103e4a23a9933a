"""HTTP as far as fetching needs it: one GET or POST, redirects, waiting, trying again.

Spec: RFC 9110 (section 15.4 redirects, 10.2.3 Retry-After). TLS certificates are checked with the
system's authorities; only hosts that are named as insecure may show any certificate, or speak
plain HTTP. Proxies come from the environment (``HTTPS_PROXY``, ``HTTP_PROXY``, ``NO_PROXY``) or the
system, and what is on this machine is reached without one. Bodies come as they are, not
decompressed. Which requests make sense to whom is the caller's matter.
"""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Final, Self
from urllib.parse import urljoin

import urllib3

from sysgraft.base.text import one_line
from sysgraft.errors import BrokenTransferError, TransferError
from sysgraft.transport.pools import Pools, host_and_port, split_address
from sysgraft.transport.waiting import Patience

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping
    from types import TracebackType

MAX_REDIRECTS: Final = 5
"""Redirects followed for one request: registries send to a store once."""

_REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})
_BUSY: Final = frozenset({429, 500, 502, 503, 504})
# A sender below a kilobyte a second, for this long, will not end today.
_STALL_SECONDS: Final = 30.0
_STALL_BYTES: Final = 30 << 10


class Answer:
    """A response whose body is read piece by piece.

    Attributes:
        status: the HTTP status.
        url: where it came from in the end.
        host: of that address.
        is_redirected: whether that is another host than the one that was asked.
    """

    def __init__(self, response: urllib3.BaseHTTPResponse, url: str) -> None:
        self._response = response
        self.status = response.status
        self.url = url
        self.host = host_and_port(split_address(url))
        self.is_redirected = False
        self._since = time.monotonic()
        self._bytes = 0

    def header(self, name: str) -> str:
        """A header's value, empty where there is none."""
        return self._response.headers.get(name, "")

    @property
    def length(self) -> int | None:
        """Bytes of the body as announced."""
        text = self.header("Content-Length")
        return int(text) if text.isascii() and text.isdigit() and len(text) < 20 else None

    def read(self, most: int) -> bytes:
        """What has come, at most so many bytes; nothing at the end.

        Raises:
            BrokenTransferError: the connection broke, or hardly anything comes.
        """
        try:
            data = self._response.read1(most)
        except (urllib3.exceptions.HTTPError, OSError, ValueError) as error:
            raise BrokenTransferError(
                f"the connection broke: {_reason(error)}", file=self.host
            ) from error
        self._bytes += len(data)
        self._check_pace()
        return data

    def read_all(self, limit: int) -> bytes:
        """The whole body.

        Raises:
            TransferError: it has more than `limit` bytes, or the connection broke.
        """
        parts, size = [], 0
        while data := self.read(1 << 16):
            size += len(data)
            if size > limit:
                raise TransferError(f"an answer of more than {limit} bytes", file=self.host)
            parts.append(data)
        return b"".join(parts)

    def _check_pace(self) -> None:
        now = time.monotonic()
        if now - self._since > _STALL_SECONDS:
            if self._bytes < _STALL_BYTES:
                raise BrokenTransferError("less than a kilobyte comes each second", file=self.host)
            self._since, self._bytes = now, 0

    def interrupt(self) -> None:
        """End a `read` that another thread waits in."""
        try:
            self._response.shutdown()
        except (AttributeError, ValueError, OSError, RuntimeError):
            # It was read to its end meanwhile.
            self.close()

    def close(self) -> None:
        """Give the connection back if the body was read, else close it."""
        self._response.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


class Http:
    """Makes requests.

    Args:
        insecure: ``HOST`` or ``HOST:PORT`` whose certificates are not checked, and which plain
            HTTP is good enough for.
        given_up: set when nobody wants an answer any more.
        plain: whether every host may speak plain HTTP, because what comes is held to something
            that does not depend on the way; a redirect still never leads from TLS to plain HTTP.
    """

    def __init__(
        self,
        insecure: Collection[str] = (),
        given_up: threading.Event | None = None,
        *,
        plain: bool = False,
    ) -> None:
        self._pools = Pools(insecure, plain=plain)
        self._plain = plain
        self._given_up = given_up or threading.Event()
        self._known: set[str] = set()

    def pause(self, seconds: float) -> None:
        """Wait before the next attempt.

        Raises:
            TransferError: nobody wants it any more.
        """
        if self._given_up.wait(seconds):
            raise TransferError("fetching was given up")

    def is_insecure(self, host: str) -> bool:
        """Whether `host` (with its port) was named as insecure."""
        return self._pools.is_insecure(host)

    def get(self, url: str, headers: Mapping[str, str]) -> Answer:
        """Ask for `url`; the answer may have any status but redirects and those of busy servers.

        ``Authorization`` is not sent along to another host.

        Raises:
            TransferError: no answer, again and again; a redirect that is not followed; a host
                that plain HTTP is not allowed for.
        """
        asked = dict(headers)
        first = host_and_port(split_address(url))
        for _ in range(MAX_REDIRECTS + 1):
            answer = self.request("GET", url, asked)
            if answer.status not in _REDIRECTS:
                answer.is_redirected = answer.host != first
                return answer
            with answer:
                target = _joined(url, answer.header("Location"))
            if host_and_port(split_address(target)) != answer.host:
                asked = {name: text for name, text in asked.items() if name != "Authorization"}
            self._check_redirect(answer, target)
            url = target
        raise TransferError(f"more than {MAX_REDIRECTS} redirects", file=answer.host)

    def request(
        self, method: str, url: str, headers: Mapping[str, str], body: bytes | None = None
    ) -> Answer:
        """One request without redirects, tried again while the server is busy; raises as `get`."""
        host = host_and_port(split_address(url))
        patience = Patience(self.pause, host)
        while True:
            try:
                answer = self.once(method, url, headers, body)
            except BrokenTransferError as error:
                # A host that never answered is more likely misspelt than tired.
                if host not in self._known:
                    raise
                patience.after_failure(error)
                continue
            self._known.add(host)
            if answer.status not in _BUSY:
                return answer
            with answer:
                patience.when_busy(answer.status, answer.header("Retry-After"))

    def once(
        self, method: str, url: str, headers: Mapping[str, str], body: bytes | None = None
    ) -> Answer:
        """One request, whatever comes of it.

        Raises:
            BrokenTransferError: there is no connection.
            TransferError: none that is secure enough.
        """
        pool = self._pools.for_url(url)
        try:
            response = pool.request(
                method,
                url,
                body=body,
                headers={"User-Agent": "sysgraft", "Accept-Encoding": "identity", **headers},
                redirect=False,
                retries=False,
                preload_content=False,
                decode_content=False,
            )
        except urllib3.exceptions.SSLError as error:
            raise self._tls_failure(url, error) from error
        except (urllib3.exceptions.HTTPError, OSError, ValueError) as error:
            host = host_and_port(split_address(url))
            raise BrokenTransferError(f"no connection: {_reason(error)}", file=host) from error
        return Answer(response, url)

    def _tls_failure(self, url: str, error: Exception) -> TransferError:
        return TransferError(
            f"no secure connection: {_reason(error)}",
            file=host_and_port(split_address(url)),
            hint="add the certificate of its authority to the system (or name it in SSL_CERT_FILE)"
            "; --insecure-registry HOST checks none",
        )

    def _check_redirect(self, answer: Answer, target: str) -> None:
        """A redirect must not lead out of TLS, nor to anything but HTTP."""
        parts = split_address(target)
        host = host_and_port(parts)
        if parts.scheme == "https" or (parts.scheme == "http" and self._may_be_plain(answer, host)):
            return
        shown = one_line(f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"[:100])
        raise TransferError(f"it redirects to {shown}, which is not secure", file=answer.host)

    def _may_be_plain(self, answer: Answer, host: str) -> bool:
        if self._plain:
            return split_address(answer.url).scheme == "http"
        return self.is_insecure(host)


def _joined(url: str, location: str) -> str:
    """Where a redirect leads.

    Raises:
        TransferError: it leads to no address.
    """
    try:
        target = urljoin(url, location)
    except ValueError:
        target = location
    split_address(target)
    return target


def _reason(error: Exception) -> str:
    """What a person wants to know of an error that is wrapped several times."""
    while (inner := error.__cause__ or error.__context__) is not None and isinstance(
        inner, Exception
    ):
        error = inner
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return one_line(str(error)[:200]) or type(error).__name__
