"""Where a key is: a path, or a URI whose scheme names the kind of store."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from sysgraft.errors import KeyMaterialError, UsageError


@dataclass(frozen=True, slots=True)
class KeySource:
    """A place a key or certificate can be read from.

    Attributes:
        kind: how: from a file, or through a PKCS#11 module.
        name: the path, as the user wrote it or as the URI says; of a token the URI.
    """

    kind: Literal["file", "pkcs11"]
    name: str

    @property
    def label(self) -> str:
        """What messages call it; a PIN that somebody put into the URI is not repeated."""
        if self.kind == "file":
            return self.name
        return re.sub(r"(pin-value=)[^;&?]*", r"\1…", self.name, flags=re.IGNORECASE)

    @property
    def path(self) -> str:
        """The file, where nothing but a file will do.

        Raises:
            KeyMaterialError: it is in a token.
        """
        if self.kind != "file":
            raise KeyMaterialError(
                "what is in a token cannot be used here", hint="give a file", file=self.label
            )
        return self.name


def resolve(text: str) -> KeySource:
    """Tell where ``--private-key`` or ``--certificate`` points.

    A path may hold a colon: only the schemes this knows are taken for a URI.

    Args:
        text: a path, or a URI: ``file:PATH``, ``file:///PATH`` (RFC 8089) or ``pkcs11:…``
            (RFC 7512), which is looked at by `sysgraft.sign.pkcs11_uri`.

    Raises:
        UsageError: the URI is empty or names another machine.
    """
    scheme, colon, rest = text.partition(":")
    if colon and scheme.lower() == "pkcs11":
        return KeySource("pkcs11", text)
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
