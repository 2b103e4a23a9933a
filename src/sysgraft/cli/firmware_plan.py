"""``sysgraft firmware plan``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from sysgraft.cli.firmware_index import read_index
from sysgraft.cli.output import counted, human_size
from sysgraft.errors import in_file
from sysgraft.firmware import early
from sysgraft.firmware.inventory import MAX_SIZE, parse_machine
from sysgraft.firmware.plan import Planner, PlanOptions
from sysgraft.firmware.plan_document import render_plan
from sysgraft.host.output import atomic_output
from sysgraft.host.small import read_small

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator

    from sysgraft.cli.output import Output
    from sysgraft.firmware.inventory import Machine
    from sysgraft.firmware.plan_document import File, Plan


def run(arguments: argparse.Namespace, out: Output) -> int:
    """Plan, and write or show the plan."""
    planner = Planner(read_index(arguments.index))
    machines = [_machine(path) for path in arguments.machine]
    options = PlanOptions(
        level=arguments.level,
        name=arguments.name,
        modaliases=tuple(arguments.modalias),
        early=(early.DEFAULT | frozenset(arguments.early)) - frozenset(arguments.late),
    )
    plan = planner.plan(machines, options, files=arguments.machine)
    if arguments.output:
        with atomic_output(arguments.output, replace=arguments.force) as file:
            file.write(render_plan(plan))
    if arguments.json:
        document = msgspec.to_builtins(plan)
        document.pop("schema")
        out.json("firmware.plan", 1, document)
    else:
        _show(plan, out)
    return 0


def _machine(path: str) -> Machine:
    with in_file(path):
        return parse_machine(read_small(path, MAX_SIZE, "inventory"))


def _show(plan: Plan, out: Output) -> None:
    for note in plan.notes:
        out.note(f"note: {note}")
    for when in ("early", "late"):
        files = [file for file in plan.files if file.when == when]
        if files:
            size = human_size(sum(file.size for file in files))
            out.text(f"{when}: {counted(len(files), 'file')}, {size}")
            out.table([_row(file) for file in files], indent=2)
            out.text()
    missing = [each for each in plan.unresolved if not each.optional]
    if missing:
        out.text(f"nowhere: {counted(len(missing), 'name')} that drivers declare")
        out.table([(each.name, ", ".join(each.modules)) for each in missing], indent=2)
        out.text()
    out.table(list(_totals(plan)))


def _row(file: File) -> tuple[str, str, str]:
    who = dict.fromkeys(reason.module for reason in file.reasons if reason.module) or ("no module",)
    surest = file.reasons[0]
    why = f"{surest.evidence}, {surest.confidence}"
    behind = f" ({file.early})" if file.early else ""
    return file.path, human_size(file.size), f"{', '.join(who)}: {why}{behind}"


def _totals(plan: Plan) -> Iterator[tuple[str, str]]:
    totals = plan.totals
    yield "kernel", ", ".join(plan.kernels)
    yield "level", plan.level
    yield "early", f"{human_size(totals.early_size)} for the initrd or UKI"
    yield "late", f"{human_size(totals.late_size)} for an extension"
    share = totals.size / totals.all_size if totals.all_size else 0
    yield "all there is", f"{human_size(totals.all_size)}, of which {share:.1%} is needed"
