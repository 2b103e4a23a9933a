"""What names an extension image elsewhere: addresses, digests, and the names that images bring.

Spellings are those of Kairos' agent (``https:``, ``http:``, ``file:``, ``oci:``, ``docker:``,
``container:``), with or without ``//``, and plain paths. Nothing is asked or opened here.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, Literal, NamedTuple
from urllib.parse import unquote, urlsplit

from sysgraft.base.text import one_line
from sysgraft.errors import FormatError, UsageError
from sysgraft.formats.image_reference import parse_reference
from sysgraft.formats.oci import Digest, parse_digest
from sysgraft.transport.pools import public_address

if TYPE_CHECKING:
    from sysgraft.formats.image_reference import ImageReference

Kind = Literal["web", "file", "registry", "image"]

MAX_NAME: Final = 255
"""Bytes of a name: Linux' NAME_MAX."""

_PREFIXES: Final[dict[str, Kind]] = {
    "https": "web",
    "http": "web",
    "file": "file",
    "oci": "registry",
    "docker": "image",
    "container": "image",
}
_KNOWN: Final = ", ".join(f"{prefix}:" for prefix in _PREFIXES)
_SCHEME: Final = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://")
_LOCAL_HOSTS: Final = ("", "localhost")


class Address(NamedTuple):
    """Where an image lies.

    Attributes:
        kind: ``web`` (over HTTP), ``file``, ``registry``, or ``image`` (the container daemon's if
            that has it, else the registry's).
        place: an address, a path, or an image's name.
    """

    kind: Kind
    place: str


def parse_uri(uri: str) -> Address:
    """Tell where an image lies; what has no known prefix is a path.

    A path behind ``file:`` is taken as it is, nothing in it is decoded.

    Raises:
        UsageError: it names nothing, a file of another machine, or in a way that is not known.
    """
    prefix, colon, rest = uri.partition(":")
    kind = _PREFIXES.get(prefix.lower()) if colon else None
    if kind == "web":
        return Address(kind, uri)
    place = uri if kind is None else _local(rest) if kind == "file" else rest.removeprefix("//")
    if not place or "\0" in place:
        raise UsageError("not the name of an extension image: it is empty, or has a NUL in it")
    if kind is None:
        _refuse_scheme(uri)
    return Address(kind or "file", place)


def _local(rest: str) -> str:
    if not rest.startswith("//"):
        return rest
    host, slash, path = rest[2:].partition("/")
    if host not in _LOCAL_HOSTS:
        raise UsageError(
            f"file://{one_line(host[:60])} is another machine",
            hint="a path from the root has three slashes: file:///PATH",
        )
    return slash + path


def _refuse_scheme(uri: str) -> None:
    found = _SCHEME.match(uri)
    if found is not None:
        raise UsageError(f"nothing is fetched from {found[1]}: addresses", hint=f"known: {_KNOWN}")


def image_reference(name: str) -> ImageReference:
    """The image that `name` means; `UsageError` says little of what may hold a password."""
    try:
        return parse_reference(name)
    except UsageError as error:
        raise UsageError(
            f"not the name of an image: {public_address(name)}",
            hint="it is HOST/PATH:TAG or HOST/PATH@sha256:HEX",
        ) from error


def stated_digest(text: str) -> Digest | None:
    """A SHA-256 digest that somebody gives, with or without ``sha256:``; None for no text.

    Raises:
        UsageError: it is none.
    """
    if not text:
        return None
    given = text.strip().lower()
    try:
        found = parse_digest(given if ":" in given else f"sha256:{given}")
    except FormatError:
        found = None
    if found is None or found.algorithm != "sha256":
        raise UsageError(
            f"not a SHA-256 digest: {one_line(text[:80])}",
            hint="it has 64 hexadecimal digits, as sha256sum prints them",
        )
    return found


def name_in_url(url: str) -> str:
    """The last part of an address's path, decoded; empty where that is no name."""
    try:
        return last_name(unquote(urlsplit(url).path, errors="strict"))
    except ValueError:
        return ""


def last_name(path: str) -> str:
    """The last component of something like a path; empty where no file can be called that."""
    name = path.rpartition("/")[2]
    fits = len(name.encode("utf-8", "surrogateescape")) <= MAX_NAME
    return name if fits and name.isprintable() and name not in (".", "..") else ""
