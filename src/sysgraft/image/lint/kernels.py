"""The kernels of a target: their releases, modules, and how these are built and signed.

A kernel's folder is ``usr/lib/modules/RELEASE``. What all modules of one build have in common, the
vermagic and the signer, is taken from a few of them.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from sysgraft.base.blob import BytesBlob
from sysgraft.errors import FormatError, InputError
from sysgraft.formats import modinfo, module_signature
from sysgraft.formats.allowance import Allowance, Limits
from sysgraft.formats.compression import HEAD_SIZE, Compression, Decompressor, detect
from sysgraft.formats.stream import BlobSource
from sysgraft.host import folders
from sysgraft.image.lint.folder import read_folder

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sysgraft.base.tree import Inode, Tree
    from sysgraft.formats.modinfo import ModuleInfo
    from sysgraft.formats.module_signature import ModuleSignature
    from sysgraft.image.lint.scene import Contents

MODULES: Final = b"usr/lib/modules"
"""The folder of all kernels' folders."""

MAX_MODULE: Final = 256 << 20
"""Bytes of a module, decompressed; Linux' largest have 60 MB with their debug information."""

# What tells a kernel's own folder from any other.
_OWN: Final = frozenset(("kernel", "modules.builtin", "modules.dep", "modules.order"))
_SAMPLES: Final = 8
_MAX_BUILTIN: Final = 4 << 20


@dataclass(frozen=True, slots=True)
class Module:
    """A module that was read.

    Attributes:
        info: what it says of itself.
        is_signed: whether there is a signature.
        signature: who signed; None also where the signature is of a kind that is not read.
    """

    info: ModuleInfo
    is_signed: bool
    signature: ModuleSignature | None


@dataclass(frozen=True, slots=True)
class Kernel:
    """One kernel of a target.

    Attributes:
        release: as ``uname -r`` has it.
        names: of its modules, those built in among them.
        magics: vermagic of the modules that were looked at.
        signers: of those modules; empty if none is signed.
        are_signed: whether all of them are.
    """

    release: str
    names: frozenset[bytes]
    magics: frozenset[str]
    signers: frozenset[tuple[str, int]]
    are_signed: bool


def read_module(inode: Inode, contents: Contents) -> Module:
    """Read a module, compressed or not.

    Raises:
        FormatError: it is none, damaged, or too large.
        InputError: it cannot be read.
    """
    blob = BytesBlob(_plain(inode, contents))
    info = modinfo.parse(blob)
    is_signed = module_signature.is_signed(blob)
    try:
        signature = module_signature.parse(blob)
    except FormatError:
        signature = None
    return Module(info, is_signed, signature)


def _plain(inode: Inode, contents: Contents) -> bytes:
    """The module as the kernel sees it."""
    blob = inode.content
    if blob is None:
        raise FormatError("it is no regular file")
    if blob.size > MAX_MODULE:
        raise FormatError(f"a kernel module of more than {MAX_MODULE} bytes")
    contents.spend(blob.size)
    kind = detect(blob.read_at(0, min(blob.size, HEAD_SIZE)))
    if kind is Compression.NONE:
        return blob.read_at(0, blob.size)
    allowance = Allowance(Limits(output=MAX_MODULE, free=64 << 20, ratio=50))
    data = Decompressor(BlobSource(blob), kind, allowance).read(MAX_MODULE)
    contents.spend(len(data))
    return data


def read_kernels(path: str, contents: Contents) -> dict[str, Kernel]:
    """The kernels of a folder: one kernel's own folder, or a root folder with ``lib/modules``.

    Raises:
        InputError: there is none in it.
    """
    for below in ("usr/lib/modules", "lib/modules", ""):
        place = folders.folder_in(path, below)
        if place is None or (not below and not _OWN & folders.names_in(place)):
            continue
        kernels = kernels_of(_modules_tree(place, alone=not below), contents)
        if kernels:
            return kernels
    raise InputError(
        "there are no kernel modules in it",
        file=path,
        hint="give usr/lib/modules/RELEASE of the target, or the root folder it is in",
    )


def _modules_tree(place: str, *, alone: bool) -> dict[bytes, Inode]:
    """A tree with the kernels' folders in their usual place.

    Args:
        place: a folder of kernels' folders, or one of these.
        alone: whether it is one of these.
    """
    if not alone:
        return read_folder(place, prefix=MODULES)
    release = os.fsencode(os.path.basename(os.path.abspath(place)))
    return read_folder(place, prefix=MODULES + b"/" + release)


def kernels_of(tree: Tree, contents: Contents) -> dict[str, Kernel]:
    """The kernels with modules in a tree, by release."""
    found: dict[bytes, dict[bytes, Inode]] = {}
    for path, inode in tree.items():
        split = split_path(path)
        if split is not None:
            found.setdefault(split[0], {})[split[1]] = inode
    return {
        release.decode("utf-8", "backslashreplace"): kernel
        for release, files in found.items()
        if (kernel := _kernel(release, files, contents)) is not None
    }


def split_path(path: bytes) -> tuple[bytes, bytes] | None:
    """A kernel's release and the path in its folder; None for anything else."""
    parts = path.split(b"/", 4)
    if len(parts) < 5 or b"/".join(parts[:3]) != MODULES:
        return None
    return parts[3], parts[4]


def is_module(path: bytes) -> bool:
    """Whether a file is a module, by its name."""
    return modinfo.module_name(path.rpartition(b"/")[2]) is not None


def _kernel(release: bytes, files: Mapping[bytes, Inode], contents: Contents) -> Kernel | None:
    paths = sorted(path for path, inode in files.items() if is_module(path) and inode.is_file)
    if not paths:
        return None
    builtin = files.get(b"modules.builtin")
    text = contents.read("", b"", builtin, limit=_MAX_BUILTIN) if builtin else None
    names = [*paths, *(text or b"").split()]
    samples = _samples(files, paths, contents)
    return Kernel(
        release.decode("utf-8", "backslashreplace"),
        frozenset(
            name for each in names if (name := modinfo.module_name(each.rpartition(b"/")[2]))
        ),
        frozenset(each.info.vermagic for each in samples),
        frozenset(each.signature.key_id for each in samples if each.signature),
        are_signed=bool(samples) and all(each.is_signed for each in samples),
    )


def _samples(
    files: Mapping[bytes, Inode], paths: Sequence[bytes], contents: Contents
) -> list[Module]:
    """Some modules, from the kernel's own where it has any."""
    own = [path for path in paths if path.startswith(b"kernel/")] or paths
    chosen = own[:: max(1, len(own) // _SAMPLES)][:_SAMPLES]
    found = []
    for path in chosen:
        try:
            found.append(read_module(files[path], contents))
        except InputError:  # a module nobody can read says nothing
            continue
    return found


def folder_of(release: bytes, path: bytes = b"") -> bytes:
    """A path in a kernel's folder, in the tree."""
    return b"/".join(part for part in (MODULES, release, path) if part)
