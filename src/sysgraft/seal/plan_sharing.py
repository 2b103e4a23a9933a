"""Many assemblies over the same files: each image is read, and everything hashed, once.

An assembly (`sysgraft.seal.assembly`) has one image and one set of files for all images. Where
those change too, several are needed, and what they have in common is found here by the blob.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sysgraft.seal.assembly import Assembly, Settings, UsedFile
from sysgraft.seal.hashing import Hashing

if TYPE_CHECKING:
    from collections.abc import Hashable, Sequence

    from sysgraft.base.blob import Blob
    from sysgraft.base.progress import Progress
    from sysgraft.formats.authenticode_digest import Coverage
    from sysgraft.seal.hashing import Digests
    from sysgraft.seal.image import UkiImage
    from sysgraft.seal.material import Material, Source


class OnceHashing(Hashing):
    """Hashes what it is given again only once; a file's blob is always the same object.

    Args:
        banks: names of the hash algorithms.
        progress: told of the bytes hashed.
    """

    def __init__(self, banks: Sequence[str], progress: Progress | None = None) -> None:
        super().__init__(banks, progress)
        self._known: dict[Hashable, tuple[Blob, Digests]] = {}

    def blob(self, blob: Blob, banks: Sequence[str] = ()) -> Digests:
        """See `Hashing.blob`."""
        key = (id(blob), tuple(banks))
        if key not in self._known:
            self._known[key] = blob, super().blob(blob, banks)
        return self._known[key][1]

    def executable(self, blob: Blob, covered: Coverage) -> Digests:
        """See `Hashing.executable`."""
        key = id(blob)
        if key not in self._known:
            self._known[key] = blob, super().executable(blob, covered)
        return self._known[key][1]


class SharingAssembly(Assembly):
    """Reads each image once, and leaves out digests that only a report needs.

    Args:
        material: the files.
        settings: what they do not say.
        hashing: takes what has to be hashed.
        images: those that were read already, for all assemblies together.
    """

    def __init__(
        self,
        material: Material,
        settings: Settings,
        hashing: Hashing,
        images: dict[Hashable, UkiImage],
    ) -> None:
        self._images = images
        super().__init__(material, settings, hashing)

    def _read_uki(self) -> UkiImage | None:
        """The headers are read anew, but the blobs that are hashed are those of the first time."""
        found = super()._read_uki()
        if found is None or self._material.image is None:
            return found
        key = self._material.image.label, found.profile, found.version
        return self._images.setdefault(key, found)

    def _used(self, role: str, source: Source) -> UsedFile:
        return UsedFile(role, source.name, source.label, source.blob.size, {})
