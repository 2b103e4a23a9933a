"""``--layers since:REF``: what an image adds to another one.

An image built upon the other has all its layers below its own: those on top are what it adds. Of
images that were built apart, or squashed, the trees are compared: what is new or different makes
a layer, and what is gone becomes deletions. Times alone are no difference.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sysgraft.base.tree import parent
from sysgraft.build.path_rules import Rules
from sysgraft.build.sources.model import AbsentContent, Entry, Layer, new_directory
from sysgraft.build.tree_merge import TreeMerger
from sysgraft.build.tree_paths import paths_of
from sysgraft.build.usr_merge import merge_usr, same_but_time
from sysgraft.errors import UsageError
from sysgraft.formats.archive_path import WHITEOUT_PREFIX

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from sysgraft.base.tree import Inode
    from sysgraft.build.sources.image import ImageSource
    from sysgraft.build.sources.model import Options


@dataclass(frozen=True, slots=True)
class SinceSource:
    """An image less another one.

    Attributes:
        image: what is taken.
        base: what it is taken from.
    """

    image: ImageSource
    base: ImageSource

    @property
    def description(self) -> str:
        """See `Source`."""
        return f"{self.image.description}, since {self.base.description}"

    @property
    def architecture(self) -> str | None:
        """See `Source`."""
        return self.image.architecture

    def layers(self) -> Iterator[Layer]:
        """See `Source`: the layers on top of the base, or one of all that is different.

        Raises:
            UsageError: the image is the base.
        """
        own = [blob.diff_id for blob in self.image.blobs]
        below = [blob.diff_id for blob in self.base.blobs]
        if own == below:
            raise UsageError(f"{self.image.path} has the same layers as {self.base.path}")
        common = _common(own, below)
        if common == len(below):
            yield from self.image.layers_from(common)
            return
        self.image.workspace.note(
            f"{self.image.path} is not built upon {self.base.path} ({common} of {len(below)} "
            "layers in common): their files are compared",
        )
        yield self._difference()

    def _difference(self) -> Layer:
        options = self.image.workspace.options
        before, after = _tree(self.base, options), _tree(self.image, options)
        changed = sorted(
            path
            for path, inode in after.items()
            if path not in before or self._differ(path, before[path], inode)
        )
        entries = [Entry(path, after[path]) for path in _with_folders(changed)]
        entries += [Entry(_deletion(path), new_directory(options)) for path in _gone(before, after)]
        return Layer(f"what {self.image.path} adds", entries, whiteout_names=True, is_partial=True)

    def _differ(self, path: bytes, one: Inode, two: Inode) -> bool:
        """Whether two files differ; what will be kept has to be there to be compared."""
        if self.image.workspace.needs_content(path):
            for inode in (one, two):
                if isinstance(inode.content, AbsentContent):
                    inode.content.read_at(0, 0)
        return not same_but_time(one, two)


def _common(one: Sequence[object], two: Sequence[object]) -> int:
    """How many items both begin with."""
    pairs = enumerate(zip(one, two, strict=False))
    return next((at for at, (a, b) in pairs if a != b), min(len(one), len(two)))


def _tree(image: ImageSource, options: Options) -> Mapping[bytes, Inode]:
    """Every path of an image, as a system would have it."""
    merger = TreeMerger(options)
    for layer in image.layers_from(0):
        merger.add(layer)
    if Rules(options).covers_usr:
        merge_usr(merger.root)
    return dict(paths_of(merger.root, options))


def _with_folders(paths: list[bytes]) -> list[bytes]:
    """`paths` with all folders above them, each before what is in it."""
    found = set(paths)
    for path in paths:
        above = parent(path)
        while above and above not in found:
            found.add(above)
            above = parent(above)
    return sorted(found)


def _gone(before: Mapping[bytes, Inode], after: Mapping[bytes, Inode]) -> list[bytes]:
    """Paths that are there no more, of a whole folder only its own."""
    return sorted(
        path
        for path in before
        if path not in after and (b"/" not in path or _is_folder(after.get(parent(path))))
    )


def _is_folder(inode: Inode | None) -> bool:
    return inode is not None and inode.is_dir


def _deletion(path: bytes) -> bytes:
    folder, _, name = path.rpartition(b"/")
    return folder + b"/" + WHITEOUT_PREFIX + name if folder else WHITEOUT_PREFIX + name
