"""``sysgraft uki build`` and ``sysgraft uki addon``."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from sysgraft.build.uki.budget import MEGABYTE, Budget, cost_of
from sysgraft.build.uki.build import build_uki
from sysgraft.cli import uki_arguments, uki_join, uki_report
from sysgraft.cli.signing import ask_passphrase
from sysgraft.cli.uki_arguments import signing_pair
from sysgraft.errors import UsageError
from sysgraft.formats import pcrsig

if TYPE_CHECKING:
    import argparse

    from sysgraft.build.uki.budget import Cost
    from sysgraft.build.uki.options import UkiOptions
    from sysgraft.build.uki.report import UkiReport
    from sysgraft.cli.output import Output
    from sysgraft.sign.pair import SigningPair


def run(arguments: argparse.Namespace, out: Output) -> int:
    """Build a UKI, or put PCR signatures into one."""
    if arguments.join_pcrsig:
        return uki_join.run(arguments, out)
    config = uki_arguments.read_config(arguments, out)
    uki_arguments.apply_config(arguments, config.settings)
    if arguments.pcrsig:
        raise UsageError(
            "--pcrsig (PCRSig=) needs an image to put the signatures into",
            hint="name it with --join-pcrsig",
        )
    options = uki_arguments.build_options(arguments, config)
    budget = _budget(arguments)
    signing = signing_pair(arguments)
    report = build_uki(
        options,
        arguments.output or _default_output(options, signing),
        signing=signing,
        passphrase=lambda key: _pcr_passphrase(arguments, key),
        measure=bool(arguments.measure),
        replace=arguments.force,
        progress=out.progress,
    )
    cost = cost_of(report, budget)
    _tell_notes(report, cost, out)
    if out.json_wanted:
        out.json("uki.build", 1, uki_report.uki_as_json(report, cost))
    elif options.policy_digest:
        # Whoever signs elsewhere gets what is to be signed, and nothing else.
        out.note(uki_report.title(report))
        out.script(pcrsig.render(report.policies))
    else:
        uki_report.show(report, cost, out, measured=bool(arguments.measure))
    return 0


def run_addon(arguments: argparse.Namespace, out: Output) -> int:
    """Build an addon."""
    report = build_uki(
        uki_arguments.addon_options(arguments),
        arguments.output,
        signing=signing_pair(arguments),
        replace=arguments.force,
        progress=out.progress,
    )
    cost = cost_of(report, Budget())
    _tell_notes(report, cost, out)
    if out.json_wanted:
        out.json("uki.addon", 1, uki_report.as_json(report, cost))
    else:
        uki_report.show(report, cost, out, measured=False)
    return 0


def _pcr_passphrase(arguments: argparse.Namespace, key: str) -> bytes:
    return ask_passphrase(arguments.pcr_passphrase_file or arguments.passphrase_file, key)


def _tell_notes(report: UkiReport, cost: Cost, out: Output) -> None:
    for note in report.notes:
        out.note(f"note: {note}")
    for warning in cost.warnings:
        out.note(f"warning: {warning}")


def _default_output(options: UkiOptions, signing: SigningPair | None) -> str:
    """As ukify names it: by the kernel, in the current folder."""
    if options.linux is None:
        raise UsageError("--output is needed where there is no --linux to name the result by")
    suffix = ".efi" if signing else ".unsigned.efi"
    return os.path.basename(options.linux) + suffix


def _budget(arguments: argparse.Namespace) -> Budget:
    if arguments.esp_copies < 1 or arguments.efi_size_warn < 1:
        raise UsageError("--esp-copies and --efi-size-warn are at least 1")
    size = arguments.esp_size
    return Budget(
        warn_size=arguments.efi_size_warn * MEGABYTE,
        copies=arguments.esp_copies,
        esp_size=None if size is None else size * MEGABYTE,
    )
