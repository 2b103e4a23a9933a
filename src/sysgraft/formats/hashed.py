"""Bytes that are hashed on their way, for digests that a source states of itself."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Protocol

from sysgraft.errors import FormatError
from sysgraft.formats.stream import CHUNK, skip_by_reading

if TYPE_CHECKING:
    from sysgraft.formats.stream import ByteSource


class Stated(Protocol):
    """A digest that is stated: its algorithm as ``hashlib`` has it, and lower-case hexadecimal."""

    @property
    def algorithm(self) -> str: ...  # noqa: D102
    @property
    def hex(self) -> str: ...  # noqa: D102


class HashedSource:
    """A `ByteSource` that hashes what passes through.

    Args:
        source: where the bytes come from.
        digest: what all of them should have.
        what: they are, for messages.
    """

    def __init__(self, source: ByteSource, digest: Stated, what: str) -> None:
        self._source = source
        self._digest = digest
        self._what = what
        self._hash = hashlib.new(digest.algorithm, usedforsecurity=False)

    def read(self, length: int) -> bytes:
        """See `ByteSource.read`."""
        data = self._source.read(length)
        self._hash.update(data)
        return data

    def skip(self, length: int) -> int:
        """See `ByteSource.skip`."""
        return skip_by_reading(self, length)

    def check(self) -> None:
        """Read the rest and compare; raises `FormatError` if the digest differs."""
        while self.read(CHUNK):
            pass
        check_digest(self._digest, self._hash.hexdigest(), self._what)


def check_digest(stated: Stated, found: str, what: str) -> None:
    """Raise `FormatError` unless the digest `found` of `what` is the one stated."""
    if found != stated.hex:
        raise FormatError(
            f"the digest of the {what} is {stated.algorithm}:{found}, "
            f"{stated.algorithm}:{stated.hex} is stated",
        )


def check_bytes(data: bytes, stated: Stated, what: str) -> None:
    """Raise `FormatError` unless `data`, which are the `what`, have the digest stated."""
    check_digest(stated, hashlib.new(stated.algorithm, data).hexdigest(), what)
