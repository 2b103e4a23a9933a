"""What a fetched file is called in the store: by what is in it, whatever its address says.

An extension is called as its release file is: systemd takes it under no other name. The name in the
address counts only where the image agrees with it: a release file ``firmware`` also serves
``firmware_1.2`` (systemd 256 and newer).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from sysgraft.errors import FormatError, InputError, UsageError, in_file
from sysgraft.formats import pe
from sysgraft.formats.extension_release import Kind
from sysgraft.host.files import OpenFile
from sysgraft.image import matching, names
from sysgraft.image.inspect import inspect_blob
from sysgraft.node.layout import SIDECARS
from sysgraft.node.store import SIDECAR_SUFFIXES
from sysgraft.transport.pools import public_address

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sysgraft.image.inspect import ImageInfo
    from sysgraft.node.fetch import Fetched

_PLAIN: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+~^@-]{0,200}")
"""Names of addons and credentials: nothing inside says what they are called."""
_HEAD: Final = 64


@dataclass(frozen=True, slots=True)
class Identity:
    """What a file is.

    Attributes:
        kind: of the store it belongs to.
        file: its name there.
        uri: what a person knows it by, for messages.
        root_hash: that it claims; None where it has none.
    """

    kind: str
    file: str
    uri: str
    root_hash: bytes | None = None


def identify(fetched: Fetched, uri: str, *, kind: str = "") -> Identity:
    """What a fetched file is.

    Args:
        fetched: the file.
        uri: where it came from.
        kind: what it has to be; empty for anything.

    Raises:
        InputError: it is neither extension, addon nor credential, or cannot be named.
        UsageError: it is of another kind.
    """
    shown = fetched.name or public_address(uri)
    with in_file(shown), OpenFile(fetched.path) as blob:
        head = blob.read_at(0, min(_HEAD, blob.size))
        if pe.looks_like_pe(head) or fetched.name.lower().endswith(".cred"):
            found = Identity(SIDECARS, _sidecar_name(fetched.name, head), shown)
        else:
            found = _extension(inspect_blob(blob, fetched.name or "image.raw"), fetched.name, shown)
    if kind and found.kind != kind:
        raise UsageError(f"it is a {found.kind}, and a {kind} is wanted", file=shown)
    return found


def _sidecar_name(name: str, head: bytes) -> str:
    suffix = next((each for each in SIDECAR_SUFFIXES if name.lower().endswith(each)), "")
    if not suffix or not _PLAIN.fullmatch(name) or (suffix == ".cred") == pe.looks_like_pe(head):
        raise InputError(
            f"an executable or credential cannot be called {name!r}",
            hint="addons end in .addon.efi, credentials in .cred",
        )
    return name


def _extension(info: ImageInfo, hint: str, shown: str) -> Identity:
    kind = _kind(info)
    found = [name for name in info.releases if _is_own(name, kind)]
    if not found:
        problem = "; ".join(info.problems) or "it has no extension-release file"
        raise FormatError(f"no extension that systemd would merge: {problem}")
    hinted = names.image_name(hint) if hint else ""
    name = hinted if _serves(hinted, kind, info.releases) else ""
    if not name:
        if len(found) > 1:
            raise FormatError(f"its release files have several names: {', '.join(sorted(found))}")
        name = found[0]
    names.validate_name(name)
    return Identity(kind, names.file_name(name, kind), shown, info.root_hash)


def _kind(info: ImageInfo) -> Kind:
    """By the release files, which cannot lie about it to systemd."""
    kinds = {release.kind for release in info.releases.values()}
    if len(kinds) > 1:
        raise FormatError("it is a system extension and a configuration extension at a time")
    return kinds.pop() if kinds else info.kind or Kind.SYSEXT


def _is_own(name: str, kind: Kind) -> bool:
    """Not one of the second names that are there for systemd up to 254 (ADR 0006)."""
    return names.is_valid(name) and names.image_name(f"{name}.{kind}.raw") == name


def _serves(name: str, kind: Kind, releases: Iterable[str]) -> bool:
    """Whether systemd takes the image under this name."""
    if not names.is_valid(name) or name.startswith("."):
        return False
    candidates = [matching.Candidate(each) for each in releases]
    file = names.file_name(name, kind)
    return matching.choose_release(file, candidates).name is not None
