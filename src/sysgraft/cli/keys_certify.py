"""``sysgraft keys certify``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sysgraft.cli.keys_report import certificate_fields, time_option, validity
from sysgraft.cli.signing import ask_passphrase
from sysgraft.host.output import atomic_output
from sysgraft.sign.new_keys import pem
from sysgraft.sign.pair import load_signer
from sysgraft.sign.self_signed import self_signed

if TYPE_CHECKING:
    import argparse

    from sysgraft.cli.output import Output


def run(arguments: argparse.Namespace, out: Output) -> int:
    """Make one certificate."""
    time = time_option(arguments.time)
    key = load_signer(
        arguments.private_key,
        lambda: ask_passphrase(arguments.passphrase_file, arguments.private_key),
    )
    certificate = self_signed(key, arguments.name, time=time, days=arguments.expiration_in_days)
    with atomic_output(arguments.output, replace=arguments.force) as file:
        file.write(pem("CERTIFICATE", certificate.der))
    if out.json_wanted:
        out.json("keys.certify", 1, {"file": arguments.output, **certificate_fields(certificate)})
    else:
        out.text(f"{arguments.output}  ({validity(certificate)})")
    return 0
