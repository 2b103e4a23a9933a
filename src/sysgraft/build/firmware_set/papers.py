"""What goes along with firmware: its terms, WHENCE, and a bill of materials.

They lie below ``usr/share/licenses/NAME`` and ``usr/share/sbom``, where distributions have them. Of
a package's copyright file it is what is about the files of the set, where that can be told.
"""

from __future__ import annotations

import hashlib
import stat
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from sysgraft.base.blob import BytesBlob, chunks
from sysgraft.base.text import one_line
from sysgraft.base.tree import Inode
from sysgraft.build.firmware_set.packing import plain_name
from sysgraft.build.firmware_set.trees import FIRMWARE
from sysgraft.formats import debian_copyright, spdx, whence

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence

    from sysgraft.base.blob import Blob
    from sysgraft.build.firmware_set.packing import Packed
    from sysgraft.build.firmware_set.trees import FirmwareTree
    from sysgraft.build.sources.model import Workspace
    from sysgraft.firmware.plan_document import Plan

_WHENCE: Final = "WHENCE"
_DOC: Final = "usr/share/doc/"
_TOOL: Final = "sysgraft"  # without a version, which would be all that changes with a new one


def raw_names(trees: Iterable[FirmwareTree]) -> frozenset[str]:
    """What WHENCE says must not be compressed."""
    return frozenset(
        entry.path
        for tree in trees
        for record in _whence(tree).records
        for entry in record.entries
        if entry.is_raw
    )


def _whence(tree: FirmwareTree) -> whence.Whence:
    inode = tree.files.get(_WHENCE)
    content = inode.content if inode else None
    if content is None:
        return whence.parse(b"")
    return whence.parse(content.read_at(0, min(content.size, whence.MAX_SIZE + 1)))


def licence_files(
    name: str,
    packed: Sequence[Packed],
    *,
    plan: Plan | None,
    trees: Sequence[FirmwareTree],
    workspace: Workspace,
) -> dict[str, Inode]:
    """Terms and WHENCE by their path in the root; of equal names the last tree's."""
    found = {}
    for tree in trees:
        if _WHENCE in tree.files:
            found[_WHENCE] = tree.files[_WHENCE]
    for terms in plan.licenses if plan else ():
        inode = _find(terms.path, trees)
        if inode is None:
            workspace.note(f"no firmware tree has the terms {one_line(terms.path)}")
        elif needed := _needed(terms.path, inode, packed, plan):
            found[_short(terms.path)] = needed
    folder = f"usr/share/licenses/{name}"
    return {f"{folder}/{path}": inode for path, inode in found.items()}


def _needed(path: str, inode: Inode, packed: Sequence[Packed], plan: Plan | None) -> Inode | None:
    """Of a package's copyright file what is about its files; all of other terms.

    Of files beside the plan's nobody knows the package, so that all of every one stays then.
    """
    package = path.removeprefix(_DOC).removesuffix("/copyright")
    planned = {each.path for each in plan.files if each.license == package} if plan else set()
    files = [each for each in packed if each.chosen.inode.is_file]
    if not planned or any(each.chosen.planned is None for each in files):
        return inode
    names = {
        plain_name(each.path)
        for each in files
        if each.chosen.planned is not None and each.chosen.planned.path in planned
    }
    return _excerpt(inode, names) if names else None


def _excerpt(inode: Inode, names: Collection[str]) -> Inode:
    content = inode.content
    if content is None or content.size > debian_copyright.MAX_SIZE:
        return inode
    part = debian_copyright.excerpt(content.read_at(0, content.size), names)
    return inode if part is None else replace(inode, content=BytesBlob(part))


def _find(path: str, trees: Sequence[FirmwareTree]) -> Inode | None:
    for tree in reversed(trees):
        inode = tree.papers.get(path) or tree.files.get(path.removeprefix(f"{FIRMWARE}/"))
        if inode is not None and inode.is_file:
            return inode
    return None


def _short(path: str) -> str:
    """``PACKAGE/copyright`` of Debian's folder, else the path below the firmware folder."""
    return path.removeprefix(f"{FIRMWARE}/").removeprefix(_DOC)


def bill_of_materials(name: str, packed: Sequence[Packed], *, epoch: int) -> dict[str, Inode]:
    """The bill by its path in the root."""
    files = [_described(each) for each in packed if each.chosen.inode.content is not None]
    data = spdx.render(name, "", files, tool=_TOOL, created=epoch)
    inode = Inode(mode=stat.S_IFREG | 0o644, mtime=epoch, content=BytesBlob(data))
    return {f"usr/share/sbom/{name}.spdx.json": inode}


def _described(packed: Packed) -> spdx.SpdxFile:
    chosen = packed.chosen
    planned = chosen.planned
    sha1, sha256 = _digests(chosen.inode.content or BytesBlob(b""))
    return spdx.SpdxFile(
        path=f"{FIRMWARE}/{packed.path}",
        sha1=sha1,
        sha256=sha256,
        terms=planned.license if planned else "",
        comment=_why(packed),
    )


def _why(packed: Packed) -> str:
    planned = packed.chosen.planned
    if planned is None or not planned.reasons:
        return ""
    reason = planned.reasons[0]
    whom = f" by {reason.module}" if reason.module else ""
    more = f" and {len(planned.reasons) - 1} more" if len(planned.reasons) > 1 else ""
    return f"{reason.evidence}{whom} as {reason.name}{more}"


def _digests(content: Blob) -> tuple[str, str]:
    states = hashlib.sha1(usedforsecurity=False), hashlib.sha256()
    for data in chunks(content):
        for state in states:
            state.update(data)
    return states[0].hexdigest(), states[1].hexdigest()
