"""Index a firmware tree: its files and links, and what WHENCE and the packages' metainfo say.

A tree is a root with ``usr/lib/firmware`` or ``lib/firmware``, or such a folder itself, or a
checkout of linux-firmware. There links stand in WHENCE only; they are taken as if they were made.
Files are not opened unless their digests are asked for.
"""

from __future__ import annotations

import hashlib
import os
import stat
from typing import TYPE_CHECKING, Final, NamedTuple

from sysgraft.errors import FormatError, InputError, LimitError
from sysgraft.firmware.index import MAX_ENTRIES, Entry, License, Package
from sysgraft.firmware.plan_document import is_inside
from sysgraft.formats import appstream, whence
from sysgraft.host.files import OpenFile, Seen
from sysgraft.host.folders import FOLDER_MAX, walk
from sysgraft.host.parallel import BUFFER, MAX_SHARDS, Crew
from sysgraft.host.small import read_small

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from sysgraft.base.progress import Progress
    from sysgraft.host.folders import Found

FIRMWARE: Final = "usr/lib/firmware"

_PLACES: Final = (FIRMWARE, "lib/firmware")
_METAINFO: Final = ("usr/share/metainfo", "usr/share/appdata")
_DOC: Final = "usr/share/doc"
# What a checkout of linux-firmware has beside firmware.
_NOT_FIRMWARE: Final = (".git", "contrib")
_LICENCE_MAX: Final = 200  # characters of terms that are shown


class Tree(NamedTuple):
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


def find_firmware(folder: str) -> str:
    """The firmware folder of a root, or the folder itself.

    Raises:
        InputError: it is no folder.
    """
    for place in _PLACES:
        path = os.path.join(folder, place)
        if os.path.isdir(path) and not os.path.islink(path):
            return path
    if not os.path.isdir(folder):
        raise InputError("no such folder", file=folder)
    return folder


def index_tree(folder: str, number: int, progress: Progress, *, digests: bool = False) -> Tree:
    """Read a tree.

    Args:
        folder: see the module.
        number: of the tree.
        progress: told the bytes that were hashed.
        digests: whether to hash what the files hold.

    Raises:
        InputError: it cannot be read.
        LimitError: it has more than `MAX_ENTRIES` files.
    """
    firmware = find_firmware(folder)
    problems: list[str] = []
    found = [each for each in _wanted(firmware) if _is_named(each, problems)]
    sums = _digests(found, progress) if digests else {}
    entries = {each.path.decode(): _entry(each, number, sums) for each in found}
    known = whence.parse(_whence(folder, firmware))
    problems += [f"WHENCE, line {each.line}: {each.message}" for each in known.problems]
    for each in (entry for record in known.records for entry in record.entries):
        if each.target and each.path not in entries:
            entries[each.path] = Entry(each.path, 0, each.target, number, b"")
    licenses = tuple(_license(record, entries) for record in known.records)
    packages = () if firmware == folder else tuple(_packages(folder, problems))
    return Tree(
        tuple(entries[path] for path in sorted(entries)),
        packages,
        licenses,
        tuple(sorted(problems)),
    )


def _wanted(folder: str) -> Iterator[Found]:
    count = 0
    for found in walk(folder):
        if found.path.partition(b"/")[0].decode("latin-1") in _NOT_FIRMWARE:
            continue
        if stat.S_ISREG(found.status.st_mode) or stat.S_ISLNK(found.status.st_mode):
            count += 1
            if count > MAX_ENTRIES:
                raise LimitError(f"more than {MAX_ENTRIES} firmware files", file=folder)
            yield found


def _is_named(found: Found, problems: list[str]) -> bool:
    """Whether a driver could ask for it: a name that is not UTF-8 stands in no document either."""
    try:
        path = found.path.decode()
        found.target.decode()
    except UnicodeDecodeError:
        problems.append(f"{found.path.decode('utf-8', 'backslashreplace')}: not a UTF-8 name")
        return False
    return is_inside(path)


def _entry(found: Found, number: int, sums: dict[bytes, bytes]) -> Entry:
    path, target = found.path.decode(), found.target.decode()
    size = 0 if target else found.status.st_size
    return Entry(path, size, target, number, sums.get(found.path, b""))


def _digests(found: Sequence[Found], progress: Progress) -> dict[bytes, bytes]:
    """SHA-256 of all files, on all cores."""
    files = sorted((each for each in found if not each.target), key=lambda f: -f.status.st_size)
    shards = max(1, min(MAX_SHARDS, len(files)))
    shares = [files[number::shards] for number in range(shards)]
    progress.start("hashing firmware", sum(file.status.st_size for file in files))

    def work(shard: int) -> list[tuple[bytes, bytes]]:
        return [(file.path, _digest(file)) for file in shares[shard]]

    sums: dict[bytes, bytes] = {}
    with Crew(work, shards) as crew:
        for shard, result in crew:
            progress.advance(sum(file.status.st_size for file in shares[shard]))
            sums.update(result)  # type: ignore[call-overload]  # what `work` returned
    progress.finish()
    return sums


def _digest(found: Found) -> bytes:
    total = hashlib.sha256()
    seen = Seen.of(found.status)
    with OpenFile(os.fsdecode(found.place), expected=seen, follow=False) as file:
        for start in range(0, seen.size, BUFFER):
            total.update(file.read_at(start, min(BUFFER, seen.size - start)))
    return total.digest()


def _whence(folder: str, firmware: str) -> bytes:
    for place in (firmware, folder):
        path = os.path.join(place, "WHENCE")
        if os.path.isfile(path):
            return read_small(path, whence.MAX_SIZE, "WHENCE")
    return b""


def _license(record: whence.Record, entries: dict[str, Entry]) -> License:
    return License(
        drivers=tuple(record.drivers),
        paths=tuple(entry.path for entry in record.entries),
        text=record.licence.partition("\n")[0][:_LICENCE_MAX],
        files=tuple(name for name in record.licence_files() if name in entries),
    )


def _packages(root: str, problems: list[str]) -> Iterator[Package]:
    """What the metainfo of packages with firmware says."""
    for path in _metainfo_files(root):
        name = os.path.relpath(path, root)
        try:
            found = appstream.parse(read_small(path, appstream.MAX_SIZE, "metainfo file"))
        except FormatError as error:
            problems.append(f"{name}: {error.message}")
            continue
        if found.firmware:
            yield Package(
                found.name, found.modaliases, found.firmware, _copyright(root, found.name)
            )


def _metainfo_files(root: str) -> Iterator[str]:
    for place in _METAINFO:
        folder = os.path.join(root, place)
        names = sorted(os.listdir(folder))[:FOLDER_MAX] if os.path.isdir(folder) else []
        yield from (
            os.path.join(folder, n) for n in names if n.endswith((".metainfo.xml", ".appdata.xml"))
        )


def _copyright(root: str, package: str) -> str:
    path = f"{_DOC}/{package}/copyright"
    return path if is_inside(path) and os.path.isfile(os.path.join(root, path)) else ""
