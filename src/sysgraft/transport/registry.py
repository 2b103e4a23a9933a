"""One repository of an OCI registry: manifests and blobs, by name and digest.

Spec: OCI Distribution Specification 1.1, "Pull". Manifests are read whole and held to the digest
they are asked for; blobs are given as streams, whoever reads them checks them
(`sysgraft.transport.download`). Nothing is pushed, listed or deleted.
"""

from __future__ import annotations

import hashlib
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from sysgraft.errors import FormatError, InputError, TransferError, UnsupportedError
from sysgraft.formats.oci import INDEX_TYPES, MANIFEST_TYPES, MAX_DOCUMENT
from sysgraft.transport.authorization import authorize, no_access
from sysgraft.transport.credentials import find_credentials

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from sysgraft.formats.docker_config import Credentials
    from sysgraft.formats.image_reference import ImageReference
    from sysgraft.formats.oci import Digest
    from sysgraft.transport.http import Answer, Http

_ACCEPT: Final = ", ".join(sorted(INDEX_TYPES | MANIFEST_TYPES))
_OK: Final = 200
_PARTIAL: Final = 206
_UNAUTHORIZED: Final = 401
_FORBIDDEN: Final = 403
_NOT_FOUND: Final = 404
# Docker before 1.10; such a manifest has no digests of its own that could be checked.
_OLD_TYPES: Final = "application/vnd.docker.distribution.manifest.v1"


@dataclass(frozen=True, slots=True)
class Document:
    """A manifest or index as the registry gave it.

    Attributes:
        data: its bytes.
        media_type: what the registry calls it.
        digest: SHA-256 of `data`, or what it was asked for by.
    """

    data: bytes
    media_type: str
    digest: str


class Repository:
    """Where an image is fetched from; may be used from several threads.

    Args:
        http: makes the requests.
        reference: names the registry and the repository.
        credentials: finds who we are; asked once, and only when the registry wants to know.
    """

    def __init__(
        self,
        http: Http,
        reference: ImageReference,
        credentials: Callable[[ImageReference], Credentials | None] = find_credentials,
    ) -> None:
        self._http = http
        self._reference = reference
        self._find = credentials
        self._authorization = ""
        self._base = ""
        self._lock = threading.Lock()

    def manifest(self, name: str, digest: Digest | None = None) -> Document:
        """A manifest or index.

        Args:
            name: a tag or a digest.
            digest: what the bytes must hash to.

        Raises:
            InputError: there is none of that name.
            TransferError: the registry does not answer as it should.
            FormatError: the digest differs.
        """
        with self._get(f"manifests/{name}", {"Accept": _ACCEPT}) as answer:
            self._check_found(answer, f"image {name}")
            data = answer.read_all(MAX_DOCUMENT)
        media_type = answer.header("Content-Type").partition(";")[0].strip().lower()
        if media_type.startswith(_OLD_TYPES):
            raise UnsupportedError("an image of the first manifest format, from before Docker 1.10")
        return Document(data, media_type, _checked(data, digest))

    def blob(self, digest: Digest, start: int = 0) -> Answer:
        """The bytes of a blob from `start` on, or all of them (status 200, not 206).

        Raises:
            InputError: there is none.
            TransferError: the registry does not answer as it should.
        """
        headers = {"Range": f"bytes={start}-"} if start else {}
        answer = self._get(f"blobs/{digest}", headers)
        try:
            self._check_found(answer, f"blob {digest}")
        except InputError:
            answer.close()
            raise
        return answer

    def _check_found(self, answer: Answer, what: str) -> None:
        if answer.status == _NOT_FOUND:
            raise InputError(f"the registry has no {what}", file=str(self._reference))
        if answer.status not in (_OK, _PARTIAL):
            raise TransferError(f"HTTP {answer.status} for the {what}", file=answer.host)

    def _get(self, path: str, headers: Mapping[str, str]) -> Answer:
        """Ask, show who we are if need be, and ask again."""
        url = f"{self._root()}/v2/{self._reference.path}/{path}"
        used = self._authorization
        answer = self._http.get(url, _with(headers, used))
        # Who we are is the registry's business, not that of a store it sends us to.
        if answer.status != _UNAUTHORIZED or answer.is_redirected:
            return answer
        with answer:
            authorization = self._authorize(answer, used)
        answer = self._http.get(url, _with(headers, authorization))
        if answer.status in (_UNAUTHORIZED, _FORBIDDEN) and not answer.is_redirected:
            answer.close()
            host = self._reference.host
            raise no_access(answer, self._find(self._reference), host)
        return answer

    def _authorize(self, refusal: Answer, used: str) -> str:
        with self._lock:
            # Another thread may have renewed an expired token meanwhile.
            if self._authorization == used:
                self._authorization = authorize(
                    self._http,
                    refusal,
                    credentials=self._find(self._reference),
                    scope=f"repository:{self._reference.path}:pull",
                    host=self._reference.host,
                )
            return self._authorization

    def _root(self) -> str:
        """``https://HOST``; a host named as insecure may have plain HTTP only."""
        with self._lock:
            if not self._base:
                host = self._reference.endpoint
                insecure = self._http.is_insecure(host) and not self._speaks_tls(host)
                self._base = f"http://{host}" if insecure else f"https://{host}"
            return self._base

    def _speaks_tls(self, host: str) -> bool:
        try:
            self._http.once("GET", f"https://{host}/v2/", {}).close()
        except TransferError:
            return False
        return True


def _with(headers: Mapping[str, str], authorization: str) -> dict[str, str]:
    return {**headers, "Authorization": authorization} if authorization else dict(headers)


def _checked(data: bytes, digest: Digest | None) -> str:
    if digest is None:
        return "sha256:" + hashlib.sha256(data).hexdigest()
    found = hashlib.new(digest.algorithm, data).hexdigest()
    if found != digest.hex:
        raise FormatError(
            f"the digest of the manifest is {digest.algorithm}:{found}, {digest} is stated",
        )
    return str(digest)
