"""What the verbs of ``sysgraft kernel`` share: which system, and how a kernel is told."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sysgraft.kernel.partition import BootOptions, BootPartition

if TYPE_CHECKING:
    import argparse

    from sysgraft.kernel.listing import Kernel


def boot_partition(arguments: argparse.Namespace) -> BootPartition:
    """The one that options name."""
    return BootPartition(
        BootOptions(
            root=arguments.root,
            esp=arguments.esp_path,
            boot=arguments.boot_path,
            token=arguments.entry_token,
            grow=getattr(arguments, "grow", False),
        )
    )


def kernel_json(kernel: Kernel) -> dict[str, object]:
    """A kernel in a document."""
    return {
        "id": kernel.identifier,
        "kind": kernel.kind,
        "file": kernel.file,
        "token": kernel.token or None,
        "version": kernel.version or None,
        "triesLeft": kernel.left,
        "triesDone": kernel.done,
        "size": kernel.size,
        "files": [{"path": path, "size": size} for path, size in sorted(kernel.files.items())],
        "booted": kernel.booted,
        "default": kernel.default,
        "next": kernel.once,
        "bootEntries": [f"Boot{number:04X}" for number in kernel.numbers],
    }
