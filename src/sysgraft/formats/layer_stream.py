"""A layer of a container image as a stream: decompressed, and held to its digests on the way."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sysgraft.formats.compression import HEAD_SIZE, Compression, Decompressor, detect
from sysgraft.formats.hashed import HashedSource
from sysgraft.formats.stream import BlobSource

if TYPE_CHECKING:
    from collections.abc import Callable

    from sysgraft.base.blob import Blob
    from sysgraft.formats.allowance import Allowance
    from sysgraft.formats.oci import Digest
    from sysgraft.formats.stream import ByteSource


class LayerStream:
    """A layer's tar stream with the checks its bytes pass on the way.

    Args:
        blob: the layer as stored.
        digest: of its bytes as they are; None to check none.
        diff_id: of its bytes uncompressed; None to check none.
        allowance: what may be made by decompressing; the default limits, if None.
        earns: whether the bytes count for the allowance's ratio, see `Decompressor`.
        advance: told the number of stored bytes after each step.

    Attributes:
        compression: how it is compressed, by its first bytes.
        source: the tar archive.
    """

    def __init__(
        self,
        blob: Blob,
        *,
        digest: Digest | None = None,
        diff_id: Digest | None = None,
        allowance: Allowance | None = None,
        earns: bool = True,
        advance: Callable[[int], None] | None = None,
    ) -> None:
        self._checks: list[HashedSource] = []
        self.compression = compression_of(blob)
        source = self._hashed(BlobSource(blob, advance), digest, "layer")
        if self.compression is not Compression.NONE:
            source = Decompressor(source, self.compression, allowance, earns=earns)
        same = self.compression is Compression.NONE and digest == diff_id
        self.source = source if same else self._hashed(source, diff_id, "uncompressed layer")

    def _hashed(self, source: ByteSource, digest: Digest | None, what: str) -> ByteSource:
        if digest is None:
            return source
        hashed = HashedSource(source, digest, what)
        self._checks.append(hashed)
        return hashed

    def check(self) -> None:
        """Raise `FormatError` if a digest differs; the outermost first."""
        for check in self._checks:
            check.check()


def compression_of(blob: Blob) -> Compression:
    """How a blob is compressed, by its first bytes."""
    return detect(blob.read_at(0, min(blob.size, HEAD_SIZE)))
