"""Make an index of kernels and firmware trees."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

from sysgraft.base.progress import NoProgress
from sysgraft.errors import LimitError, UsageError
from sysgraft.firmware.index import MAX_ENTRIES, Index
from sysgraft.firmware.index_kernel import find_kernels, index_kernel
from sysgraft.firmware.index_tree import index_tree, read_folder

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from sysgraft.base.progress import Progress
    from sysgraft.base.tree import Tree
    from sysgraft.firmware.index import Entry, Kernel


def make_index(
    kernel_trees: Sequence[str],
    firmware_trees: Sequence[str | Tree],
    *,
    old: Index | None = None,
    digests: bool = False,
    progress: Progress | None = None,
) -> Index:
    """Index kernels and firmware.

    Args:
        kernel_trees: folders ``…/lib/modules/RELEASE``, or roots with such.
        firmware_trees: firmware folders, roots with one, or trees in memory; later ones lie over
            earlier ones.
        old: an index of what was there before; modules that are as they were are not read again.
            What comes out does not depend on it.
        digests: whether to hash the firmware files.
        progress: told of what is done.

    Raises:
        UsageError: two trees have a kernel of the same release.
        InputError: a tree cannot be read, or has nothing in it.
        LimitError: there is more than an index can hold.
    """
    progress = progress or NoProgress()
    before = {kernel.release: kernel for kernel in old.kernels} if old else {}
    folders = [folder for root in kernel_trees for folder in find_kernels(root)]
    kernels = [index_kernel(folder, before, progress) for folder in folders]
    trees = [
        index_tree(
            read_folder(tree) if isinstance(tree, str) else tree, number, progress, digests=digests
        )
        for number, tree in enumerate(firmware_trees)
    ]
    packages = {package.name: package for each in trees for package in each.packages}
    return Index(
        kernels=_by_release(kernels),
        entries=_merged(each.entries for each in trees),
        packages=tuple(packages[name] for name in sorted(packages)),
        licenses=tuple(itertools.chain.from_iterable(each.licenses for each in trees)),
        problems=tuple(itertools.chain.from_iterable(each.problems for each in trees)),
    )


def _by_release(kernels: Iterable[Kernel]) -> tuple[Kernel, ...]:
    found: dict[str, Kernel] = {}
    for kernel in kernels:
        if kernel.release in found:
            raise UsageError(
                f"two kernels have the release {kernel.release}",
                hint="give each kernel's folder once",
            )
        found[kernel.release] = kernel
    return tuple(found[release] for release in sorted(found))


def _merged(trees: Iterable[Iterable[Entry]]) -> tuple[Entry, ...]:
    found = {entry.path: entry for entries in trees for entry in entries}
    if len(found) > MAX_ENTRIES:
        raise LimitError(f"more than {MAX_ENTRIES} firmware files")
    return tuple(found[path] for path in sorted(found))
