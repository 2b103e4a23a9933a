"""Index a firmware tree: its files and links, and what WHENCE and the packages' metainfo say.

A tree is one in memory, as `sysgraft.build` makes of packages and images, or a folder: a root with
``usr/lib/firmware`` or ``lib/firmware``, such a folder itself, or a checkout of linux-firmware.
There links stand in WHENCE only; they are taken as if they were made. Files are not opened unless
their digests are asked for.
"""

from __future__ import annotations

import hashlib
import os
import stat
from typing import TYPE_CHECKING, Final, NamedTuple, TypeAlias

from sysgraft.base.tree import Inode
from sysgraft.errors import FormatError, InputError, LimitError
from sysgraft.firmware.index import MAX_ENTRIES, Entry, License, Package
from sysgraft.firmware.plan_document import is_inside
from sysgraft.formats import appstream, whence
from sysgraft.host.files import OpenFile, Seen
from sysgraft.host.folders import FOLDER_MAX, walk
from sysgraft.host.parallel import BUFFER, MAX_SHARDS, Crew

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from sysgraft.base import tree
    from sysgraft.base.blob import Blob
    from sysgraft.base.progress import Progress

FIRMWARE: Final = b"usr/lib/firmware/"

_PLACES: Final = ("usr/lib/firmware", "lib/firmware")
_METAINFO: Final = ("usr/share/metainfo", "usr/share/appdata")
_METAINFO_SUFFIXES: Final = (".metainfo.xml", ".appdata.xml")
_DOC: Final = "usr/share/doc"
# What a checkout of linux-firmware has beside firmware.
_NOT_FIRMWARE: Final = (b".git", b"contrib")
_LICENCE_MAX: Final = 200  # characters of terms that are shown

_File: TypeAlias = "tuple[bytes, Blob]"


class IndexedTree(NamedTuple):
    """What a tree has.

    Attributes:
        entries: sorted by path.
        packages: of its metainfo, sorted by name.
        licenses: of its WHENCE, in its order.
        problems: what could not be read, and why.
    """

    entries: tuple[Entry, ...]
    packages: tuple[Package, ...]
    licenses: tuple[License, ...]
    problems: tuple[str, ...]


def read_folder(folder: str) -> tree.Tree:
    """Firmware, metainfo and terms of a folder as a tree in memory; nothing is read yet.

    Raises:
        InputError: it is no folder, or cannot be listed.
        LimitError: it has more than `MAX_ENTRIES` files.
    """
    found: dict[bytes, Inode] = {}
    firmware = _firmware_of(folder)
    _add(found, firmware, FIRMWARE.decode().rstrip("/"))
    if firmware != folder:
        for place in _METAINFO:
            for name in _names(os.path.join(folder, place)):
                _add_file(found, folder, f"{place}/{name}")
        for name in _names(os.path.join(folder, _DOC)):
            _add_file(found, folder, f"{_DOC}/{name}/copyright")
    return found


def _firmware_of(folder: str) -> str:
    """The firmware folder of a root, or the folder itself."""
    for place in _PLACES:
        path = os.path.join(folder, place)
        if os.path.isdir(path) and not os.path.islink(path):
            return path
    if not os.path.isdir(folder):
        raise InputError("no such folder", file=folder)
    return folder


def _names(folder: str) -> list[str]:
    return sorted(os.listdir(folder))[:FOLDER_MAX] if os.path.isdir(folder) else []


def _add(tree: dict[bytes, Inode], folder: str, place: str) -> None:
    """Add all files and links of a folder."""
    for found in walk(folder):
        mode = found.status.st_mode
        if found.path.partition(b"/")[0] in _NOT_FIRMWARE:
            continue
        if stat.S_ISREG(mode) or stat.S_ISLNK(mode):
            content = _file(found.place, found.status) if stat.S_ISREG(mode) else None
            inode = Inode(mode, content=content, target=found.target)
            tree[os.fsencode(place) + b"/" + found.path] = inode
            if len(tree) > MAX_ENTRIES:
                raise LimitError(f"more than {MAX_ENTRIES} firmware files", file=folder)


def _add_file(tree: dict[bytes, Inode], root: str, path: str) -> None:
    """Add a file if it is there."""
    place = os.fsencode(os.path.join(root, path))
    if os.path.isfile(place):
        status = os.stat(place)
        content = OpenFile(os.fsdecode(place), expected=Seen.of(status))
        tree[os.fsencode(path)] = Inode(status.st_mode, content=content)


def _file(place: bytes, status: os.stat_result) -> OpenFile:
    return OpenFile(os.fsdecode(place), expected=Seen.of(status), follow=False)


def index_tree(
    tree: tree.Tree, number: int, progress: Progress, *, digests: bool = False
) -> IndexedTree:
    """Index a tree, whose firmware is below ``usr/lib/firmware``.

    Args:
        tree: see the module.
        number: of the tree.
        progress: told the bytes that were hashed.
        digests: whether to hash what the files hold.

    Raises:
        InputError: it cannot be read.
        LimitError: it has more than `MAX_ENTRIES` files.
    """
    problems: list[str] = []
    found = {path: inode for path, inode in _firmware(tree) if _is_named(path, inode, problems)}
    if len(found) > MAX_ENTRIES:
        raise LimitError(f"more than {MAX_ENTRIES} firmware files")
    files = [(path, inode.content) for path, inode in found.items() if inode.content is not None]
    sums = _digests(files, progress) if digests else {}
    entries = {path.decode(): _entry(path, found[path], number, sums) for path in found}
    known = whence.parse(_text(tree, FIRMWARE + b"WHENCE", whence.MAX_SIZE))
    problems += [f"WHENCE, line {each.line}: {each.message}" for each in known.problems]
    for each in (entry for record in known.records for entry in record.entries):
        if each.target and each.path not in entries:
            entries[each.path] = Entry(each.path, 0, each.target, number, b"")
    licenses = tuple(_license(record, entries) for record in known.records)
    packages = tuple(_packages(tree, problems))
    ordered = tuple(entries[path] for path in sorted(entries))
    return IndexedTree(ordered, packages, licenses, tuple(sorted(problems)))


def _firmware(tree: tree.Tree) -> Iterator[tuple[bytes, Inode]]:
    """Files and links below the firmware folder, with paths relative to it."""
    for path, inode in tree.items():
        if path.startswith(FIRMWARE) and (inode.is_file or inode.is_symlink):
            yield path[len(FIRMWARE) :], inode


def _is_named(path: bytes, inode: Inode, problems: list[str]) -> bool:
    """Whether a driver could ask for it: a name that is not UTF-8 stands in no document either."""
    try:
        inode.target.decode()
        return is_inside(path.decode())
    except UnicodeDecodeError:
        problems.append(f"{path.decode('utf-8', 'backslashreplace')}: not a UTF-8 name")
        return False


def _entry(path: bytes, inode: Inode, number: int, sums: dict[bytes, bytes]) -> Entry:
    size = inode.content.size if inode.content is not None else 0
    return Entry(path.decode(), size, inode.target.decode(), number, sums.get(path, b""))


def _digests(files: Sequence[_File], progress: Progress) -> dict[bytes, bytes]:
    """SHA-256 of all files, on all cores."""
    files = sorted(files, key=lambda file: -file[1].size)
    shards = max(1, min(MAX_SHARDS, len(files)))
    shares = [files[number::shards] for number in range(shards)]
    progress.start("hashing firmware", sum(blob.size for _, blob in files))

    def work(shard: int) -> list[tuple[bytes, bytes]]:
        return [(path, _digest(blob)) for path, blob in shares[shard]]

    sums: dict[bytes, bytes] = {}
    with Crew(work, shards) as crew:
        for shard, result in crew:
            progress.advance(sum(blob.size for _, blob in shares[shard]))
            sums.update(result)  # type: ignore[call-overload]  # what `work` returned
    progress.finish()
    return sums


def _digest(blob: Blob) -> bytes:
    total = hashlib.sha256()
    for start in range(0, blob.size, BUFFER):
        total.update(blob.read_at(start, min(BUFFER, blob.size - start)))
    return total.digest()


def _text(tree: tree.Tree, path: bytes, limit: int) -> bytes:
    """A small file of the tree; nothing if it is not there."""
    inode = tree.get(path)
    if inode is None or inode.content is None:
        return b""
    if inode.content.size > limit:
        raise LimitError(f"{os.fsdecode(path)} has more than {limit} bytes")
    return inode.content.read_at(0, inode.content.size)


def _license(record: whence.Record, entries: dict[str, Entry]) -> License:
    return License(
        drivers=tuple(record.drivers),
        paths=tuple(entry.path for entry in record.entries),
        text=record.licence.partition("\n")[0][:_LICENCE_MAX],
        files=tuple(name for name in record.licence_files() if name in entries),
    )


def _packages(tree: tree.Tree, problems: list[str]) -> Iterator[Package]:
    """What the metainfo of packages with firmware says."""
    for path in sorted(tree):
        name = path.decode("utf-8", "backslashreplace")
        if os.path.dirname(name) not in _METAINFO or not name.endswith(_METAINFO_SUFFIXES):
            continue
        try:
            found = appstream.parse(_text(tree, path, appstream.MAX_SIZE))
        except FormatError as error:
            problems.append(f"{name}: {error.message}")
            continue
        if found.firmware:
            terms = f"{_DOC}/{found.name}/copyright"
            known = terms if is_inside(terms) and terms.encode() in tree else ""
            yield Package(found.name, found.modaliases, found.firmware, known)
