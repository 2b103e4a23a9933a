"""``sysgraft kernel list`` and ``kernel grub``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sysgraft.cli.kernel_common import boot_partition, kernel_json
from sysgraft.cli.output import human_size
from sysgraft.host.output import atomic_output
from sysgraft.kernel.grub import grub_menu
from sysgraft.kernel.listing import Listing

if TYPE_CHECKING:
    import argparse

    from sysgraft.cli.output import Output
    from sysgraft.kernel.listing import Kernel


def run(arguments: argparse.Namespace, out: Output) -> int:
    """List what there is."""
    listing = Listing(boot_partition(arguments))
    kernels = listing.kernels
    if out.json_wanted:
        found = [kernel_json(each) for each in kernels]
        out.json("kernel.list", 1, {"kernels": found, "notes": listing.notes})
        return 0
    if kernels:
        out.table([("", "ENTRY", "VERSION", "TRIES", "SIZE", "FIRMWARE"), *map(_row, kernels)])
    else:
        out.text("no kernel is installed")
    for note in listing.notes:
        out.note(f"note: {note}")
    return 0


def run_grub(arguments: argparse.Namespace, out: Output) -> int:
    """``kernel grub``."""
    partition = boot_partition(arguments)
    listing = Listing(partition)
    text = grub_menu(listing, partition.volume)
    for note in listing.notes:
        out.note(f"note: {note}")
    if not arguments.output:
        out.script(text.removesuffix("\n"))
        return 0
    with atomic_output(arguments.output, replace=True) as file:
        file.write(text.encode())
    return 0


def _row(kernel: Kernel) -> tuple[str, ...]:
    marks = (
        (kernel.booted, "*"),
        (kernel.default, ">"),
        (kernel.once, "1"),
        (kernel.is_bad, "!"),
    )
    tries = "-" if kernel.left is None else f"{kernel.left} left, {kernel.done} made"
    numbers = ", ".join(f"Boot{number:04X}" for number in kernel.numbers)
    return (
        "".join(mark for is_so, mark in marks if is_so) or "-",
        kernel.identifier,
        kernel.version or "-",
        tries,
        human_size(kernel.size),
        numbers or "-",
    )
