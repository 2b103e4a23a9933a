"""Where a key is: a path, or a URI whose scheme names the kind of store."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from sysgraft.errors import KeyMaterialError, UsageError


@dataclass(frozen=True, slots=True)
class KeySource:
    """A place a key can be read from.

    Attributes:
        kind: how; files are the only kind so far.
        path: the file, as the user wrote it or as the URI says.
    """

    kind: Literal["file"]
    path: str


def resolve(text: str) -> KeySource:
    """Tell where ``--private-key`` or ``--certificate`` points.

    A path may hold a colon: only the schemes this knows are taken for a URI.

    Args:
        text: a path, or a URI ``file:PATH``, ``file:///PATH`` (RFC 8089).

    Raises:
        KeyMaterialError: the store is one that this version cannot open.
        UsageError: the URI is empty or names another machine.
    """
    scheme, colon, rest = text.partition(":")
    if colon and scheme.lower() == "pkcs11":
        raise KeyMaterialError(
            "keys in a PKCS#11 token (pkcs11:) are not available in this version",
            hint="sign with a key file, or sign the root hash elsewhere with openssl",
        )
    if colon and scheme.lower() == "file":
        return KeySource("file", _file_path(rest))
    if not text:
        raise UsageError("the path of a key or certificate is empty")
    return KeySource("file", text)


def _file_path(rest: str) -> str:
    from urllib.parse import unquote  # noqa: PLC0415  costs more than all else here, and only URIs need it

    if rest.startswith("//"):
        host, slash, path = rest[2:].partition("/")
        if host not in ("", "localhost"):
            raise UsageError(f"a file: URI names another machine, {host!r}")
        rest = slash + path
    path = unquote(rest)
    if not path or "\0" in path:
        raise UsageError("a file: URI names no path")
    return path
