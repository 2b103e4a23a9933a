"""A menu for GRUB with the kernels of a boot partition: what its ``custom.cfg`` may hold.

GRUB starts a UKI by chain loading (GRUB manual, "chainloader"), and other kernels as it does its
own; it finds the partition by the file. The text names files as they are called now: it has to be
written anew when one comes, goes, or loses its boot counter, which GRUB does not know.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sysgraft.errors import InputError
from sysgraft.formats import bls

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sysgraft.kernel.listing import Kernel, Listing
    from sysgraft.seal.volume import Volume


_MODULES: Final = ("insmod part_gpt", "insmod fat")
"""What is needed to look for files on the partition, and may not be loaded yet."""


def grub_menu(listing: Listing, volume: Volume) -> str:
    """The menu entries of all kernels, the newest first.

    Args:
        listing: of the kernels.
        volume: they are on.
    """
    return "".join(
        "\n".join(lines) + "\n"
        for each in listing.kernels
        if not each.is_bad and (lines := list(_entry(each, volume)))
    )


def _entry(kernel: Kernel, volume: Volume) -> Iterator[str]:
    body = _chain(kernel.file) if kernel.kind == "uki" else list(_classic(kernel.file, volume))
    # What cannot be written down would be the name of another file.
    if body and "".join((kernel.identifier, *body)).isprintable():
        yield f"menuentry {_quoted(kernel.name)} --id {_quoted(kernel.identifier)} {{"
        yield from (f"\t{line}" for line in (*_MODULES, *body))
        yield "}"


def _chain(path: str) -> list[str]:
    place = _quoted(f"/{path}")
    return [f"search --no-floppy --file --set=root {place}", f"chainloader {place}"]


def _classic(config: str, volume: Volume) -> Iterator[str]:
    """What an entry of type #1 says, in GRUB's words; nothing where it starts no kernel."""
    try:
        blob = volume.open(config)
    except InputError:
        return
    entry = bls.parse(blob.read_at(0, min(blob.size, bls.MAX_SIZE)))
    if entry.kind != "linux":
        return
    kernel = _quoted(_path(entry.linux))
    yield f"search --no-floppy --file --set=root {kernel}"
    yield f"linux {kernel} {' '.join(map(_quoted, entry.options.split()))}".rstrip()
    if entry.initrds:
        yield f"initrd {' '.join(_quoted(_path(each)) for each in entry.initrds)}"


def _path(text: str) -> str:
    return "/" + text.replace("\\", "/").strip("/")


def _quoted(text: str) -> str:
    """As GRUB's shell takes it literally (GRUB manual, "Quoting")."""
    return "'" + text.replace("'", "'\\''") + "'"
