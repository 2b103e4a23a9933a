"""``sysgraft uki build --join-pcrsig``: signatures made elsewhere go into an image."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sysgraft.build.uki.join_pcrsig import join_signatures
from sysgraft.cli import uki_arguments, uki_report
from sysgraft.cli.uki_pcr_keys import flag
from sysgraft.errors import UsageError

if TYPE_CHECKING:
    import argparse

    from sysgraft.cli.output import Output

# What makes an image, and so is not for one that is there; and what a config file says for both.
_NOT_JOINED: Final = (
    "linux",
    "initrd",
    "cmdline",
    "os_release",
    "uname",
    "microcode",
    "splash",
    "devicetree",
    "devicetree_auto",
    "hwids",
    "efifw",
    "sbat",
    "section",
    "profile",
    "join_profile",
    "sign_profile",
    "stub",
    "pcrpkey",
    "pcr_private_key",
    "pcr_public_key",
    "pcr_certificate",
    "policy_digest",
    "measure",
)
_JOINED: Final = (
    "pcrsig",
    "secureboot_private_key",
    "secureboot_certificate",
    "secureboot_certificate_name",
    "signtool",
    "signing_engine",
    "signing_provider",
    "certificate_provider",
)


def run(arguments: argparse.Namespace, out: Output) -> int:
    """Put PCR signatures made elsewhere into an image."""
    given = [name for name in _NOT_JOINED if getattr(arguments, name)]
    if given:
        raise UsageError(
            f"--join-pcrsig changes nothing else: {flag(given[0])} does not go with it"
        )
    config = uki_arguments.read_config(arguments, out)
    uki_arguments.apply_config(
        arguments, {name: value for name, value in config.settings.items() if name in _JOINED}
    )
    uki_arguments.refuse_programs(arguments)
    if not arguments.pcrsig:
        raise UsageError("--join-pcrsig needs the signatures: --pcrsig TEXT|@PATH")
    if not arguments.output:
        raise UsageError("--output is needed with --join-pcrsig")
    report = join_signatures(
        arguments.join_pcrsig,
        arguments.pcrsig,
        arguments.output,
        signing=uki_arguments.signing_pair(arguments),
        replace=arguments.force,
        progress=out.progress,
    )
    for note in report.notes:
        out.note(f"note: {note}")
    if out.json_wanted:
        out.json("uki.join-pcrsig", 1, uki_report.join_as_json(report))
    else:
        out.text(uki_report.join_title(report))
    return 0
