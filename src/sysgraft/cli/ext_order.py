"""``sysgraft ext order``."""

from __future__ import annotations

from itertools import zip_longest
from typing import TYPE_CHECKING

from sysgraft.formats.extension_release import Kind
from sysgraft.image.merge_order import merge_orders

if TYPE_CHECKING:
    import argparse

    from sysgraft.cli.output import Output
    from sysgraft.image.merge_order import MergeOrder

_TITLES = {Kind.SYSEXT: "system extensions", Kind.CONFEXT: "configuration extensions"}


def run(arguments: argparse.Namespace, out: Output) -> int:
    """Print both orders of each kind."""
    orders = merge_orders(
        arguments.names, kind=Kind(arguments.type), release=arguments.systemd_version
    )
    if arguments.json:
        payload = {"systemdVersion": arguments.systemd_version}
        out.json("ext.order", 1, {**payload, "orders": [_as_json(each) for each in orders]})
        return 0
    for number, each in enumerate(orders):
        if number:
            out.text()
        _show(each, out)
    return 0


def _show(order: MergeOrder, out: Output) -> None:
    out.text(f"{_TITLES[order.kind]}, the lowest layer first")
    merged = [each.name for each in order.merged]
    pairs = zip_longest(merged, order.packed, fillvalue="")
    rows = [(str(number), *pair) for number, pair in enumerate(pairs, start=1)]
    out.table([("", "MERGED BY SYSTEMD", "PACKED BY THE STUB"), *rows], indent=2)
    for names in order.undecided:
        out.text(f"  it is open which lies higher: {', '.join(names)} (equal as versions)")
    for file, by, reason in order.passed_over:
        who = "systemd does not merge" if by == "systemd" else "the stub does not pack"
        out.text(f"  {who} {file}: {reason}")
    if not order.is_same:
        out.text("  the stub's order counts for what is measured, not for what is merged")


def _as_json(order: MergeOrder) -> dict[str, object]:
    return {
        "type": str(order.kind),
        "merged": [each._asdict() for each in order.merged],
        "packed": list(order.packed),
        "same": order.is_same,
        "undecided": [list(each) for each in order.undecided],
        "passedOver": [each._asdict() for each in order.passed_over],
    }
