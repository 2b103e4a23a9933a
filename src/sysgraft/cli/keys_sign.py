"""``sysgraft keys sign``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sysgraft.build.signed_update import UpdateReport, write_update
from sysgraft.cli.keys_report import (
    certificate_fields,
    database_fields,
    owner_option,
    show_databases,
    time_option,
    time_text,
)
from sysgraft.cli.signing import ask_passphrase
from sysgraft.formats import authvar
from sysgraft.sign.pair import load_pair

if TYPE_CHECKING:
    import argparse

    from sysgraft.cli.output import Output
    from sysgraft.sign.pair import SigningPair


def run(arguments: argparse.Namespace, out: Output) -> int:
    """Sign one update."""
    target = authvar.database(arguments.variable, append=arguments.append)
    time, owner = time_option(arguments.time), owner_option(arguments.owner)
    signing = load_pair(
        arguments.private_key,
        arguments.certificate,
        passphrase=lambda: ask_passphrase(arguments.passphrase_file, arguments.private_key),
    )
    report = write_update(
        target,
        arguments.files,
        arguments.output,
        signing=signing,
        time=time,
        owner=owner,
        replace=arguments.force,
    )
    if out.json_wanted:
        out.json("keys.sign", 1, as_json(report, signing))
    else:
        _show(report, signing, out)
    return 0


def as_json(report: UpdateReport, signing: SigningPair) -> dict[str, object]:
    """The report as ``sysgraft.keys.sign/1``."""
    return {
        "file": report.file,
        "append": report.target.append,
        "time": time_text(report.time),
        "signer": certificate_fields(signing.certificate),
        "database": database_fields(report.target.name, report.lists),
    }


def _show(report: UpdateReport, signing: SigningPair, out: Output) -> None:
    name = report.target.name
    what = f"adds to {name}" if report.target.append else f"new value of {name}"
    out.text(f"{report.file}  ({what}, signed by {signing.certificate.subject})")
    show_databases({name: report.lists}, out)
