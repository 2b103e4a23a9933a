"""``sysgraft kernel``: its verbs; the work is in the ``kernel_*`` modules."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sysgraft.cli import kernel_options as options
from sysgraft.cli import verbs
from sysgraft.cli.verbs import Verb

if TYPE_CHECKING:
    import argparse

_CHANGE: Final = "sysgraft.cli.kernel_change"

VERBS: Final = [
    Verb(
        "install",
        "put a kernel on the boot partition",
        options.INSTALL,
        options.INSTALL_EXAMPLE,
        _CHANGE,
        "run_install",
    ),
    Verb(
        "remove",
        "take a kernel off it",
        options.REMOVE,
        options.REMOVE_EXAMPLE,
        _CHANGE,
        "run_remove",
    ),
    Verb(
        "list",
        "list the kernels on the boot partition",
        options.LIST,
        options.LIST_EXAMPLE,
        "sysgraft.cli.kernel_list",
    ),
    Verb(
        "set-default",
        "have a kernel started from now on, or once",
        options.SET_DEFAULT,
        options.SET_DEFAULT_EXAMPLE,
        _CHANGE,
        "run_set_default",
    ),
    Verb(
        "bless",
        "make the kernel that was tried the default, now that it has come up",
        options.BLESS,
        options.BLESS_EXAMPLE,
        _CHANGE,
        "run_bless",
    ),
    Verb(
        "cleanup",
        "remove old kernels",
        options.CLEANUP,
        options.CLEANUP_EXAMPLE,
        _CHANGE,
        "run_cleanup",
    ),
    Verb(
        "grub",
        "write a menu with the kernels for GRUB",
        options.GRUB,
        options.GRUB_EXAMPLE,
        "sysgraft.cli.kernel_list",
        "run_grub",
    ),
    Verb(
        "plugin",
        "write the plugin for kernel-install",
        options.PLUGIN,
        options.PLUGIN_EXAMPLE,
        "sysgraft.cli.kernel_plugin",
    ),
]


def fill(noun: argparse.ArgumentParser) -> None:
    """Add the verbs."""
    verbs.fill(noun, VERBS)
