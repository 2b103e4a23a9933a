"""Firmware the kernel will not load, because of where it lies or how it is compressed.

Where the kernel looks, and in which order, is `sysgraft.formats.firmware_search`'s.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from sysgraft.formats import firmware_file, firmware_search
from sysgraft.formats.extension_release import Kind
from sysgraft.image.lint.finding import found
from sysgraft.image.lint.kernels import split_path

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sysgraft.formats.firmware_search import Place
    from sysgraft.image.lint.finding import Finding
    from sysgraft.image.lint.scene import Scene, Subject
    from sysgraft.image.lint.view import Seen, View

FIRMWARE: Final = b"usr/lib/firmware"


class _File(NamedTuple):
    place: Place
    path: bytes
    owner: Subject | None

    @property
    def file(self) -> str:
        """The image it is from; empty for the base."""
        return self.owner.file if self.owner else ""


def check(scene: Scene) -> Iterator[Finding]:
    """Firmware that is found too late, cannot be decompressed, or is a link to nothing."""
    view = scene.views[Kind.SYSEXT]
    start = FIRMWARE + b"/"
    firmware = {path: seen for path, seen in view.seen.items() if path.startswith(start)}
    links = {path: view.resolve(path) for path, seen in firmware.items() if seen.inode.is_symlink}
    files = {
        path: seen
        for path, seen in firmware.items()
        if seen.inode.is_file or _is_file(links.get(path), view)
    }
    yield from _dangling(scene, firmware, links)
    yield from _unloadable(scene, files)
    yield from _shadowed(files, _releases(scene))


def _is_file(path: bytes | None, view: View) -> bool:
    """Whether a link's end is a file, or may be one."""
    if path is None:
        return False
    return not view.is_known(path) or view.seen[path].inode.is_file


def _dangling(
    scene: Scene, firmware: dict[bytes, Seen], links: dict[bytes, bytes | None]
) -> Iterator[Finding]:
    where = "the set" if scene.host is None else "the set or the base"
    for path, target in links.items():
        owner = firmware[path].owner
        if target is None and owner is not None:
            yield found(
                "firmware-dangling-link", f"links to what is not in {where}", owner.file, path=path
            )


def _unloadable(scene: Scene, files: dict[bytes, Seen]) -> Iterator[Finding]:
    for path, (inode, owner) in files.items():
        if owner is None or not firmware_file.split(path)[1]:
            continue
        head = scene.contents.head(owner.file, path, inode, length=firmware_file.HEAD_SIZE)
        problem = "" if head is None else firmware_file.problem(path, head)
        if problem:
            yield found("firmware-not-loadable", problem, owner.file, path=path)


def _releases(scene: Scene) -> frozenset[bytes]:
    """Releases of all kernels that are known of."""
    view = scene.views[Kind.SYSEXT]
    inside = {split[0] for path in view.seen if (split := split_path(path)) is not None}
    return frozenset(inside) | {name.encode() for name in scene.kernels or ()}


def _shadowed(files: dict[bytes, Seen], releases: frozenset[bytes]) -> Iterator[Finding]:
    by_name: dict[bytes, list[_File]] = {}
    for path, seen in files.items():
        place = firmware_search.place(path[len(FIRMWARE) + 1 :], releases)
        by_name.setdefault(place.name, []).append(_File(place, path, seen.owner))
    for candidates in by_name.values():
        for each in candidates:
            first = _always_before(each, candidates, releases)
            if each.owner is not None and first is not None:
                yield _finding(each, first)


def _always_before(
    each: _File, candidates: list[_File], releases: frozenset[bytes]
) -> _File | None:
    """A file that is found instead of this one by every kernel that looks for it."""
    if len(candidates) == 1:
        return None
    kernels = {each.place.release} if each.place.release else releases or {b""}
    firsts = [
        min(
            (c for c in candidates if c.place.release in (b"", kernel)),
            key=lambda c: c.place.rank,
        )
        for kernel in sorted(kernels)
    ]
    return None if each in firsts else firsts[0]


def _finding(each: _File, first: _File) -> Finding:
    (suffix, _), (first_suffix, _) = each.place.rank, first.place.rank
    if suffix == first_suffix:
        why = "a folder that is searched earlier has it, too"
    elif first_suffix:
        why = ".zst is found before .xz"
    else:
        why = "the plain file is found before compressed ones"
    where = f"that of {first.file}" if first.file else "the base's"
    images = dict.fromkeys(filter(None, (each.file, first.file)))
    return found("firmware-shadowed", f"{why}: {where} is loaded", *images, path=each.path)
