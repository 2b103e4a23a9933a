"""What firmware stays, what goes, and how much that is."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from sysgraft.build.firmware_set.choosing import Chosen, below_firmware, links_to, matcher
from sysgraft.build.firmware_set.links import follow
from sysgraft.build.firmware_set.packing import plain_name
from sysgraft.build.firmware_set.trees import FIRMWARE

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from sysgraft.base.tree import Inode
    from sysgraft.firmware.plan_document import Plan

PLACES: Final = (f"{FIRMWARE}/", "lib/firmware/")
"""Where firmware lies, in roots with and without the usr-merge."""


@dataclass(frozen=True, slots=True)
class Keeping:
    """Which firmware stays.

    Attributes:
        plan: its early files stay; None for no plan.
        keep: patterns of files that stay, see `sysgraft.build.firmware_set.choosing`.
        drop: patterns of files that go, whoever wants them to stay.
    """

    plan: Plan | None = None
    keep: tuple[str, ...] = ()
    drop: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class StripReport:
    """What became of the firmware.

    Attributes:
        path: of the result.
        size: of the result in bytes.
        size_before: of an initrd as it was; 0 for a root file system, which has no such size.
        kept_files: firmware files that stayed.
        kept_size: bytes of them.
        removed_files: files that went.
        removed_size: bytes of them.
        removed_links: links that went.
        largest: the folders below the firmware folder that lost most, with the bytes.
        missing: early files of the plan that were not there.
        notes: what a person should know.
    """

    path: str
    size: int
    size_before: int
    kept_files: int
    kept_size: int
    removed_files: int
    removed_size: int
    removed_links: int
    largest: tuple[tuple[str, int], ...]
    missing: tuple[str, ...]
    notes: tuple[str, ...]


class Decision:
    """What goes of a tree.

    Args:
        tree: all of it by path.
        keeping: see there.

    Attributes:
        removed: the paths that go.
        missing: see `StripReport`.
    """

    def __init__(self, tree: Mapping[str, Inode], keeping: Keeping) -> None:
        self._tree = tree
        firmware = {path: inode for path, inode in _firmware_of(tree) if not inode.is_dir}
        early = _early(keeping.plan)
        is_kept, is_dropped = matcher(keeping.keep), matcher(keeping.drop)
        wanted = {
            path
            for path in firmware
            if (_name(path) in early or is_kept(path)) and not is_dropped(path)
        }
        ways = [follow(tree, path) for path in wanted]
        ends = {way.end for way in ways if way.end in firmware and not is_dropped(way.end)}
        kept = {path: Chosen(tree[path]) for path in ends if tree[path].is_file}
        links = links_to(tree, kept, is_dropped)
        # What is wanted stays, also a link that leads out of the firmware, and its way there.
        stays = wanted.union(kept, links, *(way.links for way in ways))
        there = set(map(_name, firmware))
        self.missing = tuple(sorted(path for name, path in early.items() if name not in there))
        self.kept = [tree[path] for path in stays if path in firmware and tree[path].is_file]
        self.removed = frozenset(firmware.keys() - stays)

    def largest(self, count: int) -> tuple[tuple[str, int], ...]:
        """The folders that lose most."""
        sizes: Counter[str] = Counter()
        for full in self.removed:
            folder, slash, _ = below_firmware(full).partition("/")
            sizes[folder if slash else "."] += _size(self._tree[full])
        return tuple(sorted(sizes.items(), key=lambda item: (-item[1], item[0]))[:count])

    def sums(self) -> tuple[int, int, int]:
        """Files, bytes and links that go; a file of several names counts once."""
        inodes = {id(self._tree[path]): self._tree[path] for path in self.removed}
        links = sum(inode.is_symlink for inode in inodes.values())
        return len(inodes) - links, sum(map(_size, inodes.values())), links

    def kept_sums(self) -> tuple[int, int]:
        """Files and bytes that stay."""
        inodes = {id(inode): inode for inode in self.kept}
        return len(inodes), sum(map(_size, inodes.values()))


def _firmware_of(tree: Mapping[str, Inode]) -> Iterable[tuple[str, Inode]]:
    return ((path, inode) for path, inode in tree.items() if path.startswith(PLACES))


def _early(plan: Plan | None) -> dict[str, str]:
    """The early files by their names without suffix: a root may have them in another form."""
    files = plan.files if plan else ()
    return {_name(file.path): file.path for file in files if file.when == "early"}


def _name(path: str) -> str:
    return plain_name(below_firmware(path))


def _size(inode: Inode) -> int:
    return inode.content.size if inode.content else 0


def make_report(
    path: str,
    decision: Decision,
    *,
    sizes: tuple[int, int],
    notes: Sequence[str],
) -> StripReport:
    """The report on a result at `path`; `sizes` are before and after, in bytes."""
    files, size, links = decision.sums()
    kept_files, kept_size = decision.kept_sums()
    return StripReport(
        path=path,
        size=sizes[1],
        size_before=sizes[0],
        kept_files=kept_files,
        kept_size=kept_size,
        removed_files=files,
        removed_size=size,
        removed_links=links,
        largest=decision.largest(10),
        missing=decision.missing,
        notes=tuple(notes),
    )
