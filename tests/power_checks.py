"""What is on a disk after a power cut: extensions as systemd-stub takes them, and damage.

systemd-stub takes from a UKI's folder what its names say (``src/boot/stub.c``); that it is whole is
seen by its digest. ``fsck.fat`` is the second opinion on the volume.
"""

from __future__ import annotations

import hashlib
import re
import subprocess
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Final, Literal

from sysgraft.errors import SysgraftError
from sysgraft.formats import fat

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from sysgraft.base.blob import Blob

_SUFFIXES: Final = (".raw", ".addon.efi", ".cred", ".pcrsig.json")


@dataclass(frozen=True, slots=True)
class Broken:
    """A folder that cannot be read as a whole.

    Attributes:
        why: what is wrong.
    """

    why: str


ExtensionSet = dict[str, str] | Broken


def esp_set(volume: Blob, folder: str) -> ExtensionSet:
    """The files that systemd-stub would take of a folder, and the SHA-256 of each.

    None where there is no folder.
    """
    try:
        opened = fat.open_volume(volume)
        found = opened.find(folder)
        if found is None:
            return {}
        if not found.is_dir:
            return Broken("not a folder")
        entries = [each for each in opened.list(folder) if _is_taken(each)]
        owners: dict[int, str] = {}
        for entry in entries:
            for cluster in _clusters(opened, entry):
                other = owners.setdefault(cluster, entry.name)
                if other != entry.name:
                    return Broken(f"{other} and {entry.name} share cluster {cluster}")
        taken = {each.name: _digest(opened.content(each)) for each in entries}
    except SysgraftError as error:
        return Broken(str(error))
    return taken if len(taken) == len(entries) else Broken("two files have one name")


def _is_taken(entry: fat.Entry) -> bool:
    name = entry.name.lower()
    return not entry.is_dir and not name.startswith(".") and name.endswith(_SUFFIXES)


def _digest(blob: Blob) -> str:
    return hashlib.sha256(blob.read_at(0, blob.size)).hexdigest()


def _clusters(volume: fat.Volume, entry: fat.Entry) -> Iterator[int]:
    """A file's clusters; not more than the volume has."""
    if entry.first_cluster:
        chain = volume._table.chain(entry.first_cluster)
        yield from islice(chain, volume.geometry.cluster_limit)


def shared_clusters(volume: Blob, folder: str) -> list[tuple[str, str]]:
    """Names anywhere below a folder that begin with one cluster; what is unreadable is left out."""
    opened = fat.open_volume(volume)
    owners: dict[int, str] = {}
    shared = []
    waiting = [folder]
    while waiting:
        place = waiting.pop()
        try:
            entries = opened.list(place)
        except SysgraftError:
            continue
        for entry in entries:
            path = f"{place}/{entry.name}".lstrip("/")
            if not entry.first_cluster:
                continue
            other = owners.setdefault(entry.first_cluster, path)
            if other != path:
                shared.append((other, path))
            elif entry.is_dir:
                waiting.append(path)
    return shared


# --- fsck.fat ------------------------------------------------------------------------------------

Kind = Literal[
    "dirty",  # was not unmounted
    "backup",  # the boot sector is not its copy, as that has no dirty bit
    "fats differ",
    "free count",
    "orphans",  # clusters of no file
    "shared",  # clusters of two files
    "chain",  # a chain that meets a free cluster, or is too short
    "start",  # a folder that begins nowhere
    "parent",  # a folder that was moved and names the one it was in before as the one above
    "names",  # parts of long names, names that are there twice, a folder without "."
    "other",
]

# What dosfstools 4.2 says: boot.c, check.c and fat.c.
_KINDS: Final[tuple[tuple[str, Kind], ...]] = (
    (r"Dirty bit is set", "dirty"),
    (r"differences between boot sector and its backup", "backup"),
    (r"Free cluster summary (wrong|uninitialized)", "free count"),
    (r"(Reclaimed|Reclaiming|Orphaned|Found) .*(unused|unconnected|orphan)", "orphans"),
    (r"share clusters", "shared"),
    (r"FATs differ", "fats differ"),
    (r"Contains a free cluster|cluster chain length is", "chain"),
    (r"Start does point to root directory", "start"),
    (r"Invalid '\.\.' entry", "parent"),
    (r"long file ?name|Long filename|Duplicate directory|Expected a valid '", "names"),
)
_SHARED: Final = re.compile(r"(/.+?) +and (/.+?) share clusters")
# The boot sector's differences from its backup take two lines.
_GOES_ON: Final = (" ", "This is mostly harmless")
_NO_COMPLAINT: Final = re.compile(
    r"fsck\.fat \d|Leaving filesystem unchanged|\*\*\* Filesystem was changed|"
    r"Writing changes|.*: \d+ files, \d+/\d+ clusters$|Checking|Performing changes|$"
)


@dataclass(frozen=True, slots=True)
class Complaint:
    """Something that ``fsck.fat`` finds wrong.

    Attributes:
        kind: what it is.
        text: its words.
        paths: the two that share clusters.
    """

    kind: Kind
    text: str
    paths: tuple[str, ...] = ()


def fsck_fat(volume: Path) -> list[Complaint]:
    """What ``fsck.fat`` says of an image of a volume; nothing is changed."""
    return _complaints(_fsck("-n", volume))


def fsck_repair(volume: Path) -> list[Complaint]:
    """Have ``fsck.fat`` repair an image as it does without anybody to ask (``-a``)."""
    return _complaints(_fsck("-a", volume))


def _fsck(option: str, volume: Path) -> str:
    done = subprocess.run(
        ["fsck.fat", option, str(volume)],
        capture_output=True, text=True, check=False, timeout=60, errors="replace",
        env={"LC_ALL": "C", "PATH": "/usr/sbin:/sbin:/usr/bin:/bin"}, stdin=subprocess.DEVNULL,
    )  # fmt: skip
    if done.returncode not in (0, 1):
        raise AssertionError(f"fsck.fat has failed: {done.stdout}{done.stderr}")
    return done.stdout + done.stderr


def _complaints(text: str) -> list[Complaint]:
    """A complaint is a line and those that are indented; ``X and`` goes on in the next line."""
    groups: list[list[str]] = []
    joined = False
    for line in text.splitlines():
        if groups and (line.startswith(_GOES_ON) or joined):
            groups[-1].append(line.strip())
        else:
            groups.append([line])
        joined = line.rstrip().endswith(" and")
    texts = (" ".join(group) for group in groups if not _NO_COMPLAINT.match(group[0]))
    return [Complaint(_kind(each), each, _paths(each)) for each in texts]


def _paths(text: str) -> tuple[str, ...]:
    found = _SHARED.match(text)
    return found.groups() if found else ()


def _kind(text: str) -> Kind:
    return next((kind for pattern, kind in _KINDS if re.search(pattern, text)), "other")
