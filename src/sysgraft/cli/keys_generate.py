"""``sysgraft keys generate``."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final

from sysgraft.build.keyset import (
    KeySetOptions,
    KeySetReport,
    custom_certificates,
    generate_keys,
)
from sysgraft.cli.keys_report import (
    certificate_fields,
    database_fields,
    owner_option,
    show_databases,
    time_option,
    time_text,
    validity,
)
from sysgraft.cli.signing import PASSPHRASE_VARIABLE, ask_passphrase
from sysgraft.errors import UsageError
from sysgraft.sign.pcr import fingerprint

if TYPE_CHECKING:
    import argparse

    from sysgraft.cli.output import Output

_EXTENSION: Final = "extension"


def run(arguments: argparse.Namespace, out: Output) -> int:
    """Make one key set."""
    custom = arguments.custom_cert_dir
    kek, db = custom_certificates(custom) if custom else ((), ())
    options = KeySetOptions(
        rsa_bits=arguments.rsa_bits,
        days=arguments.expiration_in_days,
        owner=owner_option(arguments.owner),
        extension_key=arguments.extension_key,
        kek_certificates=(*arguments.kek_certificate, *kek),
        db_certificates=(*arguments.db_certificate, *db),
        dbx=tuple(arguments.dbx),
        time=time_option(arguments.time),
        passphrase=_passphrase(arguments),
        replace=arguments.force,
    )
    report = generate_keys(arguments.name, arguments.output, options)
    for note in report.notes:
        out.note(f"note: {note}")
    if out.json_wanted:
        out.json("keys.generate", 1, as_json(report))
    else:
        _show(report, out)
    return 0


def _passphrase(arguments: argparse.Namespace) -> bytes:
    """What encrypts the new keys; nobody is asked, since nobody has to have one."""
    if not arguments.passphrase_file and PASSPHRASE_VARIABLE not in os.environ:
        return b""
    secret = ask_passphrase(arguments.passphrase_file, "the new keys")
    if not secret:
        raise UsageError("the passphrase is empty")
    return secret


def as_json(report: KeySetReport) -> dict[str, object]:
    """The report as ``sysgraft.keys.generate/1``."""
    return {
        "folder": report.folder,
        "files": list(report.files),
        "owner": str(report.owner),
        "time": time_text(report.time),
        "encrypted": report.encrypted,
        "keys": [
            {
                "name": name,
                "rsaBits": identity.key.bits,
                **certificate_fields(identity.certificate),
            }
            for name, identity in report.identities.items()
        ],
        "pcrKey": {
            "rsaBits": report.pcr_key.bits,
            "fingerprint": fingerprint(report.pcr_key.signer.key_der).hex(),
        },
        "databases": [database_fields(name, lists) for name, lists in report.databases.items()],
        "notes": list(report.notes),
    }


def _show(report: KeySetReport, out: Output) -> None:
    encrypted = "encrypted" if report.encrypted else "not encrypted"
    out.text(f"{report.folder}  ({len(report.files)} files, private keys {encrypted})")
    show_databases(report.databases, out)
    rows = [("PCR policies", f"RSA, pkfp {fingerprint(report.pcr_key.signer.key_der).hex()}")]
    extension = report.identities.get(_EXTENSION)
    if extension is not None:
        rows.append(("extensions", validity(extension.certificate)))
    out.table(rows, indent=2)
