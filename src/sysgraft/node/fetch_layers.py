"""The one extension image among the files of a container image's layers.

Rules: OCI Image Format 1.1, "Applying Changesets": upper layers replace and delete what lower ones
hold, deletions concern lower layers only. A path counts as it is written; links to folders are
not followed. Nothing is unpacked but the file that is looked for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from sysgraft.base.tree import is_below, printable
from sysgraft.errors import InputError, LimitError, UnsupportedError, UsageError
from sysgraft.formats.archive_path import OPAQUE_MARKER, WHITEOUT_PREFIX, clean_path
from sysgraft.formats.layer_stream import LayerStream
from sysgraft.formats.stream import CHUNK
from sysgraft.formats.tar import Kind, TarReader

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sysgraft.base.blob import Blob
    from sysgraft.formats.allowance import Allowance
    from sysgraft.formats.oci import Digest
    from sysgraft.formats.tar import Member

SUFFIX: Final = b".raw"
"""How names of extension images end: ``.sysext.raw``, ``.confext.raw``, or this alone."""

MAX_FOUND: Final = 1000
"""Extension images in one container image that are remembered; one is right."""

_SHOWN: Final = 10


class StoredLayer(NamedTuple):
    """A layer that is here.

    Attributes:
        blob: its bytes as stored.
        diff_id: what they must hash to when uncompressed.
    """

    blob: Blob
    diff_id: Digest


class Found(NamedTuple):
    """A file that looks like an extension image.

    Attributes:
        path: in the container image.
        layer: which holds it.
        offset: of its bytes in the layer's archive.
        size: in bytes.
        is_link: whether it is a hard link to another file, whose bytes are not known.
    """

    path: bytes
    layer: StoredLayer
    offset: int
    size: int
    is_link: bool


class Search:
    """Takes layers, the lowest first.

    Args:
        allowance: what all layers together may decompress to.
    """

    def __init__(self, allowance: Allowance) -> None:
        self._allowance = allowance
        self._found: dict[bytes, Found] = {}

    def add(self, layer: StoredLayer) -> bool:
        """Look through a layer above those before; whether it holds anything that may be meant.

        Raises:
            FormatError: it breaks its format's rules, or is not what the image states.
        """
        stream = LayerStream(layer.blob, diff_id=layer.diff_id, allowance=self._allowance)
        new: dict[bytes, Found] = {}
        for member in TarReader(stream.source):
            path = clean_path(member.name)
            self._hide(path, member)
            new.pop(path, None)
            if _looks_right(path, member):
                is_link = member.kind is Kind.HARD_LINK
                new[path] = Found(path, layer, member.data_offset, member.size, is_link)
                if len(new) > MAX_FOUND:
                    raise LimitError(f"more than {MAX_FOUND} extension images in one layer")
        stream.check()
        self._found.update(new)
        return bool(new)

    def _hide(self, path: bytes, member: Member) -> None:
        """Take away what an entry replaces or deletes of the layers below."""
        for lower in [lower for lower in self._found if _hides(path, member, lower)]:
            del self._found[lower]

    def the_one(self) -> Found:
        """The file that is meant.

        Raises:
            InputError: there is none.
            UsageError: there are several.
            UnsupportedError: its bytes cannot be told.
        """
        if not self._found:
            raise InputError("the image holds no extension image (a file *.raw)")
        if len(self._found) > 1:
            raise UsageError(
                f"the image holds several extension images: {_listed(list(self._found))}",
                hint="one image brings one extension",
            )
        found = next(iter(self._found.values()))
        if found.is_link:
            raise UnsupportedError(f"{printable(found.path)} is a hard link in the image")
        return found


def contents(found: Found, allowance: Allowance) -> Iterator[bytes]:
    """The bytes of a file; its layer was looked through and so is the stated one.

    Args:
        found: which file.
        allowance: what reading the layer once more may decompress to.
    """
    reader = TarReader(LayerStream(found.layer.blob, allowance=allowance).source)
    for member in reader:
        if member.data_offset == found.offset and member.kind is Kind.FILE:
            while data := reader.read(CHUNK):
                yield data
            return


def _looks_right(path: bytes, member: Member) -> bool:
    name = path.rpartition(b"/")[2]
    is_file = member.kind in (Kind.FILE, Kind.HARD_LINK)
    return is_file and name.endswith(SUFFIX) and not name.startswith(WHITEOUT_PREFIX)


def _hides(path: bytes, member: Member, lower: bytes) -> bool:
    """Whether an entry leaves nothing of the file `lower` of a layer below."""
    folder, _, name = path.rpartition(b"/")
    if name == OPAQUE_MARKER:
        return is_below(lower, folder)
    if name.startswith(WHITEOUT_PREFIX):
        gone = name.removeprefix(WHITEOUT_PREFIX)
        return is_below(lower, folder + b"/" + gone if folder else gone)
    if member.kind is Kind.DIRECTORY:
        return path == lower
    return is_below(lower, path)


def _listed(paths: list[bytes]) -> str:
    more = len(paths) - _SHOWN
    names = ", ".join(printable(path) for path in sorted(paths)[:_SHOWN])
    return f"{names} and {more} more" if more > 0 else names
