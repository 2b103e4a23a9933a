"""The contents of an image that are stored compressed, and how the superblock tells.

Which contents are compressed, and that equal ones are only once, is decided here; who compresses
them, and where the result waits until the image is written, is the caller's matter.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from sysgraft.formats.erofs.clusters import check_packable, may_pack
from sysgraft.formats.erofs.ondisk import Incompat

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from sysgraft.base.blob import Blob
    from sysgraft.formats.erofs.clusters import Clusters
    from sysgraft.formats.erofs.compressor import Codec

    Pack = Callable[[Mapping[int, Blob]], Mapping[int, Clusters]]


@dataclass(frozen=True, slots=True)
class Packing:
    """How contents are compressed.

    Attributes:
        codec: what makes the pclusters.
        pack: given contents by number, gives those that got smaller.
    """

    codec: Codec
    pack: Pack


@dataclass(frozen=True, slots=True)
class Packed:
    """What is compressed in an image.

    Attributes:
        clusters: the compressed contents by the number of their node, equal ones the same.
        codec: what they are compressed with; None if there are none, so that an image in which
            nothing got smaller needs no Linux that can decompress.
    """

    clusters: Mapping[int, Clusters] = field(default_factory=dict)
    codec: Codec | None = None

    @property
    def settings(self) -> bytes:
        """What stands right behind the superblock."""
        return self.codec.settings if self.codec else b""

    @property
    def features(self) -> int:
        """The superblock's ``feature_incompat``."""
        return Incompat.LZ4_0PADDING | Incompat.COMPRESSION_CONFIGS if self.codec else 0

    @property
    def algorithms(self) -> int:
        """The superblock's ``available_compr_algs``."""
        return 1 << self.codec.algorithm if self.codec else 0


def pack(
    packing: Packing | None, contents: Mapping[int, Blob], originals: Mapping[int, int]
) -> Packed:
    """Have contents compressed.

    Args:
        packing: how; None compresses nothing.
        contents: of all files, by number.
        originals: for files that repeat another one, the number of that one.
    """
    if packing is None:
        return Packed()
    wanted = {
        number: content
        for number, content in contents.items()
        if number not in originals and may_pack(content.size)
    }
    packed = packing.pack(wanted) if wanted else {}
    if not packed:
        return Packed()
    copies = {copy: packed[first] for copy, first in originals.items() if first in packed}
    return Packed({**packed, **copies}, packing.codec)


def check(packing: Packing | None, contents: Mapping[int, Blob]) -> None:
    """Raise `LimitError` if there is too much to compress; nothing is read."""
    if packing is not None:
        check_packable(content.size for content in contents.values())
