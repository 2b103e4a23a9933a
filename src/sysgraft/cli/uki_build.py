"""``sysgraft uki build`` and ``sysgraft uki addon``."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from sysgraft.build.uki.budget import MEGABYTE, Budget, cost_of
from sysgraft.build.uki.build import build_uki
from sysgraft.build.uki.join_pcrsig import join_signatures
from sysgraft.cli import uki_arguments, uki_report
from sysgraft.cli.signing import ask_passphrase
from sysgraft.errors import UsageError
from sysgraft.formats import pcrsig
from sysgraft.sign.pair import load_pair

if TYPE_CHECKING:
    import argparse

    from sysgraft.build.uki.options import UkiOptions
    from sysgraft.cli.output import Output
    from sysgraft.sign.pair import SigningPair


def run(arguments: argparse.Namespace, out: Output) -> int:
    """Build a UKI."""
    config = uki_arguments.read_config(arguments, out)
    uki_arguments.apply_config(arguments, config)
    if arguments.join_pcrsig or arguments.pcrsig:
        return _join(arguments, out)
    options = uki_arguments.build_options(arguments, config)
    return _build(arguments, options, out, measure=arguments.measure)


def run_addon(arguments: argparse.Namespace, out: Output) -> int:
    """Build an addon."""
    return _build(arguments, uki_arguments.addon_options(arguments), out, measure=False)


def _build(
    arguments: argparse.Namespace, options: UkiOptions, out: Output, *, measure: bool
) -> int:
    signing = _signing(arguments)
    report = build_uki(
        options,
        arguments.output or _default_output(options, signing),
        signing=signing,
        passphrase=lambda: ask_passphrase(arguments.passphrase_file, "the PCR signing key"),
        measure=measure,
        replace=arguments.force,
        progress=out.progress,
    )
    cost = cost_of(report, _budget(arguments))
    for note in report.notes:
        out.note(f"note: {note}")
    for warning in cost.warnings:
        out.note(f"warning: {warning}")
    if out.json_wanted:
        out.json("uki.build", 1, uki_report.as_json(report, cost))
    elif options.policy_digest:
        out.note(uki_report.title(report))
        out.script(pcrsig.render(report.policies))
    else:
        uki_report.show(report, cost, out, measure=measure)
    return 0


def _signing(arguments: argparse.Namespace) -> SigningPair | None:
    key, certificate = arguments.secureboot_private_key, arguments.secureboot_certificate
    if bool(key) != bool(certificate):
        raise UsageError(
            "--secureboot-private-key and --secureboot-certificate go together",
            hint="give both, or neither for an unsigned image",
        )
    if not key:
        return None
    return load_pair(
        key, certificate, passphrase=lambda: ask_passphrase(arguments.passphrase_file, key)
    )


def _default_output(options: UkiOptions, signing: SigningPair | None) -> str:
    """As ukify names it: by the kernel, in the current folder."""
    if options.linux is None:
        raise UsageError("--output is needed where there is no --linux to name the result by")
    suffix = ".efi" if signing else ".unsigned.efi"
    return os.path.basename(options.linux) + suffix


def _budget(arguments: argparse.Namespace) -> Budget:
    if not hasattr(arguments, "esp_copies"):
        return Budget()
    if arguments.esp_copies < 1 or arguments.efi_size_warn < 1:
        raise UsageError("--esp-copies and --efi-size-warn are at least 1")
    size = arguments.esp_size
    return Budget(
        warn_size=arguments.efi_size_warn * MEGABYTE,
        copies=arguments.esp_copies,
        esp_size=None if size is None else size * MEGABYTE,
    )


def _join(arguments: argparse.Namespace, out: Output) -> int:
    """Put PCR signatures made elsewhere into an image."""
    if not (arguments.join_pcrsig and arguments.pcrsig):
        raise UsageError("--join-pcrsig and --pcrsig go together")
    if arguments.linux or arguments.initrd or arguments.cmdline or arguments.pcr_private_key:
        raise UsageError("--join-pcrsig changes no other sections")
    if not arguments.output:
        raise UsageError("--output is needed with --join-pcrsig")
    report = join_signatures(
        arguments.join_pcrsig,
        arguments.pcrsig,
        arguments.output,
        signing=_signing(arguments),
        replace=arguments.force,
        progress=out.progress,
    )
    if out.json_wanted:
        out.json("uki.join-pcrsig", 1, uki_report.join_as_json(report))
        return 0
    for note in report.notes:
        out.note(f"note: {note}")
    signed = "signed" if report.signed else "unsigned"
    policies = f"{report.attached} of {report.policies} PCR policies signed"
    out.text(f"{report.path}  ({signed}, {policies})")
    return 0
