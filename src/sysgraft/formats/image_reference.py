"""Names of container images: ``[HOST[:PORT]/]PATH[:TAG][@DIGEST]``.

Grammar: CNCF Distribution, package reference ("Grammar"), and the OCI Distribution Specification
1.1, "Pulling manifests"; defaults are Docker's (registry docker.io, ``library/`` before a bare
name, tag ``latest``). Nothing is looked up here.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from sysgraft.base.tree import printable
from sysgraft.errors import FormatError, UsageError
from sysgraft.formats.oci import Digest, parse_digest

MAX_NAME: Final = 255
"""Characters of host and path together: Distribution's ``NameTotalLengthMax``."""

DEFAULT_TAG: Final = "latest"
"""What is meant without tag and digest."""

DOCKER_HUB: Final = "docker.io"
"""The registry of names without a host."""

HUB_HOST: Final = "registry-1.docker.io"
"""Where Docker Hub really answers."""

_COMPONENT: Final = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_PATH: Final = re.compile(rf"{_COMPONENT}(?:/{_COMPONENT})*")
_LABEL: Final = r"(?:[a-zA-Z0-9]|[a-zA-Z0-9][a-zA-Z0-9-]*[a-zA-Z0-9])"
_HOST: Final = re.compile(rf"(?:{_LABEL}(?:\.{_LABEL})*|\[[0-9a-fA-F:]+\])(?::[0-9]{{1,5}})?")
_TAG: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}")


@dataclass(frozen=True, slots=True)
class ImageReference:
    """Which image is meant.

    Attributes:
        host: the registry, with its port where one is given.
        path: of the repository.
        tag: empty where only a digest is given.
        digest: what the manifest must hash to; None for whatever the tag leads to.
    """

    host: str
    path: str
    tag: str = ""
    digest: Digest | None = None

    def __str__(self) -> str:
        tag = f":{self.tag}" if self.tag else ""
        return f"{self.host}/{self.path}{tag}" + (f"@{self.digest}" if self.digest else "")

    @property
    def endpoint(self) -> str:
        """Host and port that answer for the registry."""
        return HUB_HOST if self.host == DOCKER_HUB else self.host

    @property
    def manifest(self) -> str:
        """What to ask the registry for: the digest, else the tag."""
        return str(self.digest) if self.digest else self.tag


def parse_reference(text: str) -> ImageReference:
    """Take an image's name apart.

    Raises:
        UsageError: it is none.
    """
    name, at, digest = text.partition("@")
    name, tag = _split_tag(name)
    host, path = _split_host(name)
    _check(text, host, path, tag)
    found = _digest(text, digest) if at else None
    return ImageReference(host, path, tag or ("" if found else DEFAULT_TAG), found)


def _split_tag(name: str) -> tuple[str, str]:
    head, _, last = name.rpartition("/")
    last, _, tag = last.partition(":")
    return (f"{head}/{last}" if head else last), tag


def _split_host(name: str) -> tuple[str, str]:
    """The first component is a host where it cannot be anything else, or is ``localhost``."""
    first, slash, rest = name.partition("/")
    is_host = slash and ({".", ":"} & set(first) or first == "localhost" or first != first.lower())
    if is_host and first.lower() not in (DOCKER_HUB, "index.docker.io"):
        return first, rest
    path = rest if is_host else name
    return DOCKER_HUB, path if "/" in path else f"library/{path}"


def _check(text: str, host: str, path: str, tag: str) -> None:
    if len(host) + len(path) + 1 > MAX_NAME:
        raise UsageError(f"an image's name of more than {MAX_NAME} characters: {_shown(text)}")
    if text.startswith("/") or not _HOST.fullmatch(host) or not _PATH.fullmatch(path):
        raise UsageError(f"not the name of an image: {_shown(text)}")
    if text.endswith((":", "@")) or (tag and not _TAG.fullmatch(tag)):
        raise UsageError(f"not the tag of an image: {_shown(text)}")


def _digest(text: str, digest: str) -> Digest:
    try:
        return parse_digest(digest)
    except FormatError as error:
        raise UsageError(f"not a digest in the name of an image: {_shown(text)}") from error


def _shown(text: str) -> str:
    return printable(text[:120].encode("utf-8", "backslashreplace"))
