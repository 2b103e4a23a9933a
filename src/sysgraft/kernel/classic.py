"""A kernel with its initrds apart: the files and the text of an entry of type #1 (UAPI.1).

Laid out as kernel-install's ``layout=bls`` does, so that both can work on one partition: everything
in ``TOKEN/VERSION``, the kernel under the name ``linux``, initrds under their own. systemd-boot
reads such entries, and GRUB where a distribution gave it ``blscfg``.
"""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING, Final

from sysgraft.errors import InputError, UsageError
from sysgraft.host.sysfs import SysfsFolder, read_text
from sysgraft.kernel.token import machine_id, release_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sysgraft.kernel.naming import KernelName

KERNEL: Final = "linux"
_CMDLINES: Final = ("etc/kernel/cmdline", "usr/lib/kernel/cmdline")
_RUNNING: Final = "proc/cmdline"
_MAX_CMDLINE: Final = 64 << 10
# What a boot loader added for itself (GRUB, systemd-boot, syslinux).
_OF_LOADER: Final = re.compile(r"(?<!\S)(BOOT_IMAGE|initrd)=\S*")
_NAME: Final = re.compile(r"[A-Za-z0-9._+~@=,-]{1,200}")


def parts(kernel: str, initrds: Sequence[str], name: KernelName) -> dict[str, str]:
    """The files of an entry: paths by the name they get.

    Raises:
        InputError: one is none.
        UsageError: a name cannot stand in an entry, or two are the same.
    """
    found = {KERNEL: kernel}
    for path in initrds:
        own = os.path.basename(path)
        if not _NAME.fullmatch(own) or own.startswith("."):
            raise UsageError(f"{own!r} cannot stand in the boot entry of {name.stem}")
        if own.casefold() in {each.casefold() for each in found}:
            raise UsageError(f"two files of the name {own} are to go into {name.folder}")
        found[own] = path
    for path in found.values():
        if not os.path.isfile(path):
            raise InputError("there is no such file", file=path)
    return found


def entry_text(
    root: str, name: KernelName, files: Sequence[str], *, title: str = "", cmdline: str = ""
) -> str:
    """The text of an entry.

    Args:
        root: of the system.
        name: of the kernel.
        files: names of its files, the kernel first.
        title: for people; empty for what os-release says.
        cmdline: empty for what the system has written down, else what it was started with.

    Raises:
        UsageError: the title or the command line has more than one line.
        InputError: nothing says a command line.
    """
    system = SysfsFolder(root)
    options = cmdline or _cmdline(system)
    if name.token == machine_id(system):
        options += f" systemd.machine_id={name.token}"
    release = release_of(system)
    lines = [
        ("title", title or release.get("PRETTY_NAME", "") or name.token),
        ("version", name.version),
        ("machine-id", machine_id(system)),
        ("sort-key", release.get("IMAGE_ID", "") or release.get("ID", "")),
        ("options", options),
        ("linux", f"/{name.folder}/{files[0]}"),
        *(("initrd", f"/{name.folder}/{each}") for each in files[1:]),
    ]
    for key, text in lines:
        if not text.isprintable():
            raise UsageError(f"more than one line for {key} of a boot entry: {text!r}")
    return "".join(f"{key:<10} {text}\n" for key, text in lines if text)


def _cmdline(files: SysfsFolder) -> str:
    """As kernel-install: written down, else what this system was started with."""
    for place in _CMDLINES:
        lines = read_text(files, place, _MAX_CMDLINE).splitlines()
        words = [w for line in lines if not line.lstrip().startswith("#") for w in line.split()]
        if words:
            return " ".join(words)
    running = read_text(files, _RUNNING, _MAX_CMDLINE)
    if not running:
        raise InputError(
            "nothing says what the kernel's command line is to be",
            file=files.source,
            hint="give it with --cmdline, or write it into /etc/kernel/cmdline",
        )
    return " ".join(_OF_LOADER.sub("", running).split())
