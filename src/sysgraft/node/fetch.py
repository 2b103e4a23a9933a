"""Bringing an extension image from elsewhere into a folder of this machine.

It comes over HTTP(S), out of an OCI registry or container daemon, or from a file, and is hashed on
its way. Plain ``http:`` is allowed for any host: nothing is placed on a node but what has a stated
digest or a signature that the node trusts, whichever way it came. What the bytes are is not looked
at here, and no file gets a name from elsewhere.
"""

from __future__ import annotations

import contextlib
import os
import stat
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NamedTuple

from sysgraft.base.blob import chunks
from sysgraft.base.progress import NoProgress
from sysgraft.errors import InputError, in_file
from sysgraft.formats.hashed import check_digest
from sysgraft.host.files import OpenFile, Seen
from sysgraft.node.fetch_file import incoming
from sysgraft.node.fetch_image import Origin, Wanted, from_daemon_or_registry, from_registry
from sysgraft.node.fetch_uri import last_name, name_in_url, parse_uri, stated_digest
from sysgraft.transport.http import Http
from sysgraft.transport.plain import fetch_file
from sysgraft.transport.pools import public_address

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from sysgraft.base.progress import Progress
    from sysgraft.node.fetch_file import Incoming
    from sysgraft.node.fetch_uri import Kind

MAX_SIZE: Final = 8 << 30
"""Bytes of an extension image, where nobody says otherwise: far more than an ESP or a store has."""

_NO_PROGRESS: Final = NoProgress()


@dataclass(frozen=True, slots=True)
class FetchOptions:
    """How an extension image is fetched.

    Attributes:
        digest: SHA-256 that the bytes must have, with or without ``sha256:``; empty for any.
        limit: bytes it may have, and the layers of a container image together as they are stored.
        insecure: ``HOST`` or ``HOST:PORT`` whose certificates are not checked; of registries also
            those that may speak plain HTTP.
        architecture: which of several images of one name is meant; empty for this machine's.
    """

    digest: str = ""
    limit: int = MAX_SIZE
    insecure: tuple[str, ...] = ()
    architecture: str = ""


class Fetched(NamedTuple):
    """An extension image that is here, whole and on the disk.

    Attributes:
        path: where it lies, under a temporary name.
        name: what the place it came from calls it; a hint that anybody may have written, and
            maybe empty.
        digest: ``sha256:`` and the digest of the bytes.
        proven: whether they were held to a digest that the options or the reference named. What a
            registry says of a mere tag proves nothing.
        size: in bytes.
    """

    path: str
    name: str
    digest: str
    proven: bool
    size: int


_DEFAULTS: Final = FetchOptions()


@contextlib.contextmanager
def fetch(
    uri: str,
    folder: str,
    options: FetchOptions = _DEFAULTS,
    *,
    progress: Progress = _NO_PROGRESS,
) -> Iterator[Fetched]:
    """The extension image at `uri` as a file in `folder`.

    It goes at the end unless it was given another name by then; after an error nothing is left.

    Args:
        uri: see `sysgraft.node.fetch_uri.parse_uri`.
        folder: in the file system where it will stay.
        options: what it must be.
        progress: told of what comes.

    Raises:
        UsageError: the address or the digest makes no sense, or several images fit.
        InputError: there is no such image, or it cannot be fetched (`TransferError`).
        FormatError: it is not what was stated, or larger than allowed (`LimitError`).
        OutputError: it does not fit into the folder's file system, or cannot be written there.
    """
    address = parse_uri(uri)
    wanted = Wanted(stated_digest(options.digest), options.architecture, options.insecure)
    with incoming(folder, options.limit, progress) as file:
        origin = _BRINGERS[address.kind](address.place, file, wanted)
        with in_file(public_address(address.place) if address.kind == "web" else address.place):
            _check(file, wanted)
        path = file.finish()
        proven = origin.is_pinned or wanted.digest is not None
        yield Fetched(path, origin.name, f"sha256:{file.digest}", proven, file.size)


def _check(file: Incoming, wanted: Wanted) -> None:
    if not file.size:
        raise InputError("the file is empty")
    if wanted.digest is not None:
        check_digest(wanted.digest, file.digest, "file")


def _from_web(url: str, file: Incoming, wanted: Wanted) -> Origin:
    file.label = f"Fetching {public_address(url)}"
    fetch_file(Http(wanted.insecure, plain=True), url, file)
    return Origin(name_in_url(url), is_pinned=False)


def _from_file(path: str, file: Incoming, _wanted: Wanted) -> Origin:
    file.label = f"Copying {path}"
    with in_file(path):
        status = os.stat(path)
        if not stat.S_ISREG(status.st_mode):
            raise InputError("not a regular file")
        with OpenFile(path, expected=Seen.of(status)) as source:
            file.begin(source.size)
            for data in chunks(source):
                file.add(data)
    return Origin(last_name(path), is_pinned=False)


_BRINGERS: Final[Mapping[Kind, Callable[[str, Incoming, Wanted], Origin]]] = {
    "web": _from_web,
    "file": _from_file,
    "registry": from_registry,
    "image": from_daemon_or_registry,
}
