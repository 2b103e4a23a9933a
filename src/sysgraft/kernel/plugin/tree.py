"""The files that have kernel-install put UKIs in place by sysgraft, and a trial ended at boot.

The plugin takes the name of systemd's own for ``layout=uki``, ``90-uki-copy.install``, in
``/etc/kernel/install.d``, where a file stands for the one of the same name below ``/usr``
(kernel-install(8)). The unit makes a kernel that was to be tried the default once
``boot-complete.target`` is reached (systemd.special(7)).
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from sysgraft.errors import UsageError
from sysgraft.formats import efivar
from sysgraft.host.efivars import EFIVARFS
from sysgraft.host.file_tree import LINK, TreeFile, write_files
from sysgraft.kernel.options import WHENS, When
from sysgraft.kernel.removal import old_kernels
from sysgraft.kernel.trial import TRIAL, VENDOR

if TYPE_CHECKING:
    from collections.abc import Iterator

PROGRAM: Final = "/usr/bin/sysgraft"
PLUGIN: Final = "etc/kernel/install.d/90-uki-copy.install"
UNIT: Final = "sysgraft-kernel-bless.service"
_UNITS: Final = "usr/lib/systemd/system"
_EXECUTABLE: Final = 0o755
_PLAIN: Final = re.compile(r"[A-Za-z0-9_./:+=@-]+")
"""Needs no quotes in a shell, and nothing of it is replaced in a unit."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PluginOptions:
    """What the plugin asks of ``kernel install``; see `sysgraft.kernel.install.InstallOptions`.

    Attributes:
        program: sysgraft on the system.
        boot_entry: whether each kernel gets an entry in the firmware.
        shim: path of shim on the partition, for such entries.
        default: how a new kernel becomes the default.
        keep: how many versions stay; None removes none.
        grub: GRUB's ``custom.cfg``, written anew after each change; empty for none.
        grow: whether folders of the partition may grow.
    """

    program: str = PROGRAM
    boot_entry: bool = False
    shim: str = ""
    default: When = "keep"
    keep: int | None = None
    grub: str = ""
    grow: bool = False


def files(options: PluginOptions) -> tuple[TreeFile, ...]:
    """The files, in the order of their paths.

    Raises:
        UsageError: an option makes no sense.
    """
    for each in filter(None, (options.program, options.shim, options.grub)):
        if not _PLAIN.fullmatch(each):
            raise UsageError(f"not a path that can stand in a script as it is: {each!r}")
    if options.default not in WHENS:
        raise UsageError(f"no default {options.default!r}", hint=f"there are: {', '.join(WHENS)}")
    if options.keep is not None:
        old_kernels((), options.keep)
    if options.shim and not options.boot_entry:
        raise UsageError("--shim is for --boot-entry")
    return tuple(sorted(_files(options)))


def write_plugin(output: str, options: PluginOptions, *, replace: bool = False) -> tuple[str, ...]:
    """Write the files below a folder, which is made.

    Returns:
        Their paths.

    Raises:
        UsageError: see `files`.
        OutputError: one is there already, or cannot be written.
    """
    return write_files(output, files(options), replace=replace)


def _files(options: PluginOptions) -> Iterator[TreeFile]:
    yield TreeFile(PLUGIN, _script(options).encode(), _EXECUTABLE)
    yield TreeFile(f"{_UNITS}/{UNIT}", "\n".join([*_unit(options), ""]).encode())
    yield TreeFile(f"{_UNITS}/multi-user.target.wants/{UNIT}", f"../{UNIT}".encode(), LINK)


def _script(options: PluginOptions) -> str:
    always = (["--keep", str(options.keep)] if options.keep is not None else []) + (
        ["--grow"] if options.grow else []
    )
    firmware = ["--boot-entry"] if options.boot_entry else []
    firmware += ["--shim", options.shim] if options.shim else []
    firmware += ["--default", options.default] if options.default != "keep" else []
    with open(os.path.join(os.path.dirname(__file__), "uki.sh"), encoding="utf-8") as file:
        text = file.read()
    for mark, words in (("OPTIONS", always), ("FIRMWARE", firmware)):
        text = text.replace(f" @{mark}@", "".join(f" {word}" for word in words))
    # What the firmware starts by its name keeps it, and so has no counter.
    tries = "\ttries=/dev/null\n" if options.boot_entry else ""
    grub = f"place grub --output {options.grub}" if options.grub else ":"
    text = text.replace("@GRUB@", grub)
    return text.replace("\ttries=@TRIES@\n", tries).replace("@PROGRAM@", options.program)


def _unit(options: PluginOptions) -> list[str]:
    variable = f"{EFIVARFS}/{efivar.file_name(TRIAL, VENDOR)}"
    return [
        "[Unit]",
        "Description=Make the kernel that was tried the default",
        f"ConditionPathExists={variable}",
        "Requires=boot-complete.target",
        "After=boot-complete.target",
        "",
        "[Service]",
        "Type=oneshot",
        "RemainAfterExit=yes",
        f"ExecStart={options.program} kernel bless",
    ]
